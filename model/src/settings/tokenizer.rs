//! From the settings of texts to those of a tokenizer, and what a tokenizer has to say.

use std::path::Path;

use super::remark::{Remark, RemarkScope};
use super::text::TextSettings;
use crate::error::Result;
use crate::tokenize::{BertNormalization, SentenceTokenizer, TokenizerOptions, TruncationSide};

impl SentenceTokenizer {
    /// Reads the tokenizer of a directory as [`Model::open`](crate::Model::open) does: with the length limit and the other settings of texts in the
    /// files beside it, and at most `max_position` tokens.
    ///
    /// # Errors
    /// Those of [`SentenceTokenizer::open`], and those of the settings files.
    pub fn from_dir(dir: &Path, max_position: usize) -> Result<Option<SentenceTokenizer>> {
        let settings = TextSettings::read(&[dir], max_position)?;
        SentenceTokenizer::open(dir, &settings.tokenizer_options(&dir.join("config.json")))
    }
}

impl TextSettings {
    /// What a tokenizer needs to know; `config` is the file with the positions of the model.
    pub(crate) fn tokenizer_options(&self, config: &Path) -> TokenizerOptions {
        let mut options = TokenizerOptions::new(self.max_length);
        options.max_length_file = Some(self.max_length_file.clone().unwrap_or_else(|| config.to_owned()));
        options.lower_case = self.lower_case;
        options.truncation_side =
            self.cut_start.map(|is_start| if is_start { TruncationSide::Left } else { TruncationSide::Right });
        options.bert = BertNormalization {
            lower_case: self.bert_lower_case,
            strip_accents: self.strip_accents,
            chinese_characters: self.chinese_characters,
        };
        options
    }

    /// What users should know about a tokenizer that was read with these settings.
    pub(crate) fn remarks_on(&self, tokenizer: &SentenceTokenizer) -> Vec<Remark> {
        let unknown = self.special_tokens.iter().filter(|(_, token)| tokenizer.id_of(token).is_none());
        let unknown = unknown.map(|(key, token)| {
            format!("{key}: {token:?} of tokenizer_config.json is not a token of the tokenizer, and is not used")
        });
        let said = tokenizer.notes().iter().cloned().chain(unknown);
        said.map(|text| Remark::new(RemarkScope::Texts, text)).collect()
    }
}
