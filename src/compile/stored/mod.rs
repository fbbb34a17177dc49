//! Packed layers to and from the sections of a file. Whatever follows from something else is not stored: plans are made again, and
//! every activation has the form that its reader wants.

mod linear;

use lacuna_jit::Isa;
use lacuna_kernels::attention::{AttentionDesc, AttentionParams};
use lacuna_kernels::dynamic::{TokenQuantDesc, TokenQuantScales};
use lacuna_kernels::elementwise::{ElementwiseDesc, QuantParams};
use lacuna_kernels::embedding::EmbeddingDesc;
use lacuna_kernels::epilogue::Activation;
use lacuna_kernels::layernorm::{LayerNormDesc, LayerNormWeights};
use lacuna_kernels::{KernelError, PanelLayout, Sign, Sink};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::linear::{LinearEntry, Place, Wanted};
use super::PackedLayers;
use super::activation::kernel_activation;
use super::embedding::{PackedEmbedding, PackedProjection};
use super::heads::Heads;
use super::input::PackedInput;
use super::layer::PackedLayer;
use super::linear::PackedLinear;
use super::norm::PackedNorm;
use super::precision::Producer;
use crate::config::EncoderConfig;
use crate::packed::{PackedError, PackedFile, Sections};
use crate::precision::{LayerPrecision, Precision};
use crate::weights::LINEAR_NAMES;

/// Plans that are loaded are made for this one until it is known where they run.
const ISA: Isa = Isa::Portable;

/// How an encoder layer is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LayerEntry {
    precision: LayerPrecision,
    /// q, k, v, o, up, down.
    linears: [LinearEntry; LINEAR_NAMES.len()],
    /// Zero point of the output of attention.
    attention_zero: u8,
}

/// How all that has kernels is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LayersEntry {
    projection: Option<LinearEntry>,
    layers: Vec<LayerEntry>,
}

impl LayersEntry {
    /// The arithmetic of every layer.
    pub(crate) fn precision(&self) -> Vec<LayerPrecision> {
        self.layers.iter().map(|layer| layer.precision).collect()
    }
}

const PROJECTION: &str = "projection";
const PROJECTION_PANEL: &str = "projection.panel";
const EMBEDDING_NORM: &str = "embedding_norm";
/// The inputs of q, k, v; of up; of down.
const INPUTS: [&str; 3] = ["attn_in", "ffn_in", "gelu_out"];

impl PackedLayers {
    pub(crate) fn save<'a>(&'a self, precision: &[LayerPrecision], sections: &mut Sections<'a>) -> LayersEntry {
        save_norm(&self.embedding.norm, EMBEDDING_NORM, sections);
        let projection = self.embedding.projection.as_ref().map(|projection| {
            if let Some((_, params)) = &projection.panel {
                sections.add(PROJECTION_PANEL, params);
            }
            projection.linear.save(PROJECTION, sections)
        });
        let layers = self.layers.iter().zip(precision).enumerate();
        let layers = layers.map(|(i, (layer, precision))| layer.save(i, *precision, sections)).collect();
        LayersEntry { projection, layers }
    }

    /// The configuration must be valid.
    pub(crate) fn load(
        file: &PackedFile,
        config: &EncoderConfig,
        entry: &LayersEntry,
    ) -> Result<PackedLayers, PackedError> {
        let (found, expected) = (entry.layers.len(), config.layers);
        if found != expected {
            let expected = format!("{expected}, as the configuration says");
            return Err(file.content_error("layers", found.to_string(), expected));
        }
        let layers = entry.layers.par_iter().enumerate().map(|(i, entry)| LoadedLayer::load(file, config, entry, i));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<Option<PanelLayout>> = layers.iter().map(LoadedLayer::read).collect();
        let first = inputs.first().copied().flatten();
        let embedding = load_embedding(file, config, entry.projection.as_ref(), first)?;
        let nexts = inputs.into_iter().skip(1).chain([None]);
        let finished = layers.into_iter().zip(nexts).enumerate();
        let finished = finished.map(|(i, (layer, next))| layer.finish(file, config, i, next));
        Ok(PackedLayers { embedding, layers: finished.collect::<Result<_, _>>()? })
    }

    /// The same with plans for another instruction set.
    pub(crate) fn for_isa(&self, isa: Isa) -> Result<PackedLayers, KernelError> {
        let embedding = &self.embedding;
        let projection = embedding.projection.as_ref().map(|projection| {
            let panel = projection.panel.as_ref().map(|(plan, params)| {
                let desc = ElementwiseDesc { features: plan.features(), sink: *plan.sink() };
                Ok::<_, KernelError>((desc.plan(isa)?, params.clone()))
            });
            let panel = panel.transpose()?;
            Ok::<_, KernelError>(PackedProjection { linear: projection.linear.for_isa(isa)?, panel })
        });
        let embedding = PackedEmbedding {
            embedding: EmbeddingDesc { features: embedding.embedding.features() }.plan(isa)?,
            norm: norm_for_isa(&embedding.norm, isa)?,
            projection: projection.transpose()?,
        };
        let layers = self.layers.iter().map(|layer| layer.for_isa(isa)).collect::<Result<_, _>>()?;
        Ok(PackedLayers { embedding, layers })
    }
}

