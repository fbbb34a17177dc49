//! The buffers of a forward pass, whole and in chunks of tiles.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use bytemuck::Pod;
use lacuna_kernels::attention::{AttentionBatch, Sequence};
use lacuna_kernels::float::bf16;
use lacuna_kernels::layout::{elements, tiles};
use lacuna_kernels::{Buffer, ChunksMut, PanelLayout, Parallel, TILE};
use lacuna_model::TokenIds;

use crate::compile::{Format, Ready, Step, Tensor};
use crate::error::Result;

/// The buffers of one call. They grow to the largest group seen and are then reused.
pub(super) struct Scratch {
    /// The residual stream.
    hidden: Buffer<f32>,
    /// Codes of [`Tensor::KEPT`].
    codes: [Buffer<u8>; Tensor::KEPT.len()],
    ids: PackedIds,
    sequences: Vec<Sequence>,
    /// Tables of the sequences, one per width and layout of attention outputs.
    batches: Vec<AttentionBatch>,
    /// How many of `batches` are of the group in work.
    current: usize,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch {
            hidden: Buffer::new(0),
            codes: std::array::from_fn(|_| Buffer::new(0)),
            ids: PackedIds::default(),
            sequences: Vec::new(),
            batches: Vec::new(),
            current: 0,
        }
    }
}

/// Rows of the embedding tables per packed token, in whole tiles; padding tokens use row 0.
#[derive(Default)]
pub(super) struct PackedIds {
    pub(super) word: Vec<u32>,
    pub(super) kind: Vec<u32>,
    pub(super) position: Vec<u32>,
}

impl Scratch {
    /// Packs the sequences of a group; returns the tokens they span.
    pub(super) fn pack<S: TokenIds>(&mut self, group: &[S]) -> usize {
        self.sequences.clear();
        self.current = 0;
        let (mut start, mut tokens) = (0usize, 0);
        for len in group.iter().map(|tokens| tokens.ids().len()) {
            self.sequences.push(Sequence { start, len });
            tokens = start + len;
            start = tokens.next_multiple_of(Sequence::ALIGNMENT);
        }
        let PackedIds { word, kind, position } = &mut self.ids;
        for table in [&mut *word, kind, position] {
            table.clear();
            table.resize(tiles(tokens) * TILE, 0);
        }
        for (tokens, sequence) in group.iter().zip(&self.sequences) {
            let range = sequence.start..sequence.start + sequence.len;
            word[range.clone()].copy_from_slice(tokens.ids());
            if let Some(types) = tokens.types() {
                kind[range.clone()].copy_from_slice(types);
            }
            position[range].iter_mut().zip(0..).for_each(|(slot, position)| *slot = position);
        }
        tokens
    }

    /// Makes the attention tables of the packed sequences for this width and output layout, if they are not there yet.
    pub(super) fn prepare_attention(&mut self, tokens: usize, features: usize, output: PanelLayout) -> Result<()> {
        if self.batches[..self.current].iter().any(|batch| batch.fits(features, output)) {
            return Ok(());
        }
        match self.batches.get_mut(self.current) {
            Some(batch) => batch.update(&self.sequences, tokens, features, output)?,
            None => self.batches.push(AttentionBatch::new(&self.sequences, tokens, features, output)?),
        }
        self.current += 1;
        Ok(())
    }

    /// What [`Scratch::pack`] and [`Scratch::prepare_attention`] made, and buffers for activations of these widths.
    pub(super) fn views<'a>(&'a mut self, widths: &'a Widths, tokens: usize) -> Views<'a> {
        let hidden = sized(&mut self.hidden, elements(widths.hidden, tokens));
        let codes = self.codes.each_mut().map(|buffer| sized(buffer, elements(widths.codes, tokens)));
        Views {
            activations: Activations { hidden, codes, widths, tokens },
            ids: &self.ids,
            sequences: &self.sequences,
            batches: &self.batches[..self.current],
        }
    }
}

/// The parts of a [`Scratch`] in use.
pub(super) struct Views<'a> {
    pub(super) activations: Activations<'a>,
    pub(super) ids: &'a PackedIds,
    pub(super) sequences: &'a [Sequence],
    pub(super) batches: &'a [AttentionBatch],
}

