//! Read-only memory of generated products and their epilogues.

use super::activation::{Accuracy, GeluConstants};
use crate::{Activation, ActivationBits};

/// Read-only memory that generated products and epilogues read.
#[repr(C, align(64))]
pub(crate) struct Constants {
    gelu: GeluConstants,
    /// 4x4 byte transpose within every 128-bit lane: byte `4 t + r` of the result is byte `4 r + t`.
    transpose: [u8; 64],
    gelu_tanh: GeluConstants,
    /// AVX2: the even bytes of words.
    even_bytes: [u16; 16],
    /// AVX2: ones, words.
    ones: [u16; 16],
    /// The largest code of seven bits, in every byte.
    largest_u7: [u8; 64],
    /// AVX2: bytes 0 2 1 3 of every dword: those that meet even bytes, then those that meet odd ones.
    even_first: [u8; 16],
}

impl Constants {
    pub(crate) const TABLE: &'static Constants = &Constants {
        gelu: GeluConstants::ERF,
        transpose: transpose_4x4(),
        gelu_tanh: GeluConstants::TANH,
        even_bytes: [0x00ff; 16],
        ones: [1; 16],
        largest_u7: [ActivationBits::Seven.largest(); 64],
        even_first: [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15],
    };
    /// Offset of the byte transpose.
    pub(crate) const TRANSPOSE: i32 = std::mem::offset_of!(Constants, transpose) as i32;

    /// Offset of the largest code of seven bits, in every byte.
    pub(crate) const LARGEST_U7: i32 = std::mem::offset_of!(Constants, largest_u7) as i32;
    /// Offset of words of 1.
    pub(crate) const ONES: i32 = std::mem::offset_of!(Constants, ones) as i32;
    /// Offset of the mask of even bytes.
    pub(crate) const EVEN_BYTES: i32 = std::mem::offset_of!(Constants, even_bytes) as i32;
    /// Offset of the order of bytes in which even ones are first.
    pub(crate) const EVEN_FIRST: i32 = std::mem::offset_of!(Constants, even_first) as i32;

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
