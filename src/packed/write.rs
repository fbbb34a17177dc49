//! From a model in memory to a file.

use std::path::Path;

use lacuna_model::{PoolingSource, SentenceTokenizer};

use super::entry::{ModelEntry, TOKENIZER};
use super::head::HeadEntry;
use super::model::{PackedModel, StoredHead, TextSettings};
use super::pooling::PoolingEntry;
use crate::container::{PackedError, Sections};
use crate::error::Result;

impl PackedModel {
    /// Writes the model to a file, and returns the length of the file in bytes. The file appears only when it is complete: it is
    /// written to a temporary file in the same folder, flushed to the disk, and moved to its place.
    ///
    /// # Errors
    /// [`PackedError::Io`]; [`PackedError::Decided`] for a model from a file whose pooling was changed, since such a file is copied.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<u64> {
        if let Some(file) = &self.file {
            return match self.pooling.source {
                PoolingSource::Chosen => {
                    Err(PackedError::Decided { option: "pooling", found: self.pooling.describe() }.into())
                }
                _ => Ok(file.copy(path.as_ref())?),
            };
        }
        let mut sections = Sections::default();
        // Text first: it is parsed while the rest is verified.
        let json = self.tokenizer.as_ref().map(|tokenizer| compact(tokenizer.json()));
        if let Some(json) = &json {
            sections.add(TOKENIZER, json);
        }
        let head = match &self.head {
            StoredHead::Here(head) => Some(HeadEntry::save(head, &self.tables, &mut sections)),
            StoredHead::None | StoredHead::InFile(_) => None, // the latter comes with its file
        };
        self.tables.save(&mut sections);
        let layers = self.steps.save(&self.origin.precision, &mut sections);
        let TextSettings { prompts, similarity, remarks } = &self.texts;
        let pooling = PoolingEntry::save(&self.pooling, prompts, &mut sections);
        let entry = ModelEntry {
            config: self.config.clone(),
            pooling,
            max_length: self.tokenizer.as_ref().map(SentenceTokenizer::max_length),
            head,
            layers,
            activation_bits: self.origin.activation_bits,
            pruning: self.origin.pruning,
            truncated: self.origin.truncated,
            calibration: self.origin.basis.clone(),
            saturated: self.origin.saturated.clone(),
            notes: self.origin.notes.clone(),
            prompts: prompts.clone(),
            similarity: similarity.map(|similarity| similarity.name().to_owned()),
            remarks: remarks.clone(),
        };
        // Whoever asks for small tables wants a small file.
        let sections = if self.tables.are_small() { sections.deflated() } else { sections };
        Ok(sections.write(path.as_ref(), entry, self.origin.activation_bits)?)
    }
}

/// JSON without the blanks between its parts.
fn compact(json: &[u8]) -> Vec<u8> {
    let (mut is_text, mut is_escaped) = (false, false);
    let is_kept = |byte: &u8| {
        let kept = is_text || !byte.is_ascii_whitespace();
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            _ => {}
        }
        kept
    };
    json.iter().copied().filter(is_kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blanks_between_parts_are_left_out() {
        let json = br#" { "a b" : [ 1 , "\\" , " \" c " ] ,
            "d":"e" } "#;
        let expected: &[u8] = br#"{"a b":[1,"\\"," \" c "],"d":"e"}"#;
        assert_eq!(compact(json), expected);
    }
}
