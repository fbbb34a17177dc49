//! The functions between the linear part and the output: their scalar twins, their instructions, their tables.

use std::mem::offset_of;

use lacuna_jit::{Mem, Zmm};

use super::fixed::GeluTables;
use super::gelu::{
    CoarseTable, FineTable, GELU_COARSE_TABLE, GELU_TABLE, GELU_TANH_COARSE_TABLE, GELU_TANH_TABLE, emit_gelu,
    emit_gelu_coarse,
};
use super::verbs::Verbs;
use crate::{Activation, math};

/// How accurate an activation is: as its result is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accuracy {
    /// f32, or to be rounded to bf16.
    Float,
    /// To be rounded to 8 bit.
    Bytes,
}

impl Activation {
    /// The activation of a number, with the bits of [`emit_activation`].
    #[inline(always)]
    pub(crate) fn apply(self, accuracy: Accuracy, y: f32) -> f32 {
        match (self, accuracy) {
            (Activation::Identity, _) => y,
            (Activation::Relu, _) => math::relu(y),
            (Activation::Gelu, Accuracy::Float) => math::gelu(y),
            (Activation::Gelu, Accuracy::Bytes) => math::gelu_coarse(y),
            (Activation::GeluTanh, Accuracy::Float) => math::gelu_tanh(y),
            (Activation::GeluTanh, Accuracy::Bytes) => math::gelu_tanh_coarse(y),
        }
    }
}

/// Replaces each of `y` by its activation.
///
/// `temps` are destroyed: one register for ReLU, for GELU what [`emit_gelu`] says. `table` is the address of the table of that
/// activation and accuracy, which only GELU reads.
pub(crate) fn emit_activation(
    a: &mut impl Verbs,
    activation: Activation,
    accuracy: Accuracy,
    y: &[Zmm],
    temps: &[Zmm],
    table: Mem,
) {
    match (activation, accuracy) {
        (Activation::Identity, _) => {}
        (Activation::Relu, _) => {
            let zero = temps[0];
            a.vpxor(zero, zero, zero);
            for &y in y {
                a.vmaxps(y, zero, y); //                      NaN stays: it is the second operand
            }
        }
        (Activation::Gelu | Activation::GeluTanh, Accuracy::Float) => emit_gelu(a, y, temps, table),
        (Activation::Gelu | Activation::GeluTanh, Accuracy::Bytes) => emit_gelu_coarse(a, y, temps, table),
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

    /// Offset of the table of an accuracy.
    pub(super) const fn offset(accuracy: Accuracy) -> i32 {
        match accuracy {
            Accuracy::Float => offset_of!(GeluConstants, fine) as i32,
            Accuracy::Bytes => offset_of!(GeluConstants, coarse) as i32,
        }
    }
}
