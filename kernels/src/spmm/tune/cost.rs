//! The cost model: cycles of one call, from the pattern's counts, the schedule and the facts of the machine.
//!
//! A group costs as much as its slowest part: the operations that share execution units, vector loads, or instructions and the lines from L2
//! that they wait for. A row block costs its epilogue and its loop. Rates are those of the [`Facts`]. The other constants were fitted on
//! a Zen 5 core and on Sapphire Rapids (docs/measurements.md).

use lacuna_jit::{Isa, PortCounts};

use super::avx2;
use super::counts::{abreast_counts, group_counts, keeping_counts, kept_counts, narrow_counts};
use crate::epilogue::{Activation, Store};
use crate::gemm::GemmPlan;
use crate::layout::padded;
use crate::machine::Facts;
use crate::spmm::SpmmPlan;
use crate::{Block, LANES, PanelLayout, Plan, TILE, VECTORS};

/// Share of the loads of L1 that are done while dot products run, with broadcasts.
const LOADS: f64 = 0.8;
/// Share of the instructions per cycle that the front end sustains.
const ISSUE: f64 = 0.8125;
/// Share of L1 that holds X; the streams pass through the rest.
const L1_SHARE: f64 = 0.6;
/// The same where almost all loads are of X.
const L1_SHARE_1X4: f64 = 0.9;
/// Loads of L2 that pass in the time that such a load of X waits for its line, with many lines under way.
const L2_LINE_1X4: f64 = 0.51;
/// The same for other instructions that wait for a line from L2.
const L2_LINE: f64 = 0.425;
/// Cycles until a line comes from L3 or memory, with several lines under way.
const L3_LINE: f64 = 6.0;
/// Cycles of a row block that do not depend on the number of vectors: loop, list, mispredicted exits.
const ROW: f64 = 8.0;
/// Cycles of row blocks that run abreast, once for all of them: loop, lists, mispredicted exits.
const ABREAST: f64 = 6.0;
/// Cycles of an epilogue of however few vectors, where nothing hides it.
const LEAST_EPILOGUE: f64 = 10.0;
/// Share of the instructions per cycle that the front end sustains in the loop over row blocks abreast, which do not wait for each other.
const ABREAST_ISSUE: f64 = 0.875;
/// Loads of L2 that pass in the time that a load of such a loop waits for its line.
const L2_LINE_ABREAST: f64 = 0.255;
/// How often an insertion or a permutation takes one of AMD's two pipes of dot products.
const SHARED_PIPE: f64 = 0.75;
/// Cycles to copy a line of X to where a pass reads it.
const COPY_LINE: f64 = 2.0;
/// Cycles to pack four rows of a narrow tail.
const PACK_FOUR_ROWS: f64 = 5.0;
/// Cycles to add up the parts of a narrow row block, by vectors, where shuffles are not the limit.
const COMBINE: [f64; 2] = [18.0, 9.0];
/// Shuffles of that.
const COMBINE_SHUFFLES: [f64; 2] = [24.0, 16.0];
/// Vector operations per cycle of the machine on which the costs of epilogues were measured.
const EPILOGUE_OPERATIONS: f64 = 4.0;

/// Cycles of the epilogue per row block and vector of 16 columns, where every vector pipe takes part.
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
pub(super) fn cycles(plan: &SpmmPlan, groups: usize, columns: usize, facts: &Facts) -> f64 {
    if let Isa::Avx2(token) = plan.isa() {
        return avx2::cycles(plan, token, groups, columns);
    }
    let (full, tail) = (columns / TILE, (columns % TILE).div_ceil(LANES));
    let mut total = full as f64 * tile(plan, groups, VECTORS, facts);
    if tail > 0 {
        total += if plan.runs_abreast(tail) {
            abreast(plan, groups, tail, facts)
        } else if tail * LANES <= plan.schedule().narrow {
            narrow(plan, groups, tail, facts)
        } else {
            tile(plan, groups, tail, facts)
        };
    }
    total + first_touch(plan, columns, facts)
}

/// Share of its bound that dense GEMM reaches.
const DENSE_EFFICIENCY: f64 = 0.95;
/// Loads of dense GEMM for each dot product: 12 broadcasts and 2 rows for 24.
const DENSE_LOADS: f64 = 14.0 / 24.0;

