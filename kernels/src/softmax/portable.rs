//! The plan in plain Rust: the operations of the generated code in the same order, so the bits are the same.

use super::desc::SoftmaxPlan;
use super::emit::MIN_EXPONENT;
use crate::math::{EXP2_FINE, LOG2_E, exp2, vmax};
use crate::rows::{GROUP, lanes};
use crate::{LANES, TILE};

/// One tile.
#[inline(always)]
pub(super) fn tile(plan: &SoftmaxPlan, x: &mut [f32], tokens: usize) {
    let (rows, _) = x.as_chunks_mut::<TILE>();
    for first in (0..lanes(tokens)).step_by(LANES) {
        column(&mut rows[..plan.features], first);
    }
}

/// Tokens `first..first + 16`.
#[inline(always)]
fn column(rows: &mut [[f32; TILE]], first: usize) {
    let mut acc = [[f32::NEG_INFINITY; LANES]; GROUP];
    for (f, row) in rows.iter().enumerate() {
        for (max, &x) in acc[f % GROUP].iter_mut().zip(&row[first..]) {
            *max = vmax(*max, x);
        }
    }
    let mut max = [0f32; LANES];
    for t in 0..LANES {
        max[t] = vmax(vmax(acc[0][t], acc[1][t]), vmax(acc[2][t], acc[3][t]));
    }

    let mut acc = [[0f32; LANES]; GROUP];
    for (f, row) in rows.iter_mut().enumerate() {
        for ((sum, x), max) in acc[f % GROUP].iter_mut().zip(&mut row[first..]).zip(max) {
            *x = exp2(&EXP2_FINE, vmax(MIN_EXPONENT, (*x - max) * LOG2_E));
            *sum += *x;
        }
    }
    let mut scale = [0f32; LANES];
    for t in 0..LANES {
        scale[t] = 1.0 / ((acc[0][t] + acc[1][t]) + (acc[2][t] + acc[3][t]));
    }

    for row in rows {
        for (x, scale) in row[first..].iter_mut().zip(scale) {
            *x *= scale;
        }
    }
}
