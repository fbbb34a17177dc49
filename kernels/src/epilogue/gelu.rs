//! GELU as instructions, in either form, for any kernel that has f32 vectors in registers.
//!
//! The polynomial of each lane comes from tables of 16 (with AVX-512 one `vpermd`). On the measured CPUs this uses other pipes than the
//! multiply-adds, and takes less than half the time of one polynomial for all lanes.

use lacuna_jit::{Mem, Zmm};

use super::verbs::Verbs;
use crate::LANES;
use crate::math::{
    GELU_COARSE_MAGIC, GELU_COARSE_MAX, GELU_COARSE_MIN, GELU_COARSE_PHI, GELU_COARSE_STEP, GELU_MAGIC, GELU_MAX,
    GELU_PHI, GELU_TANH_COARSE_PHI, GELU_TANH_PHI,
};

/// Single constants of a [`FineTable`], by their place behind the coefficients.
const GELU_CONSTANTS: [f32; 4] = [GELU_MAX, GELU_MAGIC, 0.5, -0.0];
const MAX: usize = 0;
const MAGIC: usize = 1;
const HALF: usize = 2;
const SIGN: usize = 3;

/// Single constants of a [`CoarseTable`], by their place behind the coefficients.
const COARSE_CONSTANTS: [f32; 5] =
    [GELU_COARSE_MAX, GELU_COARSE_MAGIC, GELU_COARSE_MIN, GELU_COARSE_STEP, 1.0 / GELU_COARSE_STEP];
const MIN: usize = 2;
const STEP: usize = 3;
const STEPS_PER_UNIT: usize = 4;

/// The constants [`emit_gelu`] reads: coefficients `[k][i]`, then single ones.
pub(crate) type FineTable = [f32; LANES * GELU_PHI.len() + GELU_CONSTANTS.len()];
/// The constants [`emit_gelu_coarse`] reads: coefficients `[k][i]`, then single ones.
pub(crate) type CoarseTable = [f32; LANES * GELU_COARSE_PHI.len() + COARSE_CONSTANTS.len()];

pub(crate) const GELU_TABLE: FineTable = table(&GELU_PHI, &GELU_CONSTANTS);
pub(crate) const GELU_TANH_TABLE: FineTable = table(&GELU_TANH_PHI, &GELU_CONSTANTS);
pub(crate) const GELU_COARSE_TABLE: CoarseTable = table(&GELU_COARSE_PHI, &COARSE_CONSTANTS);
pub(crate) const GELU_TANH_COARSE_TABLE: CoarseTable = table(&GELU_TANH_COARSE_PHI, &COARSE_CONSTANTS);

const fn table<const N: usize>(coefficients: &[[f32; LANES]], constants: &[f32]) -> [f32; N] {
    let mut table = [0.0; N];
    let mut i = 0;
    while i < N {
        let row = i / LANES;
        table[i] = if row < coefficients.len() {
            coefficients[row][i % LANES]
        } else {
            constants[i - LANES * coefficients.len()]
        };
        i += 1;
    }
    table
}

/// The address of row `k` of the coefficients.
fn row(table: Mem, k: usize) -> Mem {
    table + (4 * LANES * k) as i32
}

/// Registers with which [`emit_gelu`] and [`emit_gelu_coarse`] interleave all of `vectors` vectors.
pub(crate) const fn gelu_temps(vectors: usize) -> usize {
    3 * vectors + 1
}

/// How many vectors `temps` registers are enough for.
fn vectors_at_once<A: Verbs>(temps: &[Zmm]) -> usize {
    (temps.len() - 1 - A::LOOK_UP_TEMPS) / 3
}

/// Replaces each of `y` by GELU(y), step by step with [`crate::math::gelu`] or [`crate::math::gelu_tanh`] and with the same bits.
/// Four interleaved vectors hide the latency.
///
/// `temps` are at least 4 registers, best [`gelu_temps`], destroyed. `table` is the address of [`GELU_TABLE`] or
/// [`GELU_TANH_TABLE`].
pub(crate) fn emit_gelu<A: Verbs>(a: &mut A, y: &[Zmm], temps: &[Zmm], table: Mem) {
    for y in y.chunks(vectors_at_once::<A>(temps)) {
        emit_gelu_of(a, y, temps, table);
    }
}

