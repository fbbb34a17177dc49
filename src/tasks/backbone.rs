//! What a task runs on.

use std::fmt::Debug;

use lacuna_model::{EncoderConfig, Matrix, Model, SentenceTokenizer, TypedIds};

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

    /// One pooled embedding of `hidden` features per sequence.
    ///
    /// # Errors
    /// Those of [`Backbone::hidden_states`].
    fn embed_ids(&self, batch: &[TypedIds<'_>]) -> Result<Vec<Vec<f32>>>;
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

    fn embed_ids(&self, batch: &[TypedIds<'_>]) -> Result<Vec<Vec<f32>>> {
        self.embed_ids(batch)
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

    fn embed_ids(&self, batch: &[TypedIds<'_>]) -> Result<Vec<Vec<f32>>> {
        self.embed_ids(batch)
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

    fn embed_ids(&self, batch: &[TypedIds<'_>]) -> Result<Vec<Vec<f32>>> {
        Ok(self.reference().embed(batch, self.pooling())?)
    }
}
