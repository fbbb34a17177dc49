//! Masked language models: candidates for the masks in a text.

use std::sync::Arc;

use lacuna_model::{
    Architecture, Error as ModelError, SentenceTokenizer, TextInput, TokenizedText, heads::labels::softmax,
};
use serde::Serialize;

use super::backbone::Backbone;
use super::batch::{limit, locate, run, truncations};
use super::outputs::Outputs;
use crate::error::{Error, Result};
use crate::heads::{Head, HeadKind};

/// A vocabulary entry and its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Row of the word embedding table.
    pub id: u32,
    /// The text it stands for.
    pub token: String,
    /// Softmax over the vocabulary.
    pub score: f32,
}

/// A mask of a text, and the candidates for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FilledMask {
    /// First byte of the mask in the text.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// The most probable first.
    pub candidates: Vec<Candidate>,
}

/// A masked language model.
#[derive(Debug, Clone)]
pub struct MaskFiller {
    backbone: Arc<dyn Backbone>,
    head: Arc<Head>,
    mask: u32,
}

impl MaskFiller {
    /// Puts a head onto its encoder.
    ///
    /// # Errors
    /// [`ModelError::WrongHead`](crate::errors::ModelError::WrongHead) if the head is not one for masked tokens; [`ModelError::NoTokenizer`](crate::errors::ModelError::NoTokenizer); [`Error::NoMaskToken`].
    pub fn new(backbone: Arc<dyn Backbone>, head: impl Into<Arc<Head>>) -> Result<Self> {
        let head = head.into();
        head.require(HeadKind::MaskedLm)?;
        let expected = mask_token(backbone.config().architecture);
        let mask = tokenizer(&*backbone)?.id_of(expected).ok_or(Error::NoMaskToken { expected })?;
        Ok(Self { backbone, head, mask })
    }

    /// What marks a place to fill in: `[MASK]`, or `<mask>` for RoBERTa, XLM-RoBERTa and CamemBERT.
    pub fn mask_token(&self) -> &'static str {
        mask_token(self.backbone.config().architecture)
    }

    /// The `top_k` most probable tokens for every mask of every text.
    ///
    /// Of a text over the model's limit only the beginning is read, and its masks filled; [`Outputs::truncated`] names it.
    ///
    /// # Errors
    /// [`Error::NoMask`] for a text without one; [`Error::HeadOption`] for a `top_k` of 0; those of
    /// [`SequenceClassifier::classify`](super::SequenceClassifier::classify).
    pub fn fill<S: AsRef<str>>(&self, texts: &[S], top_k: usize) -> Result<Outputs<Vec<FilledMask>>> {
        if top_k == 0 {
            return Err(Error::HeadOption { option: "top_k", found: 0, expected: "at least 1".into() });
        }
        let backbone = &*self.backbone;
        let inputs: Vec<TextInput<'_>> = texts.iter().map(|text| TextInput::new(text.as_ref())).collect();
        let all = locate(backbone, &inputs)?;
        if let Some(input) = all.iter().position(|tokens| self.rows(tokens).is_empty()) {
            return Err(Error::NoMask { input, mask: self.mask_token() });
        }
        let limit = limit(backbone);
        let all: Vec<TokenizedText> = all.into_iter().map(|tokens| tokens.cut(limit)).collect();
        let results = run(
            backbone,
            &self.head,
            &all,
            |tokens| Some(self.rows(tokens)),
            |tokens, mut logits| {
                let masks = self.rows(tokens).into_iter().enumerate().map(|(i, row)| {
                    let bytes = tokens.origins[row].as_ref().map_or(0..0, |origin| origin.bytes.clone());
                    let scores = logits.row_mut(i);
                    softmax(scores);
                    Ok(FilledMask { start: bytes.start, end: bytes.end, candidates: self.candidates(scores, top_k)? })
                });
                masks.collect::<Result<Vec<_>>>()
            },
        )?;
        Ok(Outputs { results, truncated: truncations(&all) })
    }

    /// The tokens of the text that are masks.
    fn rows(&self, tokens: &TokenizedText) -> Vec<usize> {
        let places = tokens.ids.iter().zip(&tokens.origins).enumerate();
        places.filter(|(_, (id, origin))| **id == self.mask && origin.is_some()).map(|(row, _)| row).collect()
    }

    fn candidates(&self, scores: &[f32], top_k: usize) -> Result<Vec<Candidate>> {
        let mut order: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
        let better = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if top_k < order.len() {
            order.select_nth_unstable_by(top_k, better);
            order.truncate(top_k);
        }
        order.sort_unstable_by(better);
        let tokenizer = tokenizer(&*self.backbone)?;
        let candidate = |(id, score)| {
            let id = id as u32; // rows of a table that token ids index
            Ok(Candidate { id, token: tokenizer.text_of(id)?, score })
        };
        order.into_iter().map(candidate).collect()
    }
}

fn tokenizer(backbone: &dyn Backbone) -> Result<&SentenceTokenizer> {
    Ok(backbone.tokenizer().ok_or(ModelError::NoTokenizer)?)
}

fn mask_token(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert => "<mask>",
        Architecture::Bert | Architecture::DistilBert | Architecture::Electra => "[MASK]",
    }
}
