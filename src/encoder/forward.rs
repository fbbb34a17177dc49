//! One packed group of sequences through all layers.

use lacuna_kernels::attention::{AttentionBatch, Sequence};
use lacuna_kernels::embedding::{EmbeddingIds, EmbeddingTables};
use lacuna_kernels::layout::tiles;
use lacuna_kernels::{Output, Parallel, TILE};

use super::activations::{Activations, Chunk, PackedIds, Schedule, Scratch, Views, Widths};
use super::profile::{Probe, Stage};
use super::{EncoderParts, Session};
use crate::compile::{CompiledEmbedding, CompiledLayer};
use crate::error::Result;
use crate::tokens::TokenIds;

/// Runs one group; returns the final hidden states, an f32 tile of `hidden` features, and where the sequences lie in it.
///
/// Attention is the only step that knows sequences. Everything from one attention to the next is done chunk by chunk; see
/// [`Schedule`]. A session is asked before every layer whether to go on.
pub(super) fn forward<'s, S: TokenIds, P: Probe>(
    parts: &EncoderParts,
    scratch: &'s mut Scratch,
    group: &[S],
    parallel: Parallel<'_>,
    probe: &P,
    session: Option<&Session>,
) -> Result<(&'s [f32], &'s [Sequence])> {
    let tokens = scratch.pack(group);
    let heads = parts.layers.first().map_or(0, |layer| layer.heads.features());
    for layer in &parts.layers {
        scratch.prepare_attention(tokens, layer.heads.features(), layer.attention.plan().output())?;
    }
    let (hidden, intermediate) = (parts.config.hidden_size, parts.config.intermediate_size);
    let projected = parts.embedding.projection.as_ref().map_or(0, |_| parts.config.embedding_features());
    let views = scratch.views(Widths { hidden, heads, intermediate, projected }, tokens);
    let Views { activations: mut all, ids, sequences, batches } = views;
    let schedule = Schedule::new(tokens, parallel);
    probe.lap(Stage::Other);

    all.in_chunks(schedule, |mut a, parallel| {
        embed(parts, ids, &mut a, parallel)?;
        probe.lap(Stage::Embedding);
        parts.layers.first().map_or(Ok(()), |layer| project(layer, &mut a, parallel, probe))
    })?;
    for (i, layer) in parts.layers.iter().enumerate() {
        probe.lap(Stage::Other);
        session.map_or(Ok(()), Session::check)?;
        attend(layer, batches, &mut all, parallel)?;
        probe.lap(Stage::Attention);
        let next = parts.layers.get(i + 1);
        all.in_chunks(schedule, |mut a, parallel| {
            finish(layer, &mut a, parallel, probe)?;
            next.map_or(Ok(()), |next| project(next, &mut a, parallel, probe))
        })?;
    }
    probe.lap(Stage::Other);
    Ok((all.into_x(), sequences))
}

/// `x = norm(word + type + position)`, or the projection of that, and its panel.
fn embed(parts: &EncoderParts, ids: &PackedIds, a: &mut Chunk<'_>, parallel: Parallel<'_>) -> Result<()> {
    let tables = EmbeddingTables {
        word: &parts.tables.word.data,
        kind: &parts.tables.token_type.data,
        position: &parts.tables.position.data,
    };
    let range = a.first..a.first + tiles(a.tokens) * TILE;
    let ids =
        EmbeddingIds { word: &ids.word[range.clone()], kind: &ids.kind[range.clone()], position: &ids.position[range] };
    let CompiledEmbedding { kernel, norm, projection } = &parts.embedding;
    let Some(projection) = projection else {
        return Ok(kernel.run(&tables, &ids, norm, a.x, Some(a.panel), a.tokens, parallel)?);
    };
    kernel.run(&tables, &ids, norm, a.embedded, Some(a.embedded_panel), a.tokens, parallel)?;
    projection.linear.run(a.embedded_panel, a.tokens, Output::F32(a.x), parallel)?;
    Ok(projection.panel.run_quantize(&projection.panel_params, a.x, a.panel, a.tokens, parallel)?)
}

/// q, k and v of a layer from its panel.
fn project(layer: &CompiledLayer, a: &mut Chunk<'_>, parallel: Parallel<'_>, probe: &impl Probe) -> Result<()> {
    layer.q.run(a.panel, a.tokens, Output::Bytes(a.q), parallel)?;
    layer.k.run(a.panel, a.tokens, Output::Bytes(a.k), parallel)?;
    layer.v.run(a.panel, a.tokens, Output::Bytes(a.v), parallel)?;
    probe.lap(Stage::QueryKeyValue);
    Ok(())
}

/// `attended = attention(q, k, v)`.
fn attend(
    layer: &CompiledLayer,
    batches: &[AttentionBatch],
    a: &mut Activations<'_>,
    parallel: Parallel<'_>,
) -> Result<()> {
    let (features, output) = (layer.heads.features(), layer.attention.plan().output());
    let batch = batches.iter().find(|batch| batch.fits(features, output)); // prepared above
    batch.map_or(Ok(()), |batch| {
        Ok(layer.attention.run(batch, &layer.attention_params, a.q, a.k, a.v, a.attended, parallel)?)
    })
}

/// `x = norm(x + o(attended))`, then `x = norm(x + down(gelu(up(x))))`, each norm with its panel.
fn finish(layer: &CompiledLayer, a: &mut Chunk<'_>, parallel: Parallel<'_>, probe: &impl Probe) -> Result<()> {
    layer.o.run(a.attended, a.tokens, Output::F32(a.x), parallel)?;
    probe.lap(Stage::AttentionOutput);
    let norm = &layer.attention_norm;
    norm.kernel.run(&norm.weights, a.x, Some(a.panel), a.tokens, parallel)?;
    probe.lap(Stage::LayerNorm);
    layer.up.run(a.panel, a.tokens, Output::Bytes(a.gelu), parallel)?;
    probe.lap(Stage::Up);
    layer.down.run(a.gelu, a.tokens, Output::F32(a.x), parallel)?;
    probe.lap(Stage::Down);
    let norm = &layer.output_norm;
    let panel = norm.kernel.plan().output().panel().map(|_| &mut *a.panel);
    norm.kernel.run(&norm.weights, a.x, panel, a.tokens, parallel)?;
    probe.lap(Stage::LayerNorm);
    Ok(())
}
