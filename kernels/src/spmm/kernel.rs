//! The safe wrapper: checks shapes, then one unsafe call.

use lacuna_jit::Entry;

use super::emit::SpmmArgs;
use super::plan::SpmmPlan;
use super::portable;
use super::weights::SpmmWeights;
use crate::cache::{Compiled, KernelCache};
use crate::epilogue::{BlockOutput, Constants, Store};
use crate::layout::{elements, tiles};
use crate::parallel::SharedMut;
use crate::{KernelError, Parallel, Plan, TILE};

/// Where a GEMM or SpMM writes: the buffer must be of the kind its epilogue stores.
#[derive(Debug)]
pub enum Output<'a> {
    /// A plain or VNNI panel of u8 or s8 (as two's complement bytes).
    Bytes(&'a mut [u8]),
    /// An f32 tile; with a residual epilogue the results are added to it.
    F32(&'a mut [f32]),
}

/// A callable SpMM. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct SpmmKernel {
    plan: SpmmPlan,
    entry: Option<Entry<SpmmArgs>>,
}

impl SpmmKernel {
    /// Pairs a plan with its compiled code.
    ///
    /// # Errors
    /// [`KernelError::Mismatch`] if `compiled` is the code of another plan, or none for a plan that needs code.
    pub fn new(plan: SpmmPlan, compiled: Compiled) -> Result<SpmmKernel, KernelError> {
        // SAFETY: the code was emitted by this plan's emitter (checked by name), which reads its argument as `SpmmArgs`.
        let entry = compiled.function_of(&plan)?.map(|function| unsafe { function.typed() });
        Ok(SpmmKernel { plan, entry })
    }

    /// Compiles `plan` through the process-wide cache.
    ///
    /// # Errors
    /// Those of code generation and executable memory.
    pub fn compile(plan: SpmmPlan) -> Result<SpmmKernel, KernelError> {
        SpmmKernel::new(plan, KernelCache::global().compile_one(&plan)?)
    }

    /// The plan this kernel follows.
    pub fn plan(&self) -> &SpmmPlan {
        &self.plan
    }

    /// The generated code, if the plan's tier has any.
    pub fn code(&self) -> Option<&lacuna_jit::Code> {
        self.entry.as_ref().map(Entry::code)
    }

    /// `out = epilogue(W x)` for `tokens` tokens.
    ///
    /// **Shapes**: `x` is a plain panel of K x tokens, `out` holds M x tokens in the layout of the epilogue; both have
    /// [`elements`] elements. Padding tokens and features of `out` are left unspecified.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no tokens, [`KernelError::Length`] for buffers of another size,
    /// [`KernelError::Mismatch`] for weights packed for another shape or an output of another kind.
    pub fn run(
        &self,
        weights: &SpmmWeights,
        x: &[u8],
        tokens: usize,
        out: Output<'_>,
        parallel: Parallel,
    ) -> Result<(), KernelError> {
        self.check(weights, x, tokens, &out)?;
        let parts = Parts::of(weights, tiles(tokens), parallel);
        match out {
            Output::Bytes(out) => {
                let out = SharedMut::new(out);
                parallel
                    .for_each(parts.count(), |i| self.run_part(weights, x, tokens, Target::Bytes(out), parts.part(i)));
            }
            Output::F32(out) => {
                let out = SharedMut::new(out);
                parallel
                    .for_each(parts.count(), |i| self.run_part(weights, x, tokens, Target::F32(out), parts.part(i)));
            }
        }
        Ok(())
    }

    fn check(&self, weights: &SpmmWeights, x: &[u8], tokens: usize, out: &Output<'_>) -> Result<(), KernelError> {
        let plan = &self.plan;
        if tokens == 0 {
            return Err(KernelError::Dimension { kernel: "spmm", dimension: "N", found: 0, expected: "at least 1" });
        }
        if (weights.m, weights.k, weights.index) != (plan.m, plan.k, plan.index) {
            return Err(KernelError::Mismatch {
                kernel: plan.name(),
                found: format!("weights of M={} K={}", weights.m, weights.k),
                expected: format!("M={} K={}", plan.m, plan.k),
            });
        }
        check_length(plan, "x", x.len(), elements(plan.k, tokens))?;
        check_output(plan, &plan.epilogue.store, out, elements(plan.m, tokens))
    }