fn load_embedding(
    file: &PackedFile,
    config: &EncoderConfig,
    projection: Option<&LinearEntry>,
    first: Option<PanelLayout>,
) -> Result<PackedEmbedding, PackedError> {
    let (features, hidden) = (config.embedding_features(), config.hidden_size);
    if projection.is_some() != config.projects_embeddings() {
        let found = if projection.is_some() { "one" } else { "none" };
        let expected = format!("one exactly if embeddings of {features} features are not of {hidden}");
        return Err(file.content_error(PROJECTION, found.into(), expected));
    }
    let in_embedding = |source| file.weights_error("embedding", source);
    let ((f32, panel), projection) = match projection {
        None => ((true, first), None),
        Some(entry) => {
            let (precision, wanted) = (Precision::Static, Wanted::F32(Activation::Identity));
            let place = Place { name: PROJECTION, precision, m: hidden, k: features, wanted };
            let linear = PackedLinear::load(entry, &place, file)?;
            let panel = first.map(|layout| {
                let sink = Sink::bytes(layout, Sign::Unsigned);
                let plan = ElementwiseDesc { features: hidden, sink }.plan(ISA).map_err(in_embedding)?;
                let params: Vec<QuantParams> = file.elements(PROJECTION_PANEL, hidden)?;
                check_finite(file, PROJECTION_PANEL, bytemuck::cast_slice(&params))?;
                Ok::<_, PackedError>((plan, params))
            });
            let output = linear.layout().map_or((true, None), |layout| (false, Some(layout)));
            (output, Some(PackedProjection { linear, panel: panel.transpose()? }))
        }
    };
    Ok(PackedEmbedding {
        embedding: EmbeddingDesc { features }.plan(ISA).map_err(in_embedding)?,
        norm: load_norm(file, EMBEDDING_NORM, LayerNormDesc { features, f32, panel }, config.layer_norm_eps)?,
        projection,
    })
}

impl PackedLayer {
    fn save<'a>(&'a self, index: usize, precision: LayerPrecision, sections: &mut Sections<'a>) -> LayerEntry {
        let name = |part: &str| format!("layers.{index}.{part}");
        let linears = std::array::from_fn(|i| self.linears[i].save(&name(LINEAR_NAMES[i]), sections));
        for (input, part) in self.inputs.iter().zip(INPUTS) {
            if let PackedInput::PerToken(_, scales) = input {
                sections.add(name(part), scales.inverse());
            }
        }
        sections.add(name("attention.score_scale"), &self.attention_params.score_scale);
        sections.add(name("attention.q_zero"), &self.attention_params.q_zero);
        sections.add(name("attention.out_scale"), &self.attention_params.out_scale);
        save_norm(&self.attention_norm, &name("attention_norm"), sections);
        save_norm(&self.output_norm, &name("output_norm"), sections);
        LayerEntry { precision, linears, attention_zero: self.attention_params.out_zero }
    }

    fn for_isa(&self, isa: Isa) -> Result<PackedLayer, KernelError> {
        let [q, k, v, o, up, down] = self.linears.each_ref().map(|linear| linear.for_isa(isa));
        let [attn_in, ffn_in, gelu_out] = self.inputs.each_ref().map(|input| input.for_isa(isa));
        Ok(PackedLayer {
            heads: self.heads,
            attention_params: self.attention_params.clone(),
            inputs: [attn_in?, ffn_in?, gelu_out?],
            linears: [q?, k?, v?, o?, up?, down?],
            attention: self.attention.desc().plan(isa)?,
            attention_norm: norm_for_isa(&self.attention_norm, isa)?,
            output_norm: norm_for_isa(&self.output_norm, isa)?,
        })
    }
}

