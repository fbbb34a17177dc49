//! GELU as instructions, for any kernel that has f32 vectors in registers.

use lacuna_jit::{Asm, Evex, Mem, Zmm};

use crate::math::{GELU_COARSE_MAX, GELU_COARSE_R, GELU_MAX_SQUARE, GELU_R, GELU_SQUARE_SCALE};

/// Where each constant lies in [`GELU_TABLE`], in bytes.
mod offset {
    use crate::math::GELU_R;

    pub(super) const R: i32 = 0;
    pub(super) const MAX_SQUARE: i32 = 4 * GELU_R.len() as i32;
    pub(super) const SQUARE_SCALE: i32 = MAX_SQUARE + 4;
    pub(super) const MINUS_ONE: i32 = MAX_SQUARE + 8;
    pub(super) const HALF: i32 = MAX_SQUARE + 12;
    pub(super) const MINUS_HALF: i32 = MAX_SQUARE + 16;
}

/// The constants [`emit_gelu`] reads as `{1to16}` operands: `R[0..12]`, the largest square, its scale, -1, 1/2, -1/2.
pub(crate) const GELU_TABLE: [f32; GELU_R.len() + 5] = {
    let mut table = [0.0; GELU_R.len() + 5];
    let mut i = 0;
    while i < GELU_R.len() {
        table[i] = GELU_R[i];
        i += 1;
    }
    table[i] = GELU_MAX_SQUARE;
    table[i + 1] = GELU_SQUARE_SCALE;
    table[i + 2] = -1.0;
    table[i + 3] = 0.5;
    table[i + 4] = -0.5;
    table
};

/// Replaces each of `y` by GELU(y), step by step with [`crate::math::gelu`] and with the same bits. The vectors are
/// interleaved, four hide the latency of the multiply-adds.
///
/// `temps` are two registers per vector, destroyed. `table` is the address of [`GELU_TABLE`].
pub(crate) fn emit_gelu(a: &mut Asm, y: &[Zmm], temps: &[Zmm], table: Mem) {
    let (u, p) = temps.split_at(y.len());
    let (u, p) = (u, &p[..y.len()]);
    let constant = |offset: i32| (table + offset).bcast();
    for (&u, &y) in u.iter().zip(y) {
        a.vmulps(u, y, y); // u = x^2
    }
    for &u in u {
        a.vminps(u, u, constant(offset::MAX_SQUARE)); // u = min(x^2, 25)
    }
    for &p in p {
        a.vbroadcastss(p, table + offset::MINUS_ONE);
    }
    for (&u, &p) in u.iter().zip(p) {
        a.vfmadd132ps(u, p, constant(offset::SQUARE_SCALE)); // u = x^2 scale - 1, in [-1, 1]
    }
    let degree = GELU_R.len() as i32 - 1;
    for &p in p {
        a.vbroadcastss(p, table + offset::R + 4 * degree); // p = R[11]
    }
    for k in (0..degree).rev() {
        for (&p, &u) in p.iter().zip(u) {
            a.vfmadd213ps(p, u, constant(offset::R + 4 * k)); // p = p u + R[k]
        }
    }
    for (&p, &y) in p.iter().zip(y) {
        a.vmulps(p, p, y); // p = x R(u), about Phi(x) - 1/2
    }
    for &p in p {
        a.vminps(p, p, constant(offset::HALF));
    }
    for &p in p {
        a.vmaxps(p, p, constant(offset::MINUS_HALF)); // p = Phi(x) - 1/2
    }
    for (&u, &y) in u.iter().zip(y) {
        a.vmulps(u, y, constant(offset::HALF)); // u = x / 2
    }
    for ((&y, &p), &u) in y.iter().zip(p).zip(u) {
        a.vfmadd213ps(y, p, u); // y = x Phi(x)
    }
}

/// The constants [`emit_gelu_coarse`] reads: `R[0..9]`, the largest |x|, its negative, 1/2.
pub(crate) const GELU_COARSE_TABLE: [f32; GELU_COARSE_R.len() + 3] = {
    let mut table = [0.0; GELU_COARSE_R.len() + 3];
    let mut i = 0;
    while i < GELU_COARSE_R.len() {
        table[i] = GELU_COARSE_R[i];
        i += 1;
    }
    table[i] = GELU_COARSE_MAX;
    table[i + 1] = -GELU_COARSE_MAX;
    table[i + 2] = 0.5;
    table
};

/// Registers [`emit_gelu_coarse`] needs for `vectors` vectors.
pub(crate) const fn gelu_coarse_temps(vectors: usize) -> usize {
    3 * vectors + 1
}

/// Replaces each of `y` by GELU(y) for 8-bit results, with the same bits as [`crate::math::gelu_coarse`].
///
/// `temps` are [`gelu_coarse_temps`] registers, destroyed. `table` is the address of [`GELU_COARSE_TABLE`].
pub(crate) fn emit_gelu_coarse(a: &mut Asm, y: &[Zmm], temps: &[Zmm], table: Mem) {
    let constant = |i: usize| table + 4 * i as i32;
    let max = GELU_COARSE_R.len();
    let (c, temps) = (temps[0], &temps[1..]);
    let (x, rest) = temps.split_at(y.len());
    let (t, rest) = rest.split_at(y.len());
    let p = &rest[..y.len()];
    for (&x, &y) in x.iter().zip(y) {
        a.vminps(x, y, constant(max).bcast());
    }
    for &x in x {
        a.vmaxps(x, x, constant(max + 1).bcast()); // x clamped
    }
    for (&t, &x) in t.iter().zip(x) {
        a.vmulps(t, x, x); // t = x^2
    }
    for &p in p {
        a.vbroadcastss(p, constant(GELU_COARSE_R.len() - 1));
    }
    for k in (0..GELU_COARSE_R.len() - 1).rev() {
        a.vbroadcastss(c, constant(k));
        for (&p, &t) in p.iter().zip(t) {
            a.vfmadd213ps(p, t, c); // p = p t + R[k]
        }
    }
    a.vbroadcastss(c, constant(max + 2));
    for (&p, &x) in p.iter().zip(x) {
        a.vfmadd213ps(p, x, c); // p = x R(t) + 1/2 = Phi(x)
    }
    for (&y, &p) in y.iter().zip(p) {
        a.vmulps(y, p, y); // y = Phi(y) y
    }
}
