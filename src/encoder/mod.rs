//! The compiled encoder: sentences in, embeddings out.

mod forward;
mod pool;

use std::sync::{Mutex, PoisonError};

use lacuna_kernels::Parallel;
use lacuna_kernels::attention::Sequence;
use rayon::prelude::*;

use self::forward::Scratch;
use crate::compile::{CompiledLayer, EmbeddingNorm};
use crate::config::EncoderConfig;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::oracle::check_ids;
use crate::pooling::Pooling;
use crate::report::LoadReport;
use crate::tokenize::SentenceTokenizer;
use crate::weights::EmbeddingWeights;

/// Most tokens that run through the layers together: their activations (about 20 bytes x tokens x hidden size) stay in L2/L3.
const MAX_GROUP_TOKENS: usize = 1024;
/// Fewest tokens worth a group of their own while there are idle threads.
const MIN_GROUP_TOKENS: usize = 128;

/// What [`crate::CalibratedModel::compile`] puts together.
pub(crate) struct EncoderParts {
    pub(crate) config: EncoderConfig,
    pub(crate) tables: EmbeddingWeights,
    pub(crate) embedding: EmbeddingNorm,
    pub(crate) layers: Vec<CompiledLayer>,
    pub(crate) tokenizer: Option<SentenceTokenizer>,
    pub(crate) pooling: Pooling,
    pub(crate) report: LoadReport,
}

/// A compiled encoder. Many threads may use one at the same time; each call takes its buffers from a pool.
///
/// Sequences are packed without padding; a batch costs what its tokens cost. Work is spread over the rayon pool of the caller.
pub struct Encoder {
    parts: EncoderParts,
    scratch: Mutex<Vec<Scratch>>,
}

/// A sentence that was longer than the model's limit and was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    /// Index of the sentence in the batch.
    pub sentence: usize,
    /// Its length in tokens.
    pub tokens: usize,
    /// The tokens that were used.
    pub limit: usize,
}

