//! The plan interpreted in plain Rust: walks the same packed weights, blocks and tiles as the generated code, and gives the
//! same bits.

use super::plan::{BLOCK_STRIPS, GemmPlan, STRIP};
use super::weights::GemmWeights;
use crate::epilogue::finish_block;
use crate::{Output, TILE};

/// One strip of four output features of one tile. `x` is the tile, `out` the strip's output in it.
#[inline(always)]
pub(super) fn strip(plan: &GemmPlan, weights: &GemmWeights, strip: usize, x: &[u8], tokens: usize, out: Output<'_>) {
    let (block, within) = (strip / BLOCK_STRIPS, strip % BLOCK_STRIPS);
    let strips = BLOCK_STRIPS.min(plan.strips() - block * BLOCK_STRIPS);
    let step_bytes = strips * STRIP * 4;
    let packed = &weights.packed[block * plan.block_bytes()..][..plan.steps() * step_bytes];
    let mut acc = [[0i32; TILE]; STRIP];
    for (w, x) in packed.chunks_exact(step_bytes).zip(x.chunks_exact(4 * TILE)) {
        let w = &w[within * STRIP * 4..][..STRIP * 4];
        let mut features = [[0i32; TILE]; 4]; // one row per input feature, so that the loops below are over tokens
        for (token, x) in x.chunks_exact(4).enumerate() {
            (0..4).for_each(|i| features[i][token] = i32::from(x[i]));
        }
        for (acc, w) in acc.iter_mut().zip(w.chunks_exact(4)) {
            for (&w, feature) in w.iter().zip(&features) {
                let w = i32::from(w as i8);
                acc.iter_mut().zip(feature).for_each(|(acc, &x)| *acc += w * x);
            }
        }
    }
    finish_block(&plan.epilogue, &acc, weights.params.block(strip), tokens, out);
}
