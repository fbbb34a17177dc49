//! Products of f32 and bf16.

use std::rc::Rc;

use lacuna_kernels::epilogue::Activation;
use lacuna_kernels::float::{DType, FloatDesc, FloatInput, FloatKernel, FloatPlan, FloatWeights, bf16, bf16_index};
use lacuna_kernels::layout::{elements, f32_index};
use lacuna_kernels::reference::gemm::Matrix as Dense;
use lacuna_kernels::reference::rows::activated;
use lacuna_kernels::{Buffer, Generate, Output, Parallel, Sink, Store};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::call::{Call, Matrix, Products, Variant};
use super::problem::{checked_rows, each_kept_weight, residual};
use crate::error::Result;
use crate::timing::Work;

/// Weights of one product, packed for its kernels.
pub struct FloatMatrix {
    m: usize,
    k: usize,
    dtype: DType,
    sink: Sink,
    /// Row-major `[m][k]`, values that bf16 has.
    values: Vec<f32>,
    bias: Vec<f32>,
    kernels: Vec<(FloatKernel, FloatWeights)>,
}

impl FloatMatrix {
    /// Packs random weights of which the fraction `sparsity` of blocks is zero, for every plan of `desc`.
    ///
    /// # Errors
    /// Those of packing and compiling.
    pub fn seeded(desc: &FloatDesc, plans: &[FloatPlan], sparsity: f64, seed: u64) -> Result<FloatMatrix> {
        let FloatDesc { m, k, block, .. } = *desc;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut values = vec![0.0; m * k];
        let density = each_kept_weight(m, k, block, sparsity, &mut rng, |rng, at| {
            let magnitude = bf16_value(rng.random_range(0.25..1.0f32));
            values[at] = if rng.random() { magnitude } else { -magnitude };
        });
        // Sums of about 1.
        let scale = bf16_value(1.0 / (density as f32 * k as f32).max(1.0).sqrt());
        values.iter_mut().for_each(|w| *w = bf16_value(*w * scale));
        let bias = (0..m).map(|_| rng.random_range(-0.5..0.5f32)).collect();
        FloatMatrix::pack(desc, values, bias, plans)
    }

    /// Packs weights `[m][k]` for every plan of `desc`.
    ///
    /// # Errors
    /// Those of packing and compiling.
    pub fn pack(desc: &FloatDesc, values: Vec<f32>, bias: Vec<f32>, plans: &[FloatPlan]) -> Result<FloatMatrix> {
        let FloatDesc { m, k, dtype, sink, .. } = *desc;
        let mut matrix = FloatMatrix { m, k, dtype, sink, values, bias, kernels: Vec::with_capacity(plans.len()) };
        for plan in plans {
            let packed = FloatWeights::pack(plan, &matrix.values, &matrix.bias)?;
            matrix.kernels.push((FloatKernel::compile(*plan)?, packed));
        }
        Ok(matrix)
    }
}

/// The nearest value that bf16 has: the same operands for both types, and exact ones.
fn bf16_value(x: f32) -> f32 {
    bf16::from_f32(x).to_f32()
}

impl Matrix for FloatMatrix {
    fn nnz(&self) -> usize {
        self.values.iter().filter(|&&w| w != 0.0).count()
    }

    fn products<'a>(&'a self, tokens: usize, seed: u64, parallel: Parallel<'a>) -> Result<Products<'a>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Ok(self
            .products_of(Dense::from_fn(self.k, tokens, |_, _| bf16_value(rng.random_range(-2.0..2.0f32))), parallel))
    }
}

