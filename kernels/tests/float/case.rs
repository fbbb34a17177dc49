//! Operands of a product of floats, and what is right: sums in f64, with a bound that follows from the documented order
//! of the operations.

use lacuna_jit::Isa;
use lacuna_kernels::float::{DType, FloatDesc, FloatInput, FloatKernel, FloatPlan, FloatWeights, bf16, bf16_index};
use lacuna_kernels::layout::{elements, f32_index};
use lacuna_kernels::{Activation, Block, KernelError, Output, Parallel, Plan, Sink, Store};
use rand::prelude::*;

use crate::assert_same_floats;
pub(crate) use crate::support::Place;
use crate::support::{mask_blocks, tiers_without_avx2};

/// Feature counts around the pair, the row block, the block rows and the tile.
pub(crate) const FEATURES: [usize; 13] = [1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 17, 26, 65];
/// Token counts around one vector, two, three, and one tile, two.
pub(crate) const TOKENS: [usize; 15] = [1, 15, 16, 17, 31, 32, 33, 48, 49, 63, 64, 65, 127, 128, 130];
/// Block shapes that have a kernel.
pub(crate) const BLOCKS: [Block; 5] = [Block::B4x1, Block::B8x1, Block::B16x1, Block::Unstructured, Block::Dense];

/// A product to compute.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    /// Row-major `[m][k]`.
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    /// `[k][n]`.
    pub(crate) x: Vec<f32>,
    /// What a residual sink adds to, `[m][n]`.
    pub(crate) residual: Vec<f32>,
}

/// A weight matrix in which blocks of `rows` x 1 are zero: a block row keeps none, all, or about `density` of its
/// blocks.
pub(crate) fn sparse_weights(m: usize, k: usize, rows: usize, density: f64, rng: &mut StdRng) -> Vec<f32> {
    let mut weights: Vec<f32> = (0..m * k).map(|_| rng.random_range(-2.0..2.0)).collect();
    mask_blocks(&mut weights, k, rows, density, rng);
    weights
}

impl Case {
    pub(crate) fn new(m: usize, n: usize, weights: Vec<f32>, rng: &mut StdRng) -> Case {
        let k = weights.len() / m;
        let mut random = |len: usize| (0..len).map(|_| rng.random_range(-3.0..3.0f32)).collect::<Vec<f32>>();
        Case { m, k, n, weights, bias: random(m), x: random(k * n), residual: random(m * n) }
    }

    /// Random operands with zeros in the blocks of `block`.
    pub(crate) fn sparse(m: usize, k: usize, n: usize, block: Block, density: f64, rng: &mut StdRng) -> Case {
        let weights = sparse_weights(m, k, block.outputs(), density, rng);
        Case::new(m, n, weights, rng)
    }

    /// Computes the case on every tier and with every candidate plan; checks that the tiers agree to the bit and that
    /// each result is as close to the exact one as the documentation promises.
    #[track_caller]
    pub(crate) fn check(&self, dtype: DType, block: Block, sink: Sink, place: Place, parallel: Parallel<'_>) {
        for results in self.run_all(dtype, block, sink, place, parallel) {
            for (plan, found) in &results {
                let what = format!("{} on {} tokens, {parallel:?}", plan.name(), self.n);
                self.compare(plan, found, &what);
                assert_same_floats(found, &results[0].1, &what);
            }
        }
    }

    /// Per candidate plan: the results of every tier, `[m][n]`.
    pub(crate) fn run_all(
        &self,
        dtype: DType,
        block: Block,
        sink: Sink,
        place: Place,
        parallel: Parallel<'_>,
    ) -> Vec<Vec<(FloatPlan, Vec<f32>)>> {
        let desc = FloatDesc { m: self.m, k: self.k, dtype, block, sink };
        let mut results: Vec<Vec<(FloatPlan, Vec<f32>)>> = Vec::new();
        for isa in tiers_without_avx2() {
            for (i, plan) in candidates(desc, isa).into_iter().enumerate() {
                let result = (plan, self.run(plan, place, parallel));
                match results.get_mut(i) {
                    Some(same) => same.push(result),
                    None => results.push(vec![result]),
                }
            }
        }
        results
    }