fn emit_gelu_of(a: &mut impl Verbs, y: &[Zmm], temps: &[Zmm], table: Mem) {
    let constant = |i: usize| row(table, GELU_PHI.len()) + 4 * i as i32;
    let (c, temps) = (temps[0], &temps[1..]);
    let (x, rest) = temps.split_at(y.len());
    let (index, rest) = rest.split_at(y.len());
    let (p, scratch) = rest.split_at(y.len());
    a.vbroadcastss(c, constant(SIGN));
    for (&x, &y) in x.iter().zip(y) {
        a.vpandn(x, c, y); // |x|
    }
    a.vbroadcastss(c, constant(MAX));
    for &x in x {
        a.vminps(x, c, x);
    }
    a.vbroadcastss(c, constant(MAGIC));
    for (&index, &x) in index.iter().zip(x) {
        a.vaddps(index, x, c); // i in the lowest bits: |x| to the nearest 1/2
    }
    for ((&p, &index), &x) in p.iter().zip(index).zip(x) {
        a.round_to_half(p, x, index, c); // i/2
    }
    for (&x, &p) in x.iter().zip(p) {
        a.vsubps(x, x, p); // distance from i/2
    }
    emit_lookup(a, p, index, x, (c, scratch), GELU_PHI.len(), table); // Phi(|x|) - 1/2
    a.vbroadcastss(c, constant(SIGN));
    for (&x, &y) in x.iter().zip(y) {
        a.vpandn(x, c, y); // |x|
    }
    a.vbroadcastss(c, constant(HALF));
    for &y in y {
        a.vmulps(y, y, c); // x/2
    }
    for ((&y, &p), &x) in y.iter().zip(p).zip(x) {
        a.vfmadd231ps(y, p, x); // x/2 + |x| (Phi(|x|) - 1/2)
    }
}

/// `p = sum_k table[k][index] x^k`, Horner's rule. Destroys `c` and `scratch`.
fn emit_lookup(
    a: &mut impl Verbs,
    p: &[Zmm],
    index: &[Zmm],
    x: &[Zmm],
    (c, scratch): (Zmm, &[Zmm]),
    rows: usize,
    table: Mem,
) {
    for (&p, &index) in p.iter().zip(index) {
        a.look_up_16(p, index, row(table, rows - 1), scratch);
    }
    for k in (0..rows - 1).rev() {
        for ((&p, &index), &x) in p.iter().zip(index).zip(x) {
            a.look_up_16(c, index, row(table, k), scratch);
            a.vfmadd213ps(p, x, c); // p = p x + table[k][index]
        }
    }
}

/// Replaces each of `y` by GELU(y) for 8-bit results, with the same bits as [`crate::math::gelu_coarse`] or
/// [`crate::math::gelu_tanh_coarse`].
///
/// `temps` are at least 4 registers, best [`gelu_temps`], destroyed. `table` is the address of [`GELU_COARSE_TABLE`] or
/// [`GELU_TANH_COARSE_TABLE`].
pub(crate) fn emit_gelu_coarse<A: Verbs>(a: &mut A, y: &[Zmm], temps: &[Zmm], table: Mem) {
    for y in y.chunks(vectors_at_once::<A>(temps)) {
        emit_gelu_coarse_of(a, y, temps, table);
    }
}

fn emit_gelu_coarse_of(a: &mut impl Verbs, y: &[Zmm], temps: &[Zmm], table: Mem) {
    let constant = |i: usize| row(table, GELU_COARSE_PHI.len()) + 4 * i as i32;
    let (c, temps) = (temps[0], &temps[1..]);
    let (x, rest) = temps.split_at(y.len());
    let (index, rest) = rest.split_at(y.len());
    let (p, scratch) = rest.split_at(y.len());
    a.vbroadcastss(c, constant(MAX));
    for (&x, &y) in x.iter().zip(y) {
        a.vminps(x, y, c);
    }
    a.vbroadcastss(c, constant(MIN));
    for &x in x {
        a.vmaxps(x, x, c); // x clamped
    }
    a.vbroadcastss(c, constant(STEPS_PER_UNIT));
    for (&index, &x) in index.iter().zip(x) {
        a.vmovups(index, x);
        a.vfmadd213ps_broadcast(index, c, constant(MAGIC), p[0]); // the nearest centre's index i in the lowest bits
    }
    a.vbroadcastss(c, constant(MAGIC));
    for (&p, &index) in p.iter().zip(index) {
        a.vsubps(p, index, c); // i
    }
    a.vbroadcastss(c, constant(STEP));
    for (&x, &p) in x.iter().zip(p) {
        a.vfnmadd231ps(x, p, c); // distance from i step
    }
    emit_lookup(a, p, index, x, (c, scratch), GELU_COARSE_PHI.len(), table); // Phi(x)
    for (&y, &p) in y.iter().zip(p) {
        a.vmulps(y, p, y); // Phi(x) x
    }
}
