//! BERT and its relatives as a list of steps: layers of attention and two feed-forward layers, each followed by a normalisation.
//!
//! Another architecture is another file like this one, which planning and loading then choose by the configuration.

use lacuna_kernels::attention::AttentionDesc;
use lacuna_kernels::elementwise::ElementwiseDesc;
use lacuna_kernels::embedding::EmbeddingDesc;
use lacuna_kernels::layernorm::LayerNormDesc;
use lacuna_kernels::{PanelLayout, Sign, Sink, Store};
use lacuna_model::{LayerPrecision, Precision};

use super::activation::kernel_activation;
use super::heads::Heads;
use super::lower::{Group, LinearStep, Lowered, incomplete, layout, place_of};
use super::maker::Maker;
use super::model::Steps;
use super::names::{self, InputName, LinearName, NormName};
use super::stage::Stage;
use super::state::{State, Uncompiled};
use super::step::{Op, Step};
use super::tensor::{Format, Place, Tensor};

/// The steps of a layer but for its last normalisation, which the layer behind it decides about.
pub(super) struct OpenLayer<S: State> {
    steps: Vec<Step<S>>,
    /// As what the step before must store the residual stream.
    wants: Store,
}

/// A layer. If several of its parts fail, the error is that of the first in the order in which they run.
pub(super) fn layer<M: Maker>(
    maker: &M,
    index: usize,
    precision: LayerPrecision,
) -> Result<OpenLayer<M::State>, M::Error> {
    let config = maker.config();
    let heads = Heads { count: config.heads, size: config.head_size() };
    let (hidden, inner, attended) = (config.hidden_size, config.intermediate_size, heads.features());
    let linear =
        |at, features, sink, to| LinearStep { name: LinearName::Layer { layer: index, index: at }, features, sink, to };
    let static_group = Group {
        input: InputName::Attended(index),
        precision: Precision::Static,
        from: Tensor::Attended,
        features: attended,
        from_bf16: false,
        stage: Stage::AttentionOutput,
        linears: &[],
    };

    let codes = |at, layout, sign, to| linear(at, attended, Sink::bytes(layout, sign), to);
    let qkv = Group {
        input: InputName::Attention(index),
        precision: precision.attn_in,
        from: Tensor::Hidden,
        features: hidden,
        stage: Stage::QueryKeyValue,
        linears: &[
            codes(0, PanelLayout::Vnni, Sign::Unsigned, Tensor::Query),
            codes(1, PanelLayout::Vnni, Sign::Signed, Tensor::Key),
            codes(2, PanelLayout::Plain, Sign::Signed, Tensor::Value),
        ],
        ..static_group
    };
    let Lowered { steps: mut all, wants } = qkv.lower(maker)?;

    let o = Group { linears: &[linear(3, hidden, Sink::f32(true), Tensor::Hidden)], ..static_group }.lower(maker)?;
    let attention = names::attention(index);
    let failed = |source| maker.failed(&attention, source);
    let output = layout(o.wants).ok_or_else(|| failed(incomplete("an output of attention that is no panel")))?;
    let plan = AttentionDesc { head_size: heads.padded(), output, activation_bits: maker.activation_bits() }
        .plan(maker.isa())
        .map_err(failed)?;
    let part = M::State::part(plan, maker.attention(index, &plan)?);
    all.push(Step { name: attention.clone(), stage: Stage::Attention, op: Op::Attend { part, features: attended } });
    all.extend(o.steps);

    // What down reads decides what up writes.
    let down = Group {
        input: InputName::Activated(index),
        precision: precision.gelu_out,
        from: Tensor::Inner,
        features: inner,
        from_bf16: matches!(precision.ffn_in, Precision::Bf16 | Precision::F32),
        stage: Stage::Down,
        linears: &[linear(5, hidden, Sink::f32(true), Tensor::Hidden)],
    };
    let lowered = down.lower(maker);
    let (store, down) = match (down.wants(), lowered) {
        (Some(store), lowered) => (store, lowered),
        (None, lowered) => {
            let lowered = lowered?;
            (lowered.wants, Ok(lowered))
        }
    };
    let activation = kernel_activation(config.activation);
    let up = Group {
        input: InputName::FeedForward(index),
        precision: precision.ffn_in,
        from: Tensor::Hidden,
        features: hidden,
        from_bf16: false,
        stage: Stage::Up,
        linears: &[linear(4, inner, Sink { activation, store }, Tensor::Inner)],
    };
    let up = up.lower(maker)?;
    all.push(norm(maker, NormName::Attention(index), up.wants, Some(InputName::FeedForward(index)))?);
    all.extend(up.steps);
    all.extend(down?.steps);
    Ok(OpenLayer { steps: all, wants })
}

