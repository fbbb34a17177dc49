//! The cost model: cycles of one call, from the pattern's counts, the schedule and the caches.
//!
//! A group costs as much as its slowest part: dot products (two per cycle), vector loads, or instructions and the lines from L2 that
//! they wait for. A row block costs its epilogue and its loop. The constants were measured (docs/measurements.md).

use lacuna_jit::cpu::Caches;

use crate::epilogue::{Activation, Store};
use crate::layout::padded;
use crate::spmm::SpmmPlan;
use crate::spmm::plan::ROW_BLOCK;
use crate::{Block, LANES, PanelLayout, TILE, VECTORS};

/// `vpdpbusd` per cycle.
const DOTS: f64 = 2.0;
/// Vector loads per cycle while dot products run, with broadcasts; without dot products there are two.
const LOADS: f64 = 1.6;
/// Instructions per cycle that the front end sustains.
const ISSUE: f64 = 6.5;
/// Share of L1 that holds X; the streams pass through the rest.
const L1_SHARE: f64 = 0.6;
/// The same where almost all loads are of X.
const L1_SHARE_1X4: f64 = 0.9;
/// Cycles that such loads wait for a line from L2.
const L2_LINE_1X4: f64 = 0.6;
/// Cycles that instructions wait for a line from L2, with many lines under way.
const L2_LINE: f64 = 0.5;
/// Cycles until a line comes from L3 or memory, with several lines under way.
const L3_LINE: f64 = 6.0;
/// Cycles of a row block that do not depend on the number of vectors: loop, list, mispredicted exits.
const ROW: f64 = 8.0;
/// Cycles to copy a line of X to where a pass reads it.
const COPY_LINE: f64 = 2.0;
/// Cycles to pack four rows of a narrow tail.
const PACK_FOUR_ROWS: f64 = 5.0;
/// Cycles to add up the parts of a narrow row block, by vectors.
const COMBINE: [f64; 2] = [18.0, 9.0];

/// Cycles of the epilogue per row block and vector of 16 columns.
fn epilogue_cycles(plan: &SpmmPlan) -> f64 {
    let activation = match plan.epilogue().sink.activation {
        Activation::Identity => 0.0,
        Activation::Relu => 1.0,
        Activation::Gelu | Activation::GeluTanh => 14.0,
    };
    activation
        + match plan.epilogue().sink.store {
            Store::Bytes { .. } => 4.5,
            Store::F32 { residual: false } | Store::Bf16 => 6.5, // no plan stores bf16
            Store::F32 { residual: true } => 8.0,
        }
}

/// Cycles of one call on `columns` columns with `groups` groups in all lists.
pub(super) fn cycles(plan: &SpmmPlan, groups: usize, columns: usize, caches: &Caches) -> f64 {
    let (full, tail) = (columns / TILE, (columns % TILE).div_ceil(LANES));
    let mut total = full as f64 * tile(plan, groups, VECTORS, caches);
    if tail > 0 {
        total += if tail * LANES <= plan.schedule().narrow {
            narrow(plan, groups, tail)
        } else {
            tile(plan, groups, tail, caches)
        };
    }
    total + first_touch(plan, columns, caches)
}

/// Share of the dot product peak that dense GEMM reaches.
const DENSE_EFFICIENCY: f64 = 0.95;

/// Cycles of the dense product of the same shape.
pub(super) fn dense_cycles(m: usize, k: usize, columns: usize) -> f64 {
    let dots = padded(m) as f64 * k.div_ceil(4) as f64 * columns.div_ceil(LANES) as f64;
    dots / DOTS / DENSE_EFFICIENCY
}

/// One tile of which `vectors` vectors are computed.
fn tile(plan: &SpmmPlan, groups: usize, vectors: usize, caches: &Caches) -> f64 {
    let width = plan.schedule().vectors;
    (0..vectors).step_by(width).map(|first| pass(plan, groups, width.min(vectors - first), caches)).sum()
}

