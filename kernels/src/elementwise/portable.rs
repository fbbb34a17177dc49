//! The plan in plain Rust: the operations of the generated code in the same order, so the bits are the same.

use super::params::QuantParams;
use super::plan::ElementwisePlan;
use crate::TILE;
use crate::epilogue::Accuracy;
use crate::rows::{lanes, quantize, store_panel_row, zero_padding_features};

/// One tile, in place.
#[inline(always)]
pub(super) fn activate_tile(plan: &ElementwisePlan, x: &mut [f32], columns: usize) {
    let (rows, _) = x.as_chunks_mut::<TILE>();
    for row in &mut rows[..plan.features] {
        for x in &mut row[..lanes(columns)] {
            *x = plan.sink.activation.apply(Accuracy::Float, *x);
        }
    }
}

/// One tile to a panel.
#[inline(always)]
pub(super) fn quantize_tile(
    plan: &ElementwisePlan,
    x: &[f32],
    params: &[QuantParams],
    panel: &mut [u8],
    columns: usize,
) {
    let Some((layout, sign)) = plan.sink.store.codes() else { return };
    let lanes = lanes(columns);
    let (rows, _) = x.as_chunks::<TILE>();
    for (f, (row, p)) in rows.iter().zip(params).enumerate() {
        let mut y = *row;
        for y in &mut y[..lanes] {
            *y = plan.sink.activation.apply(Accuracy::Float, *y);
        }
        let mut q = [0; TILE];
        for (q, y) in q[..lanes].iter_mut().zip(y) {
            *q = quantize(sign, y.mul_add(p.scale, p.zero));
        }
        store_panel_row(layout, panel, f, &q, lanes);
    }
    zero_padding_features(layout, panel, plan.features, lanes);
}
