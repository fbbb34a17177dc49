//! [`crate::math::exp2_u8`] as instructions, for four keys of 16 queries at once.

use std::mem::offset_of;

use lacuna_jit::{Asm, Evex, Gpr, Rm, RmBcast, Zmm, ptr};

use super::args::HeadParams;
use super::constants::Constants;
use super::sizes::KEYS;

/// The most constants that [`Exp2Operands`] keeps in registers.
pub(super) const EXP2_CONSTANTS: usize = 10;
/// How many of them must be in registers.
const EXP2_LEAST_CONSTANTS: usize = 3;
/// Vectors that [`emit_exp2_u8`] needs in addition to the four of its argument.
pub(super) const EXP2_TEMPS: usize = 4;

/// The constants of 2^-x: registers, and memory operands for those that got none.
pub(super) struct Exp2Operands {
    high_halves: Zmm,
    high: (Zmm, Rm),
    one: Zmm,
    high_shift: Rm,
    octave_shift: Rm,
    low: Rm,
    byte_shift: Rm,
    multiplier: RmBcast,
    limit: RmBcast,
}

impl Exp2Operands {
    /// Loads the constants at `table`, and those of the head at `head` ([`HeadParams`]), into `registers`: 3 at least,
    /// [`EXP2_CONSTANTS`] at best. The rest is read where it is used.
    pub(super) fn load(a: &mut Asm, table: Gpr, head: Gpr, registers: &[Zmm]) -> Exp2Operands {
        let (must, rest) = registers.split_at(EXP2_LEAST_CONSTANTS);
        let mut rest = rest.iter();
        let constant = |offset: usize| ptr(table) + offset as i32;
        let high = offset_of!(Constants, high);
        for (&register, offset) in
            must.iter().zip([offset_of!(Constants, high_halves), high, offset_of!(Constants, one)])
        {
            a.vmovdqu32(register, constant(offset));
        }
        let mut vector = |a: &mut Asm, offset: usize| match rest.next() {
            Some(&register) => {
                a.vmovdqu32(register, constant(offset));
                Rm::Reg(register)
            }
            None => Rm::Mem(constant(offset)),
        };
        let high_2 = vector(a, high + 64);
        let low = vector(a, offset_of!(Constants, low));
        let high_shift = vector(a, offset_of!(Constants, high_shift));
        let octave_shift = vector(a, offset_of!(Constants, octave_shift));
        let byte_shift = vector(a, offset_of!(Constants, byte_shift));
        let mut dword = |a: &mut Asm, offset: usize| match rest.next() {
            Some(&register) => {
                a.vpbroadcastd(register, ptr(head) + offset as i32);
                RmBcast::Reg(register)
            }
            None => RmBcast::Bcast(ptr(head) + offset as i32),
        };
        Exp2Operands {
            high_halves: must[0],
            high: (must[1], high_2),
            one: must[2],
            high_shift,
            octave_shift,
            low,
            byte_shift,
            multiplier: dword(a, offset_of!(HeadParams, multiplier)),
            limit: dword(a, offset_of!(HeadParams, limit)),
        }
    }
}

/// `p = 255 * 2^-(multiplier * (max - score))` in 8 bit, of four keys in one dword per query. `x` and [`EXP2_TEMPS`] of `temp` are
/// destroyed; a score may be its own `x`.
pub(super) fn emit_exp2_u8(
    a: &mut Asm,
    p: Zmm,
    scores: [RmBcast; KEYS],
    max: Zmm,
    c: &Exp2Operands,
    x: [Zmm; KEYS],
    temp: &[Zmm],
) {
    for (&x, score) in x.iter().zip(scores) {
        a.vpsubd(x, max, score); //                             how far below the largest
    }
    for &x in &x {
        a.vpminud(x, x, c.limit);
    }
    for &x in &x {
        a.vpmulld(x, x, c.multiplier); //                       octaves, 27 bits of fraction
    }
    let [even, odd, even_2, odd_2] = x;
    a.vpermt2w(even, c.high_halves, even_2); //                 X of keys 0 and 2
    a.vpermt2w(odd, c.high_halves, odd_2); //                   X of keys 1 and 3
    let (x, high, octaves) = ([even, odd], [temp[0], temp[1]], [temp[2], temp[3]]);
    for (&x, &high) in x.iter().zip(&high) {
        a.vpsrlvw(high, x, c.high_shift);
    }
    for (&x, &octaves) in x.iter().zip(&octaves) {
        a.vpsrlvw(octaves, x, c.octave_shift); //               n
    }
    for &high in &high {
        a.vpermi2w(high, c.high.0, c.high.1); //                HIGH[h]
    }
    for &x in &x {
        a.vpermw(x, x, c.low); //                               LOW[l]
    }
    for (&x, &high) in x.iter().zip(&high) {
        a.vpmulhrsw(x, x, high); //                             255 * 2^7 * 2^-fraction
    }
    for &octaves in &octaves {
        a.vpsrlvw(octaves, c.one, octaves); //                  256 >> n
    }
    for (&x, &octaves) in x.iter().zip(&octaves) {
        a.vpmulhrsw(x, x, octaves); //                          P as words
    }
    a.vpsllvw(odd, odd, c.byte_shift);
    a.vpord(p, even, odd); //                                   P[0..4] as bytes
}
