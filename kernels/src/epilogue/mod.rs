//! What happens to the s32 accumulators of a GEMM or SpMM before they leave the registers.
//!
//! With `acc[m][n]` exact in s32 and the row's [`RowParams`]:
//!
//! ```text
//! y = fma(acc as f32, multiplier[m], addend[m])
//! y = relu(y), gelu(y) or gelu_tanh(y)             if there is an activation
//! f32 output:    out[m][n] = y                     or out[m][n] + y (residual, in place)
//! 8-bit output:  out[m][n] = saturate(round(y))                              without activation
//!                out[m][n] = saturate(round(fma(y, out_scale[m], out_zero[m])))  with activation
//! ```
//!
//! GELU is [`crate::math::gelu`] for f32 output and [`crate::math::gelu_coarse`], whose error of 5e-5 drowns in the rounding, for
//! 8-bit output. Its tanh form is [`crate::math::gelu_tanh`] and [`crate::math::gelu_tanh_coarse`]: the same instructions on other
//! tables. ReLU is exact.
//!
//! **Numerics** of [`Arithmetic::F32`]: s32 -> f32 and f32 -> s32 round to nearest even, the multiply-add rounds once. A result
//! outside s32 would become `i32::MIN`; [`RowParams::check`] refuses parameters that could produce one.
//!
//! **Numerics** of [`Arithmetic::I16`], for 8-bit output only, which takes a fifth less time than f32, with GELU less than half:
//! without activation or with ReLU every result is within 0.52 of the exact one instead of 0.5; with either form of GELU within
//! 0.5 + 3.5 2^-Q + 0.002 out_scale, where Q is 6 for `out_scale` up to about 70 and one less for each doubling of it, or of multiplier x out_scale beyond 1/64. Not all parameters
//! can be written in 16 bits: [`Epilogue::check`].

mod activation;
mod emit;
mod emit_fixed;
pub(crate) mod fixed;
mod params;
mod portable;
mod store;

use serde::{Deserialize, Serialize};

use crate::{KernelError, PanelLayout, Sign, Sink};

pub use crate::sink::{Activation, Store};
pub(crate) use activation::{Accuracy, emit_activation};
pub(crate) use emit::{Constants, EpilogueRegs, emit_epilogue, emit_start};
pub(crate) use params::{BlockParams, PARAMS};
pub(crate) use portable::finish_block;
pub(crate) use store::{OutputLanes, emit_store_bytes};

/// What the results are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// f32: any parameters, any output.
    F32,
    /// 16-bit fixed point: 8-bit output, and parameters that [`Epilogue::check`] accepts.
    I16,
}

/// Sink and arithmetic of a GEMM or SpMM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Epilogue {
    /// What is done to the result of the linear part, and as what it is stored: as bytes or f32.
    #[serde(flatten)]
    pub sink: Sink,
    /// What it is computed in.
    pub arithmetic: Arithmetic,
}

impl Epilogue {
    /// Requantisation without activation, in f32.
    pub const fn requantize(layout: PanelLayout, sign: Sign) -> Epilogue {
        Epilogue::new(Activation::Identity, Store::Bytes { layout, sign })
    }

    /// GELU, then requantisation, in f32.
    pub const fn gelu(layout: PanelLayout, sign: Sign) -> Epilogue {
        Epilogue::new(Activation::Gelu, Store::Bytes { layout, sign })
    }

    /// f32 output, added to the residual stream if `residual`.
    pub const fn f32(residual: bool) -> Epilogue {
        Epilogue::new(Activation::Identity, Store::F32 { residual })
    }

    /// In f32.
    pub const fn new(activation: Activation, store: Store) -> Epilogue {
        Epilogue { sink: Sink { activation, store }, arithmetic: Arithmetic::F32 }
    }

    /// The same in 16-bit fixed point, which only 8-bit output has.
    pub const fn fixed(self) -> Epilogue {
        Epilogue { arithmetic: Arithmetic::I16, ..self }
    }

    /// Every epilogue there is.
    pub fn all() -> Vec<Epilogue> {
        let stored = Sink::all().into_iter().filter(|sink| sink.store != Store::Bf16);
        let float: Vec<Epilogue> = stored.map(|sink| Epilogue { sink, arithmetic: Arithmetic::F32 }).collect();
        let fixed = float.iter().filter(|e| matches!(e.sink.store, Store::Bytes { .. })).map(|e| e.fixed());
        float.iter().copied().chain(fixed).collect()
    }

    /// The name used in kernel names: `requant-u8-plain`, `gelutanh-u8-vnni`, `f32`, `relu-f32-residual`; in 16-bit arithmetic
    /// `requant16-u8-plain`, `gelutanh16-u8-vnni`.
    pub fn name(&self) -> String {
        let Sink { activation, store } = self.sink;
        let verb = match (activation, store, self.arithmetic) {
            (Activation::Identity, Store::Bytes { .. }, _) | (Activation::Identity, _, Arithmetic::I16) => "requant",
            (activation, ..) => activation.name(),
        };
        let bits = if self.arithmetic == Arithmetic::I16 { "16" } else { "" };
        let store = store.name();
        if verb.is_empty() { store } else { format!("{verb}{bits}-{store}") }
    }

    /// Refuses what no kernel can compute: bf16 output, and 16-bit arithmetic with f32 output.
    pub(crate) fn check_form(&self, kernel: &str) -> Result<(), KernelError> {
        let refused = |found: &str, expected: &str| {
            Err(KernelError::Mismatch { kernel: kernel.to_owned(), found: found.into(), expected: expected.into() })
        };
        match (self.sink.store, self.arithmetic) {
            (Store::Bf16, _) => refused("bf16 output of an integer product", "8-bit or f32 output"),
            (Store::F32 { .. }, Arithmetic::I16) => {
                refused("f32 output in 16-bit arithmetic", "f32 output in f32 arithmetic, or 8-bit output")
            }
            (Store::Bytes { .. }, _) | (Store::F32 { .. }, Arithmetic::F32) => Ok(()),
        }
    }

