//! What happens to the s32 accumulators of a GEMM or SpMM before they leave the registers.
//!
//! With `acc[m][n]` exact in s32 and the row's [`RowParams`]:
//!
//! ```text
//! y = fma(acc as f32, multiplier[m], addend[m])
//! y = gelu(y)                                      if activation is Gelu
//! f32 output:    out[m][n] = y                     or out[m][n] + y (residual, in place)
//! 8-bit output:  out[m][n] = saturate(round(y))                              without activation
//!                out[m][n] = saturate(round(fma(y, out_scale[m], out_zero[m])))  with activation
//! ```
//!
//! **Numerics**: s32 -> f32 and f32 -> s32 round to nearest even, the multiply-add rounds once. A result outside s32 would
//! become `i32::MIN`; [`RowParams::check`] refuses parameters that could produce one.

mod emit;
mod portable;

use crate::{KernelError, PanelLayout, Sign};

pub(crate) use emit::{Constants, EpilogueRegs, OutputLanes, emit_epilogue, emit_store_bytes};
pub(crate) use portable::{BlockOutput, finish_block};

/// The function between the linear part and the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// None.
    Identity,
    /// x Phi(x), see [`crate::math::gelu`].
    Gelu,
}

/// Where and as what the results are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Store {
    /// Requantised to 8 bit.
    Bytes {
        /// Panel layout.
        layout: PanelLayout,
        /// u8 or s8.
        sign: Sign,
    },
    /// f32 tile.
    F32 {
        /// Whether the results are added to what the tile holds (the residual stream) instead of replacing it.
        residual: bool,
    },
}

/// Activation and store of a GEMM or SpMM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epilogue {
    /// Applied to the f32 result.
    pub activation: Activation,
    /// Output form.
    pub store: Store,
}

impl Epilogue {
    /// Requantisation without activation.
    pub const fn requantize(layout: PanelLayout, sign: Sign) -> Epilogue {
        Epilogue { activation: Activation::Identity, store: Store::Bytes { layout, sign } }
    }

    /// GELU, then requantisation.
    pub const fn gelu(layout: PanelLayout, sign: Sign) -> Epilogue {
        Epilogue { activation: Activation::Gelu, store: Store::Bytes { layout, sign } }
    }

    /// f32 output, added to the residual stream if `residual`.
    pub const fn f32(residual: bool) -> Epilogue {
        Epilogue { activation: Activation::Identity, store: Store::F32 { residual } }
    }

    /// The name used in kernel names: `requant-u8-plain`, `gelu-u8-vnni`, `f32`, `f32-residual`.
    pub fn name(&self) -> String {
        let activation = match self.activation {
            Activation::Identity => "",
            Activation::Gelu => "gelu-",
        };
        match self.store {
            Store::Bytes { layout, sign } => {
                let verb = if activation.is_empty() { "requant-" } else { activation };
                format!("{verb}{}-{}", sign.name(), layout.name())
            }
            Store::F32 { residual } => format!("{activation}f32{}", if residual { "-residual" } else { "" }),
        }
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
    /// Checks that no accumulator of a K = `k` product can leave the range of s32 once scaled: `|multiplier| 255 128 K +
    /// |addend| < 2^31`, and that all parameters are finite.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] naming the parameter and the row.
    pub fn check(rows: &[RowParams], k: usize, kernel: &str) -> Result<(), KernelError> {
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
            let largest = f64::from(p.multiplier.abs()) * 255.0 * 128.0 * k as f64 + f64::from(p.addend.abs());
            if largest >= 2f64.powi(31) {
                return Err(error("multiplier", row, p.multiplier, "|multiplier| 255 128 K + |addend| below 2^31"));
            }
        }
        Ok(())
    }
}