fn pass(plan: &SpmmPlan, groups: usize, vectors: usize, caches: &Caches) -> f64 {
    let dots = (ROW_BLOCK * vectors) as f64;
    let (x_loads, interleaves, weight_loads, weight_instructions) = match plan.cover() {
        Block::B1x4 => (dots, 0.0, 1.0, 5.0),
        Block::B4x4 => (vectors as f64, 0.0, 4.0, 4.0),
        _ => (4.0, vectors as f64 + if vectors > 2 { 4.0 } else { 2.0 }, 4.0, 4.0),
    };
    let indices = if plan.group_indices() == 4 { 8.0 } else { 1.0 };
    let control = 2.0 / plan.schedule().unroll as f64;
    let instructions = indices + x_loads + interleaves + weight_instructions + dots + control;

    // Lines of X in use by the pass; what exceeds L1 (with the streams passing through) comes from L2.
    let lines_per_row = if plan.input() == PanelLayout::Plain { 1.0 } else { vectors as f64 / VECTORS as f64 };
    let x_bytes = plan.x_tile_bytes() as f64 * lines_per_row;
    let (share, line) = match plan.cover() {
        Block::B1x4 => (L1_SHARE_1X4, L2_LINE_1X4),
        _ => (L1_SHARE, 0.0),
    };
    let missing = (1.0 - share * caches.l1d as f64 / x_bytes).max(0.0);
    let lines = x_loads * missing;

    // A group adds once to each of its accumulators: a chain of groups waits for the latency of a dot product.
    let latency = if plan.has_second_accumulators(vectors) { 2.0 } else { 4.0 };

    let issue = instructions / ISSUE + lines * L2_LINE;
    let group = [dots / DOTS, (x_loads + weight_loads) / LOADS + lines * line, issue, latency];
    let group = group.into_iter().fold(0.0, f64::max);
    let copy = if plan.packs_dwords() { padded(plan.k()) as f64 / 4.0 * COPY_LINE * vectors as f64 } else { 0.0 };
    copy + groups as f64 * group + rows(plan, vectors)
}

/// The cost of row blocks without their groups.
fn rows(plan: &SpmmPlan, vectors: usize) -> f64 {
    plan.rows() as f64 * (ROW + vectors as f64 * epilogue_cycles(plan))
}

/// A narrow tail.
fn narrow(plan: &SpmmPlan, groups: usize, vectors: usize) -> f64 {
    let shared = (VECTORS / vectors) as f64; // groups in a vector
    let instructions = shared * 8.0 + 8.0 + 6.0 + 16.0 + 2.0;
    let inserts = (shared - 1.0) * 4.0; // on one of the two dot product ports, half of the time
    let step = f64::max((16.0 + inserts / 2.0) / DOTS, instructions / ISSUE);
    let steps = groups as f64 / shared + 0.5 * (shared - 1.0) / shared * plan.rows() as f64;
    let pack = padded(plan.k()) as f64 / 4.0 * PACK_FOUR_ROWS;
    pack + steps * step + plan.rows() as f64 * COMBINE[vectors - 1] + rows(plan, vectors)
}

/// What it costs that all of X passes through L2 for the first time.
fn first_touch(plan: &SpmmPlan, columns: usize, caches: &Caches) -> f64 {
    let tiles = columns.div_ceil(TILE);
    let lines = padded(plan.k()) as f64;
    let x_bytes = tiles as f64 * plan.x_tile_bytes() as f64;
    if plan.schedule().prefetch {
        // One instruction per line; they are wasted where everything is near anyway.
        return (columns / TILE) as f64 * lines / ISSUE;
    }
    let far = (1.0 - caches.l2 as f64 / (2.0 * x_bytes)).max(0.0);
    tiles as f64 * lines * (1.0 - far) * 0.5 + tiles as f64 * lines * far * L3_LINE
}
