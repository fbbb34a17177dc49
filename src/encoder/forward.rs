//! One packed group of sequences through all layers.

use lacuna_kernels::attention::{AttentionBatch, Sequence};
use lacuna_kernels::embedding::{EmbeddingIds, EmbeddingTables};
use lacuna_kernels::layout::tiles;
use lacuna_kernels::{Parallel, TILE};

use super::activations::{Activations, Chunk, PackedIds, Schedule, Scratch, Views, Widths};
use super::profile::{Probe, Stage};
use super::{EncoderParts, Session};
use crate::compile::{CompiledEmbedding, CompiledLayer, Destination, Forms, Input, Norm, Operand};
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
    for layer in &parts.layers {
        scratch.prepare_attention(tokens, layer.heads.features(), layer.attention.plan().output())?;
    }
    let views = scratch.views(Widths::of(parts), tokens);
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

/// `x = norm(word + type + position)`, or the projection of that, and its panel if the first layer reads one.
fn embed(parts: &EncoderParts, ids: &PackedIds, a: &mut Chunk<'_>, parallel: Parallel<'_>) -> Result<()> {
    let tables =
        EmbeddingTables { word: &parts.tables.word, kind: &parts.tables.token_type, position: &parts.tables.position };
    let range = a.first..a.first + tiles(a.tokens) * TILE;
    let ids =
        EmbeddingIds { word: &ids.word[range.clone()], kind: &ids.kind[range.clone()], position: &ids.position[range] };
    let CompiledEmbedding { kernel, norm, projection } = &parts.embedding;
    let writes_panel = kernel.layernorm().plan().panel().is_some();
    let Some(projection) = projection else {
        let panel = writes_panel.then_some(&mut *a.panel);
        return Ok(kernel.run(&tables, &ids, norm, a.x, panel, a.tokens, parallel)?);
    };
    let panel = writes_panel.then_some(&mut *a.embedded_panel);
    kernel.run(&tables, &ids, norm, a.embedded, panel, a.tokens, parallel)?;
    let embedded = Operand::Panel(a.embedded_panel);
    projection.linear.run(embedded, a.tokens, Destination::F32(a.x), a.sums, parallel)?;
    match &projection.panel {
        Some((panel, params)) => Ok(panel.run_quantize(params, a.x, a.panel, a.tokens, parallel)?),
        None => Ok(()),
    }
}

/// q, k and v of a layer from its input.
fn project(layer: &CompiledLayer, a: &mut Chunk<'_>, parallel: Parallel<'_>, probe: &impl Probe) -> Result<()> {
    let forms = Forms { panel: a.panel, scales: a.scales, halves: a.halves };
    let x = layer.attn_in.read(a.x, forms, a.tokens, parallel)?;
    layer.q.run(x, a.tokens, Destination::Bytes(a.q), a.sums, parallel)?;
    layer.k.run(x, a.tokens, Destination::Bytes(a.k), a.sums, parallel)?;
    layer.v.run(x, a.tokens, Destination::Bytes(a.v), a.sums, parallel)?;
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

/// `x = norm(x + o(attended))`, then `x = norm(x + down(gelu(up(x))))`, each norm with its panel if the next layers read one.
fn finish(layer: &CompiledLayer, a: &mut Chunk<'_>, parallel: Parallel<'_>, probe: &impl Probe) -> Result<()> {
    layer.o.run(Operand::Panel(a.attended), a.tokens, Destination::F32(a.x), a.sums, parallel)?;
    probe.lap(Stage::AttentionOutput);
    normalize(&layer.attention_norm, a, parallel)?;
    probe.lap(Stage::LayerNorm);

    let forms = Forms { panel: a.panel, scales: a.scales, halves: a.halves };
    let x = layer.ffn_in.read(a.x, forms, a.tokens, parallel)?;
    let out = match layer.gelu_out {
        Input::Panel => Destination::Bytes(a.gelu),
        Input::Bf16 => Destination::Bf16(a.gelu_halves),
        Input::PerToken(..) | Input::Rounded(_) | Input::F32 => Destination::F32(a.activated),
    };
    layer.up.run(x, a.tokens, out, a.sums, parallel)?;
    probe.lap(Stage::Up);

    let forms = Forms { panel: a.gelu, scales: a.scales, halves: a.gelu_halves };
    let gelu = layer.gelu_out.read(a.activated, forms, a.tokens, parallel)?;
    layer.down.run(gelu, a.tokens, Destination::F32(a.x), a.sums, parallel)?;
    probe.lap(Stage::Down);
    normalize(&layer.output_norm, a, parallel)?;
    probe.lap(Stage::LayerNorm);
    Ok(())
}

fn normalize(norm: &Norm, a: &mut Chunk<'_>, parallel: Parallel<'_>) -> Result<()> {
    let panel = norm.kernel.plan().panel().map(|_| &mut *a.panel);
    Ok(norm.kernel.run(&norm.weights, a.x, panel, a.tokens, parallel)?)
}
