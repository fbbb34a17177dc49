//! The tokenizer of the tokenizers library, with its own parts but for those that run patterns of the file.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::Value;
use tokenizers::pattern::Invert;
use tokenizers::{
    DecoderWrapper, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, PostProcessorWrapper,
    PreTokenizedString, PreTokenizer, PreTokenizerWrapper, SplitDelimiterBehavior, TokenizerImpl,
};

use super::budget::BoundedRegex;

/// A tokenizer.
pub(super) type Library =
    TokenizerImpl<ModelWrapper, BoundedNormalizer, BoundedSplitter, PostProcessorWrapper, DecoderWrapper>;

/// What changes a text before it is split.
#[derive(Debug, Clone)]
pub(super) enum BoundedNormalizer {
    /// Replaces what a pattern finds.
    Replace { pattern: BoundedRegex, content: String },
    /// One after the other.
    Sequence(Vec<BoundedNormalizer>),
    /// The library's.
    Library(NormalizerWrapper),
}

/// What splits a text into words.
#[derive(Debug, Clone)]
pub(super) enum BoundedSplitter {
    /// Splits where a pattern is found, or between what it finds.
    Split { pattern: BoundedRegex, behavior: SplitDelimiterBehavior, invert: bool },
    /// One after the other.
    Sequence(Vec<BoundedSplitter>),
    /// The library's.
    Library(PreTokenizerWrapper),
}

impl Normalizer for BoundedNormalizer {
    fn normalize(&self, normalized: &mut NormalizedString) -> tokenizers::Result<()> {
        match self {
            BoundedNormalizer::Replace { pattern, content } => normalized.replace(pattern, content),
            BoundedNormalizer::Sequence(parts) => parts.iter().try_for_each(|part| part.normalize(normalized)),
            BoundedNormalizer::Library(part) => part.normalize(normalized),
        }
    }
}

impl PreTokenizer for BoundedSplitter {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        match self {
            BoundedSplitter::Split { pattern, behavior, invert: false } => {
                text.split(|_, piece| piece.split(pattern, *behavior))
            }
            BoundedSplitter::Split { pattern, behavior, invert: true } => {
                text.split(|_, piece| piece.split(Invert(pattern), *behavior))
            }
            BoundedSplitter::Sequence(parts) => parts.iter().try_for_each(|part| part.pre_tokenize(text)),
            BoundedSplitter::Library(part) => part.pre_tokenize(text),
        }
    }
}

/// The pattern of a part, if it is a regular expression.
fn pattern(part: &Value) -> Option<&str> {
    part.get("pattern")?.get("Regex")?.as_str()
}

/// The parts of a sequence, under the library's name for them.
fn parts<'a, T, E>(part: &'a Value, name: &str, of: impl Fn(&'a Value) -> Result<T, E>) -> Option<Result<Vec<T>, E>> {
    (kind(part) == Some("Sequence")).then_some(())?;
    Some(part.get(name)?.as_array()?.iter().map(of).collect())
}

fn kind(part: &Value) -> Option<&str> {
    part.get("type")?.as_str()
}

impl BoundedNormalizer {
    fn of(part: &Value) -> Result<BoundedNormalizer, String> {
        if let Some(parts) = parts(part, "normalizers", BoundedNormalizer::of) {
            return parts.map(BoundedNormalizer::Sequence);
        }
        let whole = || NormalizerWrapper::deserialize(part).map_err(|error| error.to_string());
        match (kind(part), pattern(part)) {
            (Some("Replace"), Some(pattern)) => {
                let content = part.get("content").and_then(Value::as_str).ok_or("Replace without content")?;
                Ok(BoundedNormalizer::Replace { pattern: BoundedRegex::new(pattern)?, content: content.to_owned() })
            }
            _ => Ok(BoundedNormalizer::Library(whole()?)),
        }
    }
}

impl BoundedSplitter {
    fn of(part: &Value) -> Result<BoundedSplitter, String> {
        if let Some(parts) = parts(part, "pretokenizers", BoundedSplitter::of) {
            return parts.map(BoundedSplitter::Sequence);
        }
        match (kind(part), pattern(part)) {
            (Some("Split"), Some(pattern)) => Ok(BoundedSplitter::Split {
                pattern: BoundedRegex::new(pattern)?,
                behavior: SplitDelimiterBehavior::deserialize(part.get("behavior").unwrap_or(&Value::Null))
                    .map_err(|error| format!("behavior of Split: {error}"))?,
                invert: part.get("invert").and_then(Value::as_bool).ok_or("Split without invert")?,
            }),
            _ => {
                let whole = PreTokenizerWrapper::deserialize(part).map_err(|error| error.to_string())?;
                Ok(BoundedSplitter::Library(whole))
            }
        }
    }
}

impl<'de> Deserialize<'de> for BoundedNormalizer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BoundedNormalizer::of(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for BoundedSplitter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BoundedSplitter::of(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
