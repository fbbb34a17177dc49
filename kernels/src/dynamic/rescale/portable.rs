//! The plan in plain Rust: the operations of the generated code in the same order, so the bits are the same.

use super::params::RescaleParams;
use super::plan::{ColumnRescalePlan, StoreForm};
use crate::epilogue::Accuracy;
use crate::rows::{lanes, quantize, store_panel_row, zero_padding_features};
use crate::{Output, TILE};

/// One tile; `scales` are those of its columns, `out` is nothing for a plan that works in place.
#[inline(always)]
pub(super) fn tile(
    plan: &ColumnRescalePlan,
    params: &[RescaleParams],
    scales: &[f32],
    t: &mut [f32],
    out: Option<Output<'_>>,
    columns: usize,
) {
    let lanes = lanes(columns);
    let (rows, _) = t.as_chunks_mut::<TILE>();
    let mut out = out;
    for (f, (row, p)) in rows.iter_mut().zip(params).enumerate() {
        let mut y = *row;
        for (y, &scale) in y[..lanes].iter_mut().zip(scales) {
            *y = plan.sink.activation.apply(Accuracy::Float, y.mul_add(scale, p.bias));
        }
        match (plan.form, &mut out) {
            (StoreForm::Residual, Some(Output::F32(x))) => {
                let (rows, _) = x.as_chunks_mut::<TILE>();
                rows[f][..lanes].iter_mut().zip(y).for_each(|(x, y)| *x += y);
            }
            (StoreForm::Panel(layout, sign), Some(Output::Bytes(panel))) => {
                let mut q = [0; TILE];
                for (q, y) in q[..lanes].iter_mut().zip(y) {
                    *q = quantize(sign, y.mul_add(p.out_scale, p.out_zero));
                }
                store_panel_row(layout, panel, f, &q, lanes);
            }
            // In place: the wrapper checked that the output is the one that the plan stores to.
            _ => row[..lanes].copy_from_slice(&y[..lanes]),
        }
    }
    if let (StoreForm::Panel(layout, _), Some(Output::Bytes(panel))) = (plan.form, out) {
        zero_padding_features(layout, panel, plan.features, lanes);
    }
}
