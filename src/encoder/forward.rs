//! One packed group of sequences through all layers.

use lacuna_kernels::attention::{AttentionBatch, Sequence};
use lacuna_kernels::embedding::{EmbeddingIds, EmbeddingTables};
use lacuna_kernels::layout::{elements, tiles};
use lacuna_kernels::{Buffer, Output, Parallel, TILE};

use super::EncoderParts;
use crate::compile::CompiledLayer;
use crate::error::Result;

/// The buffers of one call. They grow to the largest group seen and are then reused.
pub(super) struct Scratch {
    /// Residual stream, f32 tile, hidden features.
    x: Buffer<f32>,
    /// Input of q, k, v and of up: u8 panel, hidden features.
    panel: Buffer<u8>,
    q: Buffer<u8>,
    k: Buffer<u8>,
    v: Buffer<u8>,
    /// Attention output: u8 panel, features of all heads.
    attended: Buffer<u8>,
    /// GELU output: u8 panel, intermediate features.
    gelu: Buffer<u8>,
    ids: PackedIds,
}

impl Default for Scratch {
    fn default() -> Self {
        let bytes = || Buffer::new(0);
        Scratch {
            x: Buffer::new(0),
            panel: bytes(),
            q: bytes(),
            k: bytes(),
            v: bytes(),
            attended: bytes(),
            gelu: bytes(),
            ids: PackedIds::default(),
        }
    }
}

/// Rows of the embedding tables per packed token, in whole tiles; padding tokens use row 0.
#[derive(Default)]
struct PackedIds {
    word: Vec<u32>,
    kind: Vec<u32>,
    position: Vec<u32>,
}

impl PackedIds {
    fn fill(&mut self, ids: &[&[u32]], sequences: &[Sequence], tokens: usize) {
        for table in [&mut self.word, &mut self.kind, &mut self.position] {
            table.clear();
            table.resize(tiles(tokens) * TILE, 0);
        }
        for (ids, sequence) in ids.iter().zip(sequences) {
            let range = sequence.start..sequence.start + sequence.len;
            self.word[range.clone()].copy_from_slice(ids);
            self.position[range].iter_mut().zip(0..).for_each(|(slot, position)| *slot = position);
        }
    }
}

/// Runs one group; returns the final hidden states, an f32 tile of `hidden` x `tokens`.
pub(super) fn forward<'s>(
    parts: &EncoderParts,
    scratch: &'s mut Scratch,
    ids: &[&[u32]],
    sequences: &[Sequence],
    tokens: usize,
    parallel: Parallel,
) -> Result<&'s [f32]> {
    let hidden = parts.config.hidden_size;
    let activations = elements(hidden, tokens);
    scratch.ids.fill(ids, sequences, tokens);
    scratch.x.reserve(activations);
    scratch.panel.reserve(activations);
    let (x, panel) = (&mut scratch.x[..activations], &mut scratch.panel[..activations]);

    let tables = EmbeddingTables {
        word: &parts.tables.word.data,
        kind: &parts.tables.token_type.data,
        position: &parts.tables.position.data,
    };
    let ids = EmbeddingIds { word: &scratch.ids.word, kind: &scratch.ids.kind, position: &scratch.ids.position };
    parts.embedding.kernel.run(&tables, &ids, &parts.embedding.weights, x, Some(panel), tokens, parallel)?;

    let mut batch: Option<AttentionBatch> = None;
    for layer in &parts.layers {
        let features = layer.heads.features();
        let output = layer.attention.plan().output();
        if !batch.as_ref().is_some_and(|b| b.fits(features, output)) {
            batch = Some(AttentionBatch::new(sequences, tokens, features, output)?);
        }
        let Some(batch) = &batch else { continue };
        let mut buffers = LayerBuffers {
            x,
            panel,
            q: sized(&mut scratch.q, elements(features, tokens)),
            k: sized(&mut scratch.k, elements(features, tokens)),
            v: sized(&mut scratch.v, elements(features, tokens)),
            attended: sized(&mut scratch.attended, elements(features, tokens)),
            gelu: sized(&mut scratch.gelu, elements(parts.config.intermediate_size, tokens)),
        };
        run_layer(layer, batch, &mut buffers, tokens, parallel)?;
    }
    Ok(&scratch.x[..activations])
}

fn sized(buffer: &mut Buffer<u8>, len: usize) -> &mut [u8] {
    buffer.reserve(len);
    &mut buffer[..len]
}

struct LayerBuffers<'a> {
    x: &'a mut [f32],
    panel: &'a mut [u8],
    q: &'a mut [u8],
    k: &'a mut [u8],
    v: &'a mut [u8],
    attended: &'a mut [u8],
    gelu: &'a mut [u8],
}

/// `x = norm(x + o(attention(q, k, v)))`, then `x = norm(x + down(gelu(up(x))))`.
fn run_layer(
    layer: &CompiledLayer,
    batch: &AttentionBatch,
    b: &mut LayerBuffers<'_>,
    tokens: usize,
    parallel: Parallel,
) -> Result<()> {
    layer.q.run(b.panel, tokens, Output::Bytes(b.q), parallel)?;
    layer.k.run(b.panel, tokens, Output::Bytes(b.k), parallel)?;
    layer.v.run(b.panel, tokens, Output::Bytes(b.v), parallel)?;
    layer.attention.run(batch, &layer.attention_params, b.q, b.k, b.v, b.attended, parallel)?;
    layer.o.run(b.attended, tokens, Output::F32(b.x), parallel)?;
    let norm = &layer.attention_norm;
    norm.kernel.run(&norm.weights, b.x, Some(b.panel), tokens, parallel)?;
    layer.up.run(b.panel, tokens, Output::Bytes(b.gelu), parallel)?;
    layer.down.run(b.gelu, tokens, Output::F32(b.x), parallel)?;
    let norm = &layer.output_norm;
    let panel = norm.kernel.plan().output().panel().map(|_| &mut *b.panel);
    norm.kernel.run(&norm.weights, b.x, panel, tokens, parallel)?;
    Ok(())
}
