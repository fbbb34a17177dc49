//! The plan in plain Rust: the operations of the generated code in the same order, so the bits are the same.

use super::params::LayerNormWeights;
use super::plan::LayerNormPlan;
use crate::rows::{GROUP, lanes, store_panel_row, zero_padding_features};
use crate::{TILE, math};

/// One tile. `panel` is empty if none is written.
#[inline(always)]
pub(super) fn tile(plan: &LayerNormPlan, weights: &LayerNormWeights, x: &mut [f32], panel: &mut [u8], tokens: usize) {
    let lanes = lanes(tokens);
    let features = plan.features as f32;
    let (rows, _) = x.as_chunks_mut::<TILE>();
    let rows = &mut rows[..plan.features];

    let mut acc = [[0f32; TILE]; GROUP];
    for (f, row) in rows.iter().enumerate() {
        let acc = &mut acc[f % GROUP];
        for t in 0..lanes {
            acc[t] += row[t];
        }
    }
    let mut mean = sum(&acc);
    for mean in &mut mean {
        *mean /= features;
    }

    let mut acc = [[0f32; TILE]; GROUP];
    for (f, row) in rows.iter().enumerate() {
        let acc = &mut acc[f % GROUP];
        for t in 0..lanes {
            let d = mean[t] - row[t];
            acc[t] = d.mul_add(d, acc[t]);
        }
    }
    let mut rstd = sum(&acc);
    for rstd in &mut rstd {
        *rstd = 1.0 / (*rstd / features + weights.epsilon).sqrt();
    }

    for (f, (row, p)) in rows.iter_mut().zip(weights.rows.iter()).enumerate() {
        let mut y = [0f32; TILE];
        for t in 0..lanes {
            y[t] = (-((mean[t] - row[t]) * rstd[t])).mul_add(p.gamma, p.beta);
        }
        if plan.output.writes_f32() {
            row[..lanes].copy_from_slice(&y[..lanes]);
        }
        if let Some(layout) = plan.output.panel() {
            let mut q = [0; TILE];
            for t in 0..lanes {
                q[t] = math::quantize_u8(y[t].mul_add(p.out_scale, p.out_zero));
            }
            store_panel_row(layout, panel, f, &q, lanes);
        }
    }
    if let Some(layout) = plan.output.panel() {
        zero_padding_features(layout, panel, plan.features, lanes);
    }
}

#[inline(always)]
fn sum(acc: &[[f32; TILE]; GROUP]) -> [f32; TILE] {
    let mut sum = [0f32; TILE];
    for t in 0..TILE {
        sum[t] = (acc[0][t] + acc[1][t]) + (acc[2][t] + acc[3][t]);
    }
    sum
}
