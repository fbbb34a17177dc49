//! Packed layers to and from the sections of a file. Whatever follows from something else is not stored: plans are made again, and
//! every activation has the layout that its reader wants.

use lacuna_jit::Isa;
use lacuna_kernels::attention::{AttentionDesc, AttentionParams};
use lacuna_kernels::elementwise::{ElementwiseDesc, RowFunction};
use lacuna_kernels::embedding::EmbeddingDesc;
use lacuna_kernels::epilogue::{self, Epilogue, Store};
use lacuna_kernels::gemm::{GemmDesc, GemmWeights};
use lacuna_kernels::layernorm::{LayerNormDesc, LayerNormOutput, LayerNormWeights};
use lacuna_kernels::spmm::{Schedule, SpmmDesc, SpmmFacts, SpmmWeights};
use lacuna_kernels::{KernelError, PanelLayout, Plan, Sign};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::PackedLayers;
use super::activation::kernel_activation;
use super::embedding::{PackedEmbedding, PackedProjection};
use super::heads::Heads;
use super::layer::PackedLayer;
use super::linear::PackedLinear;
use super::norm::PackedNorm;
use crate::config::EncoderConfig;
use crate::packed::{PackedError, PackedFile, Sections};

/// Plans that are loaded are made for this one until it is known where they run.
const ISA: Isa = Isa::Portable;

/// How a linear layer is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "lowercase")]
pub(crate) enum LinearEntry {
    Sparse {
        #[serde(flatten)]
        desc: SpmmDesc,
        schedule: Schedule,
        facts: SpmmFacts,
    },
    Dense {
        #[serde(flatten)]
        desc: GemmDesc,
    },
}

/// How an encoder layer is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LayerEntry {
    q: LinearEntry,
    k: LinearEntry,
    v: LinearEntry,
    o: LinearEntry,
    up: LinearEntry,
    down: LinearEntry,
    /// Zero point of the output of attention.
    attention_zero: u8,
}

/// How all that has kernels is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LayersEntry {
    projection: Option<LinearEntry>,
    layers: Vec<LayerEntry>,
}

