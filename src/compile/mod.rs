//! From a calibrated model to a compiled encoder: quantise, choose forms, pack, generate, seal.

mod activation;
mod choose;
mod embedding;
mod float;
mod heads;
mod input;
mod layer;
mod linear;
mod norm;
mod params;
mod precision;
mod source;
mod stored;
mod tables;

use std::time::{Duration, Instant};

use lacuna_jit::{Isa, Tier};
use lacuna_kernels::Generate;
use lacuna_kernels::cache::{AnyPlan, CompileStats, Compiled, KernelCache};
use lacuna_kernels::spmm::{Tuning, TuningTable};
use rayon::prelude::*;

use self::activation::kernel_activation;
use self::choose::Chooser;
use self::embedding::{EmbeddingPlans, PackedEmbedding};
use self::layer::{LayerPlan, LayerSource, PackedLayer};
use crate::calibrated::CalibratedModel;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::packed::{Origin, PackedModel};
use crate::quantize::QuantizedLayer;
use crate::report::{CompiledLinears, LinearReport, Phase};

pub(crate) use embedding::CompiledEmbedding;
pub(crate) use input::{Forms, Input, Operand};
pub(crate) use layer::CompiledLayer;
pub(crate) use linear::Destination;
pub(crate) use norm::Norm;
pub(crate) use stored::LayersEntry;
pub(crate) use tables::{Tables, WORD};

/// Which kernels run the linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Form {
    /// Per activation tensor, what is predicted to be fastest for the layers that read it: 4x1, 4x4 or 1x4 blocks, or dense.
    #[default]
    Auto,
    /// Dense int8 everywhere: the baseline that sparsity must beat.
    Dense,
    /// Sparse 4x1 everywhere, whatever the density; with rows reordered where the zeros are not in 4x1 blocks.
    Sparse,
}

/// How [`CalibratedModel::compile_with`] compiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CompileOptions {
    /// The tier to compile for; `None` takes `LACUNA_TIER` or the best of this machine.
    pub tier: Option<Tier>,
    /// Which kernels run the linear layers.
    pub form: Form,
    /// How the schedules of sparse kernels are chosen.
    pub tuning: Tuning,
}

impl CompileOptions {
    /// For a tier by name.
    pub fn with_tier(self, tier: Option<Tier>) -> CompileOptions {
        CompileOptions { tier, ..self }
    }

    /// With a form for all linear layers.
    pub fn with_form(self, form: Form) -> CompileOptions {
        CompileOptions { form, ..self }
    }

    /// With another way to choose schedules.
    pub fn with_tuning(self, tuning: Tuning) -> CompileOptions {
        CompileOptions { tuning, ..self }
    }
}

impl CalibratedModel {
    /// Compiles the encoder for this machine with default options.
    ///
    /// # Errors
    /// Those of [`CalibratedModel::compile_with`].
    pub fn compile(&self) -> Result<Encoder> {
        self.compile_with(CompileOptions::default())
    }

    /// Quantises, plans and packs all layers in parallel on the current rayon pool, then generates a kernel for every distinct
    /// shape and epilogue and seals the code once.
    ///
    /// # Errors
    /// [`Error::Kernel`] if a tier was asked for that this machine does not provide, or a kernel cannot be planned, generated or
    /// made executable. Nothing falls back by itself: choose another tier by name.
    pub fn compile_with(&self, options: CompileOptions) -> Result<Encoder> {
        match options.tuning {
            Tuning::Fast => self.compile_all(options, None),
            _ => self.compile_tuned(options, &mut TuningTable::default()),
        }
    }

    /// As [`CalibratedModel::compile_with`], with the schedules that `table` holds; those it does not hold are chosen as
    /// [`CompileOptions::tuning`] says, and added.
    ///
    /// # Errors
    /// Those of [`CalibratedModel::compile_with`].
    pub fn compile_tuned(&self, options: CompileOptions, table: &mut TuningTable) -> Result<Encoder> {
        self.compile_all(options, Some(table))
    }

    fn compile_all(&self, options: CompileOptions, table: Option<&mut TuningTable>) -> Result<Encoder> {
        let _span = tracing::info_span!("compile").entered();
        self.pack_encoder(options, table)?.attach(options.tier)
    }

    /// Everything but code and head.
    pub(crate) fn pack_encoder(&self, options: CompileOptions, table: Option<&mut TuningTable>) -> Result<PackedModel> {
        let tier = Tier::select(options.tier)?;
        let isa = Isa::for_tier(tier);
        let mut phases = Phases::new();

        let model = &self.model;
        let activation = kernel_activation(model.config().activation);
        let quantized: Vec<_> = (0..model.config().layers).into_par_iter().map(|i| self.quantize_layer(i)).collect();
        phases.end("quantise");

        let chooser = Chooser::new(options.form, isa, options.tuning, table);
        let sources: Vec<LayerSource<'_>> = quantized.iter().enumerate().map(|(i, q)| self.source(i, q)).collect();
        let plan = |source: &LayerSource<'_>| LayerPlan::new(*source, activation, &chooser);
        let mut plans = match chooser.measures() {
            true => sources.iter().map(plan).collect::<Result<Vec<_>>>()?,
            false => sources.par_iter().map(plan).collect::<Result<Vec<_>>>()?,
        };
        for i in 1..plans.len() {
            let (before, next) = plans.split_at_mut(i);
            before[i - 1].feed(&next[0]);
        }
        let embedding = EmbeddingPlans::new(self, &plans[0], &chooser)?;
        phases.end("plan");

        let epsilon = model.config().layer_norm_eps;
        let layers = plans
            .into_par_iter()
            .zip(&sources)
            .map(|(plan, source)| plan.pack(*source, epsilon))
            .collect::<Result<Vec<_>>>()?;
        let layers = PackedLayers { embedding: embedding.pack(self)?, layers };
        let tables = Tables::of(&model.weights().embeddings)?;
        phases.end("pack");

        let before = model.timings();
        let before = [("read", before.read), ("prune", before.prune), ("calibrate", before.calibrate)];
        let before = before.into_iter().map(|(name, duration)| Phase { name, duration });
        let origin = Origin {
            phases: before.chain(phases.list).collect(),
            truncated: self.truncated_sentences(),
            notes: model.notes().to_vec(),
            pruning: model.pruning(),
            precision: self.precision().to_vec(),
        };
        let tokenizer = model.tokenizer().cloned();
        Ok(PackedModel::new(model.config().clone(), tables, layers, tokenizer, model.pooling().clone(), origin))
    }
}

