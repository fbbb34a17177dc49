//! Token classification: which spans of a text are what.

use std::sync::Arc;

use lacuna_model::{Matrix, TextInput, TokenizedText, heads::labels::softmax};
use serde::Serialize;

use super::aggregate::{Aggregation, Token, Unit, groups};
use super::backbone::Backbone;
use super::batch::{limit, locate, run};
use super::chars::Chars;
use super::order::finite;
use super::scheme::{LabelScheme, Tag};
use super::windows::{Windowed, of_text};
use crate::error::Result;
use crate::heads::{Head, HeadKind};

/// A span of a text with a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entity {
    /// From `config.json`, without the prefix of the [`LabelScheme`]; the whole label with [`Aggregation::None`].
    pub label: String,
    /// First byte in the text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// First character in the text: characters are Unicode scalar values, as Python counts.
    pub start_char: usize,
    /// One past the last character.
    pub end_char: usize,
    /// Mean over its words (or tokens) of the probability of the label.
    pub score: f32,
}

/// How entities are made of the labels of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TagOptions {
    /// How tokens become words and entities.
    pub aggregation: Aggregation,
    /// What the prefixes of labels mean; `None` is [`LabelScheme::of`] the labels.
    pub scheme: Option<LabelScheme>,
    /// Tokens that two neighbouring windows of a long text share; `None` is the smaller of 128 and half of the room.
    pub overlap: Option<usize>,
}

/// A token classification: named entities, parts of speech.
#[derive(Debug, Clone)]
pub struct TokenClassifier {
    backbone: Arc<dyn Backbone>,
    head: Arc<Head>,
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

    /// The head.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The entities of every text, in the order of the text.
    ///
    /// Words are those of [`TokenOrigin::word`](crate::tokens::TokenOrigin::word), which are words in text without blanks, too. A text over the
    /// model's limit is read in overlapping windows. A token in several of them has the logits of the window in which it is farthest from
    /// the nearer end. Label `O` is left out.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite); [`Error::HeadOption`](crate::Error::HeadOption) for an overlap as wide as the window;
    /// [`ModelError::WrongHead`](crate::errors::ModelError::WrongHead) for a scheme that the labels do not follow; those of
    /// [`SequenceClassifier::classify`](super::SequenceClassifier::classify).
    pub fn tag<S: AsRef<str>>(&self, texts: &[S], options: &TagOptions) -> Result<Vec<Vec<Entity>>> {
        let tags = self.tags(options)?;
        let backbone = &*self.backbone;
        let inputs: Vec<TextInput<'_>> = texts.iter().map(|text| TextInput::new(text.as_ref())).collect();
        let all = locate(backbone, &inputs)?;
        let limit = limit(backbone);
        let (mut windows, mut places) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
        for tokens in &all {
            let Windowed { ranges, windows: found, best } = of_text(tokens, limit, options.overlap)?;
            windows.extend(found);
            places.push((ranges, best));
        }
        let logits = run(backbone, &self.head, &windows, |tokens| Some(rows(tokens)), |_, logits| Ok(logits))?;
        let mut logits = logits.into_iter();
        let mut results = Vec::with_capacity(all.len());
        for (input, ((tokens, (ranges, best)), text)) in all.iter().zip(places).zip(texts).enumerate() {
            let mut of_windows: Vec<Matrix> = logits.by_ref().take(ranges.len()).collect();
            of_windows.iter().try_for_each(|logits| finite(input, &logits.data))?;
            let origins = tokens.origins.iter().flatten().filter(|origin| origin.part == 0);
            let tokens = origins.zip(best).enumerate().map(|(i, (origin, window))| {
                let scores = of_windows[window].row_mut(i - ranges[window].start);
                softmax(scores);
                Token { bytes: origin.bytes.clone(), word: origin.word, scores: scores.to_vec() }
            });
            let tokens: Vec<Token> = tokens.filter(|token| !token.bytes.is_empty()).collect();
            let units = options.aggregation.units(&tokens);
            results.push(self.entities(text.as_ref(), &units, &tags, options.aggregation));
        }
        Ok(results)
    }

    /// What the labels say.
    fn tags(&self, options: &TagOptions) -> Result<Vec<Tag>> {
        let labels = self.head.labels();
        let scheme = options.scheme.unwrap_or_else(|| LabelScheme::of(labels));
        if !scheme.fits(labels) {
            let expected = format!("labels of the scheme {scheme}, with its prefixes; found {}", labels.join(", "));
            return Err(self.head.wrong(expected).into());
        }
        Ok(scheme.tags(labels))
    }

    fn entities(&self, text: &str, units: &[Unit], tags: &[Tag], aggregation: Aggregation) -> Vec<Entity> {
        let is_single = aggregation == Aggregation::None;
        let groups = if is_single { units.chunks(1).collect() } else { groups(units, tags) };
        let mut chars = Chars::new(text);
        let entity = |units: &[Unit]| {
            let (first, last) = (units.first()?, units.last()?);
            let whole = self.head.labels().get(first.label)?;
            let tag = tags.get(first.label).filter(|tag| tag.place != super::scheme::Place::Outside)?;
            let bytes = first.bytes.start..last.bytes.end;
            let in_chars = chars.of(&bytes);
            Some(Entity {
                label: if is_single { whole.clone() } else { tag.name.clone() },
                start: bytes.start,
                end: bytes.end,
                start_char: in_chars.start,
                end_char: in_chars.end,
                score: units.iter().map(|unit| unit.score).sum::<f32>() / units.len() as f32,
            })
        };
        groups.into_iter().filter_map(entity).collect()
    }
}

/// The tokens of the text.
fn rows(tokens: &TokenizedText) -> Vec<usize> {
    let origins = tokens.origins.iter().enumerate();
    origins.filter(|(_, origin)| origin.as_ref().is_some_and(|origin| origin.part == 0)).map(|(row, _)| row).collect()
}
