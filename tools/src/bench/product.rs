//! SpMM and dense GEMM behind one face.

use std::time::{Duration, Instant};

use lacuna_jit::{Code, Isa};
use lacuna_kernels::cache::AnyPlan;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::gemm::{GemmDesc, GemmKernel, GemmPlan, GemmWeights};
use lacuna_kernels::spmm::{SpmmDesc, SpmmKernel, SpmmPlan, SpmmWeights};
use lacuna_kernels::{Block, Output, PanelLayout, Parallel, Plan};

use super::problem::Weights;
use crate::error::Result;

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Spmm,
    Gemm,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Spmm => "spmm",
            Kind::Gemm => "gemm",
        }
    }

    /// The layout of X.
    pub(super) fn input(self) -> PanelLayout {
        match self {
            Kind::Spmm => PanelLayout::Plain,
            Kind::Gemm => PanelLayout::Vnni,
        }
    }

    /// The plan for a shape.
    pub(super) fn plan(self, m: usize, k: usize, epilogue: Epilogue, isa: Isa) -> Result<ProductPlan> {
        Ok(match self {
            Kind::Spmm => ProductPlan::Spmm(SpmmDesc { m, k, block: Block::B4x1, epilogue }.plan(isa)?),
            Kind::Gemm => ProductPlan::Gemm(GemmDesc { m, k, epilogue }.plan(isa)?),
        })
    }
}

/// A planned product.
#[derive(Debug, Clone, Copy)]
pub(super) enum ProductPlan {
    Spmm(SpmmPlan),
    Gemm(GemmPlan),
}

impl ProductPlan {
    pub(super) fn name(&self) -> String {
        match self {
            ProductPlan::Spmm(plan) => plan.name(),
            ProductPlan::Gemm(plan) => plan.name(),
        }
    }

    /// The decisions in one line.
    pub(super) fn describe(&self) -> String {
        match self {
            ProductPlan::Spmm(plan) => plan.to_string(),
            ProductPlan::Gemm(plan) => plan.to_string(),
        }
    }

    pub(super) fn key(&self) -> AnyPlan {
        match self {
            ProductPlan::Spmm(plan) => plan.key(),
            ProductPlan::Gemm(plan) => plan.key(),
        }
    }

    pub(super) fn compile(&self, weights: &Weights) -> Result<Product> {
        let (values, params) = (&weights.values, &weights.params);
        Ok(match self {
            ProductPlan::Spmm(plan) => {
                Product::Spmm(SpmmKernel::compile(*plan)?, SpmmWeights::pack(plan, values, params)?)
            }
            ProductPlan::Gemm(plan) => {
                Product::Gemm(GemmKernel::compile(*plan)?, GemmWeights::pack(plan, values, params)?)
            }
        })
    }
}

/// A product ready to run.
pub(super) enum Product {
    Spmm(SpmmKernel, SpmmWeights),
    Gemm(GemmKernel, GemmWeights),
}

impl Product {
    pub(super) fn run(&self, x: &[u8], tokens: usize, out: Output<'_>, parallel: Parallel) -> Result<()> {
        match self {
            Product::Spmm(kernel, weights) => kernel.run(weights, x, tokens, out, parallel)?,
            Product::Gemm(kernel, weights) => kernel.run(weights, x, tokens, out, parallel)?,
        }
        Ok(())
    }

    /// Bytes of generated code; none on tiers without.
    pub(super) fn code_bytes(&self) -> usize {
        let code: Option<&Code> = match self {
            Product::Spmm(kernel, _) => kernel.code(),
            Product::Gemm(kernel, _) => kernel.code(),
        };
        code.map_or(0, |code| code.bytes.len())
    }
}

/// Repeats of an emission, of which the fastest counts: it is a few microseconds long.
const EMISSIONS: usize = 5;

/// How long the emitter of a plan takes; nothing where nothing is emitted.
pub(super) fn emission_time(plan: &AnyPlan) -> Result<Duration> {
    if plan.isa() == Isa::Portable {
        return Ok(Duration::ZERO);
    }
    let mut best = Duration::MAX;
    for _ in 0..EMISSIONS {
        let start = Instant::now();
        let code = plan.emit()?;
        best = best.min(start.elapsed());
        drop(code);
    }
    Ok(best)
}
