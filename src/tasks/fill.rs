//! Masked language models: candidates for the masks in a text.

use std::ops::Range;
use std::sync::Arc;

use lacuna_model::{
    Architecture, Error as ModelError, MaskToken, Matrix, SentenceTokenizer, TextInput, TokenizedText,
    heads::labels::softmax,
};
use serde::Serialize;

use super::backbone::Backbone;
use super::batch::{limit, locate, run};
use super::chars::Chars;
use super::order::descending;
use super::windows::{Windowed, of_text};
use crate::error::{Error, Result};
use crate::heads::{Head, HeadKind};

/// How masks are usually written, for messages.
const USUAL: [&str; 2] = ["[MASK]", "<mask>"];

/// A vocabulary entry and its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Row of the word embedding table.
    pub id: u32,
    /// The text it stands for, with the blank before it where the vocabulary has one.
    pub token: String,
    /// Softmax over the vocabulary.
    pub score: f32,
    /// What the score is made of. Candidates are in the order of this.
    pub logit: f32,
    /// The text with the token in the place of this mask. Other masks stay.
    pub sequence: String,
}

/// A mask of a text, and the candidates for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FilledMask {
    /// First byte of the mask in the text, without blanks that the token takes in.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// First character of the mask in the text: characters are Unicode scalar values, as Python counts.
    pub start_char: usize,
    /// One past its last character.
    pub end_char: usize,
    /// The most probable first.
    pub candidates: Vec<Candidate>,
}

/// A masked language model.
#[derive(Debug, Clone)]
pub struct MaskFiller {
    backbone: Arc<dyn Backbone>,
    head: Arc<Head>,
    mask: MaskToken,
}

/// The masks of a text, and the windows that they are read in.
struct Places {
    /// Index of each mask among the tokens of the text.
    masks: Vec<usize>,
    /// For each mask: which of the windows that are run, and which of the masks in it.
    found: Vec<(usize, usize)>,
}

impl MaskFiller {
    /// Puts a head onto its encoder.
    ///
    /// # Errors
    /// [`ModelError::WrongHead`](crate::errors::ModelError::WrongHead) if the head is not one for masked tokens; [`ModelError::NoTokenizer`](crate::errors::ModelError::NoTokenizer); [`Error::NoMaskToken`].
    pub fn new(backbone: Arc<dyn Backbone>, head: impl Into<Arc<Head>>) -> Result<Self> {
        let head = head.into();
        head.require(HeadKind::MaskedLm)?;
        let usual = usual_mask(backbone.config().architecture);
        let mask = tokenizer(&*backbone)?.mask_token(usual).ok_or(Error::NoMaskToken { expected: usual })?;
        Ok(Self { backbone, head, mask })
    }

    /// What marks a place to fill in: the tokenizer's special token, such as `[MASK]` or `<mask>`.
    pub fn mask_token(&self) -> &str {
        &self.mask.text
    }

    /// The `top_k` most probable tokens for every mask of every text. Each mask is filled for itself: the others stay masks.
    ///
    /// A text over the model's limit is read in overlapping windows. A mask in several of them is filled in the window in which it is
    /// farthest from the nearer end.
    ///
    /// # Errors
    /// [`Error::NoMask`] for a text without one; [`Error::NotFinite`]; [`Error::HeadOption`] for a `top_k` of 0; those of
    /// [`SequenceClassifier::classify`](super::SequenceClassifier::classify).
    pub fn fill<S: AsRef<str>>(&self, texts: &[S], top_k: usize) -> Result<Vec<Vec<FilledMask>>> {
        if top_k == 0 {
            return Err(Error::HeadOption { option: "top_k", found: 0, expected: "at least 1".into() });
        }
        let backbone = &*self.backbone;
        let inputs: Vec<TextInput<'_>> = texts.iter().map(|text| TextInput::new(text.as_ref())).collect();
        let all = locate(backbone, &inputs)?;
        if all.is_empty() {
            return Err(ModelError::EmptyBatch.into());
        }
        let limit = limit(backbone);
        let (mut windows, mut places) = (Vec::new(), Vec::with_capacity(all.len()));
        for (input, (tokens, text)) in all.iter().zip(texts).enumerate() {
            let found = self.places(tokens, limit, &mut windows)?;
            if found.masks.is_empty() {
                return Err(self.no_mask(input, text.as_ref()));
            }
            places.push(found);
        }
        let best = |_: &TokenizedText, logits: Matrix| {
            Ok((0..logits.rows).map(|row| best(logits.row(row), top_k)).collect::<Vec<_>>())
        };
        let best = run(backbone, &self.head, &windows, |tokens| Some(self.rows(tokens)), best)?;
        let mut results = Vec::with_capacity(all.len());
        for (input, ((tokens, Places { masks, found }), text)) in all.iter().zip(places).zip(texts).enumerate() {
            let origins: Vec<_> = tokens.origins.iter().flatten().collect();
            let mut chars = Chars::new(text.as_ref());
            let fill = |(mask, (window, row)): (usize, (usize, usize))| {
                let bytes = origins.get(mask).map_or(0..0, |origin| origin.bytes.clone());
                let in_chars = chars.of(&bytes);
                let best = best[window][row].as_ref().map_err(|found| Error::NotFinite { input, found: *found })?;
                Ok(FilledMask {
                    start: bytes.start,
                    end: bytes.end,
                    start_char: in_chars.start,
                    end_char: in_chars.end,
                    candidates: self.candidates(best, text.as_ref(), &bytes)?,
                })
            };
            results.push(masks.into_iter().zip(found).map(fill).collect::<Result<Vec<_>>>()?);
        }
        Ok(results)
    }