impl PackedLayers {
    pub(crate) fn save<'a>(&'a self, sections: &mut Sections<'a>) -> LayersEntry {
        save_norm(&self.embedding.norm, "embedding_norm", sections);
        let projection = self.embedding.projection.as_ref().map(|projection| {
            sections.add("projection.panel", &projection.panel_params);
            projection.linear.save("projection", sections)
        });
        let layers = self.layers.iter().enumerate().map(|(i, layer)| layer.save(i, sections)).collect();
        LayersEntry { projection, layers }
    }

    pub(crate) fn load(
        file: &PackedFile,
        config: &EncoderConfig,
        entry: &LayersEntry,
    ) -> Result<PackedLayers, PackedError> {
        let (found, expected) = (entry.layers.len(), config.layers);
        if found != expected {
            return Err(file.content_error(
                "layers",
                found.to_string(),
                format!("{expected}, as the configuration says"),
            ));
        }
        let layers = entry.layers.par_iter().enumerate().map(|(i, entry)| LoadedLayer::load(file, config, entry, i));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<PanelLayout> = layers.iter().map(|layer| layer.input).collect();
        let nexts = inputs.iter().skip(1).copied().map(Some).chain([None]);
        let finished = layers.into_iter().zip(nexts).enumerate();
        let finished = finished.map(|(i, (layer, next))| layer.finish(file, config, i, next));
        let embedding = load_embedding(file, config, entry.projection.as_ref(), inputs[0])?;
        Ok(PackedLayers { embedding, layers: finished.collect::<Result<_, _>>()? })
    }

    /// The same with plans for another instruction set.
    pub(crate) fn for_isa(&self, isa: Isa) -> Result<PackedLayers, KernelError> {
        let embedding = &self.embedding;
        let projection = embedding.projection.as_ref().map(|projection| {
            let panel =
                ElementwiseDesc { features: projection.panel.features(), function: projection.panel.function() };
            Ok::<_, KernelError>(PackedProjection {
                linear: projection.linear.for_isa(isa)?,
                panel: panel.plan(isa)?,
                panel_params: projection.panel_params.clone(),
            })
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
    first: PanelLayout,
) -> Result<PackedEmbedding, PackedError> {
    let features = config.embedding_features();
    if projection.is_some() != config.projects_embeddings() {
        let found = if projection.is_some() { "one" } else { "none" };
        let expected = format!("one exactly if embeddings of {features} features are not of {}", config.hidden_size);
        return Err(file.content_error("projection", found.into(), expected));
    }
    let in_embedding = |source| file.weights_error("embedding", source);
    let (output, projection) = match projection {
        None => (LayerNormOutput::Both(first), None),
        Some(entry) => {
            let linear = PackedLinear::load(entry, "projection", file)?;
            linear.expect(file, "projection", config.hidden_size, features, |_| Epilogue::f32(false))?;
            let function = RowFunction::Quantize {
                activation: epilogue::Activation::Identity,
                layout: first,
                sign: Sign::Unsigned,
            };
            let panel = ElementwiseDesc { features: config.hidden_size, function }.plan(ISA).map_err(in_embedding)?;
            let panel_params: Vec<lacuna_kernels::elementwise::QuantParams> =
                file.elements("projection.panel", config.hidden_size)?;
            check_finite(file, "projection.panel", bytemuck::cast_slice(&panel_params))?;
            (LayerNormOutput::Panel(linear.input()), Some(PackedProjection { linear, panel, panel_params }))
        }
    };
    Ok(PackedEmbedding {
        embedding: EmbeddingDesc { features }.plan(ISA).map_err(in_embedding)?,
        norm: load_norm(file, "embedding_norm", LayerNormDesc { features, output }, config.layer_norm_eps)?,
        projection,
    })
}

impl PackedLayer {
    fn save<'a>(&'a self, index: usize, sections: &mut Sections<'a>) -> LayerEntry {
        let name = |part: &str| format!("layers.{index}.{part}");
        let mut linear = |linear: &'a PackedLinear, part| linear.save(&name(part), sections);
        let entry = LayerEntry {
            q: linear(&self.q, "q"),
            k: linear(&self.k, "k"),
            v: linear(&self.v, "v"),
            o: linear(&self.o, "o"),
            up: linear(&self.up, "up"),
            down: linear(&self.down, "down"),
            attention_zero: self.attention_params.out_zero,
        };
        sections.add(name("attention.score_scale"), &self.attention_params.score_scale);
        sections.add(name("attention.q_zero"), &self.attention_params.q_zero);
        sections.add(name("attention.out_scale"), &self.attention_params.out_scale);
        save_norm(&self.attention_norm, &name("attention_norm"), sections);
        save_norm(&self.output_norm, &name("output_norm"), sections);
        entry
    }

    fn for_isa(&self, isa: Isa) -> Result<PackedLayer, KernelError> {
        Ok(PackedLayer {
            heads: self.heads,
            attention_params: self.attention_params.clone(),
            q: self.q.for_isa(isa)?,
            k: self.k.for_isa(isa)?,
            v: self.v.for_isa(isa)?,
            attention: self.attention.desc().plan(isa)?,
            o: self.o.for_isa(isa)?,
            attention_norm: norm_for_isa(&self.attention_norm, isa)?,
            up: self.up.for_isa(isa)?,
            down: self.down.for_isa(isa)?,
            output_norm: norm_for_isa(&self.output_norm, isa)?,
        })
    }
}

/// A layer but for what the next one decides.
struct LoadedLayer {
    /// The layout that q, k and v read.
    input: PanelLayout,
    heads: Heads,
    attention_params: AttentionParams,
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
        let name = |part: &str| format!("layers.{index}.{part}");
        let linear = |entry, part| PackedLinear::load(entry, &name(part), file);
        let (q, k, v) = (linear(&entry.q, "q")?, linear(&entry.k, "k")?, linear(&entry.v, "v")?);
        let (o, up, down) = (linear(&entry.o, "o")?, linear(&entry.up, "up")?, linear(&entry.down, "down")?);

        let bytes = |activation, layout, sign| {
            move |found: &Epilogue| Epilogue {
                arithmetic: found.arithmetic, // either
                ..Epilogue::new(activation, Store::Bytes { layout, sign })
            }
        };
        let identity = epilogue::Activation::Identity;
        q.expect(file, &name("q"), features, hidden, bytes(identity, PanelLayout::Vnni, Sign::Unsigned))?;
        k.expect(file, &name("k"), features, hidden, bytes(identity, PanelLayout::Vnni, Sign::Signed))?;
        v.expect(file, &name("v"), features, hidden, bytes(identity, PanelLayout::Plain, Sign::Signed))?;
        o.expect(file, &name("o"), hidden, features, |_| Epilogue::f32(true))?;
        let activation = kernel_activation(config.activation);
        up.expect(file, &name("up"), inner, hidden, bytes(activation, down.input(), Sign::Unsigned))?;
        down.expect(file, &name("down"), hidden, inner, |_| Epilogue::f32(true))?;
        let input = q.input();
        for (linear, part) in [(&k, "k"), (&v, "v")] {
            if linear.input() != input {
                let found = format!("a {} panel as input", linear.input().name());
                return Err(file.content_error(&name(part), found, format!("a {} panel, which q reads", input.name())));
            }
        }
        let attention_params = AttentionParams {
            score_scale: file.elements(&name("attention.score_scale"), heads.count)?,
            q_zero: file.elements(&name("attention.q_zero"), heads.count)?,
            out_scale: file.elements(&name("attention.out_scale"), features)?,
            out_zero: entry.attention_zero,
        };
        Ok(LoadedLayer { input, heads, attention_params, linears: [q, k, v, o, up, down] })
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
        let LoadedLayer { heads, attention_params, linears: [q, k, v, o, up, down], .. } = self;
        let in_attention = |source| file.weights_error(&name("attention"), source);
        let attention =
            AttentionDesc { head_size: heads.padded(), output: o.input() }.plan(ISA).map_err(in_attention)?;
        attention_params.check(&attention).map_err(in_attention)?;
        let norm = |part, output| {
            let desc = LayerNormDesc { features: config.hidden_size, output };
            load_norm(file, &name(part), desc, config.layer_norm_eps)
        };
        Ok(PackedLayer {
            heads,
            attention_params,
            attention,
            attention_norm: norm("attention_norm", LayerNormOutput::Both(up.input()))?,
            output_norm: norm("output_norm", next.map_or(LayerNormOutput::F32, LayerNormOutput::Both))?,
            q,
            k,
            v,
            o,
            up,
            down,
        })
    }
}

