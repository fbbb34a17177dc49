//! A model as a list of steps, in the order they run.

use lacuna_jit::Isa;
use lacuna_kernels::KernelError;
use lacuna_kernels::attention::{AttentionKernel, AttentionParams};
use lacuna_kernels::dynamic::{ColumnQuantKernel, ColumnRescaleKernel, FeatureScales, RescaleRows};
use lacuna_kernels::elementwise::{ElementwiseKernel, QuantParams};
use lacuna_kernels::embedding::EmbedLayerNorm;
use lacuna_kernels::layernorm::{LayerNormKernel, NormRows};
use lacuna_model::Precision;

use super::names::LinearName;
use super::part::{CompiledSet, KernelSet};
use super::stage::Stage;
use super::state::{Packed, Planned, Ready, State};
use super::tensor::{Format, Place, Tensor};
use crate::loaded::LinearReport;

/// One step of a model.
pub(crate) struct Step<S: State> {
    /// The name of its section, or how the names of its sections begin.
    pub(crate) name: String,
    /// What its time counts as.
    pub(crate) stage: Stage,
    pub(crate) op: Op<S>,
}

/// What a step does.
pub(crate) enum Op<S: State> {
    /// `to = norm(word + type + position)`: f32 tile and panel, as the layernorm says.
    Embed { part: S::Part<EmbedLayerNorm, NormRows>, to: Place },
    /// Codes of a tensor with a scale per token, from its f32 tile.
    QuantizeTokens { part: S::Part<ColumnQuantKernel, FeatureScales>, from: Place },
    /// The bf16 panel of a tensor, from its f32 tile.
    Round { from: Place },
    /// The product of a linear layer, which computes in `precision`.
    Product { product: S::Product, linear: LinearName, precision: Precision, from: Place, to: Place },
    /// Results from sums of codes with a scale per token. The sums are replaced where `from` and `to` are the same.
    Rescale { part: S::Part<ColumnRescaleKernel, RescaleRows>, from: Place, to: Place },
    /// Codes with calibrated scales, from an f32 tile.
    Quantize { part: S::Part<ElementwiseKernel, Vec<QuantParams>>, from: Place, to: Place },
    /// The layer normalisation of an f32 tile, in place, with a panel if the plan says so.
    Norm { part: S::Part<LayerNormKernel, NormRows>, of: Place },
    /// `attended = attention(query, key, value)`, each a panel of so many features. No other step knows sequences.
    Attend { part: S::Part<AttentionKernel, AttentionParams>, features: usize },
}

impl Step<Planned<'_>> {
    /// Packs the weights.
    pub(super) fn pack(self) -> Result<Step<Packed>, KernelError> {
        let Step { name, stage, op } = self;
        let op = match op {
            Op::Product { product, linear, precision, from, to } => {
                Op::Product { product: product.pack()?, linear, precision, from, to }
            }
            Op::Embed { part, to } => Op::Embed { part, to },
            Op::QuantizeTokens { part, from } => Op::QuantizeTokens { part, from },
            Op::Round { from } => Op::Round { from },
            Op::Rescale { part, from, to } => Op::Rescale { part, from, to },
            Op::Quantize { part, from, to } => Op::Quantize { part, from, to },
            Op::Norm { part, of } => Op::Norm { part, of },
            Op::Attend { part, features } => Op::Attend { part, features },
        };
        Ok(Step { name, stage, op })
    }
}

impl Step<Packed> {
    /// The same with plans for another instruction set.
    pub(super) fn for_isa(&self, isa: Isa) -> Result<Step<Packed>, KernelError> {
        let op = match &self.op {
            Op::Embed { part, to } => Op::Embed { part: part.for_isa(isa)?, to: *to },
            Op::QuantizeTokens { part, from } => Op::QuantizeTokens { part: part.for_isa(isa)?, from: *from },
            Op::Round { from } => Op::Round { from: *from },
            Op::Product { product, linear, precision, from, to } => {
                let product = product.for_isa(isa)?;
                Op::Product { product, linear: *linear, precision: *precision, from: *from, to: *to }
            }
            Op::Rescale { part, from, to } => Op::Rescale { part: part.for_isa(isa)?, from: *from, to: *to },
            Op::Quantize { part, from, to } => Op::Quantize { part: part.for_isa(isa)?, from: *from, to: *to },
            Op::Norm { part, of } => Op::Norm { part: part.for_isa(isa)?, of: *of },
            Op::Attend { part, features } => Op::Attend { part: part.for_isa(isa)?, features: *features },
        };
        Ok(Step { name: self.name.clone(), stage: self.stage, op })
    }

