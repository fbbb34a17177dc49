//! The safe wrapper: checks shapes, then one unsafe call.

use lacuna_jit::Entry;

use super::args::GemmArgs;
use super::plan::{BLOCK_STRIPS, GemmPlan, STRIP};
use super::portable;
use super::weights::GemmWeights;
use crate::epilogue::Constants;
use crate::kernel::kernel_methods;
use crate::layout::{elements, tiles};
use crate::output::{SharedOutput, check_length, check_output};
use crate::parallel::{Part, Parts};
use crate::rows::with_fma;
use crate::{KernelError, Output, Parallel, Plan, TILE};

/// A callable dense GEMM. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct GemmKernel {
    plan: GemmPlan,
    entry: Option<Entry<GemmArgs>>,
}

kernel_methods!(GemmKernel, GemmPlan, GemmArgs);

impl GemmKernel {
    /// `out = epilogue(W x)` for `tokens` tokens.
    ///
    /// **Shapes**: `x` is a VNNI panel of K x tokens, `out` holds M x tokens in the layout of the epilogue; both have
    /// [`elements`] elements. Padding tokens and features of `out` are left unspecified.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no tokens, [`KernelError::Length`] for buffers of another size,
    /// [`KernelError::Mismatch`] for weights packed for another shape or an output of another kind.
    pub fn run(
        &self,
        weights: &GemmWeights,
        x: &[u8],
        tokens: usize,
        out: Output<'_>,
        parallel: Parallel,
    ) -> Result<(), KernelError> {
        let plan = &self.plan;
        if tokens == 0 {
            return Err(KernelError::Dimension { kernel: "gemm", dimension: "N", found: 0, expected: "at least 1" });
        }
        if (weights.m, weights.k) != (plan.m, plan.k) {
            return Err(KernelError::Mismatch {
                kernel: plan.name(),
                found: format!("weights of M={} K={}", weights.m, weights.k),
                expected: format!("M={} K={}", plan.m, plan.k),
            });
        }
        check_length(plan, "x", x.len(), elements(plan.k, tokens))?;
        check_output(plan, plan.epilogue.sink.store, &out, elements(plan.m, tokens))?;
        let out = SharedOutput::from(out);
        // Rows of a part are register blocks.
        let parts = Parts::new(tiles(tokens), plan.blocks(), |block| block, parallel);
        parallel.for_each(parts.count(), |i| self.run_part(weights, x, tokens, out, parts.part(i)));
        Ok(())
    }

    /// Computes one part of the output: some tiles of some register blocks.
    fn run_part(&self, weights: &GemmWeights, x: &[u8], tokens: usize, out: SharedOutput, part: Part) {
        let plan = &self.plan;
        let (x_tile, y_tile) = (plan.x_tile_bytes(), plan.y_tile_elements());
        match &self.entry {
            Some(entry) => {
                let args = self.args(weights, x, tokens, out, part);
                // SAFETY: the plan's `Isa` token proves the CPU features. `run` made sure that x and out hold `elements` of
                // the plan's shape, so every tile of the part is inside them; weights and parameters were packed for this
                // shape by `GemmWeights::pack`, or checked by `GemmWeights::from_sections`. Parts are disjoint in (tile, block),
                // and a strip's outputs belong to it alone.
                unsafe { entry.call(&args) };
            }
            None => {
                let (first_strip, strips) = self.strips(part);
                for tile in part.first_tile..part.first_tile + part.tiles {
                    let tile_tokens = (tokens - tile * TILE).min(TILE);
                    let x = &x[tile * x_tile..][..x_tile];
                    for strip in first_strip..first_strip + strips {
                        // SAFETY: as above: the strip's 4 x 64 elements are inside `out` and written by this part alone.
                        let out = unsafe { out.slice(tile * y_tile + strip * STRIP * TILE, STRIP * TILE) };
                        with_fma!(
                            portable::strip,
                            plan: &GemmPlan,
                            weights: &GemmWeights,
                            strip: usize,
                            x: &[u8],
                            tile_tokens: usize,
                            out: Output<'_>
                        );
                    }
                }
            }
        }
    }
    /// What the generated code is called with to compute `part`.
    fn args(&self, weights: &GemmWeights, x: &[u8], tokens: usize, out: SharedOutput, part: Part) -> GemmArgs {
        let plan = &self.plan;
        let (first_strip, strips) = self.strips(part);
        GemmArgs {
            x: x[part.first_tile * plan.x_tile_bytes()..].as_ptr(),
            weights: weights.packed[part.first_row * plan.block_bytes()..].as_ptr(),
            params: weights.params.pointer(first_strip),
            y: out.at(part.first_tile * plan.y_tile_elements() + first_strip * STRIP * TILE),
            constants: Constants::address(),
            tokens: (tokens - part.first_tile * TILE).min(part.tiles * TILE),
            blocks: strips / BLOCK_STRIPS,
            last_strips: strips % BLOCK_STRIPS,
        }
    }

    /// First strip and number of strips of `part`.
    fn strips(&self, part: Part) -> (usize, usize) {
        let first = part.first_row * BLOCK_STRIPS;
        (first, (part.rows * BLOCK_STRIPS).min(self.plan.strips() - first))
    }
}

#[cfg(test)]
mod tests {
    use super::super::GemmDesc;
    use super::*;
    use crate::Buffer;
    use crate::cache::KernelCache;
    use crate::epilogue::{Epilogue, RowParams};
    use crate::output::OutputBuffer;
    use crate::support::{Clobbers, tiers, with_canaries};

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let (m, k) = (17, 12);
        for isa in tiers() {
            for epilogue in Epilogue::all() {
                let plan = GemmDesc { m, k, epilogue }.plan(isa).unwrap();
                let compiled = KernelCache::global().compile_one(&plan).unwrap();
                let Some(function) = compiled.function().cloned() else { continue };
                let kernel = GemmKernel::new(plan, compiled).unwrap();
                let weights = GemmWeights::pack(&plan, &vec![1; m * k], &vec![RowParams::default(); m]).unwrap();
                for tokens in [1, 17, 33, 49, 64, 140] {
                    let x = Buffer::new(elements(k, tokens));
                    let mut out = OutputBuffer::new(epilogue.sink.store, elements(m, tokens));
                    let all = Part { first_tile: 0, tiles: tiles(tokens), first_row: 0, rows: plan.blocks() };
                    let args = kernel.args(&weights, &x, tokens, SharedOutput::from(out.output()), all);
                    // SAFETY: as in `run_part`: buffers and weights have the plan's shape, `isa` proves the features.
                    let clobbers = unsafe { with_canaries(&function, &args) };
                    assert_eq!(clobbers, Clobbers::NONE, "{} on {tokens} tokens", plan.name());
                }
            }
        }
    }
}
