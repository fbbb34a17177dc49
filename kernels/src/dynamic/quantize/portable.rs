//! The plan in plain Rust: the operations of the generated code in the same order, so the bits are the same.

use super::super::constants::{LEAST_MAXIMUM, codes, zero_code};
use super::plan::ColumnQuantPlan;
use crate::rows::{lanes, quantize, store_panel_row, zero_padding_features};
use crate::{TILE, math};

/// One tile; `scales` are those of its columns.
#[inline(always)]
pub(super) fn tile(
    plan: &ColumnQuantPlan,
    inverse: &[f32],
    x: &[f32],
    panel: &mut [u8],
    scales: &mut [f32],
    columns: usize,
) {
    let lanes = lanes(columns);
    let (most, zero) = (codes(plan.activation_bits), f32::from(zero_code(plan.activation_bits)));
    let (rows, _) = x.as_chunks::<TILE>();
    let mut max = [0i32; TILE];
    for (row, &inverse) in rows.iter().zip(inverse) {
        for (max, &x) in max[..lanes].iter_mut().zip(row) {
            *max = (*max).max((x * inverse).abs().to_bits().cast_signed()); // the sign is clear: NaN is more than infinity
        }
    }
    let mut factor = [0f32; TILE];
    for t in 0..lanes {
        let max = math::vmax(LEAST_MAXIMUM, f32::from_bits(max[t].cast_unsigned()));
        scales[t] = max / most;
        factor[t] = most / max;
    }
    for (f, (row, &inverse)) in rows.iter().zip(inverse).enumerate() {
        let mut codes = [0; TILE];
        for t in 0..lanes {
            codes[t] = quantize(plan.sign(), (row[t] * inverse).mul_add(factor[t], zero));
        }
        store_panel_row(plan.layout, panel, f, &codes, lanes);
    }
    zero_padding_features(plan.layout, panel, plan.features, lanes);
}
