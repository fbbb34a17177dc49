//! The functions between the linear part and the output: their names, their scalar twins, their instructions, their tables.

use std::mem::offset_of;

use lacuna_jit::{Asm, Evex, Mem, Zmm};
use serde::{Deserialize, Serialize};

use super::fixed::GeluTables;
use crate::elementwise::gelu::{
    CoarseTable, FineTable, GELU_COARSE_TABLE, GELU_TABLE, GELU_TANH_COARSE_TABLE, GELU_TANH_TABLE, emit_gelu,
    emit_gelu_coarse,
};
use crate::math;

/// The function between the linear part and the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// None.
    Identity,
    /// max(x, 0), exact: [`crate::math::relu`].
    Relu,
    /// x Phi(x), see [`crate::math::gelu`] and [`crate::math::gelu_coarse`].
    Gelu,
    /// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), see [`crate::math::gelu_tanh`] and [`crate::math::gelu_tanh_coarse`].
    GeluTanh,
}

/// What a result is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    /// f32, or to be rounded to bf16.
    Float,
    /// To be rounded to 8 bit.
    Bytes,
}

impl Activation {
    /// Every activation there is.
    pub const ALL: [Activation; 4] = [Activation::Identity, Activation::Relu, Activation::Gelu, Activation::GeluTanh];

    /// The name used in kernel names; of no activation the empty one.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::Identity => "",
            Activation::Relu => "relu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelutanh",
        }
    }

    /// The activation that is called `name`; nothing if there is none, or for the empty name.
    pub fn from_name(name: &str) -> Option<Activation> {
        Activation::ALL.into_iter().find(|activation| !name.is_empty() && activation.name() == name)
    }

    /// The activation of a number, with the bits of [`emit_activation`].
    #[inline(always)]
    pub(crate) fn apply(self, precision: Precision, y: f32) -> f32 {
        match (self, precision) {
            (Activation::Identity, _) => y,
            (Activation::Relu, _) => math::relu(y),
            (Activation::Gelu, Precision::Float) => math::gelu(y),
            (Activation::Gelu, Precision::Bytes) => math::gelu_coarse(y),
            (Activation::GeluTanh, Precision::Float) => math::gelu_tanh(y),
            (Activation::GeluTanh, Precision::Bytes) => math::gelu_tanh_coarse(y),
        }
    }
}

/// Replaces each of `y` by its activation.
///
/// `temps` are destroyed: one register for ReLU, for GELU what [`emit_gelu`] says. `table` is the address of the table of that
/// activation and precision, which only GELU reads.
pub(crate) fn emit_activation(
    a: &mut Asm,
    activation: Activation,
    precision: Precision,
    y: &[Zmm],
    temps: &[Zmm],
    table: Mem,
) {
    match (activation, precision) {
        (Activation::Identity, _) => {}
        (Activation::Relu, _) => {
            let zero = temps[0];
            a.vpxord(zero, zero, zero);
            for &y in y {
                a.vmaxps(y, zero, y); //                      NaN stays: it is the second operand
            }
        }
        (Activation::Gelu | Activation::GeluTanh, Precision::Float) => emit_gelu(a, y, temps, table),
        (Activation::Gelu | Activation::GeluTanh, Precision::Bytes) => emit_gelu_coarse(a, y, temps, table),
    }
}

/// What generated code reads for one form of GELU.
#[repr(C, align(64))]
pub(super) struct GeluConstants {
    fine: FineTable,
    coarse: CoarseTable,
    pub(super) fixed: GeluTables,
}

impl GeluConstants {
    pub(super) const ERF: GeluConstants =
        GeluConstants { fine: GELU_TABLE, coarse: GELU_COARSE_TABLE, fixed: GeluTables::ERF };
    pub(super) const TANH: GeluConstants =
        GeluConstants { fine: GELU_TANH_TABLE, coarse: GELU_TANH_COARSE_TABLE, fixed: GeluTables::TANH };
    /// Offsets of the tables of the 16-bit GELU.
    pub(super) const NEAR: i32 = (offset_of!(GeluConstants, fixed) + offset_of!(GeluTables, near)) as i32;
    pub(super) const FAR: i32 = (offset_of!(GeluConstants, fixed) + offset_of!(GeluTables, far)) as i32;

    /// Offset of the table of a precision.
    pub(super) const fn offset(precision: Precision) -> i32 {
        match precision {
            Precision::Float => offset_of!(GeluConstants, fine) as i32,
            Precision::Bytes => offset_of!(GeluConstants, coarse) as i32,
        }
    }
}
