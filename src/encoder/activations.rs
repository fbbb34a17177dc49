//! The buffers of a forward pass, whole and in chunks of tiles.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use bytemuck::Pod;
use lacuna_kernels::attention::{AttentionBatch, Sequence};
use lacuna_kernels::float::bf16;
use lacuna_kernels::layout::{elements, tiles};
use lacuna_kernels::{Buffer, ChunksMut, PanelLayout, Parallel, TILE};

use super::EncoderParts;
use crate::compile::{CompiledLayer, Input};
use crate::error::Result;
use crate::tokens::TokenIds;

/// The buffers of one call. They grow to the largest group seen and are then reused.
pub(super) struct Scratch {
    x: Buffer<f32>,
    /// q, k, v, attended: see [`Activations`].
    bytes: [Buffer<u8>; 4],
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
            x: Buffer::new(0),
            bytes: std::array::from_fn(|_| Buffer::new(0)),
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
    pub(super) fn views(&mut self, widths: Widths, tokens: usize) -> Views<'_> {
        let x = sized(&mut self.x, elements(widths.hidden, tokens));
        let [q, k, v, attended] = self.bytes.each_mut().map(|buffer| sized(buffer, elements(widths.heads, tokens)));
        Views {
            activations: Activations { x, q, k, v, attended, widths, tokens },
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

/// Features of the activations; 0 for those that no layer has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    /// Of x and panel.
    pub(super) hidden: usize,
    /// Of q, k, v and attended.
    pub(super) heads: usize,
    /// Of gelu.
    pub(super) intermediate: usize,
    /// Of embedded, the input of the embeddings' projection.
    pub(super) projected: usize,
    /// Of activated.
    pub(super) activated: usize,
    /// Of sums.
    pub(super) sums: usize,
    /// Of halves and of gelu_halves.
    pub(super) halves: [usize; 2],
    /// Whether there are scales per token.
    pub(super) scales: bool,
}

impl Widths {
    pub(super) fn of(parts: &EncoderParts) -> Widths {
        let (config, layers) = (&parts.config, &parts.layers);
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let any = |of: &dyn Fn(&CompiledLayer) -> bool, width| if layers.iter().any(of) { width } else { 0 };
        let halves = |input: &Input| matches!(input, Input::Bf16 | Input::Rounded(_));
        Widths {
            hidden,
            heads: layers.first().map_or(0, |layer| layer.heads.features()),
            intermediate,
            projected: parts.embedding.projection.as_ref().map_or(0, |_| config.embedding_features()),
            activated: any(&|layer| !matches!(layer.gelu_out, Input::Panel | Input::Bf16), intermediate),
            sums: layers.iter().flat_map(|layer| layer.linears().map(|linear| linear.sums())).max().unwrap_or(0),
            halves: [
                any(&|layer| halves(&layer.attn_in) || halves(&layer.ffn_in), hidden),
                any(&|layer| halves(&layer.gelu_out), intermediate),
            ],
            scales: layers.iter().any(|layer| {
                [&layer.attn_in, &layer.ffn_in, &layer.gelu_out]
                    .iter()
                    .any(|input| matches!(input, Input::PerToken(..)))
            }),
        }
    }
}

/// What lives from one step to the next.
pub(super) struct Activations<'a> {
    /// Residual stream, f32 tile, hidden features.
    x: &'a mut [f32],
    pub(super) q: &'a mut [u8],
    pub(super) k: &'a mut [u8],
    pub(super) v: &'a mut [u8],
    /// Attention output: u8 panel, features of all heads.
    pub(super) attended: &'a mut [u8],
    widths: Widths,
    tokens: usize,
}

/// Some tiles of the activations, and what lives only within a step.
pub(super) struct Chunk<'a> {
    pub(super) x: &'a mut [f32],
    /// Input of q, k, v and of up: u8 panel, hidden features.
    pub(super) panel: &'a mut [u8],
    pub(super) q: &'a mut [u8],
    pub(super) k: &'a mut [u8],
    pub(super) v: &'a mut [u8],
    pub(super) attended: &'a mut [u8],
    /// Output of the activation function: u8 panel, intermediate features.
    pub(super) gelu: &'a mut [u8],
    /// The same before it has codes: f32 tile.
    pub(super) activated: &'a mut [f32],
    /// Sums of products that are not results yet: f32 tile of the widest.
    pub(super) sums: &'a mut [f32],
    /// Scales of the tokens of the 8-bit panel in work.
    pub(super) scales: &'a mut [f32],
    /// Input of q, k, v and of up: bf16 panel, hidden features.
    pub(super) halves: &'a mut [bf16],
    /// Output of the activation function: bf16 panel, intermediate features.
    pub(super) gelu_halves: &'a mut [bf16],
    /// Sums of embeddings: f32 tile, features of the tables; empty if they are not projected.
    pub(super) embedded: &'a mut [f32],
    /// The same, normalised: u8 panel.
    pub(super) embedded_panel: &'a mut [u8],
    /// The first token, a multiple of [`TILE`].
    pub(super) first: usize,
    pub(super) tokens: usize,
}

