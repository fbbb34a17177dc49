//! Embeddings: one vector per text.

use std::sync::Arc;

use lacuna_model::{Error as ModelError, PromptChoice, PromptedTexts, TypedIds};

use super::backbone::Backbone;
use super::outputs::Outputs;
use crate::encoder::Truncation;
use crate::error::Result;

/// A sentence encoder: the pooled hidden states of a text.
#[derive(Debug, Clone)]
pub struct Embedder {
    backbone: Arc<dyn Backbone>,
}

impl Embedder {
    /// Takes any encoder, with or without a head.
    pub fn new(backbone: Arc<dyn Backbone>) -> Embedder {
        Embedder { backbone }
    }

    /// One embedding per text. If the model has a default prompt, it is put before each of them.
    ///
    /// A text over the model's limit is truncated, and [`Outputs::truncated`] lists it.
    ///
    /// # Errors
    /// Those of [`Encoder::embed`](crate::Encoder::embed).
    pub fn embed<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<Outputs<Vec<f32>>> {
        self.embed_prompted(PromptChoice::Default, texts)
    }

    /// The same with another prompt than the model's default one, or without.
    ///
    /// # Errors
    /// Those of [`Embedder::embed`] and [`Prompts::choose`](lacuna_model::Prompts::choose).
    pub fn embed_prompted<S: AsRef<str> + Sync>(
        &self,
        prompt: PromptChoice<'_>,
        texts: &[S],
    ) -> Result<Outputs<Vec<f32>>> {
        let tokenizer = self.backbone.tokenizer().ok_or(ModelError::NoTokenizer)?;
        let prompt = self.backbone.prompts().choose(prompt)?;
        let PromptedTexts { encoded, prompt_tokens } = PromptedTexts::new(tokenizer, prompt, texts)?;
        let truncated = Truncation::all(&encoded, tokenizer.max_length());
        let longest = encoded.iter().map(|e| e.ids.len()).max().unwrap_or(0);
        let types = vec![0; longest];
        let ids: Vec<TypedIds<'_>> =
            encoded.iter().map(|e| TypedIds { ids: &e.ids, types: &types[..e.ids.len()] }).collect();
        Ok(Outputs { results: self.backbone.embed_ids(&ids, prompt_tokens)?, truncated })
    }
}