    /// The results of `plan`, `[m][n]`; buffers are flush with guard pages, garbage in all padding and in the output.
    pub(crate) fn run(&self, plan: FloatPlan, place: Place, parallel: Parallel<'_>) -> Vec<f32> {
        let &Case { m, k, n, .. } = self;
        let kernel = FloatKernel::compile(plan).unwrap();
        let weights = FloatWeights::pack(&plan, &self.weights, &self.bias).unwrap();
        let (len, out_len) = (elements(k, n), elements(m, n));
        let (mut x_f32, mut x_bf16) = (place.buffer::<f32>(len, 1), place.buffer::<bf16>(len, 1));
        let (mut out_f32, mut out_bf16) = (place.buffer::<f32>(out_len, 2), place.buffer::<bf16>(out_len, 2));
        let x = match plan.dtype() {
            DType::F32 => {
                (0..k * n).for_each(|i| x_f32[f32_index(k, i / n, i % n)] = self.x[i]);
                FloatInput::F32(&x_f32)
            }
            DType::Bf16 => {
                (0..k * n).for_each(|i| x_bf16[bf16_index(k, i / n, i % n)] = bf16::from_f32(self.x[i]));
                FloatInput::Bf16(&x_bf16)
            }
        };
        match plan.sink().store {
            Store::F32 { .. } => {
                (0..m * n).for_each(|i| out_f32[f32_index(m, i / n, i % n)] = self.residual[i]);
                kernel.run(&weights, x, n, Output::F32(&mut out_f32), parallel).unwrap();
                (0..m * n).map(|i| out_f32[f32_index(m, i / n, i % n)]).collect()
            }
            Store::Bf16 => {
                kernel.run(&weights, x, n, Output::Bf16(&mut out_bf16), parallel).unwrap();
                (0..m * n).map(|i| out_bf16[bf16_index(m, i / n, i % n)].to_f32()).collect()
            }
            Store::Bytes { .. } => panic!("no product of floats stores bytes"),
        }
    }

    #[track_caller]
    fn compare(&self, plan: &FloatPlan, found: &[f32], what: &str) {
        let rounded = |value: f32| match plan.dtype() {
            DType::F32 => f64::from(value),
            DType::Bf16 => bf16::from_f32(value).to_f64(),
        };
        // Roundings on the way of one product into its sum: one per product, one per chain that is added.
        let roundings = (self.k + 4) as f64;
        let unit = 2f64.powi(-24);
        let gamma = roundings * unit / (1.0 - roundings * unit);
        for (i, &found) in found.iter().enumerate() {
            let (row, token) = (i / self.n, i % self.n);
            let (mut sum, mut magnitude) = (f64::from(self.bias[row]), f64::from(self.bias[row]).abs());
            for column in 0..self.k {
                let product = rounded(self.weights[row * self.k + column]) * rounded(self.x[column * self.n + token]);
                sum += product;
                magnitude += product.abs();
            }
            let mut bound = gamma * magnitude + roundings * 2f64.powi(-126);
            let gelu = match plan.sink().activation {
                Activation::Identity => None,
                Activation::Relu => {
                    sum = sum.max(0.0);
                    None
                }
                Activation::Gelu => Some(gelu(sum)),
                Activation::GeluTanh => Some(gelu_tanh(sum)),
            };
            if let Some(gelu) = gelu {
                (sum, bound) = (gelu, 1.13 * bound + 2.5e-6 + unit * gelu.abs());
            }
            match plan.sink().store {
                Store::F32 { residual: false } => {}
                Store::F32 { residual: true } => {
                    sum += f64::from(self.residual[i]);
                    bound += unit * (sum.abs() + bound);
                }
                Store::Bf16 => bound += 2f64.powi(-8) * (sum.abs() + bound),
                Store::Bytes { .. } => panic!("{what} stores bytes"),
            }
            let error = (f64::from(found) - sum).abs();
            assert!(
                error <= bound,
                "{what}: output feature {row}, token {token} is {found:e}, expected {sum:e}: off by {error:e}, {bound:e} allowed",
            );
        }
    }
}

/// The candidates for `desc` on `isa`; none, which is printed, where the CPU lacks an extension they need.
pub(crate) fn candidates(desc: FloatDesc, isa: Isa) -> Vec<FloatPlan> {
    match desc.candidates(isa) {
        Err(error @ KernelError::Feature { .. }) => {
            eprintln!("skipped: {error}");
            Vec::new()
        }
        plans => plans.unwrap(),
    }
}

/// x / (1 + exp(-2 u)), which is x (1 + tanh(u)) / 2.
fn gelu_tanh(x: f64) -> f64 {
    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
    x / (1.0 + (-2.0 * u).exp())
}

/// x Phi(x), with the error function by its Taylor series near 0 and by its continued fraction elsewhere.
fn gelu(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let erf = if z < 2.0 {
        let (mut term, mut sum) = (z, z);
        for n in 1..60 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let fraction = (1..60).rev().fold(0.0, |tail, n| f64::from(n) / 2.0 / (z + tail));
        1.0 - (-z * z).exp() / (std::f64::consts::PI.sqrt() * (z + fraction))
    };
    0.5 * x * (1.0 + erf.copysign(x))
}