    /// Computes one part of the output: some tiles of some block rows.
    fn run_part(&self, weights: &SpmmWeights, x: &[u8], tokens: usize, out: Target, part: Part) {
        let plan = &self.plan;
        let (x_tile, y_tile) = (plan.x_tile_bytes(), plan.y_tile_elements());
        let part_tokens = (tokens - part.first_tile * TILE).min(part.tiles * TILE);
        match &self.entry {
            Some(entry) => {
                let args = SpmmArgs {
                    x: x[part.first_tile * x_tile..].as_ptr(),
                    stream: weights.stream[weights.group_offsets[part.first_row] * plan.index.record_bytes()..]
                        .as_ptr(),
                    block_rows: weights.block_rows[part.first_row..].as_ptr(),
                    params: weights.params[part.first_row..].as_ptr(),
                    y: out.at(part.first_tile * y_tile),
                    constants: Constants::address(),
                    tokens: part_tokens,
                    count: part.rows,
                };
                // SAFETY: the plan's `Isa` token proves the CPU features. `check` made sure that x and out hold
                // `elements` of the plan's shape, so every tile of the part is inside them; stream, block rows and
                // parameters were packed together by `SpmmWeights::pack`, whose indices are below K and whose output
                // offsets are below M. Parts are disjoint in (tile, block row), and a block row's outputs belong to it alone.
                unsafe { entry.call(&args) };
            }
            None => {
                for tile in part.first_tile..part.first_tile + part.tiles {
                    let tile_tokens = (tokens - tile * TILE).min(TILE);
                    let x = &x[tile * x_tile..][..x_tile];
                    for row in part.first_row..part.first_row + part.rows {
                        let at = tile * y_tile + weights.block_rows[row].out_offset as usize;
                        // SAFETY: as above: the block row's 4 x 64 elements are inside `out` and written by this part alone.
                        let out = unsafe { out.block(at) };
                        portable::block_row(plan, weights, row, x, tile_tokens, out);
                    }
                }
            }
        }
    }
}

/// The output shared by the parts of one call.
#[derive(Clone, Copy)]
enum Target {
    Bytes(SharedMut<u8>),
    F32(SharedMut<f32>),
}

impl Target {
    fn at(self, element: usize) -> *mut u8 {
        match self {
            Target::Bytes(out) => out.at(element),
            Target::F32(out) => out.at(element).cast(),
        }
    }

    /// # Safety
    /// - 4 x 64 elements from `element` on are inside the output and nobody else uses them now.
    unsafe fn block<'a>(self, element: usize) -> BlockOutput<'a> {
        const ELEMENTS: usize = 4 * TILE;
        match self {
            // SAFETY: the caller's promise.
            Target::Bytes(out) => {
                BlockOutput::Bytes(unsafe { std::slice::from_raw_parts_mut(out.at(element), ELEMENTS) })
            }
            // SAFETY: the caller's promise.
            Target::F32(out) => BlockOutput::F32(unsafe { std::slice::from_raw_parts_mut(out.at(element), ELEMENTS) }),
        }
    }
}

/// Some tiles of some block rows.
#[derive(Debug, Clone, Copy)]
struct Part {
    first_tile: usize,
    tiles: usize,
    first_row: usize,
    rows: usize,
}

/// A call cut into parts: tiles first; block rows too, by equal numbers of groups, if there are fewer tiles than threads.
struct Parts {
    tiles: usize,
    /// Tiles per part.
    run: usize,
    /// First block row of each part, and the total at the end.
    rows: Vec<usize>,
}

impl Parts {
    fn of(weights: &SpmmWeights, tiles: usize, parallel: Parallel) -> Parts {
        let threads = match parallel {
            Parallel::Serial => 1,
            Parallel::Rayon => rayon::current_num_threads(),
        };
        let all = weights.block_rows.len();
        if threads == 1 {
            return Parts { tiles, run: tiles, rows: vec![0, all] };
        }
        let pieces = threads.div_ceil(tiles).min(all);
        let groups = weights.group_offsets[all];
        // Empty block rows still cost an epilogue: count each block row as one group more.
        let cost = |row: usize| weights.group_offsets[row] + row;
        let mut row = 0;
        let rows = (0..=pieces).map(|i| {
            while row < all && cost(row) < (groups + all) * i / pieces {
                row += 1;
            }
            row
        });
        let rows = rows.collect();
        Parts { tiles, run: 1, rows }
    }

    fn count(&self) -> usize {
        self.tiles.div_ceil(self.run) * (self.rows.len() - 1)
    }

    fn part(&self, i: usize) -> Part {
        let pieces = self.rows.len() - 1;
        let (tile, piece) = (i / pieces * self.run, i % pieces);
        Part {
            first_tile: tile,
            tiles: self.run.min(self.tiles - tile),
            first_row: self.rows[piece],
            rows: self.rows[piece + 1] - self.rows[piece],
        }
    }
}

pub(crate) fn check_length(
    plan: &impl Plan,
    buffer: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), KernelError> {
    if found == expected {
        return Ok(());
    }
    Err(KernelError::Length { kernel: plan.name(), buffer, found, expected })
}

pub(crate) fn check_output(
    plan: &impl Plan,
    store: &Store,
    out: &Output<'_>,
    expected: usize,
) -> Result<(), KernelError> {
    let found = match (store, out) {
        (Store::Bytes { .. }, Output::Bytes(out)) => out.len(),
        (Store::F32 { .. }, Output::F32(out)) => out.len(),
        (_, out) => {
            let kind = |bytes| if bytes { "an output of bytes" } else { "an output of f32" };
            return Err(KernelError::Mismatch {
                kernel: plan.name(),
                found: kind(matches!(out, Output::Bytes(_))).into(),
                expected: kind(matches!(store, Store::Bytes { .. })).into(),
            });
        }
    };
    check_length(plan, "output", found, expected)
}
