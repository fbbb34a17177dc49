//! The embedding, the layernorm behind it, and the projection to the width of the layers where there is one.

use lacuna_kernels::elementwise::{ElementwiseDesc, ElementwiseKernel, ElementwisePlan, QuantParams};
use lacuna_kernels::embedding::{EmbedLayerNorm, EmbeddingDesc, EmbeddingKernel, EmbeddingPlan};
use lacuna_kernels::epilogue::Activation;
use lacuna_kernels::layernorm::{LayerNormDesc, LayerNormPlan, LayerNormWeights as NormRows};
use lacuna_kernels::{Sign, Sink};

use super::choose::Chooser;
use super::input::InputPlan;
use super::layer::LayerPlan;
use super::linear::{CompiledLinear, LinearPlan, PackedLinear};
use super::norm::{Norm, PackedNorm};
use super::precision::{Producer, Target};
use super::source::{Source, Stored};
use super::{CompiledSet, KernelSet};
use crate::calibrated::CalibratedModel;
use crate::error::{Error, Result};
use crate::precision::Precision;
use crate::quantize::{ActivationQuant, QuantizedLinear};
use crate::report::LinearReport;
use crate::weights::Linear;

/// The plans of the kernels before the first layer.
pub(super) struct EmbeddingPlans<'a> {
    embedding: EmbeddingPlan,
    /// Writes what the first layer reads, or what the projection does.
    norm: LayerNormPlan,
    projection: Option<ProjectionPlans<'a>>,
}

/// `x = projection(embedded)` in int8, then the panel of x if the first layer reads one.
struct ProjectionPlans<'a> {
    quantized: QuantizedLinear,
    float: &'a Linear,
    linear: LinearPlan,
    panel: Option<ElementwisePlan>,
}

impl<'a> EmbeddingPlans<'a> {
    pub(super) fn new(
        calibrated: &'a CalibratedModel,
        first: &LayerPlan,
        chooser: &Chooser<'_>,
    ) -> Result<EmbeddingPlans<'a>> {
        let isa = chooser.isa;
        let features = calibrated.model().config().embedding_features();
        let float = calibrated.model().weights().embeddings.projection.as_ref();
        let ((f32, panel), projection) = match calibrated.quantize_projection().zip(float) {
            None => ((true, first.inputs[0].panel()), None),
            Some((quantized, float)) => {
                let source = Source { quantized: &quantized, float, stored: Stored::AsIs };
                let target = Target::F32(Activation::Identity);
                let mut group = chooser.group(Precision::Static, Producer::Other, &[(source, target)])?;
                let panel = |layout| {
                    ElementwiseDesc { features: quantized.m, sink: Sink::bytes(layout, Sign::Unsigned) }.plan(isa)
                };
                let panel = first.inputs[0].panel().map(panel).transpose()?;
                let output = match group.input {
                    InputPlan::Panel(layout) => (false, Some(layout)),
                    _ => (true, None),
                };
                let projection = group.linears.pop().map(|linear| ProjectionPlans { quantized, float, linear, panel });
                (output, projection)
            }
        };
        Ok(EmbeddingPlans {
            embedding: EmbeddingDesc { features }.plan(isa)?,
            norm: LayerNormDesc { features, f32, panel }.plan(isa)?,
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

impl ProjectionPlans<'_> {
    fn pack(self, panel: &ActivationQuant) -> Result<PackedProjection> {
        let zero = f32::from(panel.zero_point);
        let params = || panel.scale.iter().map(|scale| QuantParams { scale: 1.0 / scale, zero }).collect();
        let source = Source { quantized: &self.quantized, float: self.float, stored: Stored::AsIs };
        Ok(PackedProjection { linear: self.linear.pack(source)?, panel: self.panel.map(|plan| (plan, params())) })
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
    pub(super) panel: Option<(ElementwisePlan, Vec<QuantParams>)>,
}

impl PackedEmbedding {
    pub(super) fn request(&self, kernels: &mut KernelSet) {
        kernels.request(&self.embedding);
        self.norm.request(kernels);
        if let Some(projection) = &self.projection {
            projection.linear.request(kernels);
            projection.panel.iter().for_each(|(plan, _)| kernels.request(plan));
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
        let panel = |(plan, params)| Ok::<_, Error>((ElementwiseKernel::new(plan, kernels.get(&plan))?, params));
        Ok(Projection { linear: self.linear.attach(kernels)?, panel: self.panel.map(panel).transpose()? })
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
    /// Unless the first layer reads no panel.
    pub(crate) panel: Option<(ElementwiseKernel, Vec<QuantParams>)>,
}

impl CompiledEmbedding {
    pub(super) fn report(&self) -> Option<LinearReport> {
        self.projection.as_ref().map(|projection| projection.linear.report(0, "projection"))
    }
}
