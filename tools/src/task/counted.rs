//! An encoder that counts what runs through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lacuna::Result;
use lacuna::config::{EncoderConfig, Pooling, Prompts};
use lacuna::tasks::Backbone;
use lacuna::tokens::{SentenceTokenizer, TypedIds};
use lacuna::weights::Matrix;

/// Counts tokens.
#[derive(Debug)]
pub(super) struct Counted<B> {
    inner: Arc<B>,
    tokens: AtomicU64,
}

impl<B> Counted<B> {
    pub(super) fn new(inner: Arc<B>) -> Counted<B> {
        Counted { inner, tokens: AtomicU64::new(0) }
    }

    /// Tokens that ran, special tokens included.
    pub(super) fn tokens(&self) -> u64 {
        self.tokens.load(Relaxed)
    }

    fn count<T>(&self, batch: &[TypedIds<'_>], done: Result<T>) -> Result<T> {
        if done.is_ok() {
            let tokens: usize = batch.iter().map(|sequence| sequence.ids.len()).sum();
            self.tokens.fetch_add(tokens as u64, Relaxed);
        }
        done
    }
}

impl<B: Backbone> Backbone for Counted<B> {
    fn config(&self) -> &EncoderConfig {
        self.inner.config()
    }

    fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.inner.tokenizer()
    }

    fn hidden_states(&self, batch: &[TypedIds<'_>]) -> Result<Vec<Matrix>> {
        self.count(batch, self.inner.hidden_states(batch))
    }

    fn pooling(&self) -> &Pooling {
        self.inner.pooling()
    }

    fn prompts(&self) -> &Prompts {
        self.inner.prompts()
    }

    fn embed_ids(&self, batch: &[TypedIds<'_>], prompt: usize) -> Result<Vec<Vec<f32>>> {
        self.count(batch, self.inner.embed_ids(batch, prompt))
    }
}