impl FloatMatrix {
    /// The products with given activations, K x N.
    pub fn products_of<'a>(&'a self, x: Dense<f32>, parallel: Parallel<'a>) -> Products<'a> {
        let tokens = x.columns;
        let panel = Rc::new(match self.dtype {
            DType::F32 => Panel::F32(x.to_tile()),
            DType::Bf16 => {
                let mut panel = vec![bf16::ZERO; elements(self.k, tokens)];
                Dense::from_fn(self.k, tokens, |k, n| bf16::from_f32(x.at(k, n))).write(bf16_index, &mut panel);
                Panel::Bf16(panel)
            }
        });
        let x = Rc::new(x);
        let variant = |(kernel, weights): &'a (FloatKernel, FloatWeights)| {
            let (x, panel, out) = (Rc::clone(&x), Rc::clone(&panel), self.output(tokens));
            Variant {
                key: kernel.plan().key(),
                plan: kernel.plan().to_string(),
                code_bytes: kernel.code().map_or(0, |code| code.bytes.len()),
                fill_ratio: weights.fill_ratio(),
                predicted_cycles: None,
                loops: Vec::new(),
                call: Box::new(FloatCall { matrix: self, kernel, weights, x, panel, out, parallel }),
            }
        };
        Products { variants: self.kernels.iter().map(variant).collect(), intrinsics: None }
    }

    /// Filled with what no kernel computes, or with the residual that it adds to.
    fn output(&self, tokens: usize) -> Panel {
        let len = elements(self.m, tokens);
        match self.sink.store {
            Store::Bf16 => Panel::Bf16(vec![bf16::NAN; len]),
            Store::F32 { residual: false } => {
                let mut out = Buffer::new(len);
                out.fill(f32::NAN);
                Panel::F32(out)
            }
            Store::F32 { residual: true } => Panel::F32(Dense::from_fn(self.m, tokens, residual).to_tile()),
            Store::Bytes { .. } => unreachable!("no product of floats stores codes"),
        }
    }

    /// The exact result, and how far the kernel's may be from it.
    fn expected(&self, row: usize, token: usize, x: &Dense<f32>) -> (f64, f64) {
        let (mut sum, mut magnitude) = (f64::from(self.bias[row]), f64::from(self.bias[row].abs()));
        for (k, &w) in self.values[row * self.k..][..self.k].iter().enumerate().filter(|(_, w)| **w != 0.0) {
            let product = f64::from(w) * f64::from(x.at(k, token));
            sum += product;
            magnitude += product.abs();
        }
        // Each of K additions rounds once, or twice in bf16, by half a unit of 2^-23 of a partial sum.
        let mut error = (self.k + 16) as f64 * 2f64.powi(-23) * magnitude;
        let mut y = activated(self.sink.activation, sum);
        if self.sink.activation != Activation::Identity {
            error = 1.13 * error + 1e-5; // no slope is steeper
        }
        match self.sink.store {
            Store::Bf16 => error += 2f64.powi(-8) * (y.abs() + error),
            Store::F32 { residual: true } => {
                y += f64::from(residual(row, token));
                error += 2f64.powi(-23) * y.abs();
            }
            Store::F32 { residual: false } | Store::Bytes { .. } => {}
        }
        (y, error)
    }
}

/// Activations of either type.
enum Panel {
    F32(Buffer<f32>),
    Bf16(Vec<bf16>),
}

struct FloatCall<'a> {
    matrix: &'a FloatMatrix,
    kernel: &'a FloatKernel,
    weights: &'a FloatWeights,
    x: Rc<Dense<f32>>,
    panel: Rc<Panel>,
    out: Panel,
    parallel: Parallel<'a>,
}

impl Work for FloatCall<'_> {
    fn call(&mut self) -> Result<()> {
        let x = match &*self.panel {
            Panel::F32(x) => FloatInput::F32(x),
            Panel::Bf16(x) => FloatInput::Bf16(x),
        };
        let out = match &mut self.out {
            Panel::F32(out) => Output::F32(out),
            Panel::Bf16(out) => Output::Bf16(out),
        };
        Ok(self.kernel.run(self.weights, x, self.x.columns, out, self.parallel)?)
    }
}

impl Call for FloatCall<'_> {
    fn check(&mut self) -> Result<Option<String>> {
        let (matrix, tokens) = (self.matrix, self.x.columns);
        self.out = matrix.output(tokens);
        self.call()?;
        let rows = checked_rows(matrix.m, 4 * matrix.k * tokens);
        let places = rows.into_iter().flat_map(|row| (0..tokens).map(move |token| (row, token)));
        let wrong = |(row, token): (usize, usize)| {
            let (found, (expected, error)) = (self.value(row, token), matrix.expected(row, token, &self.x));
            let close = (found - expected).abs() <= error;
            (!close).then(|| {
                format!(
                    "feature {row}, token {token}: found {found}, expected {expected} with an error below {error:.1e}"
                )
            })
        };
        Ok(places.into_iter().find_map(wrong))
    }

    fn value(&self, row: usize, token: usize) -> f64 {
        match &self.out {
            Panel::F32(out) => out[f32_index(self.matrix.m, row, token)].into(),
            Panel::Bf16(out) => out[bf16_index(self.matrix.m, row, token)].into(),
        }
    }
}