    /// Finds the masks of a text, and appends the windows that are needed to fill them.
    fn places(&self, tokens: &TokenizedText, limit: usize, run: &mut Vec<TokenizedText>) -> Result<Places> {
        let ids = tokens.ids.iter().zip(&tokens.origins).filter(|(_, origin)| origin.is_some());
        let masks = ids.enumerate().filter(|(_, (id, _))| **id == self.mask.id).map(|(i, _)| i);
        let masks: Vec<usize> = masks.collect();
        if masks.is_empty() {
            return Ok(Places { masks, found: Vec::new() });
        }
        let Windowed { ranges, windows, best } = of_text(tokens, limit, None)?;
        let mut places = Vec::with_capacity(masks.len());
        let mut taken = vec![None; windows.len()];
        let mut windows: Vec<Option<TokenizedText>> = windows.into_iter().map(Some).collect();
        for &mask in &masks {
            let window = best[mask];
            if let Some(tokens) = windows[window].take() {
                taken[window] = Some(run.len());
                run.push(tokens);
            }
            let row = masks.iter().filter(|other| **other < mask && ranges[window].contains(other)).count();
            places.extend(taken[window].map(|at| (at, row)));
        }
        Ok(Places { masks, found: places })
    }

    /// The tokens of the text that are masks.
    fn rows(&self, tokens: &TokenizedText) -> Vec<usize> {
        let places = tokens.ids.iter().zip(&tokens.origins).enumerate();
        places.filter(|(_, (id, origin))| **id == self.mask.id && origin.is_some()).map(|(row, _)| row).collect()
    }

    fn no_mask(&self, input: usize, text: &str) -> Error {
        let other = USUAL.into_iter().find(|mask| *mask != self.mask.text && text.contains(mask));
        let found =
            other.map_or_else(|| "nothing to fill in".into(), |mask| format!("{mask}, the mask of other models"));
        Error::NoMask { input, found, mask: self.mask.text.clone() }
    }

    fn candidates(&self, best: &[Best], text: &str, mask: &Range<usize>) -> Result<Vec<Candidate>> {
        let tokenizer = tokenizer(&*self.backbone)?;
        let candidate = |&Best { id, score, logit }: &Best| {
            let sequence = tokenizer.filled(text, mask.clone(), &self.mask, id)?;
            Ok(Candidate { id, token: tokenizer.text_of(id)?, score, logit, sequence })
        };
        best.iter().map(candidate).collect()
    }
}

/// A vocabulary entry, before its text is made.
struct Best {
    id: u32,
    score: f32,
    logit: f32,
}

/// The best of a vocabulary; or a logit that is not finite.
fn best(logits: &[f32], top_k: usize) -> std::result::Result<Vec<Best>, f32> {
    if let Some(found) = logits.iter().find(|logit| !logit.is_finite()) {
        return Err(*found);
    }
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let better = |a: &usize, b: &usize| descending(logits[*a], logits[*b]).then(a.cmp(b));
    if top_k < order.len() {
        order.select_nth_unstable_by(top_k, better);
        order.truncate(top_k);
    }
    order.sort_unstable_by(better);
    let mut scores = logits.to_vec();
    softmax(&mut scores);
    // Rows of a table that token ids index.
    Ok(order.into_iter().map(|row| Best { id: row as u32, score: scores[row], logit: logits[row] }).collect())
}

fn tokenizer(backbone: &dyn Backbone) -> Result<&SentenceTokenizer> {
    Ok(backbone.tokenizer().ok_or(ModelError::NoTokenizer)?)
}

/// How masks are usually written for an architecture.
fn usual_mask(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert => "<mask>",
        Architecture::Bert | Architecture::DistilBert | Architecture::Electra => "[MASK]",
    }
}
