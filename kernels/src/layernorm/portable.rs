//! The plan in plain Rust: the operations of the generated code in the same order, so the bits are the same.

use super::params::NormRows;
use super::plan::{CHAINS, LayerNormPlan};
use crate::rows::{lanes, quantize, store_panel_row, zero_padding_features};
use crate::{TILE, math};

/// One tile. `panel` is empty if none is written.
#[inline(always)]
pub(super) fn tile(plan: &LayerNormPlan, params: &NormRows, x: &mut [f32], panel: &mut [u8], columns: usize) {
    let lanes = lanes(columns);
    let features = plan.features as f32;
    let (rows, _) = x.as_chunks_mut::<TILE>();
    let rows = &mut rows[..plan.features];

    let mut first = [[0f32; TILE]; CHAINS];
    for (f, row) in rows[..plan.shift_features()].iter().enumerate() {
        let sum = &mut first[f % CHAINS];
        for t in 0..lanes {
            sum[t] += row[t];
        }
    }
    let mut shift = [0f32; TILE];
    for t in 0..lanes {
        shift[t] = (first[0][t] + first[1][t]) / plan.shift_features() as f32;
    }

    let (mut first, mut second) = ([[0f32; TILE]; CHAINS], [[0f32; TILE]; CHAINS]);
    for (f, row) in rows.iter().enumerate() {
        let (first, second) = (&mut first[f % CHAINS], &mut second[f % CHAINS]);
        for t in 0..lanes {
            let d = shift[t] - row[t];
            first[t] += d;
            second[t] = d.mul_add(d, second[t]);
        }
    }
    let (mut mean, mut rstd) = ([0f32; TILE], [0f32; TILE]);
    for t in 0..lanes {
        let d = (first[0][t] + first[1][t]) / features;
        mean[t] = shift[t] - d;
        let variance = math::vmax(0.0, (-d).mul_add(d, (second[0][t] + second[1][t]) / features));
        rstd[t] = 1.0 / (variance + params.epsilon).sqrt();
    }

    for (f, (row, p)) in rows.iter_mut().zip(params.rows.iter()).enumerate() {
        let mut y = [0f32; TILE];
        for t in 0..lanes {
            y[t] = (-((mean[t] - row[t]) * rstd[t])).mul_add(p.gamma, p.beta);
        }
        if plan.f32 {
            row[..lanes].copy_from_slice(&y[..lanes]);
        }
        if let Some(layout) = plan.panel {
            let mut q = [0; TILE];
            for t in 0..lanes {
                q[t] = quantize(plan.sign(), y[t].mul_add(p.out_scale, p.out_zero));
            }
            store_panel_row(layout, panel, f, &q, lanes);
        }
    }
    if let Some(layout) = plan.panel {
        zero_padding_features(layout, panel, plan.features, lanes);
    }
}