/// All steps of a model, whose layers were planned one by one.
pub(super) fn close<M: Maker>(maker: &M, layers: Vec<OpenLayer<M::State>>) -> Result<Steps<M::State>, M::Error> {
    let wants: Vec<Store> = layers.iter().map(|layer| layer.wants).collect();
    let nothing = Store::F32 { residual: false };
    let before = embed(maker, wants.first().copied().unwrap_or(nothing))?;
    let mut closed = Vec::with_capacity(layers.len());
    for (i, OpenLayer { mut steps, .. }) in layers.into_iter().enumerate() {
        let next = wants.get(i + 1).map(|_| InputName::Attention(i + 1));
        steps.push(norm(maker, NormName::Output(i), wants.get(i + 1).copied().unwrap_or(nothing), next)?);
        closed.push(steps);
    }
    Ok(Steps { before, layers: closed })
}

/// A normalisation of the residual stream, with the panel that the next step wants, if it wants one.
fn norm<M: Maker>(
    maker: &M,
    name: NormName,
    wants: Store,
    input: Option<InputName>,
) -> Result<Step<M::State>, M::Error> {
    let features = maker.config().hidden_size;
    let desc = LayerNormDesc { features, f32: true, panel: layout(wants), activation_bits: maker.activation_bits() };
    let plan = desc.plan(maker.isa()).map_err(|source| maker.failed(&name.section(), source))?;
    let part = M::State::part(plan, maker.norm(name, input, &plan)?);
    let of = Place { tensor: Tensor::Hidden, format: Format::F32, features };
    Ok(Step { name: name.section(), stage: Stage::LayerNorm, op: Op::Norm { part, of } })
}

/// From ids to the residual stream, stored as the first layer wants it: `norm(word + type + position)`, or the projection of that.
fn embed<M: Maker>(maker: &M, wants: Store) -> Result<Vec<Step<M::State>>, M::Error> {
    let config = maker.config();
    let (features, hidden) = (config.embedding_features(), config.hidden_size);
    let step = |name, op| Step { name, stage: Stage::Embedding, op };
    let (first, panel) = (InputName::Attention(0), layout(wants));
    let (tensor, input, f32, norm_panel, projection) = match config.projects_embeddings() {
        false => (Tensor::Hidden, first, true, panel, None),
        true => {
            let linear = LinearStep {
                name: LinearName::Projection,
                features: hidden,
                sink: Sink::f32(false),
                to: Tensor::Hidden,
            };
            let input = InputName::Projection;
            let group = Group {
                input,
                precision: Precision::Static,
                from: Tensor::Embedded,
                features,
                from_bf16: false,
                stage: Stage::Embedding,
                linears: &[linear],
            };
            let projection = group.lower(maker)?;
            let panel = layout(projection.wants);
            (Tensor::Embedded, input, panel.is_none(), panel, Some(projection))
        }
    };

    let failed = |source| maker.failed("embedding", source);
    let embedding = EmbeddingDesc { features }.plan(maker.isa()).map_err(failed)?;
    let name = NormName::Embedding;
    let desc = LayerNormDesc { features, f32, panel: norm_panel, activation_bits: maker.activation_bits() };
    let norm = desc.plan(maker.isa()).map_err(|source| maker.failed(&name.section(), source))?;
    let part = M::State::part((embedding, norm), maker.norm(name, Some(input), &norm)?);
    let to = Place { tensor, format: Format::F32, features };
    let mut steps = vec![step(name.section(), Op::Embed { part, to })];

    if let Some(projection) = projection {
        steps.extend(projection.steps);
        if let Some(layout) = panel {
            let sink = Sink::bytes(layout, Sign::of(maker.activation_bits()));
            let section = "projection.panel".to_owned();
            let plan = ElementwiseDesc { features: hidden, sink }.plan(maker.isa()).map_err(failed)?;
            let part = M::State::part(plan, maker.input_codes(first, &section, hidden)?);
            let from = Place { tensor: Tensor::Hidden, format: Format::F32, features: hidden };
            steps.push(step(section, Op::Quantize { part, from, to: place_of(Tensor::Hidden, sink.store, hidden) }));
        }
    }
    Ok(steps)
}
