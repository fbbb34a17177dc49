//! What a task runs on.

use std::fmt::Debug;

use lacuna_model::{EncoderConfig, Matrix, Model, Pooling, Prompts, SentenceTokenizer, TypedIds};

use crate::encoder::{Encoder, Session};
use crate::error::Result;

/// An encoder without a head: from token ids to hidden states, or to embeddings.
///
/// [`Encoder`] is the usual one. A [`Session`] is an encoder whose calls can be cancelled. A [`Model`] is the f32 reference, as read or
/// pruned. Tasks hold an `Arc<dyn Backbone>`, so that one program can hold tasks on all of them in one list.
pub trait Backbone: Debug + Send + Sync {
    /// The shape.
    fn config(&self) -> &EncoderConfig;

    /// The tokenizer, if the model came with one.
    fn tokenizer(&self) -> Option<&SentenceTokenizer>;

    /// The hidden states after the last layer, one `[tokens][hidden]` matrix per sequence.
    ///
    /// # Errors
    /// Those of [`Encoder::hidden_states`]; [`Error::Cancelled`](crate::Error::Cancelled) for a session that was stopped.
    fn hidden_states(&self, batch: &[TypedIds<'_>]) -> Result<Vec<Matrix>>;

    /// From hidden states to an embedding.
    fn pooling(&self) -> &Pooling;

    /// The prompts that the model's files name.
    fn prompts(&self) -> &Prompts;

    /// One embedding of [`Backbone::features`] per sequence. The first `prompt` tokens of each are a prompt; 0 without one.
    ///
    /// # Errors
    /// Those of [`Backbone::hidden_states`].
    fn embed_ids(&self, batch: &[TypedIds<'_>], prompt: usize) -> Result<Vec<Vec<f32>>>;

    /// Features of an embedding.
    fn features(&self) -> usize {
        self.pooling().features(self.config().hidden_size)
    }
}

impl Backbone for Encoder {
    fn config(&self) -> &EncoderConfig {
        self.config()
    }

    fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.tokenizer()
    }

    fn hidden_states(&self, batch: &[TypedIds<'_>]) -> Result<Vec<Matrix>> {
        self.hidden_states(batch)
    }

    fn pooling(&self) -> &Pooling {
        self.pooling()
    }

    fn prompts(&self) -> &Prompts {
        self.prompts()
    }

    fn embed_ids(&self, batch: &[TypedIds<'_>], prompt: usize) -> Result<Vec<Vec<f32>>> {
        self.embed_prompted_ids(batch, prompt)
    }
}

impl Backbone for Session {
    fn config(&self) -> &EncoderConfig {
        self.encoder().config()
    }

    fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.encoder().tokenizer()
    }

    fn hidden_states(&self, batch: &[TypedIds<'_>]) -> Result<Vec<Matrix>> {
        self.hidden_states(batch)
    }

    fn pooling(&self) -> &Pooling {
        self.encoder().pooling()
    }

    fn prompts(&self) -> &Prompts {
        self.encoder().prompts()
    }

    fn embed_ids(&self, batch: &[TypedIds<'_>], prompt: usize) -> Result<Vec<Vec<f32>>> {
        self.embed_prompted_ids(batch, prompt)
    }
}

impl Backbone for Model {
    fn config(&self) -> &EncoderConfig {
        self.config()
    }

    fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.tokenizer()
    }

    fn hidden_states(&self, batch: &[TypedIds<'_>]) -> Result<Vec<Matrix>> {
        Ok(self.reference().forward(batch)?)
    }

    fn pooling(&self) -> &Pooling {
        self.pooling()
    }

    fn prompts(&self) -> &Prompts {
        self.prompts()
    }

    fn embed_ids(&self, batch: &[TypedIds<'_>], prompt: usize) -> Result<Vec<Vec<f32>>> {
        Ok(self.reference().embed_prompted(batch, self.pooling(), prompt)?)
    }
}
