//! The compiled encoder, and how its calls are grouped.

use std::sync::{Mutex, PoisonError};

use lacuna_kernels::attention::Sequence;
use lacuna_kernels::{ChunksMut, Parallel, Team, layout};
use lacuna_model::{
    Encoded, EncoderConfig, Error as ModelError, Matrix, Pooling, PromptChoice, PromptedTexts, Prompts,
    SaturatedShares, SentenceTokenizer, TokenIds, check_tokens, forked,
};

use super::buffers::Scratch;
use super::counts::Counts;
use super::forward::Program;
use super::pool;
use super::profile::{Probe, Profile, Stopwatch};
use super::saturation::{Saturation, TensorSaturation};
use crate::compile::{Ready, Stage, StaticCodes, Step, Tables};
use crate::error::{Error, Result};
use crate::loaded::LoadReport;

/// Most tokens per thread that run through the layers together: what lives from layer to layer (8 bytes x tokens x hidden size)
/// stays close to the core.
const MAX_GROUP_TOKENS: usize = 512;
/// Fewest activations (features x tokens, in whole tiles) worth a thread: two threads with so many each are a quarter faster than
/// one with all of them, with two thirds of it a tenth.
const MIN_ACTIVATIONS_PER_THREAD: usize = 12288;

/// What an encoder is made of.
pub(crate) struct EncoderParts {
    pub(crate) config: EncoderConfig,
    pub(crate) tables: Tables,
    /// Each with the codes with a calibrated range that it writes.
    pub(crate) steps: Vec<(Step<Ready>, Option<StaticCodes>)>,
    /// Per layer, what calibration saw at the ends of ranges.
    pub(crate) saturated: Vec<SaturatedShares>,
    pub(crate) tokenizer: Option<SentenceTokenizer>,
    pub(crate) pooling: Pooling,
    pub(crate) prompts: Prompts,
    pub(crate) report: LoadReport,
}

/// A compiled encoder. Many threads may use one at the same time; each call takes its buffers from a pool. A [`Session`](super::Session) keeps its
/// own, and can be stopped.
///
/// Sequences are packed without padding; a batch costs what its tokens cost. Work is spread over the rayon pool of the caller,
/// in one parallel region per call: `pool.install(|| encoder.embed(..))` uses that pool, one with a single thread only the calling
/// thread. Outside of a pool, work that is worth several threads moves to rayon's global one.
pub struct Encoder {
    config: EncoderConfig,
    program: Program,
    tokenizer: Option<SentenceTokenizer>,
    pooling: Pooling,
    prompts: Prompts,
    report: LoadReport,
    saturated: Vec<SaturatedShares>,
    counts: Counts,
    scratch: Mutex<Vec<Scratch>>,
}

/// A sentence that was longer than the model's limit and was truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    /// Index of the sentence in the batch.
    pub sentence: usize,
    /// Its length in tokens.
    pub tokens: usize,
    /// The tokens that were used.
    pub limit: usize,
}

impl Truncation {
    /// Those of `sentences`, with a warning in the log if there are any.
    pub(crate) fn all(sentences: &[Encoded], limit: usize) -> Vec<Truncation> {
        let sentences = sentences.iter().enumerate();
        let truncated =
            sentences.filter_map(|(sentence, e)| Some(Truncation { sentence, tokens: e.truncated_from?, limit }));
        let truncated: Vec<Truncation> = truncated.collect();
        if !truncated.is_empty() {
            tracing::warn!(sentences = truncated.len(), limit, "sentences were truncated");
        }
        truncated
    }
}

/// Embeddings of a batch of sentences, in their order. Dereferences to the vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// One vector of [`Encoder::features`] per sentence.
    pub vectors: Vec<Vec<f32>>,
    /// The sentences that were truncated.
    pub truncated: Vec<Truncation>,
}