/// Cycles of a dense product.
pub(super) fn dense_cycles(plan: &GemmPlan, columns: usize, facts: &Facts) -> f64 {
    if let Isa::Avx2(token) = plan.isa() {
        return avx2::dense_cycles(plan, token, columns);
    }
    let (m, k) = (plan.m(), plan.k());
    let dots = padded(m) as f64 * k.div_ceil(4) as f64 * columns.div_ceil(LANES) as f64;
    dots * f64::max(1.0 / facts.dots, DENSE_LOADS / facts.zmm_loads) / DENSE_EFFICIENCY
}

/// One tile of which `vectors` vectors are computed.
fn tile(plan: &SpmmPlan, groups: usize, vectors: usize, facts: &Facts) -> f64 {
    let width = plan.schedule().vectors;
    (0..vectors).step_by(width).map(|first| pass(plan, groups, width.min(vectors - first), facts)).sum()
}

/// Cycles of counted operations while the loop is under way, apart from instructions.
fn operations(counts: &PortCounts, facts: &Facts) -> f64 {
    let (ports, _) = facts.least_cycles(&PortCounts { vector: 0, scalar: 0, load: 0, ..*counts });
    ports.max(f64::from(counts.load) / (LOADS * facts.zmm_loads))
}

/// Cycles that the front end takes for groups of which `unroll` share the loop's own two instructions; one of them is counted.
fn issue(counts: &PortCounts, unroll: usize, facts: &Facts) -> f64 {
    (f64::from(counts.instructions()) - 1.0 + 2.0 / unroll as f64) / (ISSUE * facts.instructions)
}

fn pass(plan: &SpmmPlan, groups: usize, vectors: usize, facts: &Facts) -> f64 {
    if let Some(share) = plan.keeping_share() {
        return shared(plan, groups, vectors, share, facts);
    }
    let (counts, x_loads) = group_counts(plan, vectors);

    // Lines of X in use by the pass; what exceeds L1 (with the streams passing through) comes from L2.
    let lines_per_row = if plan.input() == PanelLayout::Plain { 1.0 } else { vectors as f64 / VECTORS as f64 };
    let x_bytes = plan.x_tile_bytes() as f64 * lines_per_row;
    let line = if plan.cover() == Block::B1x4 { L2_LINE_1X4 / facts.l2_loads } else { 0.0 };
    let lines = f64::from(x_loads) * missing(plan, x_bytes, facts);

    // A group adds once to each of its accumulators: a chain of groups waits for the latency of a dot product.
    let chains = if plan.has_second_accumulators(vectors) { 2.0 } else { 1.0 };

    let issue = issue(&counts, plan.schedule().unroll, facts) + lines * L2_LINE / facts.l2_loads;
    let loads = f64::from(counts.load) / (LOADS * facts.zmm_loads) + lines * line;
    let group = [operations(&counts, facts), loads, issue, facts.dot_latency / chains];
    let group = group.into_iter().fold(0.0, f64::max);
    let copy = if plan.packs_dwords() { padded(plan.k()) as f64 / 4.0 * COPY_LINE * vectors as f64 } else { 0.0 };
    copy + groups as f64 * group + rows(plan, vectors, facts)
}

/// A pass whose row blocks keep interleaved rows of X for others: `share` of the groups are kept.
fn shared(plan: &SpmmPlan, groups: usize, vectors: usize, share: f64, facts: &Facts) -> f64 {
    let (keeping, x_loads) = keeping_counts(plan, vectors);
    let kept = kept_counts(vectors);
    // A 512-bit store takes a cycle of both of AMD's pipes of dot products.
    let pipes = f64::from(keeping.dot + 2 * keeping.store) / facts.dots;
    let kept_bytes = (vectors * TILE) as f64 * groups as f64 / plan.rows() as f64; // of a list
    let lines = |loads: u32, bytes: f64| f64::from(loads) * missing(plan, bytes, facts) * L2_LINE / facts.l2_loads;
    let x_lines = lines(x_loads, plan.x_tile_bytes() as f64 + kept_bytes);
    let unroll = plan.schedule().unroll;
    let keeping = operations(&keeping, facts).max(pipes).max(issue(&keeping, unroll, facts) + x_lines);
    let kept_lines = lines(vectors as u32, kept_bytes.max(1.0));
    let kept = operations(&kept, facts).max(issue(&kept, unroll, facts) + kept_lines);
    let least = facts.dot_latency;
    groups as f64 * (share * keeping.max(least) + (1.0 - share) * kept.max(least)) + rows(plan, vectors, facts)
}

/// The cost of row blocks without their groups.
fn rows(plan: &SpmmPlan, vectors: usize, facts: &Facts) -> f64 {
    plan.rows() as f64 * ROW + epilogues(plan, vectors, facts)
}

