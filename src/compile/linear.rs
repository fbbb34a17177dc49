//! One linear layer: its form, its parameters, its kernel.

use lacuna_kernels::epilogue::RowParams;
use lacuna_kernels::gemm::{GemmKernel, GemmPlan, GemmWeights};
use lacuna_kernels::spmm::{SpmmKernel, SpmmPlan, SpmmWeights};
use lacuna_kernels::{Block, Output, Parallel, Plan};

use super::{CompiledSet, KernelSet};
use crate::error::Result;
use crate::report::LinearReport;

/// The plan of a linear layer.
#[derive(Debug, Clone, Copy)]
pub(super) enum IntegerPlan {
    Sparse(SpmmPlan),
    Dense(GemmPlan),
}

impl IntegerPlan {
    /// Packs row-major `[m][k]` weights and their row parameters.
    pub(super) fn pack(self, weights: &[i8], params: &[RowParams]) -> Result<PackedLinear> {
        Ok(match self {
            IntegerPlan::Sparse(plan) => PackedLinear::Sparse(plan, SpmmWeights::pack(&plan, weights, params)?),
            IntegerPlan::Dense(plan) => PackedLinear::Dense(plan, GemmWeights::pack(&plan, weights, params)?),
        })
    }
}

/// A linear layer as it is stored: all that it needs but code.
pub(super) enum PackedLinear {
    Sparse(SpmmPlan, SpmmWeights),
    Dense(GemmPlan, GemmWeights),
}

impl PackedLinear {
    pub(super) fn request(&self, kernels: &mut KernelSet) {
        match self {
            PackedLinear::Sparse(plan, _) => kernels.request(plan),
            PackedLinear::Dense(plan, _) => kernels.request(plan),
        }
    }

    pub(super) fn attach(self, kernels: &CompiledSet) -> Result<CompiledLinear> {
        Ok(match self {
            PackedLinear::Sparse(plan, weights) => {
                CompiledLinear::Sparse(SpmmKernel::new(plan, kernels.get(&plan))?, weights)
            }
            PackedLinear::Dense(plan, weights) => {
                CompiledLinear::Dense(GemmKernel::new(plan, kernels.get(&plan))?, weights)
            }
        })
    }
}

/// A linear layer ready to run.
#[derive(Debug)]
pub(crate) enum CompiledLinear {
    Sparse(SpmmKernel, SpmmWeights),
    Dense(GemmKernel, GemmWeights),
}

impl CompiledLinear {
    pub(crate) fn run(&self, x: &[u8], tokens: usize, out: Output<'_>, parallel: Parallel) -> Result<()> {
        match self {
            CompiledLinear::Sparse(kernel, weights) => kernel.run(weights, x, tokens, out, parallel)?,
            CompiledLinear::Dense(kernel, weights) => kernel.run(weights, x, tokens, out, parallel)?,
        }
        Ok(())
    }

    pub(super) fn report(&self, layer: usize, name: &'static str) -> LinearReport {
        match self {
            CompiledLinear::Sparse(kernel, weights) => LinearReport {
                layer,
                name,
                m: kernel.plan().m(),
                k: kernel.plan().k(),
                density: weights.density(),
                fill_ratio: weights.fill_ratio(),
                form: match kernel.plan().block() {
                    Block::B1x4 => "sparse 1x4",
                    Block::B4x4 => "sparse 4x4",
                    Block::Unstructured => "sparse 4x1 reordered",
                    _ => "sparse 4x1",
                },
                kernel: kernel.plan().name(),
                weight_bytes: weights.bytes(),
            },
            CompiledLinear::Dense(kernel, weights) => LinearReport {
                layer,
                name,
                m: kernel.plan().m(),
                k: kernel.plan().k(),
                density: 1.0,
                fill_ratio: 1.0,
                form: "dense",
                kernel: kernel.plan().name(),
                weight_bytes: weights.bytes(),
            },
        }
    }
}