impl PackedInput {
    /// The input of layers that read `features` features in `layout`, if codes.
    fn load(
        file: &PackedFile,
        name: &str,
        precision: Precision,
        producer: Producer,
        features: usize,
        layout: Option<PanelLayout>,
    ) -> Result<PackedInput, PackedError> {
        let failed = |source| file.weights_error(name, source);
        Ok(match (precision, layout) {
            (Precision::Dynamic, Some(layout)) => {
                let plan = TokenQuantDesc { features, layout }.plan(ISA).map_err(failed)?;
                let inverse: Vec<f32> = file.elements(name, features)?;
                PackedInput::PerToken(plan, TokenQuantScales::from_inverse(&plan, &inverse).map_err(failed)?)
            }
            (Precision::Static | Precision::Dynamic, _) => PackedInput::Panel,
            (Precision::Bf16, _) if producer.writes_bf16() => PackedInput::Bf16,
            (Precision::Bf16, _) => PackedInput::Rounded(features),
            (Precision::F32, _) => PackedInput::F32,
        })
    }

    fn for_isa(&self, isa: Isa) -> Result<PackedInput, KernelError> {
        Ok(match self {
            PackedInput::PerToken(plan, scales) => {
                let desc = TokenQuantDesc { features: plan.features(), layout: plan.layout() };
                PackedInput::PerToken(desc.plan(isa)?, scales.clone())
            }
            PackedInput::Panel => PackedInput::Panel,
            PackedInput::Bf16 => PackedInput::Bf16,
            PackedInput::Rounded(features) => PackedInput::Rounded(*features),
            PackedInput::F32 => PackedInput::F32,
        })
    }
}

/// A layer but for what the next one decides.
struct LoadedLayer {
    heads: Heads,
    precision: LayerPrecision,
    attention_params: AttentionParams,
    inputs: [PackedInput; 3],
    /// q, k, v, o, up, down.
    linears: [PackedLinear; 6],
}

impl LoadedLayer {
    fn load(
        file: &PackedFile,
        config: &EncoderConfig,
        entry: &LayerEntry,
        index: usize,
    ) -> Result<LoadedLayer, PackedError> {
        let heads = Heads { count: config.heads, size: config.head_size() };
        let (hidden, inner, features) = (config.hidden_size, config.intermediate_size, heads.features());
        let precision = entry.precision;
        let name = |part: &str| format!("layers.{index}.{part}");
        let linear = |i: usize, precision, m, k, wanted| {
            let place = Place { name: &name(LINEAR_NAMES[i]), precision, m, k, wanted };
            PackedLinear::load(&entry.linears[i], &place, file)
        };

        // From the end of the layer to its start: what a layer reads decides what the one before writes.
        let down = linear(5, precision.gelu_out, hidden, inner, Wanted::Residual)?;
        let activation = kernel_activation(config.activation);
        let producer = Producer::Linear(precision.ffn_in);
        let wanted = match (precision.gelu_out, down.layout()) {
            (Precision::Static, Some(layout)) => Wanted::Bytes(activation, layout, Sign::Unsigned),
            (Precision::Bf16, _) if producer.writes_bf16() => Wanted::Bf16(activation),
            _ => Wanted::F32(activation),
        };
        let up = linear(4, precision.ffn_in, inner, hidden, wanted)?;
        let o = linear(3, Precision::Static, hidden, features, Wanted::Residual)?;
        let projection = |i, layout, sign| {
            linear(i, precision.attn_in, features, hidden, Wanted::Bytes(Activation::Identity, layout, sign))
        };
        let q = projection(0, PanelLayout::Vnni, Sign::Unsigned)?;
        let k = projection(1, PanelLayout::Vnni, Sign::Signed)?;
        let v = projection(2, PanelLayout::Plain, Sign::Signed)?;
        for (linear, part) in [(&k, "k"), (&v, "v")] {
            if linear.layout() != q.layout() {
                let say = |linear: &PackedLinear| match linear.layout() {
                    Some(layout) => format!("a {} panel as input", layout.name()),
                    None => "floats as input".to_owned(),
                };
                return Err(file.content_error(&name(part), say(linear), format!("{}, which q reads", say(&q))));
            }
        }
        let input = |i: usize, precision, producer, features, linear: &PackedLinear| {
            PackedInput::load(file, &name(INPUTS[i]), precision, producer, features, linear.layout())
        };
        Ok(LoadedLayer {
            heads,
            precision,
            attention_params: AttentionParams {
                score_scale: file.elements(&name("attention.score_scale"), heads.count)?,
                q_zero: file.elements(&name("attention.q_zero"), heads.count)?,
                out_scale: file.elements(&name("attention.out_scale"), features)?,
                out_zero: entry.attention_zero,
            },
            inputs: [
                input(0, precision.attn_in, Producer::Other, hidden, &q)?,
                input(1, precision.ffn_in, Producer::Other, hidden, &up)?,
                input(2, precision.gelu_out, producer, inner, &down)?,
            ],
            linears: [q, k, v, o, up, down],
        })
    }