fn epilogues(plan: &SpmmPlan, vectors: usize, facts: &Facts) -> f64 {
    plan.rows() as f64 * vectors as f64 * epilogue_cycles(plan) * pipes_of_epilogues(facts)
}

/// How many times as long as on the machine of the measurements an epilogue takes.
fn pipes_of_epilogues(facts: &Facts) -> f64 {
    (EPILOGUE_OPERATIONS / facts.operations).max(1.0)
}

/// A narrow tail.
fn narrow(plan: &SpmmPlan, groups: usize, vectors: usize, facts: &Facts) -> f64 {
    let shared = (VECTORS / vectors) as f64; // groups in a vector
    let counts = narrow_counts(plan, vectors);
    let pipes = (f64::from(counts.dot) + SHARED_PIPE * f64::from(counts.alu)) / facts.dots;
    let lines = 4.0 * shared * missing(plan, (padded(plan.k()) * vectors * LANES) as f64, facts);
    let issue = issue(&counts, 1, facts) + lines * L2_LINE / facts.l2_loads;
    let step = operations(&counts, facts).max(pipes).max(issue);
    let steps = groups as f64 / shared + 0.5 * (shared - 1.0) / shared * plan.rows() as f64;
    let combine = COMBINE[vectors - 1].max(COMBINE_SHUFFLES[vectors - 1] / facts.shuffles);
    pack_rows(plan) + steps * step + plan.rows() as f64 * combine + rows(plan, vectors, facts)
}

/// Packing the rows of a narrow tail.
fn pack_rows(plan: &SpmmPlan) -> f64 {
    padded(plan.k()) as f64 / 4.0 * PACK_FOUR_ROWS
}

/// A tail that computes several row blocks in one loop.
fn abreast(plan: &SpmmPlan, groups: usize, vectors: usize, facts: &Facts) -> f64 {
    let row_blocks = (VECTORS / vectors) as f64;
    let packed = vectors * LANES <= plan.schedule().narrow;
    let (counts, x_loads) = abreast_counts(plan, vectors, packed);
    let (row_bytes, pack) = if packed { (vectors * LANES, pack_rows(plan)) } else { (TILE, 0.0) };
    let lines = f64::from(x_loads) * missing(plan, (padded(plan.k()) * row_bytes) as f64, facts);
    let permutations = if packed { row_blocks } else { 0.0 };
    let pipes = (f64::from(counts.dot) + SHARED_PIPE * (f64::from(counts.alu) + permutations)) / facts.dots;
    let issue = f64::from(counts.instructions() + 1) / (ABREAST_ISSUE * facts.instructions);
    let issue = issue + lines * L2_LINE / facts.l2_loads;
    let loads = f64::from(counts.load) / (LOADS * facts.zmm_loads) + lines * L2_LINE_ABREAST / facts.l2_loads;
    let step = [operations(&counts, facts), pipes, issue, loads, facts.dot_latency].into_iter().fold(0.0, f64::max);
    let sets = plan.rows() as f64 / row_blocks;
    let epilogue = (vectors as f64 * epilogue_cycles(plan) * pipes_of_epilogues(facts)).max(LEAST_EPILOGUE);
    pack + groups as f64 / row_blocks * step + sets * ABREAST + plan.rows() as f64 * epilogue
}

/// The share of the lines of `x_bytes` bytes of X that come from L2 because L1 does not hold them, with the streams passing through.
fn missing(plan: &SpmmPlan, x_bytes: f64, facts: &Facts) -> f64 {
    let share = if plan.cover() == Block::B1x4 { L1_SHARE_1X4 } else { L1_SHARE };
    (1.0 - share * facts.l1d as f64 / x_bytes).max(0.0)
}

/// What it costs that all of X passes through L2 for the first time.
fn first_touch(plan: &SpmmPlan, columns: usize, facts: &Facts) -> f64 {
    let tiles = columns.div_ceil(TILE);
    let lines = padded(plan.k()) as f64;
    let x_bytes = tiles as f64 * plan.x_tile_bytes() as f64;
    if plan.schedule().prefetch {
        // One instruction per line; they are wasted where everything is near anyway.
        return (columns / TILE) as f64 * lines / (ISSUE * facts.instructions);
    }
    let far = (1.0 - facts.l2 as f64 / (2.0 * x_bytes)).max(0.0);
    tiles as f64 * lines * (1.0 - far) * 0.5 + tiles as f64 * lines * far * L3_LINE
}
