//! The embedding, the layernorm behind it, and the projection to the width of the layers where there is one.

use lacuna_jit::Isa;
use lacuna_kernels::Sign;
use lacuna_kernels::elementwise::{ElementwiseDesc, ElementwiseKernel, ElementwisePlan, QuantParams, RowFunction};
use lacuna_kernels::embedding::{EmbedLayerNorm, EmbeddingDesc, EmbeddingKernel, EmbeddingPlan};
use lacuna_kernels::epilogue::{Activation, Epilogue, RowParams};
use lacuna_kernels::layernorm::{LayerNormDesc, LayerNormOutput, LayerNormPlan, LayerNormWeights as NormRows};

use super::choose::{Chooser, Layer};
use super::layer::LayerPlan;
use super::linear::{CompiledLinear, IntegerPlan, PackedLinear};
use super::norm::{Norm, PackedNorm};
use super::{CompiledSet, KernelSet, params};
use crate::error::Result;
use crate::model::CalibratedModel;
use crate::quantize::{ActivationQuant, QuantizedLinear};
use crate::report::LinearReport;

/// The plans of the kernels before the first layer.
pub(super) struct EmbeddingPlans {
    embedding: EmbeddingPlan,
    /// Writes the panel that the first layer reads, or that the projection does.
    norm: LayerNormPlan,
    projection: Option<ProjectionPlans>,
}

/// `x = projection(embedded)` in int8, then the panel of x.
struct ProjectionPlans {
    quantized: QuantizedLinear,
    params: Vec<RowParams>,
    linear: IntegerPlan,
    panel: ElementwisePlan,
}

impl EmbeddingPlans {
    pub(super) fn new(
        calibrated: &CalibratedModel,
        first: &LayerPlan,
        chooser: &Chooser<'_>,
        isa: Isa,
    ) -> Result<EmbeddingPlans> {
        let features = calibrated.model().config().embedding_features();
        let (output, projection) = match calibrated.quantize_projection() {
            None => (LayerNormOutput::Both(first.input), None),
            Some(quantized) => {
                let (m, k, params) = (quantized.m, quantized.k, params::f32_params(&quantized));
                let weights = &quantized.weight;
                let epilogue = Epilogue::f32(false);
                let (input, plans) = chooser.choose(&[Layer { m, k, weights, params: &params, epilogue }])?;
                let (layout, sign) = (first.input, Sign::Unsigned);
                let function = RowFunction::Quantize { activation: Activation::Identity, layout, sign };
                let panel = ElementwiseDesc { features: m, function }.plan(isa)?;
                let linear = plans[0];
                (LayerNormOutput::Panel(input), Some(ProjectionPlans { quantized, params, linear, panel }))
            }
        };
        Ok(EmbeddingPlans {
            embedding: EmbeddingDesc { features }.plan(isa)?,
            norm: LayerNormDesc { features, output }.plan(isa)?,
            projection,
        })
    }

    /// Packs their parameters.
    pub(super) fn pack(self, calibrated: &CalibratedModel) -> Result<PackedEmbedding> {
        let model = calibrated.model();
        let first = &calibrated.quant()[0].attn_in;
        let read = calibrated.projection_quant().unwrap_or(first);
        let (weights, epsilon) = (&model.weights().embeddings.norm, model.config().layer_norm_eps);
        Ok(PackedEmbedding {
            embedding: self.embedding,
            norm: PackedNorm::pack(self.norm, weights, Some(read), epsilon)?,
            projection: self.projection.map(|projection| projection.pack(first)).transpose()?,
        })
    }
}

impl ProjectionPlans {
    fn pack(self, panel: &ActivationQuant) -> Result<PackedProjection> {
        let zero = f32::from(panel.zero_point);
        Ok(PackedProjection {
            linear: self.linear.pack(&self.quantized.weight, &self.params)?,
            panel: self.panel,
            panel_params: panel.scale.iter().map(|scale| QuantParams { scale: 1.0 / scale, zero }).collect(),
        })
    }
}

/// What runs before the first layer as it is stored: all that it needs but code.
pub(super) struct PackedEmbedding {
    pub(super) embedding: EmbeddingPlan,
    pub(super) norm: PackedNorm,
    pub(super) projection: Option<PackedProjection>,
}

pub(super) struct PackedProjection {
    pub(super) linear: PackedLinear,
    pub(super) panel: ElementwisePlan,
    pub(super) panel_params: Vec<QuantParams>,
}

impl PackedEmbedding {
    pub(super) fn request(&self, kernels: &mut KernelSet) {
        kernels.request(&self.embedding);
        self.norm.request(kernels);
        if let Some(projection) = &self.projection {
            projection.linear.request(kernels);
            kernels.request(&projection.panel);
        }
    }

    pub(super) fn attach(self, kernels: &CompiledSet) -> Result<CompiledEmbedding> {
        let embedding = EmbeddingKernel::new(self.embedding, kernels.get(&self.embedding))?;
        let Norm { kernel, weights } = self.norm.attach(kernels)?;
        Ok(CompiledEmbedding {
            kernel: EmbedLayerNorm::new(embedding, kernel)?,
            norm: weights,
            projection: self.projection.map(|projection| projection.attach(kernels)).transpose()?,
        })
    }
}

impl PackedProjection {
    fn attach(self, kernels: &CompiledSet) -> Result<Projection> {
        Ok(Projection {
            linear: self.linear.attach(kernels)?,
            panel: ElementwiseKernel::new(self.panel, kernels.get(&self.panel))?,
            panel_params: self.panel_params,
        })
    }
}

/// What runs before the first layer, ready to run.
#[derive(Debug)]
pub(crate) struct CompiledEmbedding {
    pub(crate) kernel: EmbedLayerNorm,
    pub(crate) norm: NormRows,
    pub(crate) projection: Option<Projection>,
}

/// The projection of the embeddings, and the quantisation of what it gives.
#[derive(Debug)]
pub(crate) struct Projection {
    pub(crate) linear: CompiledLinear,
    pub(crate) panel: ElementwiseKernel,
    pub(crate) panel_params: Vec<QuantParams>,
}

impl CompiledEmbedding {
    pub(super) fn report(&self) -> Option<LinearReport> {
        self.projection.as_ref().map(|projection| projection.linear.report(0, "projection"))
    }
}