/// Embeddings of a batch of sentences, in their order. Dereferences to the vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// One vector of hidden-size features per sentence.
    pub vectors: Vec<Vec<f32>>,
    /// Sentences of which only the beginning was used.
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
        Encoder { parts, scratch: Mutex::new(Vec::new()) }
    }

    /// The model's shape.
    pub fn config(&self) -> &EncoderConfig {
        &self.parts.config
    }

    /// How the encoder was loaded: times, kernels, densities, forms.
    pub fn report(&self) -> &LoadReport {
        &self.parts.report
    }

    /// The tokenizer, if the model came with one.
    pub fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.parts.tokenizer.as_ref()
    }

    /// One embedding per sentence.
    ///
    /// A sentence over the model's limit is cut, and named in [`Embeddings::truncated`].
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] without sentences, [`Error::NoTokenizer`] if the model has none (use [`Encoder::embed_ids`]),
    /// [`Error::Tokenizer`] if it fails on a text.
    pub fn embed<S: AsRef<str> + Sync>(&self, sentences: &[S]) -> Result<Embeddings> {
        let tokenizer = self.parts.tokenizer.as_ref().ok_or(Error::NoTokenizer)?;
        let encoded = tokenizer.encode_batch(sentences)?;
        let truncated: Vec<Truncation> = encoded
            .iter()
            .enumerate()
            .filter_map(|(sentence, e)| {
                Some(Truncation { sentence, tokens: e.truncated_from?, limit: tokenizer.max_length() })
            })
            .collect();
        if !truncated.is_empty() {
            tracing::warn!(sentences = truncated.len(), limit = tokenizer.max_length(), "sentences were cut");
        }
        let ids: Vec<&[u32]> = encoded.iter().map(|e| &e.ids[..]).collect();
        Ok(Embeddings { vectors: self.embed_ids(&ids)?, truncated })
    }

    /// One embedding per sequence of token ids.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`], [`Error::EmptySequence`], [`Error::SequenceTooLong`], [`Error::TokenOutOfRange`].
    pub fn embed_ids<S: AsRef<[u32]> + Sync>(&self, ids: &[S]) -> Result<Vec<Vec<f32>>> {
        let pooling = &self.parts.pooling;
        let hidden_size = self.parts.config.hidden_size;
        self.run(ids, |x, sequence| pool::pool(pooling, x, hidden_size, sequence))
    }

    /// The hidden states after the last layer, one `[tokens][hidden]` matrix per sequence of token ids.
    ///
    /// # Errors
    /// Those of [`Encoder::embed_ids`].
    pub fn hidden_states<S: AsRef<[u32]> + Sync>(&self, ids: &[S]) -> Result<Vec<Matrix>> {
        let hidden_size = self.parts.config.hidden_size;
        self.run(ids, |x, sequence| pool::token_major(x, hidden_size, sequence))
    }

    /// Runs all sequences, in groups, and takes `result` of each sequence from the final f32 tile.
    fn run<S: AsRef<[u32]> + Sync, R: Send>(
        &self,
        ids: &[S],
        result: impl Fn(&[f32], Sequence) -> R + Sync,
    ) -> Result<Vec<R>> {
        let ids: Vec<&[u32]> = ids.iter().map(AsRef::as_ref).collect();
        check_ids(&self.parts.config, &ids)?;
        let groups = groups(&ids, rayon::current_num_threads());
        let run = |group: &std::ops::Range<usize>, parallel| -> Result<Vec<R>> {
            let mut scratch = self.take_scratch();
            let ids = &ids[group.clone()];
            let (sequences, tokens) = Sequence::pack(ids.iter().map(|ids| ids.len()));
            let x = forward::forward(&self.parts, &mut scratch, ids, &sequences, tokens, parallel)?;
            let results = match parallel {
                Parallel::Serial => sequences.iter().map(|&s| result(x, s)).collect(),
                _ => sequences.par_iter().map(|&s| result(x, s)).collect(),
            };
            self.give_scratch(scratch);
            Ok(results)
        };
        match &groups[..] {
            [only] => run(only, Parallel::Rayon),
            groups => {
                let results: Vec<Vec<R>> = groups
                    .par_iter()
                    .with_max_len(1)
                    .map(|group| run(group, Parallel::Serial))
                    .collect::<Result<_>>()?;
                Ok(results.into_iter().flatten().collect())
            }
        }
    }

    fn take_scratch(&self) -> Scratch {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_scratch(&self, scratch: Scratch) {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("config", &self.parts.config).finish_non_exhaustive()
    }
}

/// Consecutive sequences that run together: about equal shares of the tokens for every thread, within the limits above.
fn groups(ids: &[&[u32]], threads: usize) -> Vec<std::ops::Range<usize>> {
    let packed = |ids: &[u32]| ids.len().next_multiple_of(Sequence::ALIGNMENT);
    let total: usize = ids.iter().map(|ids| packed(ids)).sum();
    let limit = total.div_ceil(threads).clamp(MIN_GROUP_TOKENS, MAX_GROUP_TOKENS);
    let mut groups = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (i, ids) in ids.iter().enumerate() {
        if tokens > 0 && tokens + packed(ids) > limit {
            groups.push(start..i);
            (start, tokens) = (i, 0);
        }
        tokens += packed(ids);
    }
    groups.push(start..ids.len());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_all_sequences_in_order_within_the_limit() {
        let lengths = [3usize, 100, 7, 2000, 64, 64, 64, 900, 900, 1];
        let ids: Vec<Vec<u32>> = lengths.iter().map(|&n| vec![0; n]).collect();
        let ids: Vec<&[u32]> = ids.iter().map(|v| &v[..]).collect();
        for threads in [1, 2, 7, 64] {
            let groups = groups(&ids, threads);
            let all: Vec<usize> = groups.iter().flat_map(Clone::clone).collect();
            assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            for group in groups {
                let tokens: usize = lengths[group.clone()].iter().map(|n| n.next_multiple_of(4)).sum();
                assert!(group.len() == 1 || tokens <= MAX_GROUP_TOKENS, "{group:?} {tokens}");
            }
        }
    }
}