impl std::ops::Deref for Embeddings {
    type Target = [Vec<f32>];
    fn deref(&self) -> &[Vec<f32>] {
        &self.vectors
    }
}

impl Encoder {
    pub(crate) fn new(parts: EncoderParts) -> Encoder {
        let EncoderParts { config, tables, steps, saturated, tokenizer, pooling, prompts, report } = parts;
        let program = Program::new(steps, tables);
        let counts = Counts::new(program.codes().count());
        let scratch = Mutex::new(Vec::new());
        Encoder { config, program, tokenizer, pooling, prompts, report, saturated, counts, scratch }
    }

    /// The model's shape.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// How the encoder was loaded: times, kernels, densities, forms.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// How many codes of the encoder's own calls were at the ends of their calibrated ranges. Those of sessions are counted there. See
    /// [`Saturation::worst`] for texts that the calibration does not fit.
    pub fn saturation(&self) -> Saturation {
        self.saturation_of(&self.counts)
    }

    pub(super) fn saturation_of(&self, counts: &Counts) -> Saturation {
        let tensors = self.program.codes().zip(counts.all()).map(|(of, (codes, saturated))| TensorSaturation {
            layer: of.layer,
            tensor: of.name,
            codes,
            saturated,
            share: saturated as f64 / codes.max(1) as f64,
            calibrated: of.calibrated(&self.saturated),
        });
        Saturation { tensors: tensors.collect() }
    }

    /// Counts for a session.
    pub(super) fn new_counts(&self) -> Counts {
        Counts::new(self.program.codes().count())
    }

