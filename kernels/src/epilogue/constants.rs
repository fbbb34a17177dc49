//! Read-only memory of the generated epilogues.

use super::activation::{Accuracy, GeluConstants};
use crate::Activation;

/// Read-only memory the generated epilogues point to.
#[repr(C, align(64))]
pub(crate) struct Constants {
    gelu: GeluConstants,
    /// 4x4 byte transpose within every 128-bit lane: byte `4 t + r` of the result is byte `4 r + t`.
    transpose: [u8; 64],
    gelu_tanh: GeluConstants,
}

impl Constants {
    pub(crate) const TABLE: &'static Constants =
        &Constants { gelu: GeluConstants::ERF, transpose: transpose_4x4(), gelu_tanh: GeluConstants::TANH };
    /// Offset of the byte transpose.
    pub(crate) const TRANSPOSE: i32 = std::mem::offset_of!(Constants, transpose) as i32;

    /// What an activation reads; only GELU reads anything.
    pub(super) const fn gelu(&self, activation: Activation) -> &GeluConstants {
        match activation {
            Activation::GeluTanh => &self.gelu_tanh,
            Activation::Identity | Activation::Relu | Activation::Gelu => &self.gelu,
        }
    }

    /// Offset of [`Constants::gelu`].
    pub(super) const fn gelu_offset(activation: Activation) -> i32 {
        let bytes = match activation {
            Activation::GeluTanh => std::mem::offset_of!(Constants, gelu_tanh),
            Activation::Identity | Activation::Relu | Activation::Gelu => std::mem::offset_of!(Constants, gelu),
        };
        bytes as i32
    }

    /// Offset of the table of [`super::emit_activation`].
    pub(crate) const fn table(activation: Activation, accuracy: Accuracy) -> i32 {
        Constants::gelu_offset(activation) + GeluConstants::offset(accuracy)
    }

    /// The address generated code is given.
    pub(crate) fn address() -> *const u8 {
        std::ptr::from_ref(Self::TABLE).cast()
    }
}

const fn transpose_4x4() -> [u8; 64] {
    let mut indices = [0; 64];
    let mut i = 0;
    while i < 64 {
        indices[i] = (i % 4 * 4 + i % 16 / 4) as u8;
        i += 1;
    }
    indices
}
