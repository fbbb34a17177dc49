//! Token classification: which spans of a text are what.

use std::ops::Range;
use std::sync::Arc;

use lacuna_model::{Matrix, TextInput, TokenizedText, heads::labels::softmax};
use serde::Serialize;

use super::backbone::Backbone;
use super::batch::{run, tokenize, truncations};
use super::outputs::Outputs;
use crate::error::Result;
use crate::heads::{Head, HeadKind};

/// The label of words that belong to no entity.
const OUTSIDE: &str = "O";

/// A span of a text with a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entity {
    /// From `config.json`, without `B-` and `I-`.
    pub label: String,
    /// First byte in the text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Mean over its words of the probability of the label.
    pub score: f32,
}

/// A token classification: named entities, parts of speech.
#[derive(Debug, Clone)]
pub struct TokenClassifier {
    backbone: Arc<dyn Backbone>,
    head: Arc<Head>,
}

/// A word with the label of its first token.
struct Word<'a> {
    bytes: Range<usize>,
    /// Whether an entity begins here though the word before has the same label.
    begins: bool,
    label: &'a str,
    score: f32,
}

impl TokenClassifier {
    /// Puts a head onto its encoder.
    ///
    /// # Errors
    /// [`ModelError::WrongHead`](crate::errors::ModelError::WrongHead) if the head is not one for token classification.
    pub fn new(backbone: Arc<dyn Backbone>, head: impl Into<Arc<Head>>) -> Result<Self> {
        let head = head.into();
        head.require(HeadKind::TokenClassification)?;
        Ok(Self { backbone, head })
    }

    /// The entities of every text, in the order of the text.
    ///
    /// A word, as the tokenizer splits text before it makes tokens, has the most probable label of its first token. Neighbouring
    /// words with the same label are one entity, unless the later label starts with `B-`. Label `O` is left out. A text over the model's
    /// limit is truncated, and [`Outputs::truncated`] lists it.
    ///
    /// # Errors
    /// Those of [`SequenceClassifier::classify`](super::SequenceClassifier::classify).
    pub fn tag<S: AsRef<str>>(&self, texts: &[S]) -> Result<Outputs<Vec<Entity>>> {
        let inputs: Vec<TextInput<'_>> = texts.iter().map(|text| TextInput::new(text.as_ref())).collect();
        let all = tokenize(&*self.backbone, &inputs)?;
        let results = run(
            &*self.backbone,
            &self.head,
            &all,
            |_| None,
            |tokens, logits| Ok(entities(&self.words(tokens, logits))),
        )?;
        Ok(Outputs { results, truncated: truncations(&all) })
    }

    fn words(&self, tokens: &TokenizedText, mut logits: Matrix) -> Vec<Word<'_>> {
        let mut words: Vec<Word<'_>> = Vec::new();
        let mut last = None;
        for (row, origin) in tokens.origins.iter().enumerate() {
            let Some(origin) = origin else { continue };
            let place = origin.word.map(|word| (origin.part, word));
            match words.last_mut() {
                Some(word) if place.is_some() && place == last => word.bytes.end = origin.bytes.end,
                _ => {
                    let scores = logits.row_mut(row);
                    softmax(scores);
                    let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
                    let (best, score) = best.map_or((0, 0.0), |(best, score)| (best, *score));
                    let name = self.head.labels().get(best).map_or(OUTSIDE, String::as_str);
                    let label = name.strip_prefix("B-").or(name.strip_prefix("I-")).unwrap_or(name);
                    words.push(Word { bytes: origin.bytes.clone(), begins: name.starts_with("B-"), label, score });
                }
            }
            last = place;
        }
        words.retain(|word| !word.bytes.is_empty()); // white space at the end of a text can be a token
        words
    }
}

fn entities(words: &[Word<'_>]) -> Vec<Entity> {
    let entity = |words: &[Word<'_>]| {
        let (first, last) = (words.first()?, words.last()?);
        let score = words.iter().map(|word| word.score).sum::<f32>() / words.len() as f32;
        let label = (first.label != OUTSIDE).then(|| first.label.to_owned())?;
        Some(Entity { label, start: first.bytes.start, end: last.bytes.end, score })
    };
    words.chunk_by(|word, next| word.label == next.label && !next.begins).filter_map(entity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_label_are_one_entity() {
        let word = |start, name: &'static str, score| Word {
            bytes: start..start + 2,
            begins: name.starts_with("B-"),
            label: name.trim_start_matches(['B', 'I', '-']),
            score,
        };
        let words = [
            word(0, "I-per", 0.5),
            word(3, "I-per", 1.0),
            word(6, "B-per", 0.9),
            word(9, "O", 0.9),
            word(12, "I-per", 0.8),
            word(15, "I-loc", 0.7),
        ];
        let found: Vec<_> = entities(&words).into_iter().map(|e| (e.label, e.start, e.end, e.score)).collect();
        let expected = [("per", 0, 5, 0.75), ("per", 6, 8, 0.9), ("per", 12, 14, 0.8), ("loc", 15, 17, 0.7)];
        assert_eq!(found, expected.map(|(label, start, end, score)| (label.to_owned(), start, end, score)));
        assert!(entities(&[]).is_empty());
    }
}
