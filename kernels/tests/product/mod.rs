//! What the tests of SpMM and GEMM share: operands, every epilogue, and the comparison with the scalar reference.
#![allow(dead_code)] // every test uses a part

pub(crate) mod errors;

use lacuna_kernels::epilogue::{Activation, Arithmetic, Epilogue, RowParams, Store};
use lacuna_kernels::layout::{elements, f32_index};
use lacuna_kernels::reference::gemm::{Matrix, finish_bytes, finish_f32, gemm};
use lacuna_kernels::spmm::{SpmmKernel, SpmmWeights};
use lacuna_kernels::{ActivationBits, KernelError, Output, PanelLayout, Parallel, Plan};
use rand::prelude::*;

use crate::support::Guarded;
pub(crate) use crate::support::Place;

/// Feature counts around the block, the group, the register block and the tile.
pub(crate) const FEATURES: [usize; 12] = [1, 2, 3, 4, 5, 7, 8, 12, 13, 26, 64, 65];
/// Token counts around one vector, two, three, and one tile, two.
pub(crate) const TOKENS: [usize; 15] = [1, 15, 16, 17, 31, 32, 33, 48, 49, 63, 64, 65, 127, 128, 130];

/// What the numbers of a case are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Any bytes; outputs over all of their range and a little beyond.
    Typical,
    /// Weights at the ends of s8, activations at the ends of u8, multipliers up to what is allowed, of both signs and zero.
    Extreme,
}

/// A product to compute, with its exact accumulators.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    /// Row-major `[m][k]`.
    pub(crate) weights: Vec<i8>,
    pub(crate) params: Vec<RowParams>,
    /// Parameters that 16-bit arithmetic accepts, of every activation.
    fixed: Vec<(Activation, Vec<RowParams>)>,
    pub(crate) x: Matrix<u8>,
    /// Bits of the codes of x.
    pub(crate) bits: ActivationBits,
    /// What a residual epilogue adds to.
    pub(crate) residual: Matrix<f32>,
    acc: Matrix<i32>,
}

impl Case {
    /// Random operands; `weights` are masked by [`crate::support::mask_blocks`] or whatever the test is about before they come here.
    pub(crate) fn new(m: usize, n: usize, weights: Vec<i8>, numbers: Numbers, rng: &mut StdRng) -> Case {
        let k = weights.len() / m;
        let x = Matrix::from_fn(k, n, |_, _| match numbers {
            Numbers::Typical => rng.random(),
            Numbers::Extreme => *[0, 1, 127, 128, 254, 255].choose(rng).unwrap(),
        });
        let residual = Matrix::from_fn(m, n, |_, _| rng.random_range(-1000.0..1000.0));
        let acc = gemm(&weights, m, &x);
        let largest = acc.values.iter().map(|a| a.unsigned_abs()).max().unwrap_or(0).max(1) as f32;
        let params = (0..m).map(|_| row_params(k, largest, numbers, rng)).collect();
        let mut fixed = |activation| (0..m).map(|_| fixed_row_params(k, largest, activation, numbers, rng)).collect();
        let fixed = Activation::ALL.into_iter().map(|activation| (activation, fixed(activation))).collect();
        Case { m, k, n, weights, params, fixed, x, bits: ActivationBits::Eight, residual, acc }
    }

    /// The same with codes of so many bits: of seven, half of each.
    pub(crate) fn of(mut self, bits: ActivationBits) -> Case {
        if bits == ActivationBits::Seven {
            self.x.values.iter_mut().for_each(|x| *x /= 2);
        }
        Case { bits, ..self }.recomputed()
    }

    /// The same after its weights or x were changed.
    pub(crate) fn recomputed(self) -> Case {
        Case { acc: gemm(&self.weights, self.m, &self.x), ..self }
    }

    /// The parameters for an epilogue.
    pub(crate) fn params_of(&self, epilogue: &Epilogue) -> &[RowParams] {
        match epilogue.arithmetic {
            Arithmetic::F32 => &self.params,
            Arithmetic::I16 => {
                &self
                    .fixed
                    .iter()
                    .find(|(activation, _)| *activation == epilogue.sink.activation)
                    .expect("all are there")
                    .1
            }
        }
    }

    /// The panel of x between guard pages, with garbage in its padding.
    pub(crate) fn x_panel(&self, layout: PanelLayout, place: Place) -> Guarded<u8> {
        let mut panel = place.buffer(elements(self.k, self.n), 1);
        self.x.write(|k, feature, token| layout.index(k, feature, token), &mut panel);
        panel
    }

