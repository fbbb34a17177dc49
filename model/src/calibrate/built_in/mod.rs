//! The built-in collection: texts of many kinds, for calibration without texts of one's own.
//!
//! The texts were written for this project and are in the public domain (CC0); `texts/README.md` says so beside them. Each file has one
//! kind. A line is a text; a tab divides the two texts of a pair.

mod draw;
mod select;

use rayon::prelude::*;

use super::spread::spread;
use crate::error::{Error, Result};
use crate::heads::{HeadConfig, HeadKind};
use crate::model::Model;
use crate::tokenize::{SentenceTokenizer, TextInput, TokenizedText};

/// One file for each kind of text, in an order in which kinds take turns when some of all are taken.
const KINDS: [&str; 8] = [
    include_str!("texts/short.txt"),
    include_str!("texts/sentences.txt"),
    include_str!("texts/questions.txt"),
    include_str!("texts/technical.txt"),
    include_str!("texts/prose.txt"),
    include_str!("texts/languages.txt"),
    include_str!("texts/pairs.txt"),
    include_str!("texts/long.txt"),
];

/// What a model is calibrated on without texts of its user.
pub(crate) struct BuiltIn {
    pub(crate) sequences: Vec<TokenizedText>,
    /// Texts and pairs of the collection among the sequences.
    pub(crate) texts: usize,
    /// Texts and pairs of the whole collection.
    pub(crate) of: usize,
    /// Sequences of tokens that were drawn from the vocabulary.
    pub(crate) drawn: usize,
}

impl BuiltIn {
    /// At most `limit` texts of the collection, as the model reads them: those that its vocabulary has words for. Where they show too little
    /// of the vocabulary, sequences of its own tokens are added. The same model always gets the same sequences.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], [`Error::Tokenizer`].
    pub(crate) fn of(model: &Model, limit: usize) -> Result<BuiltIn> {
        let tokenizer = model.tokenizer().ok_or(Error::NoTokenizer)?;
        let kind = head_kind(model);
        let texts: Vec<Text> = match kind {
            Some(HeadKind::MaskedLm) => {
                all(false).into_iter().enumerate().map(|(i, text)| masked(text, i, tokenizer)).collect()
            }
            _ => all(kind.is_some_and(takes_pairs)),
        };
        let of = texts.len();
        let inputs: Vec<TextInput<'_>> = texts.iter().map(Text::input).collect();
        let vocabulary = select::Vocabulary::of(model.config(), tokenizer)?;
        // A text that the tokenizer or the model cannot take is none that the vocabulary has words for.
        let tokens: Vec<TokenizedText> = inputs.par_iter().filter_map(|input| tokenizer.locate(*input).ok()).collect();
        let is_untyped = model.config().type_vocab_size == 1;
        let tokens = tokens.into_iter().map(|tokens| if is_untyped { tokens.untyped() } else { tokens });
        let tokens = tokens.map(|tokens| tokens.cut(tokenizer.max_length()));
        let mut sequences = spread(tokens.filter(|tokens| vocabulary.knows(tokens)).collect(), limit);
        let texts = sequences.len();
        sequences.extend(draw::missing(&vocabulary, &sequences, tokenizer.max_length()));
        let drawn = sequences.len() - texts;
        Ok(BuiltIn { sequences, texts, of, drawn })
    }
}

/// A text or a pair of the collection.
struct Text {
    text: String,
    pair: Option<String>,
}

impl Text {
    fn one(text: &str) -> Text {
        Text { text: text.to_owned(), pair: None }
    }

    fn input(&self) -> TextInput<'_> {
        TextInput { text: &self.text, pair: self.pair.as_deref() }
    }
}

/// All texts of the built-in collection, those of pairs one by one. They are in the public domain (CC0).
pub fn built_in_texts() -> Vec<String> {
    all(false).into_iter().map(|text| text.text).filter(|text| !text.is_empty()).collect()
}

/// The whole collection and the empty text. Without `pairs`, the two texts of a pair are two texts.
fn all(pairs: bool) -> Vec<Text> {
    let lines = KINDS.iter().flat_map(|kind| kind.lines()).filter(|line| !line.is_empty());
    let texts = lines.flat_map(|line| match line.split_once('\t') {
        None => vec![Text::one(line)],
        Some((text, pair)) if pairs => vec![Text { text: text.to_owned(), pair: Some(pair.to_owned()) }],
        Some((text, pair)) => vec![Text::one(text), Text::one(pair)],
    });
    [Text::one("")].into_iter().chain(texts).collect()
}

/// Every second text with a mask in place of the word in its middle.
fn masked(text: Text, index: usize, tokenizer: &SentenceTokenizer) -> Text {
    const MASKS: [&str; 2] = ["[MASK]", "<mask>"];
    let mask = MASKS.into_iter().find(|mask| tokenizer.id_of(mask).is_some());
    let mut words: Vec<&str> = text.text.split(' ').collect();
    let middle = words.len() / 2;
    match (mask, words.get_mut(middle)) {
        (Some(mask), Some(word)) if index % 2 == 1 => *word = mask,
        _ => return text,
    }
    Text::one(&words.join(" "))
}

fn takes_pairs(kind: HeadKind) -> bool {
    matches!(kind, HeadKind::SequenceClassification | HeadKind::QuestionAnswering)
}

/// The kind of the model's head; nothing without a head.
fn head_kind(model: &Model) -> Option<HeadKind> {
    let path = model.config_file()?;
    HeadConfig::from_file(path, model.config().architecture, None).ok().map(|head| head.kind)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_collection_has_many_texts_of_every_length() {
        let texts = all(false);
        assert!(texts.len() >= 400, "{} texts", texts.len());
        let words: Vec<usize> = texts.iter().map(|text| text.text.split_whitespace().count()).collect();
        let between = |low, high| words.iter().filter(|count| (low..high).contains(*count)).count();
        assert_eq!(between(0, 1), 1);
        assert!(between(1, 2) >= 20 && between(2, 5) >= 40 && between(5, 15) >= 100, "{words:?}");
        assert!(between(15, 60) >= 40 && between(150, 400) >= 4 && between(400, 1000) >= 2, "{words:?}");
        let different: BTreeSet<&str> = texts.iter().map(|text| text.text.as_str()).collect();
        assert_eq!(different.len(), texts.len(), "every text is there once");
    }

    #[test]
    fn pairs_are_pairs_only_where_they_are_read() {
        let (single, paired) = (all(false), all(true));
        let pairs = paired.iter().filter(|text| text.pair.is_some()).count();
        assert!(pairs >= 20 && single.iter().all(|text| text.pair.is_none()));
        assert_eq!(single.len(), paired.len() + pairs);
    }

    /// Letters of every script that the collection promises.
    #[test]
    fn scripts_are_there() {
        let all: String = all(false).into_iter().map(|text| text.text).collect();
        for (script, range) in [
            ("Greek", 'α'..='ω'),
            ("Cyrillic", 'а'..='я'),
            ("Hebrew", 'א'..='ת'),
            ("Arabic", 'ا'..='ي'),
            ("Devanagari", 'अ'..='ह'),
            ("Thai", 'ก'..='ฮ'),
            ("Han", '一'..='龥'),
            ("Kana", 'ぁ'..='ん'),
            ("Hangul", '가'..='힣'),
            ("emoji", '😀'..='😿'),
        ] {
            assert!(all.chars().filter(|char| range.contains(char)).count() >= 3, "{script}");
        }
    }
}
