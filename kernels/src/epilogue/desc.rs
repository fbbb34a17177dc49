//! What the caller wants.

use serde::{Deserialize, Serialize};

use super::fixed;
use super::row::RowParams;
use crate::{Activation, KernelError, PanelLayout, Sign, Sink, Store};

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
