//! Layer normalisations: what they write, and their parameters.

use lacuna_kernels::layernorm::{LayerNormKernel, LayerNormPlan, LayerNormWeights as NormRows, NormParams};

use super::{CompiledSet, KernelSet};
use crate::error::Result;
use crate::quantize::ActivationQuant;
use crate::weights::LayerNorm;

/// A layernorm, packed.
pub(super) struct PackedNorm {
    pub(super) plan: LayerNormPlan,
    pub(super) weights: NormRows,
}

impl PackedNorm {
    /// `panel` is the quantisation of what reads it, used if the plan writes a panel.
    pub(super) fn pack(
        plan: LayerNormPlan,
        weights: &LayerNorm,
        panel: Option<&ActivationQuant>,
        epsilon: f32,
    ) -> Result<PackedNorm> {
        let panel = panel.filter(|_| plan.output().panel().is_some());
        let rows: Vec<NormParams> = (0..weights.gamma.len())
            .map(|f| NormParams {
                gamma: weights.gamma[f],
                beta: weights.beta[f],
                out_scale: panel.map_or(0.0, |quant| 1.0 / quant.scale[f]),
                out_zero: panel.map_or(0.0, |quant| f32::from(quant.zero_point)),
            })
            .collect();
        Ok(PackedNorm { plan, weights: NormRows::pack(&plan, &rows, epsilon)? })
    }

    pub(super) fn request(&self, kernels: &mut KernelSet) {
        kernels.request(&self.plan);
    }

    pub(super) fn attach(self, kernels: &CompiledSet) -> Result<Norm> {
        let PackedNorm { plan, weights } = self;
        Ok(Norm { kernel: LayerNormKernel::new(plan, kernels.get(&plan))?, weights })
    }
}

/// A layernorm, ready to run.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) kernel: LayerNormKernel,
    pub(crate) weights: NormRows,
}
