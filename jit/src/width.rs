//! How wide the vectors of an assembler are.

/// The vectors that an [`crate::Asm`] computes with.
pub trait Width {
    /// Bytes of a vector.
    const BYTES: i32;
    /// Elements of 32 bits in a vector.
    const LANES: usize;
}

/// 512 bits: AVX-512.
#[derive(Debug, Clone, Copy)]
pub enum Zmm512 {}

impl Width for Zmm512 {
    const BYTES: i32 = 64;
    const LANES: usize = 16;
}

/// 256 bits: AVX2 and AVX-VNNI.
#[derive(Debug, Clone, Copy)]
pub enum Ymm256 {}

impl Width for Ymm256 {
    const BYTES: i32 = 32;
    const LANES: usize = 8;
}
