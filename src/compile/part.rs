//! A kernel with the parameters that it reads, on its way to code: planned, compiled, attached to its code.

use std::collections::HashMap;

use lacuna_jit::Isa;
use lacuna_kernels::attention::AttentionKernel;
use lacuna_kernels::cache::{AnyPlan, CompileStats, Compiled, KernelCache};
use lacuna_kernels::dynamic::{ColumnQuantKernel, ColumnRescaleDesc, ColumnRescaleKernel};
use lacuna_kernels::elementwise::{ElementwiseDesc, ElementwiseKernel};
use lacuna_kernels::embedding::{EmbedLayerNorm, EmbeddingDesc, EmbeddingKernel, EmbeddingPlan};
use lacuna_kernels::layernorm::{LayerNormKernel, LayerNormPlan};
use lacuna_kernels::{Generate, KernelError};

/// A kernel's plan with the parameters that the kernel reads.
pub(crate) struct PackedPart<K: Kernel, W> {
    pub(super) plan: K::Plan,
    pub(super) weights: W,
}

/// A kernel with the parameters that it reads.
pub(crate) struct ReadyPart<K, W> {
    pub(crate) kernel: K,
    pub(crate) weights: W,
}

impl<K: Kernel, W: Clone> PackedPart<K, W> {
    /// The same with a plan for another instruction set.
    pub(super) fn for_isa(&self, isa: Isa) -> Result<PackedPart<K, W>, KernelError> {
        Ok(PackedPart { plan: K::for_isa(&self.plan, isa)?, weights: self.weights.clone() })
    }

    pub(super) fn request(&self, kernels: &mut KernelSet) {
        K::request(&self.plan, kernels);
    }

    pub(super) fn attach(self, kernels: &CompiledSet) -> Result<ReadyPart<K, W>, KernelError> {
        Ok(ReadyPart { kernel: K::attach(self.plan, kernels)?, weights: self.weights })
    }
}

/// What all kernels have in common on their way to code.
pub(crate) trait Kernel: Sized {
    /// What it is made from.
    type Plan;

    /// The same plan for another instruction set.
    fn for_isa(plan: &Self::Plan, isa: Isa) -> Result<Self::Plan, KernelError>;

    /// Asks for the code of the plan.
    fn request(plan: &Self::Plan, kernels: &mut KernelSet);

    /// The kernel, with the code that was asked for.
    fn attach(plan: Self::Plan, kernels: &CompiledSet) -> Result<Self, KernelError>;
}

/// `kernel!(Kernel: Plan, |plan, isa| the plan for isa)`: a kernel with one plan.
macro_rules! kernel {
    ($kernel:ty: $plan:ty, |$old:ident, $isa:ident| $for_isa:expr) => {
        impl $crate::compile::part::Kernel for $kernel {
            type Plan = $plan;

            fn for_isa($old: &$plan, $isa: lacuna_jit::Isa) -> Result<$plan, lacuna_kernels::KernelError> {
                $for_isa
            }

            fn request(plan: &$plan, kernels: &mut $crate::compile::part::KernelSet) {
                kernels.request(plan);
            }

            fn attach(
                plan: $plan,
                kernels: &$crate::compile::part::CompiledSet,
            ) -> Result<$kernel, lacuna_kernels::KernelError> {
                <$kernel>::new(plan, kernels.get(&plan))
            }
        }
    };
}
pub(super) use kernel;

kernel!(AttentionKernel: lacuna_kernels::attention::AttentionPlan, |plan, isa| plan.desc().plan(isa));
kernel!(LayerNormKernel: LayerNormPlan, |plan, isa| plan.desc().plan(isa));
kernel!(ColumnQuantKernel: lacuna_kernels::dynamic::ColumnQuantPlan, |plan, isa| plan.desc().plan(isa));
kernel!(ColumnRescaleKernel: lacuna_kernels::dynamic::ColumnRescalePlan, |plan, isa| {
    ColumnRescaleDesc { features: plan.features(), sink: *plan.sink() }.plan(isa)
});
kernel!(ElementwiseKernel: lacuna_kernels::elementwise::ElementwisePlan, |plan, isa| {
    ElementwiseDesc { features: plan.features(), sink: *plan.sink() }.plan(isa)
});

impl Kernel for EmbedLayerNorm {
    type Plan = (EmbeddingPlan, LayerNormPlan);

    fn for_isa((embedding, norm): &Self::Plan, isa: Isa) -> Result<Self::Plan, KernelError> {
        Ok((EmbeddingDesc { features: embedding.features() }.plan(isa)?, norm.desc().plan(isa)?))
    }

    fn request((embedding, norm): &Self::Plan, kernels: &mut KernelSet) {
        kernels.request(embedding);
        kernels.request(norm);
    }

    fn attach((embedding, norm): Self::Plan, kernels: &CompiledSet) -> Result<EmbedLayerNorm, KernelError> {
        let embedding = EmbeddingKernel::new(embedding, kernels.get(&embedding))?;
        EmbedLayerNorm::new(embedding, LayerNormKernel::new(norm, kernels.get(&norm))?)
    }
}

/// The plans of a model, compiled together.
#[derive(Default)]
pub(crate) struct KernelSet {
    plans: Vec<AnyPlan>,
}

impl KernelSet {
    pub(super) fn request(&mut self, plan: &impl Generate) {
        self.plans.push(plan.key());
    }

    pub(super) fn compile(self) -> Result<CompiledSet, KernelError> {
        let (compiled, stats) = KernelCache::global().compile(&self.plans)?;
        Ok(CompiledSet { compiled: self.plans.into_iter().zip(compiled).collect(), stats })
    }
}

/// The compiled plans of a model.
pub(crate) struct CompiledSet {
    compiled: HashMap<AnyPlan, Compiled>,
    pub(super) stats: CompileStats,
}

impl CompiledSet {
    /// The code of a plan that was requested.
    pub(super) fn get(&self, plan: &impl Generate) -> Compiled {
        // A plan that was not requested has no code, which its kernel's constructor reports by name.
        self.compiled.get(&plan.key()).cloned().unwrap_or(Compiled::NONE)
    }
}
