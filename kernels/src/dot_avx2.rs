//! Dot products of four input features, u8 activations times s8 weights, in vectors of 256 bits: `acc[m] += W[m] . X`.
//!
//! AVX-VNNI has them (`vpdpbusd`). AVX2 has none that is exact: `vpmaddubsw` saturates. So both factors are widened to words, and two
//! `vpmaddwd` multiply two input features each: those of the even bytes of X, and those of its odd bytes. Weights are widened by
//! one `vpmovsxbw` for four outputs, to memory from which they are broadcast.

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Avx2, Gpr, JitError, Mem, RegFile, Vex, Ymm256, Zmm, ptr};

use crate::epilogue::Constants;

/// Vectors of eight columns that are multiplied together.
pub(crate) const VECTORS: usize = 2;
/// Vector registers that dot products take.
pub(crate) const TEMPS: usize = 8;
/// Bytes on the stack: widened weights of four outputs, aligned.
const STACK: i32 = 64;

/// How dot products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dots {
    /// By `vpdpbusd`.
    Bytes,
    /// By `vpmaddwd`. The register points to the widened weights.
    Words(Gpr),
}

/// Which weight of four meets which byte of a dword of X.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Byte i meets weight i.
    Natural,
    /// Bytes 0 and 2 meet weights 0 and 1: dwords were interleaved so that the widened weights need no permutation.
    EvenFirst,
}

impl Dots {
    /// Draws what it needs from `file`.
    ///
    /// # Errors
    /// [`JitError::OutOfRegisters`].
    pub(crate) fn new(token: Avx2, file: &mut RegFile) -> Result<Dots, JitError> {
        if token.vnni() { Ok(Dots::Bytes) } else { file.gpr("widened weights of four outputs").map(Dots::Words) }
    }

    /// The order of bytes in which dwords of a plain panel should be interleaved.
    pub(crate) fn order(self) -> Order {
        match self {
            Dots::Bytes => Order::Natural,
            Dots::Words(_) => Order::EvenFirst,
        }
    }

    /// Makes room on the stack. Call it after `begin_function`.
    pub(crate) fn emit_begin(self, a: &mut Asm<Ymm256>) {
        if let Dots::Words(widened) = self {
            dynasm!(a
                ; .arch x64
                ; sub rsp, STACK
                ; lea Rq(widened), [rsp + STACK / 2 - 1]
                ; and Rq(widened), -(STACK / 2)
            );
        }
    }

    /// Gives the room back. Call it before `end_function`.
    pub(crate) fn emit_end(self, a: &mut Asm<Ymm256>) {
        if let Dots::Words(_) = self {
            dynasm!(a ; .arch x64 ; add rsp, STACK);
        }
    }

    /// `acc[m][v] += W[m] . X[v]` for the outputs of `acc`, whose weights, a dword for each, are at `weights`, and whose X is `x`. `order` is that of
    /// the bytes of X, `constants` [`Constants::address`]. Destroys `x` and `temps`, [`TEMPS`] less the registers of `x`.
    pub(crate) fn emit(
        self,
        a: &mut Asm<Ymm256>,
        acc: &[&[Zmm]],
        (x, order): (&[Zmm], Order),
        weights: Mem,
        constants: Gpr,
        temps: &[Zmm],
    ) {
        match self {
            Dots::Bytes => {
                for (m, (acc, &weight)) in (0..).zip(acc.iter().zip(temps)) {
                    a.vpbroadcastd(weight, weights + 4 * m); //       W[m]
                    for (&acc, &x) in acc.iter().zip(x) {
                        a.vpdpbusd(acc, x, weight);
                    }
                }
            }
            Dots::Words(widened) => {
                emit_widen(a, weights, order, widened, constants, temps[0]);
                let even = emit_split(a, x, constants, temps);
                emit_words(a, acc, &even, x, ptr(widened), &temps[x.len()..]);
            }
        }
    }

    /// Before four [`Dots::emit_one`] with weights at `weights`.
    pub(crate) fn emit_begin_each(self, a: &mut Asm<Ymm256>, weights: Mem, constants: Gpr, temps: &[Zmm]) {
        if let Dots::Words(widened) = self {
            emit_widen(a, weights, Order::Natural, widened, constants, temps[0]);
        }
    }

    /// `acc[v] += W[m] . X[v]` of output m alone, with dwords of X in [`Order::Natural`]. Destroys `x` and `temps`.
    #[allow(clippy::too_many_arguments)] // operands and registers
    pub(crate) fn emit_one(
        self,
        a: &mut Asm<Ymm256>,
        acc: &[Zmm],
        m: usize,
        x: &[Zmm],
        weights: Mem,
        constants: Gpr,
        temps: &[Zmm],
    ) {
        match self {
            Dots::Bytes => {
                a.vpbroadcastd(temps[0], weights + 4 * m as i32);
                for (&acc, &x) in acc.iter().zip(x) {
                    a.vpdpbusd(acc, x, temps[0]);
                }
            }
            Dots::Words(widened) => {
                let even = emit_split(a, x, constants, temps);
                emit_words(a, &[acc], &even, x, ptr(widened) + 8 * m as i32, &temps[x.len()..]);
            }
        }
    }
}

/// Weights of four outputs, as words: of each output those that meet the even bytes of X, then those that meet the odd ones.
fn emit_widen(a: &mut Asm<Ymm256>, weights: Mem, order: Order, widened: Gpr, constants: Gpr, temp: Zmm) {
    match order {
        Order::EvenFirst => a.vpmovsxbw(temp, weights),
        Order::Natural => {
            a.vmovdqu_x(temp, weights);
            a.vpshufb_x(temp, temp, ptr(constants) + Constants::EVEN_FIRST);
            a.vpmovsxbw(temp, temp);
        }
    }
    a.vmovdqu_st(ptr(widened), temp);
}

/// The even bytes of dwords `x` as words, in registers of `temps`; `x` becomes the odd ones.
fn emit_split(a: &mut Asm<Ymm256>, x: &[Zmm], constants: Gpr, temps: &[Zmm]) -> Vec<Zmm> {
    for (&even, &x) in temps.iter().zip(x) {
        a.vpand(even, x, ptr(constants) + Constants::EVEN_BYTES);
        a.vpsrlw_i(x, x, 8);
    }
    temps[..x.len()].to_vec()
}

/// `acc[m][v] += W[m] . X[v]` of words. `temps` are four.
fn emit_words(a: &mut Asm<Ymm256>, acc: &[&[Zmm]], even: &[Zmm], odd: &[Zmm], widened: Mem, temps: &[Zmm]) {
    let (weight, product) = temps.split_at(2);
    for (m, acc) in (0..).zip(acc) {
        a.vpbroadcastd(weight[0], widened + 8 * m); //                W[m] of even bytes
        a.vpbroadcastd(weight[1], widened + 8 * m + 4); //            of odd bytes
        for ((&acc, &even), &odd) in acc.iter().zip(even).zip(odd) {
            a.vpmaddwd(product[0], even, weight[0]);
            a.vpmaddwd(product[1], odd, weight[1]);
            a.vpaddd(acc, acc, product[0]);
            a.vpaddd(acc, acc, product[1]);
        }
    }
}