    /// Lets `run` fill a garbage-filled output between guard pages and compares every element with the reference, bit by bit.
    #[track_caller]
    pub(crate) fn check(
        &self,
        epilogue: &Epilogue,
        place: Place,
        what: &str,
        run: impl FnOnce(Output<'_>) -> Result<(), KernelError>,
    ) {
        let (m, n, len) = (self.m, self.n, elements(self.m, self.n));
        match epilogue.sink.store {
            Store::Bytes { layout, sign } => {
                let mut out = place.buffer::<u8>(len, 2);
                run(Output::Bytes(&mut out)).unwrap();
                let found = Matrix::from_panel(layout, m, n, &out);
                assert_same(&found, &finish_bytes(&self.acc, self.params_of(epilogue), epilogue, sign), what);
            }
            Store::F32 { .. } => {
                let mut out = place.buffer::<f32>(len, 2);
                self.residual.write(f32_index, &mut out);
                run(Output::F32(&mut out)).unwrap();
                let bits = |x: Matrix<f32>| Matrix::from_fn(m, n, |row, token| x.at(row, token).to_bits());
                let expected = finish_f32(&self.acc, &self.params, epilogue, &self.residual);
                assert_same(&bits(Matrix::from_tile(m, n, &out)), &bits(expected), what);
            }
            Store::Bf16 => panic!("{what}: no integer product stores bf16"),
        }
    }
}

/// `count` weights.
pub(crate) fn weights(count: usize, numbers: Numbers, rng: &mut StdRng) -> Vec<i8> {
    (0..count)
        .map(|_| match numbers {
            Numbers::Typical => rng.random(),
            Numbers::Extreme => *[-128, -127, -1, 0, 1, 127].choose(rng).unwrap(),
        })
        .collect()
}

fn row_params(k: usize, largest: f32, numbers: Numbers, rng: &mut StdRng) -> RowParams {
    match numbers {
        // y within +-8, where GELU bends; requantised to about 0..255 (or with no activation: y within +-300).
        Numbers::Typical => {
            let y = if rng.random_bool(0.5) { 8.0 } else { 300.0 };
            RowParams {
                multiplier: y / largest * rng.random_range(-1.0..1.0f32),
                addend: y * rng.random_range(-0.5..0.5f32),
                out_scale: 256.0 / y * rng.random_range(-1.0..1.0f32),
                out_zero: rng.random_range(-128..=255i32) as f32,
            }
        }
        Numbers::Extreme => {
            // |multiplier| 255 128 K stays a little below 2^31.
            let limit = 0.99 * 2f32.powi(31) / (255.0 * 128.0 * k as f32);
            RowParams {
                multiplier: limit * rng.random_range(-1..=1i32) as f32,
                addend: rng.random_range(-255..=255i32) as f32,
                out_scale: *[-1.0, -0.5, 0.0, 0.5, 1.0].choose(rng).unwrap(),
                out_zero: rng.random_range(-128..=255i32) as f32,
            }
        }
    }
}

/// Like [`row_params`], within what 16-bit arithmetic can say.
fn fixed_row_params(k: usize, largest: f32, activation: Activation, numbers: Numbers, rng: &mut StdRng) -> RowParams {
    let (out_scale, out_zero) = match (activation, numbers) {
        (Activation::Identity, _) => (1.0, 0.0),
        (_, Numbers::Typical) => (rng.random_range(10.0..80.0f32), rng.random_range(0..20) as f32),
        (Activation::Relu, Numbers::Extreme) => {
            let out_scale = 10f32.powf(rng.random_range(-2.0..=4.0));
            (*[1.0, out_scale, 0.0].choose(rng).unwrap(), rng.random_range(-255..=255) as f32)
        }
        (Activation::Gelu | Activation::GeluTanh, Numbers::Extreme) => {
            let out_scale = 8.0 * 250f32.powf(rng.random_range(0.0..=1.0));
            (*[8.0, 2000.0, out_scale, 0.0].choose(rng).unwrap(), rng.random_range(-255..=255) as f32)
        }
    };
    let unit = if out_scale == 0.0 { 1.0 } else { out_scale }; // of the results that the linear part is in
    let y = if rng.random_bool(0.5) { 100.0 } else { 400.0 };
    let (multiplier, addend) = match numbers {
        Numbers::Typical => (y / largest * rng.random_range(-1.0..1.0f32), y * rng.random_range(-0.5..0.5f32)),
        Numbers::Extreme => {
            // Multipliers at both ends and at powers of two, where the fraction is 1/2 or rounds up to 1.
            let power = 2f32.powi(-rng.random_range(7..26));
            let below = f32::from_bits(power.to_bits() - 1);
            let multiplier = *[0.0, 0.0156, 1e-30, power, below, -power, -below].choose(rng).unwrap();
            (multiplier, *[0.0, -400.0, 0.5, 127.5, 1000.0].choose(rng).unwrap())
        }
    };
    let multiplier = multiplier.clamp(-0.0156, 0.0156);
    // Addend and zero point may be as many accumulator units as s32 leaves beside the largest accumulator.
    let reach = 0.99 * multiplier.abs() * (2f32.powi(31) - 255.0 * 128.0 * k as f32) - out_zero.abs() - 256.0;
    let multiplier = if reach < 0.0 { 0.0 } else { multiplier };
    let addend = if reach < 0.0 { addend } else { addend.clamp(-reach, reach) };
    RowParams { multiplier: multiplier / unit, addend: addend / unit, out_scale, out_zero }
}

#[track_caller]
fn assert_same<T: bytemuck::Pod + PartialEq + std::fmt::Debug>(found: &Matrix<T>, expected: &Matrix<T>, what: &str) {
    if let Some(i) = (0..expected.values.len()).find(|&i| found.values[i] != expected.values[i]) {
        let wrong = (0..expected.values.len()).filter(|&i| found.values[i] != expected.values[i]).count();
        let (row, token) = (i / expected.columns, i % expected.columns);
        panic!(
            "{what}: output feature {row}, token {token} is {:?}, expected {:?} (and {} more of {} differ)",
            found.values[i],
            expected.values[i],
            wrong - 1,
            expected.values.len(),
        );
    }
}

/// Runs the product of `case` on a sparse kernel, with weights packed for it, and checks every output.
#[track_caller]
pub(crate) fn check_spmm(case: &Case, kernel: &SpmmKernel, place: Place, parallel: Parallel) {
    let plan = kernel.plan();
    let packed = SpmmWeights::pack(plan, &case.weights, case.params_of(plan.epilogue())).unwrap();
    let x = case.x_panel(plan.input(), place);
    let what = format!("{} on {} tokens, {parallel:?}", plan.name(), case.n);
    case.check(plan.epilogue(), place, &what, |out| kernel.run(&packed, &x, case.n, out, parallel));
}