    /// Asks for the code that it needs.
    pub(super) fn request(&self, kernels: &mut KernelSet) {
        match &self.op {
            Op::Embed { part, .. } => part.request(kernels),
            Op::QuantizeTokens { part, .. } => part.request(kernels),
            Op::Round { .. } => {}
            Op::Product { product, .. } => product.request(kernels),
            Op::Rescale { part, .. } => part.request(kernels),
            Op::Quantize { part, .. } => part.request(kernels),
            Op::Norm { part, .. } => part.request(kernels),
            Op::Attend { part, .. } => part.request(kernels),
        }
    }

    /// Pairs it with its code.
    pub(super) fn attach(self, kernels: &CompiledSet) -> Result<Step<Ready>, KernelError> {
        let Step { name, stage, op } = self;
        let op = match op {
            Op::Embed { part, to } => Op::Embed { part: part.attach(kernels)?, to },
            Op::QuantizeTokens { part, from } => Op::QuantizeTokens { part: part.attach(kernels)?, from },
            Op::Round { from } => Op::Round { from },
            Op::Product { product, linear, precision, from, to } => {
                Op::Product { product: product.attach(kernels)?, linear, precision, from, to }
            }
            Op::Rescale { part, from, to } => Op::Rescale { part: part.attach(kernels)?, from, to },
            Op::Quantize { part, from, to } => Op::Quantize { part: part.attach(kernels)?, from, to },
            Op::Norm { part, of } => Op::Norm { part: part.attach(kernels)?, of },
            Op::Attend { part, features } => Op::Attend { part: part.attach(kernels)?, features },
        };
        Ok(Step { name, stage, op })
    }
}

impl Step<Ready> {
    /// The buffers that it reads and writes.
    pub(crate) fn places(&self) -> Vec<Place> {
        let panel = |of: &Place, panel: bool| panel.then_some(Place { format: Format::Bytes, ..*of });
        match &self.op {
            Op::Embed { part, to } => {
                let writes_panel = part.kernel.layernorm().plan().panel().is_some();
                [*to].into_iter().chain(panel(to, writes_panel)).collect()
            }
            Op::QuantizeTokens { from, .. } => [*from].into_iter().chain(panel(from, true)).collect(),
            Op::Round { from } => vec![*from, Place { format: Format::Bf16, ..*from }],
            Op::Product { from, to, .. } | Op::Rescale { from, to, .. } | Op::Quantize { from, to, .. } => {
                vec![*from, *to]
            }
            Op::Norm { part, of } => [*of].into_iter().chain(panel(of, part.kernel.plan().panel().is_some())).collect(),
            Op::Attend { features, .. } => {
                let codes = |tensor| Place { tensor, format: Format::Bytes, features: *features };
                Tensor::KEPT.map(codes).to_vec()
            }
        }
    }

    /// Whether it finds scales of tokens.
    pub(crate) fn scales_tokens(&self) -> bool {
        matches!(self.op, Op::QuantizeTokens { .. })
    }

    /// Whether it must see all tokens of a sequence at once.
    pub(crate) fn mixes_tokens(&self) -> bool {
        matches!(self.op, Op::Attend { .. })
    }

    /// Which linear layer it is, and how that runs.
    pub(super) fn report(&self) -> Option<(LinearName, LinearReport)> {
        let Op::Product { product, linear, precision, .. } = &self.op else { return None };
        let layer = match linear {
            LinearName::Projection => 0,
            LinearName::Layer { layer, .. } => *layer,
        };
        Some((*linear, LinearReport::new(layer, linear.short(), *precision, product.report())))
    }
}
