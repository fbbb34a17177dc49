//! The plan in plain Rust: the operations of the generated code in the same order, so the bits are the same.

use super::plan::{CHAINS, SoftmaxPlan};
use crate::TILE;
use crate::math::{exp, vmax};
use crate::rows::lanes;

/// One tile.
#[inline(always)]
pub(super) fn tile(plan: &SoftmaxPlan, x: &mut [f32], columns: usize) {
    let lanes = lanes(columns);
    let (rows, _) = x.as_chunks_mut::<TILE>();
    let rows = &mut rows[..plan.features];

    let mut acc = [[f32::NEG_INFINITY; TILE]; CHAINS];
    for (f, row) in rows.iter().enumerate() {
        for (max, &x) in acc[f % CHAINS][..lanes].iter_mut().zip(row) {
            *max = vmax(*max, x);
        }
    }
    let max: [f32; TILE] = std::array::from_fn(|t| vmax(acc[0][t], acc[1][t]));

    let mut acc = [[0f32; TILE]; CHAINS];
    for (f, row) in rows.iter_mut().enumerate().rev() {
        for ((sum, x), max) in acc[f % CHAINS][..lanes].iter_mut().zip(row).zip(max) {
            *x = exp(*x - max);
            *sum += *x;
        }
    }
    let scale: [f32; TILE] = std::array::from_fn(|t| 1.0 / (acc[0][t] + acc[1][t]));

    for row in rows {
        for (x, scale) in row[..lanes].iter_mut().zip(scale) {
            *x *= scale;
        }
    }
}
