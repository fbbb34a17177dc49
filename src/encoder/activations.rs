//! The buffers of a forward pass, whole and in chunks of tiles.

use std::sync::{Mutex, PoisonError};

use lacuna_kernels::attention::{AttentionBatch, Sequence};
use lacuna_kernels::layout::{elements, tiles};
use lacuna_kernels::{Buffer, ChunksMut, PanelLayout, Parallel, TILE};

use crate::error::Result;

/// The buffers of one call. They grow to the largest group seen and are then reused.
pub(super) struct Scratch {
    x: Buffer<f32>,
    /// panel, q, k, v, attended, gelu: see [`Activations`].
    bytes: [Buffer<u8>; 6],
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
    pub(super) fn pack<S: AsRef<[u32]>>(&mut self, group: &[S]) -> usize {
        self.sequences.clear();
        self.current = 0;
        let (mut start, mut tokens) = (0usize, 0);
        for len in group.iter().map(|ids| ids.as_ref().len()) {
            self.sequences.push(Sequence { start, len });
            tokens = start + len;
            start = tokens.next_multiple_of(Sequence::ALIGNMENT);
        }
        let PackedIds { word, kind, position } = &mut self.ids;
        for table in [&mut *word, kind, position] {
            table.clear();
            table.resize(tiles(tokens) * TILE, 0);
        }
        for (ids, sequence) in group.iter().zip(&self.sequences) {
            let range = sequence.start..sequence.start + sequence.len;
            word[range.clone()].copy_from_slice(ids.as_ref());
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
        let len = elements(widths.hidden, tokens);
        self.x.reserve(len);
        let mut features = widths.bytes().into_iter();
        let [panel, q, k, v, attended, gelu] = self.bytes.each_mut().map(|buffer| {
            let len = elements(features.next().unwrap_or(0), tokens);
            buffer.reserve(len);
            &mut buffer[..len]
        });
        let x = &mut self.x[..len];
        Views {
            activations: Activations { x, panel, q, k, v, attended, gelu, widths, first: 0, tokens },
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

/// Features of the activations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    /// Of x and panel.
    pub(super) hidden: usize,
    /// Of q, k, v and attended.
    pub(super) heads: usize,
    /// Of gelu.
    pub(super) intermediate: usize,
}

impl Widths {
    /// In the order of [`Scratch::bytes`].
    fn bytes(self) -> [usize; 6] {
        [self.hidden, self.heads, self.heads, self.heads, self.heads, self.intermediate]
    }
}

/// The activations of some tiles.
pub(super) struct Activations<'a> {
    /// Residual stream, f32 tile, hidden features.
    pub(super) x: &'a mut [f32],
    /// Input of q, k, v and of up: u8 panel, hidden features.
    pub(super) panel: &'a mut [u8],
    pub(super) q: &'a mut [u8],
    pub(super) k: &'a mut [u8],
    pub(super) v: &'a mut [u8],
    /// Attention output: u8 panel, features of all heads.
    pub(super) attended: &'a mut [u8],
    /// GELU output: u8 panel, intermediate features.
    pub(super) gelu: &'a mut [u8],
    widths: Widths,
    /// The first token, a multiple of [`TILE`].
    pub(super) first: usize,
    pub(super) tokens: usize,
}

impl Activations<'_> {
    /// The same, borrowed.
    pub(super) fn all(&mut self) -> Activations<'_> {
        let Activations { x, panel, q, k, v, attended, gelu, .. } = self;
        Activations { x, panel, q, k, v, attended, gelu, widths: self.widths, first: self.first, tokens: self.tokens }
    }

    /// Calls `body` for every chunk of tiles of the schedule.
    ///
    /// # Errors
    /// One of those of `body`.
    pub(super) fn in_chunks(
        self,
        schedule: Schedule<'_>,
        body: impl Fn(Activations<'_>, Parallel<'_>) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        let Schedule { chunk, parallel } = schedule;
        let Activations { x, panel, q, k, v, attended, gelu, widths, first, tokens } = self;
        if chunk >= tokens {
            return body(Activations { x, panel, q, k, v, attended, gelu, widths, first, tokens }, parallel);
        }
        let x = ChunksMut::new(x, elements(widths.hidden, chunk));
        let mut features = widths.bytes().into_iter();
        let bytes = [panel, q, k, v, attended, gelu]
            .map(|bytes| ChunksMut::new(bytes, elements(features.next().unwrap_or(0), chunk)));
        let failed = Mutex::new(None);
        parallel.for_each_chunk((x, bytes), |i, (x, [panel, q, k, v, attended, gelu])| {
            let (first, tokens) = (first + i * chunk, chunk.min(tokens - i * chunk));
            let activations = Activations { x, panel, q, k, v, attended, gelu, widths, first, tokens };
            if let Err(error) = body(activations, Parallel::Serial) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

/// How the steps between two attentions are spread: they know no sequences, so that each chunk of tiles can go through all of
/// them at once, on one thread, while it is in that thread's caches.
#[derive(Clone, Copy)]
pub(super) struct Schedule<'t> {
    /// Tokens of one chunk, whole tiles; with a single chunk, its kernel calls are spread over the threads.
    chunk: usize,
    parallel: Parallel<'t>,
}

/// Tiles that go together.
const CHUNK_TILES: usize = 2;

impl<'t> Schedule<'t> {
    /// Chunks if they keep the threads busy nine tenths of the time; else one chunk of everything.
    pub(super) fn new(tokens: usize, parallel: Parallel<'t>) -> Schedule<'t> {
        let threads = parallel.threads();
        let tiles_per_thread = tiles(tokens).div_ceil(threads);
        let busy = 10 * tokens >= 9 * tiles_per_thread * threads * TILE;
        let tiles = match threads == 1 || busy {
            true => CHUNK_TILES.min(tiles_per_thread),
            false => tiles(tokens),
        };
        Schedule { chunk: tiles * TILE, parallel }
    }
}