    /// Checks that rows with these parameters can be computed for K = `k`: by [`RowParams::check`], and in 16-bit arithmetic that
    ///
    /// - |multiplier|, with an activation times `out_scale`, is below 1/64 (GELU: below 1/2),
    /// - |addend / multiplier| + 255 128 K, about, is below 2^31, unless the multiplier is 0,
    /// - with an activation, `out_scale` is not negative (GELU: 0 or between 8 and 2000), and |`out_zero`| at most 255.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] naming the parameter and the row, [`KernelError::Mismatch`] for bf16 output and for f32 output in
    /// 16-bit arithmetic.
    pub fn check(&self, rows: &[RowParams], k: usize, kernel: &str) -> Result<(), KernelError> {
        RowParams::check(rows, k, kernel)?;
        match (self.arithmetic, self.sink.store) {
            (Arithmetic::I16, Store::Bytes { sign, .. }) => {
                fixed::rows(rows, k, self.sink.activation, sign, kernel).map(drop)
            }
            _ => self.check_form(kernel),
        }
    }

    /// This epilogue in 16-bit arithmetic if it has that form and all rows pass [`Epilogue::check`], else in f32.
    pub fn fixed_if_possible(self, rows: &[RowParams], k: usize) -> Epilogue {
        let fixed = self.fixed();
        if fixed.check(rows, k, "").is_ok() { fixed } else { Epilogue { arithmetic: Arithmetic::F32, ..self } }
    }
}

/// Parameters of one output feature, as the kernels read them.
#[derive(Debug, Clone, Copy, PartialEq, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct RowParams {
    /// Scale of the accumulator: weight scale x input scale (/ output scale if there is no activation).
    pub multiplier: f32,
    /// Bias minus the input zero point's share (in output units if there is no activation).
    pub addend: f32,
    /// 1 / output scale. Used with an activation and 8-bit output only.
    pub out_scale: f32,
    /// Output zero point. Used with an activation and 8-bit output only.
    pub out_zero: f32,
}

impl RowParams {
    /// Checks that no result of a K = `k` product can leave the range of s32 before it is saturated: with a largest result
    /// `y = |multiplier| 255 128 K + |addend|`, both y and `y |out_scale| + |out_zero|` must stay below 2^31 - 1024 (a little
    /// less than s32 holds, because they are rounded to f32 on the way), and all parameters must be finite.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] naming the parameter and the row.
    pub fn check(rows: &[RowParams], k: usize, kernel: &str) -> Result<(), KernelError> {
        const LIMIT: f64 = (1u64 << 31) as f64 - 1024.0;
        let error = |parameter, row, found, expected| KernelError::Parameter {
            kernel: kernel.to_owned(),
            parameter,
            row,
            found,
            expected,
        };
        for (row, p) in rows.iter().enumerate() {
            for (parameter, value) in [
                ("multiplier", p.multiplier),
                ("addend", p.addend),
                ("output scale", p.out_scale),
                ("output zero point", p.out_zero),
            ] {
                if !value.is_finite() {
                    return Err(error(parameter, row, value, "a finite number"));
                }
            }
            let [multiplier, addend, scale, zero] =
                [p.multiplier, p.addend, p.out_scale, p.out_zero].map(|value| f64::from(value.abs()));
            let largest = multiplier * 255.0 * 128.0 * k as f64 + addend;
            if largest >= LIMIT {
                let expected = "|multiplier| 255 128 K + |addend| below 2^31 - 1024";
                return Err(error("multiplier", row, p.multiplier, expected));
            }
            if largest * scale + zero >= LIMIT {
                let expected = "(|multiplier| 255 128 K + |addend|) |output scale| + |zero point| below 2^31 - 1024";
                return Err(error("output scale", row, p.out_scale, expected));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(multiplier: f32, addend: f32, out_scale: f32, out_zero: f32) -> Result<(), String> {
        let bad = RowParams { multiplier, addend, out_scale, out_zero };
        RowParams::check(&[RowParams::default(), bad], 1, "kernel").map_err(|error| error.to_string())
    }

    #[test]
    fn results_beyond_s32_are_refused() {
        assert_eq!(check(-65_000.0, 1e6, 1.0, 255.0), Ok(()));
        let multiplier = "kernel: multiplier of row 1 is";
        let scale = "kernel: output scale of row 1 is";
        for (refused, expected) in [
            (check(65_793.0, 0.0, 0.0, 0.0), multiplier), // 2^31 - 128: an f32 just below 2^31
            (check(-65_793.0, 127.0, 0.0, 0.0), multiplier), // 2^31 - 1: 2^31 as an f32
            (check(0.0, 3e9, 0.0, 0.0), multiplier),
            (check(1e-2, 0.0, 1e8, 0.0), scale),
            (check(0.0, 0.0, 0.0, -3e9), scale),
        ] {
            let message = refused.unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn parameters_must_be_finite() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (place, name) in ["multiplier", "addend", "output scale", "output zero point"].into_iter().enumerate() {
                let mut p = [0.0; 4];
                p[place] = value;
                let message = check(p[0], p[1], p[2], p[3]).unwrap_err();
                assert_eq!(message, format!("kernel: {name} of row 1 is {value}, expected a finite number"));
            }
        }
    }
}