/// Features of every buffer; 0 for those that no step uses.
#[derive(Debug)]
pub(super) struct Widths {
    /// Of the f32 tile of the residual stream.
    hidden: usize,
    /// Of the codes of [`Tensor::KEPT`].
    codes: usize,
    /// Of what is used up between two attentions, by tensor.
    bytes: [usize; Tensor::COUNT],
    halves: [usize; Tensor::COUNT],
    floats: [usize; Tensor::COUNT],
    /// Whether there are scales per token.
    scales: bool,
}

impl Widths {
    /// Those of all steps of a model.
    pub(super) fn of<'a>(steps: impl Iterator<Item = &'a Step<Ready>>) -> Widths {
        let none = [0; Tensor::COUNT];
        let mut widths = Widths { hidden: 0, codes: 0, bytes: none, halves: none, floats: none, scales: false };
        for step in steps {
            widths.scales |= step.scales_tokens();
            for place in step.places() {
                let width = match (place.tensor, place.format) {
                    (Tensor::Hidden, Format::F32) => &mut widths.hidden,
                    (tensor, Format::Bytes) if Tensor::KEPT.contains(&tensor) => &mut widths.codes,
                    (tensor, Format::Bytes) => &mut widths.bytes[tensor as usize],
                    (tensor, Format::Bf16) => &mut widths.halves[tensor as usize],
                    (tensor, Format::F32) => &mut widths.floats[tensor as usize],
                };
                *width = place.features.max(*width);
            }
        }
        widths
    }
}

/// What lives from one attention to the next.
pub(super) struct Activations<'a> {
    /// The residual stream: f32 tile.
    hidden: &'a mut [f32],
    /// Codes of [`Tensor::KEPT`]: panels with the features of all heads.
    pub(super) codes: [&'a mut [u8]; Tensor::KEPT.len()],
    widths: &'a Widths,
    tokens: usize,
}

/// Some tiles of all tensors, by tensor.
pub(super) struct Chunk<'a> {
    /// Panels of codes.
    pub(super) bytes: [&'a mut [u8]; Tensor::COUNT],
    /// bf16 panels.
    pub(super) halves: [&'a mut [bf16]; Tensor::COUNT],
    /// f32 tiles.
    pub(super) floats: [&'a mut [f32]; Tensor::COUNT],
    /// Scales of the tokens of the 8-bit panel in work.
    pub(super) scales: &'a mut [f32],
    /// The first token, a multiple of [`TILE`].
    pub(super) first: usize,
    pub(super) tokens: usize,
}

/// What is used up between two attentions, of the chunk in work.
struct Temporary {
    bytes: [Buffer<u8>; Tensor::COUNT],
    halves: [Buffer<bf16>; Tensor::COUNT],
    floats: [Buffer<f32>; Tensor::COUNT],
    scales: Buffer<f32>,
}

impl Default for Temporary {
    fn default() -> Self {
        Temporary {
            bytes: std::array::from_fn(|_| Buffer::new(0)),
            halves: std::array::from_fn(|_| Buffer::new(0)),
            floats: std::array::from_fn(|_| Buffer::new(0)),
            scales: Buffer::new(0),
        }
    }
}

impl Temporary {
    /// The chunk of tokens that begins at `first`.
    fn chunk<'a>(
        &'a mut self,
        widths: &Widths,
        hidden: &'a mut [f32],
        codes: [&'a mut [u8]; Tensor::KEPT.len()],
        (first, tokens): (usize, usize),
    ) -> Chunk<'a> {
        let mut chunk = Chunk {
            bytes: all(&mut self.bytes, &widths.bytes, tokens),
            halves: all(&mut self.halves, &widths.halves, tokens),
            floats: all(&mut self.floats, &widths.floats, tokens),
            scales: sized(&mut self.scales, if widths.scales { tiles(tokens) * TILE } else { 0 }),
            first,
            tokens,
        };
        chunk.floats[Tensor::Hidden as usize] = hidden;
        Tensor::KEPT.into_iter().zip(codes).for_each(|(tensor, codes)| chunk.bytes[tensor as usize] = codes);
        chunk
    }
}

/// The buffers of all tensors in one format.
fn all<'a, T: Pod>(
    buffers: &'a mut [Buffer<T>; Tensor::COUNT],
    widths: &[usize; Tensor::COUNT],
    tokens: usize,
) -> [&'a mut [T]; Tensor::COUNT] {
    let mut slices = [const { None }; Tensor::COUNT];
    for ((slice, buffer), width) in slices.iter_mut().zip(buffers).zip(widths) {
        *slice = Some(sized(buffer, elements(*width, tokens)));
    }
    slices.map(Option::unwrap_or_default)
}

