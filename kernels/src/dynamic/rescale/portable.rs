//! The plan in plain Rust: the operations of the generated code in the same order, so the bits are the same.

use super::desc::RescaleOutput;
use super::params::RescaleParams;
use super::plan::ColumnRescalePlan;
use super::target::TileTarget;
use crate::TILE;
use crate::epilogue::Precision;
use crate::rows::{lanes, quantize, store_panel_row, zero_padding_features};

/// One tile; `scales` are those of its columns.
#[inline(always)]
pub(super) fn tile(
    plan: &ColumnRescalePlan,
    params: &[RescaleParams],
    scales: &[f32],
    t: &mut [f32],
    out: TileTarget<'_>,
    columns: usize,
) {
    let lanes = lanes(columns);
    let (rows, _) = t.as_chunks_mut::<TILE>();
    let mut out = out;
    for (f, (row, p)) in rows.iter_mut().zip(params).enumerate() {
        let mut y = *row;
        for (y, &scale) in y[..lanes].iter_mut().zip(scales) {
            *y = plan.output.activation().apply(Precision::Float, y.mul_add(scale, p.bias));
        }
        match (plan.output, &mut out) {
            (RescaleOutput::Residual, TileTarget::F32(x)) => {
                let (rows, _) = x.as_chunks_mut::<TILE>();
                rows[f][..lanes].iter_mut().zip(y).for_each(|(x, y)| *x += y);
            }
            (RescaleOutput::Panel { layout, sign, .. }, TileTarget::Panel(panel)) => {
                let mut q = [0; TILE];
                for (q, y) in q[..lanes].iter_mut().zip(y) {
                    *q = quantize(sign, y.mul_add(p.out_scale, p.out_zero));
                }
                store_panel_row(layout, panel, f, &q, lanes);
            }
            // The wrapper pairs the target with the plan's output.
            _ => row[..lanes].copy_from_slice(&y[..lanes]),
        }
    }
    if let (RescaleOutput::Panel { layout, .. }, TileTarget::Panel(panel)) = (plan.output, out) {
        zero_padding_features(layout, panel, plan.features, lanes);
    }
}