    /// The tokenizer, if the model came with one.
    pub fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.tokenizer.as_ref()
    }

    /// From hidden states to an embedding.
    pub fn pooling(&self) -> &Pooling {
        &self.pooling
    }

    /// Features of an embedding: the hidden size, unless the model joins several poolings or has a Dense module.
    pub fn features(&self) -> usize {
        self.pooling.features(self.config.hidden_size)
    }

    /// The prompts that the model's files name.
    pub fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    /// One embedding per sentence. If the model has a default prompt, it is put before each of them.
    ///
    /// A sentence over the model's limit is cut, and named in [`Embeddings::truncated`].
    ///
    /// # Errors
    /// [`ModelError::EmptyBatch`] without sentences, [`ModelError::NoTokenizer`] if the model has none (use [`Encoder::embed_ids`]),
    /// [`ModelError::Tokenizer`] if it fails on a text.
    pub fn embed<S: AsRef<str> + Sync>(&self, sentences: &[S]) -> Result<Embeddings> {
        self.embed_for(self, self.prompts.default_text(), sentences)
    }

    /// The same with another prompt than the model's default one, or without.
    ///
    /// # Errors
    /// Those of [`Encoder::embed`], and those of [`Prompts::choose`].
    pub fn embed_prompted<S: AsRef<str> + Sync>(
        &self,
        prompt: PromptChoice<'_>,
        sentences: &[S],
    ) -> Result<Embeddings> {
        self.embed_for(self, self.prompts.choose(prompt)?, sentences)
    }

    pub(super) fn embed_for<S: AsRef<str> + Sync>(
        &self,
        caller: &impl Caller,
        prompt: Option<&str>,
        sentences: &[S],
    ) -> Result<Embeddings> {
        forked::check()?;
        let tokenizer = self.tokenizer.as_ref().ok_or(ModelError::NoTokenizer)?;
        let PromptedTexts { encoded, prompt_tokens } = PromptedTexts::new(tokenizer, prompt, sentences)?;
        let truncated = Truncation::all(&encoded, tokenizer.max_length());
        let ids: Vec<&[u32]> = encoded.iter().map(|e| &e.ids[..]).collect();
        Ok(Embeddings { vectors: self.embed_ids_for(caller, &ids, prompt_tokens)?, truncated })
    }

    /// One embedding per sequence of token ids. [`TypedIds`](crate::tokens::TypedIds) are sequences with token types.
    ///
    /// # Errors
    /// [`ModelError::EmptyBatch`], [`ModelError::EmptySequence`], [`ModelError::SequenceTooLong`], [`ModelError::TokenOutOfRange`],
    /// [`ModelError::TokenTypeLength`], [`ModelError::TokenTypeOutOfRange`].
    pub fn embed_ids<S: TokenIds>(&self, ids: &[S]) -> Result<Vec<Vec<f32>>> {
        self.embed_ids_for(self, ids, 0)
    }

    /// The same where the first `prompt` tokens of every sequence are a prompt, which [`Pooling::include_prompt`] may leave out.
    ///
    /// # Errors
    /// Those of [`Encoder::embed_ids`].
    pub fn embed_prompted_ids<S: TokenIds>(&self, ids: &[S], prompt: usize) -> Result<Vec<Vec<f32>>> {
        self.embed_ids_for(self, ids, prompt)
    }

    pub(super) fn embed_ids_for<S: TokenIds>(
        &self,
        caller: &impl Caller,
        ids: &[S],
        prompt: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let mut vectors = vec![Vec::new(); ids.len()];
        let (hidden_size, features) = (self.config.hidden_size, self.features());
        self.run(caller, ids, &mut vectors, 1, &(), |x, sequence, vectors| {
            for vector in vectors {
                vector.resize(features, 0.0);
                pool::pool(&self.pooling, x, hidden_size, sequence, prompt, vector);
            }
        })?;
        Ok(vectors)
    }

    /// Writes one embedding per sequence of token ids into `out`, `[sequences][features]` with [`Encoder::features`].
    ///
    /// Allocates nothing, once calls of this size have been made on as many threads at once: buffers are kept and reused. (A call
    /// from outside of a rayon pool that moves into the global one allocates a place in its queue now and then. Dense modules behind pooling
    /// allocate their vectors.)
    ///
    /// # Errors
    /// [`Error::OutputLength`] for an `out` of another size, and those of [`Encoder::embed_ids`].
    pub fn embed_ids_into<S: TokenIds>(&self, ids: &[S], out: &mut [f32]) -> Result<()> {
        self.pool_into(self, ids, out, &())
    }

    /// Like [`Encoder::embed_ids_into`], with a clock: where the time went. Reading the clock makes the call a little slower, by
    /// some 30 ns per stage and layer.
    ///
    /// # Errors
    /// Those of [`Encoder::embed_ids_into`].
    pub fn profile<S: TokenIds>(&self, ids: &[S], out: &mut [f32]) -> Result<Profile> {
        let stopwatch = Stopwatch::start();
        self.pool_into(self, ids, out, &stopwatch)?;
        Ok(stopwatch.stop())
    }

    /// The hidden states after the last layer, one `[tokens][hidden]` matrix per sequence of token ids.
    ///
    /// # Errors
    /// Those of [`Encoder::embed_ids`].
    pub fn hidden_states<S: TokenIds>(&self, ids: &[S]) -> Result<Vec<Matrix>> {
        self.hidden_states_for(self, ids)
    }

    pub(super) fn hidden_states_for<S: TokenIds>(&self, caller: &impl Caller, ids: &[S]) -> Result<Vec<Matrix>> {
        let mut states = vec![Matrix::default(); ids.len()];
        let hidden_size = self.config.hidden_size;
        self.run(caller, ids, &mut states, 1, &(), |x, sequence, states| {
            states.iter_mut().for_each(|state| *state = pool::token_major(x, hidden_size, sequence));
        })?;
        Ok(states)
    }

    pub(super) fn pool_into<S: TokenIds>(
        &self,
        caller: &impl Caller,
        ids: &[S],
        out: &mut [f32],
        probe: &impl Probe,
    ) -> Result<()> {
        let (sequences, hidden_size, features) = (ids.len(), self.config.hidden_size, self.features());
        let (found, expected) = (out.len(), sequences.saturating_mul(features));
        if found != expected {
            return Err(Error::OutputLength { found, expected, sequences, features });
        }
        let pooling = &self.pooling;
        self.run(caller, ids, out, features, probe, |x, sequence, vector| {
            pool::pool(pooling, x, hidden_size, sequence, 0, vector);
        })
    }

    /// Runs all sequences, in groups. `result` makes `width` values of each sequence, its place in `out`, from the final f32 tile.
    fn run<S: TokenIds, T: Send>(
        &self,
        caller: &impl Caller,
        ids: &[S],
        out: &mut [T],
        width: usize,
        probe: &impl Probe,
        result: impl Fn(&[f32], Sequence, &mut [T]) + Send + Sync,
    ) -> Result<()> {
        forked::check()?;
        check_tokens(&self.config, ids)?;
        let activations = layout::elements(self.config.hidden_size, packed_tokens(ids));
        Team::run(activations / MIN_ACTIVATIONS_PER_THREAD, |team| {
            probe.lead();
            let parallel = match team.threads() {
                1 => Parallel::Serial,
                _ => Parallel::Team(team),
            };
            let mut scratch = caller.take_scratch();
            let (mut ids, mut out) = (ids, out);
            let mut all = || {
                while !ids.is_empty() {
                    let (group, later) = ids.split_at(group_len(ids, MAX_GROUP_TOKENS * team.threads()));
                    let (now, rest) = std::mem::take(&mut out).split_at_mut(group.len() * width);
                    let (x, sequences) = {
                        let counts = caller.counts();
                        self.program.run(&mut scratch, group, parallel, probe, counts, || caller.check())?
                    };
                    parallel.for_each_chunk(ChunksMut::new(now, width), |i, now| result(x, sequences[i], now));
                    probe.lap(Stage::Pooling);
                    (ids, out) = (later, rest);
                }
                Ok(())
            };
            let done = all();
            caller.give_scratch(scratch);
            done
        })
    }

    #[cfg(test)]
    pub(super) fn pooled(&self) -> usize {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Who calls: an encoder for itself, or a session.
pub(super) trait Caller: Sync {
    /// Buffers for a call.
    fn take_scratch(&self) -> Scratch;

    /// Takes them back.
    fn give_scratch(&self, scratch: Scratch);

    /// Where codes at the ends of ranges are counted.
    fn counts(&self) -> &Counts;

    /// Whether to go on.
    fn check(&self) -> Result<()>;
}

impl Caller for Encoder {
    fn take_scratch(&self) -> Scratch {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_scratch(&self, scratch: Scratch) {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }

    fn counts(&self) -> &Counts {
        &self.counts
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Tokens that the sequences take in a group, gaps between them included.
fn packed_tokens<S: TokenIds>(ids: &[S]) -> usize {
    ids.iter().map(|tokens| tokens.ids().len().next_multiple_of(Sequence::ALIGNMENT)).sum()
}

/// How many of the sequences run together: as many as `limit` tokens hold, at least one.
fn group_len<S: TokenIds>(ids: &[S], limit: usize) -> usize {
    let mut tokens = 0;
    let fits = |ids: &&S| {
        tokens += packed_tokens(std::slice::from_ref(*ids));
        tokens <= limit
    };
    ids.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_what_fits_and_at_least_one_sequence() {
        let ids = [3usize, 100, 7, 2000, 64, 64].map(|n| vec![0; n]);
        assert_eq!(packed_tokens(&ids), 4 + 100 + 8 + 2000 + 64 + 64);
        assert_eq!(group_len(&ids, 1), 1);
        assert_eq!(group_len(&ids, 104), 2);
        assert_eq!(group_len(&ids, 103), 1);
        assert_eq!(group_len(&ids[3..], 1024), 1);
        assert_eq!(group_len(&ids[4..], 1024), 2);
    }
}