impl PackedLinear {
    /// The layout that it reads.
    fn input(&self) -> PanelLayout {
        match self {
            PackedLinear::Sparse(plan, _) => plan.input(),
            PackedLinear::Dense(..) => PanelLayout::Vnni,
        }
    }

    fn save<'a>(&'a self, name: &str, sections: &mut Sections<'a>) -> LinearEntry {
        let mut add = |names: &[&str], all: &[&'a [u8]]| {
            names.iter().zip(all).for_each(|(part, bytes)| sections.add(format!("{name}.{part}"), bytes));
        };
        match self {
            PackedLinear::Sparse(plan, weights) => {
                add(&SpmmWeights::SECTIONS, &weights.sections());
                LinearEntry::Sparse { desc: plan.desc(), schedule: *plan.schedule(), facts: weights.facts() }
            }
            PackedLinear::Dense(plan, weights) => {
                add(&GemmWeights::SECTIONS, &weights.sections());
                LinearEntry::Dense { desc: plan.desc() }
            }
        }
    }

    fn load(entry: &LinearEntry, name: &str, file: &PackedFile) -> Result<PackedLinear, PackedError> {
        let failed = |source| file.weights_error(name, source);
        let section = |part: &str| file.section(&format!("{name}.{part}"));
        match entry {
            LinearEntry::Sparse { desc, schedule, facts } => {
                let [indices, weights, rows, params] = SpmmWeights::SECTIONS.map(section);
                let plan = desc.plan(ISA).map_err(failed)?.with_schedule(*schedule).ok_or_else(|| {
                    let expected = format!("one that {} blocks can have", desc.block);
                    file.content_error(&format!("{name}: schedule"), schedule.name(), expected)
                })?;
                let weights = SpmmWeights::from_sections(&plan, *facts, [indices?, weights?, rows?, params?]);
                Ok(PackedLinear::Sparse(plan, weights.map_err(failed)?))
            }
            LinearEntry::Dense { desc } => {
                let [weights, params] = GemmWeights::SECTIONS.map(section);
                let plan = desc.plan(ISA).map_err(failed)?;
                Ok(PackedLinear::Dense(plan, GemmWeights::from_sections(&plan, [weights?, params?]).map_err(failed)?))
            }
        }
    }

    /// Refuses another shape or epilogue than the model's, which `expected` makes from the one found.
    fn expect(
        &self,
        file: &PackedFile,
        name: &str,
        m: usize,
        k: usize,
        expected: impl Fn(&Epilogue) -> Epilogue,
    ) -> Result<(), PackedError> {
        let (found_m, found_k, found) = match self {
            PackedLinear::Sparse(plan, _) => (plan.m(), plan.k(), plan.epilogue()),
            PackedLinear::Dense(plan, _) => (plan.m(), plan.k(), plan.epilogue()),
        };
        let expected = expected(found);
        if (found_m, found_k, found) == (m, k, &expected) {
            return Ok(());
        }
        let say = |m, k, epilogue: &Epilogue| format!("{m} x {k} weights for {}", epilogue.name());
        Err(file.content_error(name, say(found_m, found_k, found), say(m, k, &expected)))
    }

    fn for_isa(&self, isa: Isa) -> Result<PackedLinear, KernelError> {
        Ok(match self {
            PackedLinear::Sparse(plan, weights) => {
                let wanted = plan.desc().plan(isa)?;
                let plan = wanted.with_schedule(*plan.schedule()).ok_or_else(|| KernelError::Mismatch {
                    kernel: wanted.name(),
                    found: format!("schedule {}", plan.schedule().name()),
                    expected: "one that the kernel can have".into(),
                })?;
                PackedLinear::Sparse(plan, weights.clone())
            }
            PackedLinear::Dense(plan, weights) => PackedLinear::Dense(plan.desc().plan(isa)?, weights.clone()),
        })
    }
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
