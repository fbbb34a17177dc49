//! One user of an encoder among many: buffers of its own, and a way to stop it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use lacuna_model::{Matrix, TokenIds};

use super::buffers::Scratch;
use super::counts::Counts;
use super::encoder::{Caller, Embeddings, Encoder};
use super::saturation::Saturation;
use crate::error::{Error, Result};

/// Stops the calls of the sessions that have it, from any thread. Clones stop the same ones.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A new one, not cancelled.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Ends running calls at their next encoder layer, and all later ones at once, with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    /// Lets calls run again.
    pub fn reset(&self) {
        self.0.store(false, Relaxed);
    }

    /// Whether calls are stopped.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A user of a shared [`Encoder`]: a request handler, a worker thread, one of several instances.
///
/// A session takes its buffers from the encoder's pool when it opens and gives them back when it is dropped, so that they stay warm and
/// its calls allocate nothing once they have grown. Any number of sessions may run at the same time. One session may be used by
/// several threads as well: calls that overlap take further buffers from the pool.
///
/// Tasks run on a session as on an encoder: `SequenceClassifier::new(Arc::new(session), head)`.
///
/// ```no_run
/// use std::sync::Arc;
/// use lacuna::{Cancel, Compile, Error, Model};
///
/// # fn main() -> lacuna::Result<()> {
/// let encoder = Arc::new(Model::open("all-MiniLM-L6-v2")?.calibration().run_default()?.compile()?);
/// let cancel = Cancel::new();
/// let session = encoder.session().with_cancel(cancel.clone());
/// let worker = std::thread::spawn(move || session.embed(&vec!["A long afternoon."; 100_000]));
/// cancel.cancel();
/// assert!(matches!(worker.join().unwrap(), Err(Error::Cancelled)));
/// # Ok(())
/// # }
/// ```
pub struct Session {
    encoder: Arc<Encoder>,
    cancel: Cancel,
    counts: Counts,
    /// Empty while a call runs: the lock is never held during a call.
    scratch: Mutex<Option<Scratch>>,
}

impl Session {
    fn new(encoder: Arc<Encoder>) -> Session {
        let scratch = Mutex::new(Some(encoder.take_scratch()));
        let counts = encoder.new_counts();
        Session { encoder, cancel: Cancel::new(), counts, scratch }
    }

    /// The same session, stopped by `cancel`. One [`Cancel`] may serve many sessions.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Session {
        self.cancel = cancel;
        self
    }

    /// What stops this session.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// The encoder.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// How many codes of this session's calls were at the ends of their calibrated ranges.
    pub fn saturation(&self) -> Saturation {
        self.encoder.saturation_of(&self.counts)
    }

    /// As [`Encoder::embed`].
    ///
    /// # Errors
    /// [`Error::Cancelled`], and those of [`Encoder::embed`].
    pub fn embed<S: AsRef<str> + Sync>(&self, sentences: &[S]) -> Result<Embeddings> {
        self.check()?;
        self.encoder.embed_for(self, self.encoder.prompts().default_text(), sentences)
    }

    /// As [`Encoder::embed_ids`].
    ///
    /// # Errors
    /// [`Error::Cancelled`], and those of [`Encoder::embed_ids`].
    pub fn embed_ids<S: TokenIds>(&self, ids: &[S]) -> Result<Vec<Vec<f32>>> {
        self.check()?;
        self.encoder.embed_ids_for(self, ids, 0)
    }

    /// As [`Encoder::embed_prompted_ids`].
    ///
    /// # Errors
    /// [`Error::Cancelled`], and those of [`Encoder::embed_ids`].
    pub fn embed_prompted_ids<S: TokenIds>(&self, ids: &[S], prompt: usize) -> Result<Vec<Vec<f32>>> {
        self.check()?;
        self.encoder.embed_ids_for(self, ids, prompt)
    }

    /// As [`Encoder::embed_ids_into`]. After a cancelled call `out` holds the results of some sequences, and the old values
    /// of the others.
    ///
    /// # Errors
    /// [`Error::Cancelled`], and those of [`Encoder::embed_ids_into`].
    pub fn embed_ids_into<S: TokenIds>(&self, ids: &[S], out: &mut [f32]) -> Result<()> {
        self.check()?;
        self.encoder.pool_into(self, ids, out, &())
    }

    /// As [`Encoder::hidden_states`].
    ///
    /// # Errors
    /// [`Error::Cancelled`], and those of [`Encoder::hidden_states`].
    pub fn hidden_states<S: TokenIds>(&self, ids: &[S]) -> Result<Vec<Matrix>> {
        self.check()?;
        self.encoder.hidden_states_for(self, ids)
    }
}

impl Encoder {
    /// A user of this encoder with buffers of its own, whose calls can be cancelled.
    pub fn session(self: &Arc<Self>) -> Session {
        Session::new(Arc::clone(self))
    }
}

impl Caller for Session {
    /// The session's buffers, or others if a call has them.
    fn take_scratch(&self) -> Scratch {
        let own = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).take();
        own.unwrap_or_else(|| self.encoder.take_scratch())
    }

    fn give_scratch(&self, scratch: Scratch) {
        let before = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).replace(scratch);
        before.into_iter().for_each(|other| self.encoder.give_scratch(other));
    }

    fn counts(&self) -> &Counts {
        &self.counts
    }

    fn check(&self) -> Result<()> {
        match self.cancel.is_cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let own = self.scratch.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        own.into_iter().for_each(|scratch| self.encoder.give_scratch(scratch));
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("encoder", &self.encoder).field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use lacuna_model::{EncoderConfig, Model, Preset, seeded_ids};

    use super::*;
    use crate::Compile;

    /// Buffers go from the pool to sessions and calls and come back, also from calls that fail.
    #[test]
    fn buffers_come_back() {
        let config = EncoderConfig { layers: 1, vocab_size: 50, ..Preset::BertMini.config() };
        let ids = seeded_ids(50, 2, 9, 1);
        let calibrated = Model::seeded(config, 1).unwrap().calibration().run_ids(&ids).unwrap();
        let encoder = Arc::new(calibrated.compile().unwrap());
        let pooled = || encoder.pooled();
        encoder.embed_ids(&ids).unwrap();
        assert_eq!(pooled(), 1);
        let (first, second) = (encoder.session(), encoder.session());
        assert_eq!(pooled(), 0);
        first.embed_ids(&ids).unwrap();
        second.cancel().cancel();
        assert!(second.embed_ids(&ids).is_err());
        // A call that overlaps with another of its session: the first two buffers of both are taken.
        let (own, other) = (first.take_scratch(), first.take_scratch());
        first.give_scratch(own);
        first.give_scratch(other);
        assert_eq!(pooled(), 1);
        drop((first, second));
        assert_eq!(pooled(), 3);
    }
}