thread_local! {
    /// The same memory for every chunk, so that it stays in the cache of this core. It grows to the largest chunk a thread has seen.
    static TEMPORARY: RefCell<Temporary> = RefCell::default();
}

impl<'a> Activations<'a> {
    /// Calls `body` for every chunk of tiles.
    ///
    /// # Errors
    /// Those of `body`; of several, that of the first chunk.
    pub(super) fn in_chunks(
        &mut self,
        chunking: Chunking<'_>,
        body: impl Fn(Chunk<'_>, Parallel<'_>) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        let Chunking { chunk, parallel } = chunking;
        let Activations { hidden, codes, widths, tokens } = self;
        let tokens = *tokens;
        let run = |first, (hidden, codes): (&mut [f32], [&mut [u8]; Tensor::KEPT.len()]), parallel: Parallel<'_>| {
            TEMPORARY.with_borrow_mut(|temporary| {
                body(temporary.chunk(widths, hidden, codes, (first, chunk.min(tokens - first))), parallel)
            })
        };
        if chunk >= tokens {
            return run(0, (hidden, codes.each_mut().map(|codes| &mut **codes)), parallel);
        }
        let hidden = ChunksMut::new(hidden, elements(widths.hidden, chunk));
        let codes = codes.each_mut().map(|codes| ChunksMut::new(codes, elements(widths.codes, chunk)));
        let failed = Mutex::new(None);
        parallel.for_each_chunk((hidden, codes), |i, buffers| {
            if let Err(error) = run(i * chunk, buffers, Parallel::Serial) {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(first, _)| i < *first) {
                    *failed = Some((i, error));
                }
            }
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), |(_, error)| Err(error))
    }

    /// The residual stream at the end.
    pub(super) fn into_hidden(self) -> &'a [f32] {
        self.hidden
    }
}

fn sized<T: Pod>(buffer: &mut Buffer<T>, len: usize) -> &mut [T] {
    buffer.reserve(len);
    &mut buffer[..len]
}

/// How the steps between two attentions are spread: they know no sequences, so that each chunk of tiles can go through all of
/// them at once, on one thread, while it is in that thread's caches.
#[derive(Clone, Copy)]
pub(super) struct Chunking<'t> {
    /// Tokens of one chunk, whole tiles; with a single chunk, its kernel calls are spread over the threads.
    chunk: usize,
    parallel: Parallel<'t>,
}

/// Tiles that go together: their residual stream, GELU output and panel (1 MB for 768 features) are mostly in L2.
const CHUNK_TILES: usize = 2;

impl<'t> Chunking<'t> {
    /// Chunks if they keep the threads busy nine tenths of the time; else one chunk of everything.
    pub(super) fn new(tokens: usize, parallel: Parallel<'t>) -> Chunking<'t> {
        Chunking { chunk: chunk_tiles(tokens, parallel.threads()) * TILE, parallel }
    }
}

fn chunk_tiles(tokens: usize, threads: usize) -> usize {
    let tiles_per_thread = tiles(tokens).div_ceil(threads);
    let busy = 10 * tokens >= 9 * tiles_per_thread * threads * TILE;
    match threads {
        1 => CHUNK_TILES,
        _ if busy => (1..=CHUNK_TILES).rev().find(|&n| tiles_per_thread.is_multiple_of(n)).unwrap_or(1),
        _ => tiles(tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_for_all_threads_or_for_none() {
        for (tokens, threads, expected) in [
            (64, 1, 2),
            (1000, 1, 2),
            (128, 2, 1),
            (100, 2, 2),
            (64, 2, 1),
            (192, 2, 3),
            (256, 2, 2),
            (384, 2, 1),
            (640, 4, 10),
        ] {
            assert_eq!(chunk_tiles(tokens, threads), expected, "{tokens} tokens, {threads} threads");
        }
    }
}
