//! One linear layer: its form, its parameters, its kernel.

use lacuna_kernels::epilogue::RowParams;
use lacuna_kernels::gemm::{GemmKernel, GemmPlan, GemmWeights};
use lacuna_kernels::spmm::{SpmmKernel, SpmmPlan, SpmmWeights};
use lacuna_kernels::{Block, Output, Parallel, Plan};

use super::{CompiledSet, KernelSet};
use crate::error::Result;
use crate::quantize::QuantizedLinear;
use crate::report::LinearReport;

/// The plan of a linear layer.
#[derive(Debug, Clone, Copy)]
pub(super) enum LinearPlan {
    Sparse(SpmmPlan),
    Dense(GemmPlan),
}

impl LinearPlan {
    pub(super) fn request(&self, kernels: &mut KernelSet) {
        match self {
            LinearPlan::Sparse(plan) => kernels.request(plan),
            LinearPlan::Dense(plan) => kernels.request(plan),
        }
    }

    pub(super) fn build(self, weights: &[i8], params: &[RowParams], kernels: &CompiledSet) -> Result<CompiledLinear> {
        Ok(match self {
            LinearPlan::Sparse(plan) => {
                let packed = SpmmWeights::pack(&plan, weights, params)?;
                CompiledLinear::Sparse(SpmmKernel::new(plan, kernels.get(&plan))?, packed)
            }
            LinearPlan::Dense(plan) => {
                let packed = GemmWeights::pack(&plan, weights, params)?;
                CompiledLinear::Dense(GemmKernel::new(plan, kernels.get(&plan))?, packed)
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

/// `y[m] = multiplier[m] acc[m] + addend[m]` of a quantised layer, in units of y. A row of zeros has no accumulator to scale:
/// its multiplier is 0, whatever scale its weights were given.
fn scale_and_addend(linear: &QuantizedLinear, row: usize) -> (f32, f32) {
    let weights = &linear.weight[row * linear.k..][..linear.k];
    if weights.iter().all(|&w| w == 0) {
        return (0.0, linear.bias[row]);
    }
    let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
    let scale = linear.weight_scale[row];
    let zero = f64::from(scale) * f64::from(linear.input_zero_point) * sum as f64;
    (scale, (f64::from(linear.bias[row]) - zero) as f32)
}

/// Parameters of f32 output.
pub(super) fn f32_params(linear: &QuantizedLinear) -> Vec<RowParams> {
    (0..linear.m)
        .map(|row| {
            let (multiplier, addend) = scale_and_addend(linear, row);
            RowParams { multiplier, addend, ..RowParams::default() }
        })
        .collect()
}

/// Parameters of 8-bit output without activation: `q = y / scale(m) + zero`.
pub(super) fn requantize_params(linear: &QuantizedLinear, scale: impl Fn(usize) -> f32, zero: u8) -> Vec<RowParams> {
    (0..linear.m)
        .map(|row| {
            let (multiplier, addend) = scale_and_addend(linear, row);
            let scale = scale(row);
            RowParams {
                multiplier: multiplier / scale,
                addend: addend / scale + f32::from(zero),
                ..RowParams::default()
            }
        })
        .collect()
}

/// Parameters of 8-bit output behind an activation.
pub(super) fn activation_params(linear: &QuantizedLinear, scale: &[f32], zero: u8) -> Vec<RowParams> {
    let mut params = f32_params(linear);
    for (p, &scale) in params.iter_mut().zip(scale) {
        p.out_scale = 1.0 / scale;
        p.out_zero = f32::from(zero);
    }
    params
}
