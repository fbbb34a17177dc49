//! Products of four u8 and four s8, added to dwords: `acc += left . right`.

use lacuna_jit::{Asm, Avx2, Mem, Rm, Vex, Ymm256, Zmm};

/// How products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    /// By `vpdpbusd`: a factor is one vector of bytes.
    Bytes,
    /// By `vpmaddwd` and `vpaddd`: a factor is two vectors of words, those of the even bytes and those of the odd ones.
    Words,
}

impl Product {
    pub(super) fn new(token: Avx2) -> Product {
        if token.vnni() { Product::Bytes } else { Product::Words }
    }

    /// Vectors of a factor.
    pub(super) fn parts(self) -> usize {
        match self {
            Product::Bytes => 1,
            Product::Words => 2,
        }
    }

    /// `acc += left . right` of one part. `temp` is destroyed.
    pub(super) fn multiply_add(self, a: &mut Asm<Ymm256>, acc: Zmm, left: Zmm, right: impl Into<Rm>, temp: Zmm) {
        match self {
            Product::Bytes => a.vpdpbusd(acc, left, right),
            Product::Words => {
                a.vpmaddwd(temp, left, right);
                a.vpaddd(acc, acc, temp);
            }
        }
    }

    /// The parts of u8 at `from`.
    pub(super) fn load_left(self, a: &mut Asm<Ymm256>, parts: &[Zmm], from: Mem) {
        a.vmovdqu(parts[0], from);
        if let &[even, odd] = parts {
            a.vpsrlw_i(odd, even, 8);
            a.vpsllw_i(even, even, 8);
            a.vpsrlw_i(even, even, 8);
        }
    }

    /// Bytes of s8 in `parts[0]` become parts.
    pub(super) fn split_right(self, a: &mut Asm<Ymm256>, parts: &[Zmm]) {
        if let &[even, odd] = parts {
            a.vpsraw_i(odd, even, 8);
            a.vpsllw_i(even, even, 8);
            a.vpsraw_i(even, even, 8);
        }
    }
}
