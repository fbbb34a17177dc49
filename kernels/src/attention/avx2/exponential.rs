//! [`super::super::parabolas`] as instructions, for two keys of eight queries at once.

use std::mem::offset_of;

use lacuna_jit::{Asm, Vex, Ymm256, Zmm};

use super::super::args::HeadParams;
use super::super::parabolas::Parabolas;
use super::super::sizes::KEYS;
use super::regs::Regs;

/// Odd words, for `vpblendw`.
const ODD: u8 = 0b1010_1010;

/// Registers of 2^-x.
pub(super) struct Exponential {
    a: Zmm,
    b: Zmm,
    c: Zmm,
    octaves: Zmm,
    limit: Zmm,
    multiplier: Zmm,
}

impl Exponential {
    /// Loads tables from [`Regs::constant`], and what differs between heads.
    pub(super) fn load(asm: &mut Asm<Ymm256>, r: &Regs) -> Exponential {
        let coefficients = offset_of!(Parabolas, coefficients);
        let e = Exponential {
            a: r.left[0],
            b: r.left[1],
            c: r.left[2],
            octaves: r.left[3],
            limit: r.right[0],
            multiplier: r.temp,
        };
        for (table, i) in [(e.a, 0), (e.b, 1), (e.c, 2)] {
            asm.vbroadcasti128(table, r.constant(coefficients + 16 * i));
        }
        asm.vbroadcasti128(e.octaves, r.constant(offset_of!(Parabolas, octaves)));
        asm.vpbroadcastd(e.limit, r.head_param(offset_of!(HeadParams, limit)));
        asm.vpbroadcastd(e.multiplier, r.head_param(offset_of!(HeadParams, multiplier)));
        e
    }

    /// `x`: distances of four keys from the largest score become words X: of keys 0 and 2 in `x[0]`, of keys 1 and 3 in `x[1]`.
    pub(super) fn emit_octaves(&self, asm: &mut Asm<Ymm256>, x: &[Zmm; KEYS]) {
        for &x in x {
            asm.vpminud(x, x, self.limit);
        }
        for &x in x {
            asm.vpmulld(x, x, self.multiplier); //                     octaves, 27 bits of fraction
        }
        let [even, odd, even_2, odd_2] = *x;
        for (first, second) in [(even, even_2), (odd, odd_2)] {
            asm.vpsrld_i(first, first, 16);
            asm.vpblendw(first, first, second, ODD); //                X of both keys
        }
    }

    /// Words X become P. `temp` is destroyed.
    pub(super) fn emit(&self, asm: &mut Asm<Ymm256>, r: &Regs, x: Zmm, temp: [Zmm; 4]) {
        let [segment, octave, p, next] = temp;
        asm.vpshufb(segment, x, r.constant(offset_of!(Parabolas, high_byte))); // n and s, in both bytes
        asm.vpsrlw_i(octave, segment, 3);
        asm.vpand(segment, segment, r.constant(offset_of!(Parabolas, segment_bits)));
        asm.vpor(segment, segment, r.constant(offset_of!(Parabolas, segment_bytes)));
        asm.vpand(octave, octave, r.constant(offset_of!(Parabolas, octave_bits)));
        asm.vpaddb(octave, octave, r.constant(offset_of!(Parabolas, octave_bytes)));
        asm.vpmaddubsw(x, x, r.constant(offset_of!(Parabolas, scale))); // x = u * SCALE
        asm.vpshufb(octave, self.octaves, octave); //                  256 >> n
        asm.vpshufb(p, self.c, segment);
        asm.vpshufb(next, self.b, segment);
        asm.vpmulhuw(p, p, x);
        asm.vpsubw(p, next, p); //                                     B - x C
        asm.vpshufb(next, self.a, segment);
        asm.vpmulhuw(p, p, x);
        asm.vpsubw(p, next, p); //                                     A - x (B - x C)
        asm.vpmulhrsw(x, p, octave); //                                P
    }
}