/// What lives only within a step, of the chunk in work.
struct Temporary {
    /// panel, gelu, embedded_panel: see [`Chunk`].
    bytes: [Buffer<u8>; 3],
    /// embedded, activated, sums, scales.
    floats: [Buffer<f32>; 4],
    /// halves, gelu_halves.
    halves: [Buffer<bf16>; 2],
}

impl Default for Temporary {
    fn default() -> Self {
        Temporary {
            bytes: std::array::from_fn(|_| Buffer::new(0)),
            floats: std::array::from_fn(|_| Buffer::new(0)),
            halves: std::array::from_fn(|_| Buffer::new(0)),
        }
    }
}

thread_local! {
    /// The same memory for every chunk, so that it stays in the cache of this core. It grows to the largest chunk a thread has seen.
    static TEMPORARY: RefCell<Temporary> = RefCell::default();
}

impl<'a> Activations<'a> {
    /// Calls `body` for every chunk of tiles of the schedule.
    ///
    /// # Errors
    /// One of those of `body`.
    pub(super) fn in_chunks(
        &mut self,
        schedule: Schedule<'_>,
        body: impl Fn(Chunk<'_>, Parallel<'_>) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        let Schedule { chunk, parallel } = schedule;
        let Activations { x, q, k, v, attended, widths, tokens } = self;
        let tokens = *tokens;
        let run = |first, (x, [q, k, v, attended]): (&mut [f32], [&mut [u8]; 4]), parallel: Parallel<'_>| {
            TEMPORARY.with_borrow_mut(|Temporary { bytes, floats, halves }| {
                let tokens = chunk.min(tokens - first);
                let [panel, gelu, embedded_panel] = bytes;
                let [embedded, activated, sums, scales] = floats;
                let [halves, gelu_halves] = halves;
                let chunk = Chunk {
                    x,
                    panel: sized(panel, elements(widths.hidden, tokens)),
                    q,
                    k,
                    v,
                    attended,
                    gelu: sized(gelu, elements(widths.intermediate, tokens)),
                    activated: sized(activated, elements(widths.activated, tokens)),
                    sums: sized(sums, elements(widths.sums, tokens)),
                    scales: sized(scales, if widths.scales { tiles(tokens) * TILE } else { 0 }),
                    halves: sized(halves, elements(widths.halves[0], tokens)),
                    gelu_halves: sized(gelu_halves, elements(widths.halves[1], tokens)),
                    embedded: sized(embedded, elements(widths.projected, tokens)),
                    embedded_panel: sized(embedded_panel, elements(widths.projected, tokens)),
                    first,
                    tokens,
                };
                body(chunk, parallel)
            })
        };
        if chunk >= tokens {
            return run(0, (x, [q, k, v, attended]), parallel);
        }
        let x = ChunksMut::new(x, elements(widths.hidden, chunk));
        let bytes = [q, k, v, attended].map(|bytes| ChunksMut::new(bytes, elements(widths.heads, chunk)));
        let failed = Mutex::new(None);
        parallel.for_each_chunk((x, bytes), |i, buffers| {
            if let Err(error) = run(i * chunk, buffers, Parallel::Serial) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// The residual stream at the end.
    pub(super) fn into_x(self) -> &'a [f32] {
        self.x
    }
}

fn sized<T: Pod>(buffer: &mut Buffer<T>, len: usize) -> &mut [T] {
    buffer.reserve(len);
    &mut buffer[..len]
}

/// How the steps between two attentions are spread: they know no sequences, so that each chunk of tiles can go through all of
/// them at once, on one thread, while it is in that thread's caches.
#[derive(Clone, Copy)]
pub(super) struct Schedule<'t> {
    /// Tokens of one chunk, whole tiles; with a single chunk, its kernel calls are spread over the threads.
    chunk: usize,
    parallel: Parallel<'t>,
}

/// Tiles that go together: their residual stream, GELU output and panel (1 MB for 768 features) are mostly in L2.
const CHUNK_TILES: usize = 2;

impl<'t> Schedule<'t> {
    /// Chunks if they keep the threads busy nine tenths of the time; else one chunk of everything.
    pub(super) fn new(tokens: usize, parallel: Parallel<'t>) -> Schedule<'t> {
        Schedule { chunk: chunk_tiles(tokens, parallel.threads()) * TILE, parallel }
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