impl CalibratedModel {
    /// What layer `i` is made of.
    fn source<'a>(&'a self, i: usize, quantized: &'a QuantizedLayer) -> LayerSource<'a> {
        LayerSource {
            quantized,
            float: &self.model.weights().layers[i],
            quant: &self.quant[i],
            next: self.quant.get(i + 1),
            precision: self.precision[i],
            head_size: self.model.config().head_size(),
        }
    }
}

/// The layers of a model as they are stored: decisions and packed weights, no code.
pub(crate) struct PackedLayers {
    embedding: PackedEmbedding,
    layers: Vec<PackedLayer>,
}

/// All that has code.
pub(crate) struct CompiledLayers {
    pub(crate) embedding: CompiledEmbedding,
    pub(crate) layers: Vec<CompiledLayer>,
    pub(crate) stats: CompileStats,
    pub(crate) linears: CompiledLinears,
}

impl PackedLayers {
    /// Generates the kernels, for the instruction set that the plans are made for, and pairs plans and weights with their code. Adds
    /// the phases that it has.
    pub(crate) fn compile(self, list: &mut Vec<Phase>) -> Result<CompiledLayers> {
        let mut phases = Phases::new();
        let kernels = self.kernels()?;
        let (embedding, layers) = self.attach(&kernels)?;
        phases.split("emit", kernels.stats.emit, "seal");
        list.extend(phases.list);
        let linears = CompiledLinears { layers: linear_reports(&layers), projection: embedding.report() };
        Ok(CompiledLayers { embedding, layers, stats: kernels.stats, linears })
    }

    /// Generates a kernel for every distinct plan.
    fn kernels(&self) -> Result<CompiledSet> {
        let mut kernels = KernelSet::default();
        self.layers.iter().for_each(|layer| layer.request(&mut kernels));
        self.embedding.request(&mut kernels);
        kernels.compile()
    }

    /// Pairs plans and weights with their code.
    fn attach(self, kernels: &CompiledSet) -> Result<(CompiledEmbedding, Vec<CompiledLayer>)> {
        let layers = self.layers.into_iter().map(|layer| layer.attach(kernels)).collect::<Result<_>>()?;
        Ok((self.embedding.attach(kernels)?, layers))
    }
}

fn linear_reports(layers: &[CompiledLayer]) -> Vec<LinearReport> {
    layers.iter().enumerate().flat_map(|(i, layer)| layer.reports(i)).collect()
}

/// Wall times of the phases, in order.
pub(crate) struct Phases {
    start: Instant,
    pub(crate) list: Vec<Phase>,
}

impl Phases {
    pub(crate) fn new() -> Phases {
        Phases { start: Instant::now(), list: Vec::new() }
    }

    /// Ends the phase that began when the last one ended.
    pub(crate) fn end(&mut self, name: &'static str) {
        let duration = self.start.elapsed();
        tracing::info!(phase = name, ?duration);
        self.list.push(Phase { name, duration });
        self.start = Instant::now();
    }

    /// Ends two phases at once: `first` of known duration, `second` the rest.
    fn split(&mut self, first: &'static str, duration: Duration, second: &'static str) {
        self.end(second);
        if let Some(rest) = self.list.pop() {
            self.list.push(Phase { name: first, duration });
            self.list.push(Phase { name: second, duration: rest.duration.saturating_sub(duration) });
        }
    }
}

/// The plans of a model, compiled together.
#[derive(Default)]
pub(crate) struct KernelSet {
    plans: Vec<AnyPlan>,
}

impl KernelSet {
    pub(crate) fn request(&mut self, plan: &impl Generate) {
        self.plans.push(plan.key());
    }

    fn compile(self) -> Result<CompiledSet> {
        let (compiled, stats) = KernelCache::global().compile(&self.plans)?;
        Ok(CompiledSet { compiled: self.plans.into_iter().zip(compiled).collect(), stats })
    }
}

/// The compiled plans of a model.
pub(crate) struct CompiledSet {
    compiled: std::collections::HashMap<AnyPlan, Compiled>,
    stats: CompileStats,
}

impl CompiledSet {
    /// The code of a plan that was requested.
    pub(crate) fn get(&self, plan: &impl Generate) -> Compiled {
        // A plan that was not requested has no code, which its kernel's constructor reports by name.
        self.compiled.get(&plan.key()).cloned().unwrap_or(Compiled::NONE)
    }
}

impl From<lacuna_jit::JitError> for Error {
    fn from(error: lacuna_jit::JitError) -> Error {
        Error::Kernel(error.into())
    }
}