    /// The panel that the layernorm before it writes.
    fn read(&self) -> Option<PanelLayout> {
        of_layernorm(self.precision.attn_in, &self.linears[0])
    }

    /// `next` is what the next layer reads.
    fn finish(
        self,
        file: &PackedFile,
        config: &EncoderConfig,
        index: usize,
        next: Option<PanelLayout>,
    ) -> Result<PackedLayer, PackedError> {
        let name = |part: &str| format!("layers.{index}.{part}");
        let LoadedLayer { heads, precision, attention_params, inputs, linears } = self;
        let in_attention = |source| file.weights_error(&name("attention"), source);
        let output = linears[3].layout().unwrap_or(PanelLayout::Plain); // o is of codes: it was loaded as such
        let attention = AttentionDesc { head_size: heads.padded(), output }.plan(ISA).map_err(in_attention)?;
        attention_params.check(&attention).map_err(in_attention)?;
        let norm = |part, panel| {
            let desc = LayerNormDesc { features: config.hidden_size, f32: true, panel };
            load_norm(file, &name(part), desc, config.layer_norm_eps)
        };
        Ok(PackedLayer {
            heads,
            attention_params,
            attention,
            attention_norm: norm("attention_norm", of_layernorm(precision.ffn_in, &linears[4]))?,
            output_norm: norm("output_norm", next)?,
            inputs,
            linears,
        })
    }
}

/// The panel that a layernorm writes for a linear layer that reads its result in some precision.
fn of_layernorm(precision: Precision, reader: &PackedLinear) -> Option<PanelLayout> {
    reader.layout().filter(|_| precision == Precision::Static)
}

fn save_norm<'a>(norm: &'a PackedNorm, name: &str, sections: &mut Sections<'a>) {
    sections.add(name, norm.weights.rows());
}

fn load_norm(file: &PackedFile, name: &str, desc: LayerNormDesc, epsilon: f32) -> Result<PackedNorm, PackedError> {
    let failed = |source| file.weights_error(name, source);
    let plan = desc.plan(ISA).map_err(failed)?;
    let weights = LayerNormWeights::pack(&plan, &file.elements::<_>(name, desc.features)?, epsilon).map_err(failed)?;
    Ok(PackedNorm { plan, weights })
}

fn norm_for_isa(norm: &PackedNorm, isa: Isa) -> Result<PackedNorm, KernelError> {
    Ok(PackedNorm { plan: norm.plan.desc().plan(isa)?, weights: norm.weights.clone() })
}

fn check_finite(file: &PackedFile, name: &str, values: &[f32]) -> Result<(), PackedError> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(found) => Err(file.section_error(name, found.to_string(), "finite numbers".into())),
        None => Ok(()),
    }
}
