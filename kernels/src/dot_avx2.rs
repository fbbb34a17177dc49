//! Dot products of four input features, u8 activations times s8 weights, in vectors of 256 bits: `acc[m] += W[m] . X`.
//!
//! AVX-VNNI has them (`vpdpbusd`). AVX2 has none that is exact for all numbers: `vpmaddubsw` saturates the sum of two products. There are
//! two ways:
//!
//! - *pairs*: where every sum of two products fits s16, `vpmaddubsw` is exact, and `vpmaddwd` with ones adds its sums. They fit if X has codes
//!   of seven bits: 2 127 128 < 2^15. They also fit where input features may be stored in any order, and the weights are stored in pairs
//!   whose sums fit (`spmm/paired.rs`). Where both hold, or where weights are put together so, two such sums fit s16 together: *twos*, one
//!   `vpmaddwd` for two `vpmaddubsw`;
//! - *words*: both factors are widened, and two `vpmaddwd` multiply two input features each: those of the even bytes of X, and those of its
//!   odd bytes. Weights are widened by one `vpmovsxbw` for four outputs, to memory from which they are broadcast.

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Avx2, Gpr, JitError, Mem, RegFile, Vex, Ymm256, Zmm, ptr};

use crate::ActivationBits;
use crate::epilogue::Constants;

/// Vectors of eight columns that are multiplied together.
pub(crate) const VECTORS: usize = 2;
/// Vector registers that dot products take.
pub(crate) const TEMPS: usize = 8;
/// Which of the registers for weights and products holds ones, words.
const ONES: usize = TEMPS - VECTORS - 1;
/// Bytes on the stack: widened weights of four outputs, aligned.
const STACK: i32 = 64;

/// How dot products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dots {
    /// By `vpdpbusd`.
    Bytes,
    /// By `vpmaddubsw`, where sums of two products fit s16.
    Pairs,
    /// By `vpmaddwd`. The register points to the widened weights.
    Words(Gpr),
}

impl Dots {
    /// How `token` computes them of codes of `bits`; `in_pairs` is whether the weights are in pairs that fit. Draws what it needs from `file`.
    ///
    /// # Errors
    /// [`JitError::OutOfRegisters`].
    pub(crate) fn new(token: Avx2, bits: ActivationBits, in_pairs: bool, file: &mut RegFile) -> Result<Dots, JitError> {
        match (token.vnni(), bits) {
            (true, _) => Ok(Dots::Bytes),
            (false, ActivationBits::Seven) => Ok(Dots::Pairs),
            (false, ActivationBits::Eight) if in_pairs => Ok(Dots::Pairs),
            (false, ActivationBits::Eight) => file.gpr("widened weights of four outputs").map(Dots::Words),
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

    /// Before the dot products of a row block, once `temps` are free: keeps what all of them need in the last of `temps`.
    pub(crate) fn emit_begin_list(self, a: &mut Asm<Ymm256>, temps: &[Zmm]) {
        if self == Dots::Pairs {
            let ones = temps[ONES];
            a.vpcmpeqd(ones, ones, ones);
            a.vpsrlw_i(ones, ones, 15);
        }
    }

    /// Gives the room back. Call it before `end_function`.
    pub(crate) fn emit_end(self, a: &mut Asm<Ymm256>) {
        if let Dots::Words(_) = self {
            dynasm!(a ; .arch x64 ; add rsp, STACK);
        }
    }

    /// `acc[m][v] += W[m] . X[v]` for the outputs of `acc`, whose weights, a dword for each, are at `weights`, and whose X is `x`.
    /// `constants` is [`Constants::address`]. Destroys `x` and `temps`, which are [`TEMPS`] less two.
    pub(crate) fn emit(
        self,
        a: &mut Asm<Ymm256>,
        acc: &[&[Zmm]],
        x: &[Zmm],
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
            Dots::Pairs => {
                for (m, acc) in acc.iter().enumerate() {
                    let weight = temps[m % 2];
                    a.vpbroadcastd(weight, weights + 4 * m as i32); // W[m]
                    emit_pairs(a, acc, x, weight, temps);
                }
            }
            Dots::Words(widened) => {
                emit_widen(a, weights, widened, constants, temps[0]);
                let even = emit_split(a, x, constants, temps);
                emit_words(a, acc, &even, x, ptr(widened), &temps[x.len()..]);
            }
        }
    }

    /// Before four [`Dots::emit_one`] with weights at `weights`.
    pub(crate) fn emit_begin_each(self, a: &mut Asm<Ymm256>, weights: Mem, constants: Gpr, temps: &[Zmm]) {
        if let Dots::Words(widened) = self {
            emit_widen(a, weights, widened, constants, temps[0]);
        }
    }

    /// `acc[v] += W[m] . X[v]` of output m alone. Destroys `x` and `temps`.
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
            Dots::Pairs => {
                a.vpbroadcastd(temps[0], weights + 4 * m as i32);
                emit_pairs(a, acc, x, temps[0], temps);
            }
            Dots::Words(widened) => {
                let even = emit_split(a, x, constants, temps);
                emit_words(a, &[acc], &even, x, ptr(widened) + 8 * m as i32, &temps[x.len()..]);
            }
        }
    }
}

/// `acc[m][v] += W0[m] . X0[v] + W1[m] . X1[v]`, where the sums of two times two products fit s16. `weights` are where the weights W0 and W1
/// of the outputs of `acc` are, a dword for each. `constants` is [`Constants::address`]. Destroys `temps`, which are four.
pub(crate) fn emit_twos(
    a: &mut Asm<Ymm256>,
    acc: &[&[Zmm]],
    x: [&[Zmm]; 2],
    weights: [Mem; 2],
    constants: Gpr,
    temps: &[Zmm],
) {
    let (weight, sums, products) = (temps[0], &temps[1..=VECTORS], temps[VECTORS + 1]);
    for (m, acc) in (0..).zip(acc) {
        a.vpbroadcastd(weight, weights[0] + 4 * m); //                W0[m]
        for (&sum, &x) in sums.iter().zip(x[0]) {
            a.vpmaddubsw(sum, x, weight); //                          two sums of two products
        }
        a.vpbroadcastd(weight, weights[1] + 4 * m); //                W1[m]
        for ((&acc, &sum), &x) in acc.iter().zip(sums).zip(x[1]) {
            a.vpmaddubsw(products, x, weight);
            a.vpaddw(sum, sum, products); //                          two sums of four products
            a.vpmaddwd(sum, sum, ptr(constants) + Constants::ONES);
            a.vpaddd(acc, acc, sum);
        }
    }
}

/// `acc[v] += W[m] . X[v]` of output m, whose weights are `weight`, one of the first two of `temps`.
fn emit_pairs(a: &mut Asm<Ymm256>, acc: &[Zmm], x: &[Zmm], weight: Zmm, temps: &[Zmm]) {
    let (products, ones) = (&temps[2..], temps[ONES]);
    for ((&acc, &x), &product) in acc.iter().zip(x).zip(products) {
        a.vpmaddubsw(product, x, weight); //                          two sums of two products
        a.vpmaddwd(product, product, ones);
        a.vpaddd(acc, acc, product);
    }
}

/// Weights of four outputs, as words: of each output those that meet the even bytes of X, then those that meet the odd ones.
fn emit_widen(a: &mut Asm<Ymm256>, weights: Mem, widened: Gpr, constants: Gpr, temp: Zmm) {
    a.vmovdqu_x(temp, weights);
    a.vpshufb_x(temp, temp, ptr(constants) + Constants::EVEN_FIRST);
    a.vpmovsxbw(temp, temp);
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
