//! The safe wrapper: checks shapes, then one unsafe call per tile.

use lacuna_jit::{Entry, Isa};

use super::args::ColumnRescaleArgs;
use super::desc::ColumnRescaleDesc;
use super::params::{RescaleParams, RescaleRows};
use super::plan::ColumnRescalePlan;
use super::portable;
use crate::epilogue::Constants;
use crate::kernel::kernel_methods;
use crate::layout::{elements, tiles};
use crate::output::{SharedOutput, check_length, check_output};
use crate::parallel::SharedMut;
use crate::rows::{check_columns, for_each_tile, with_fma};
use crate::{KernelError, Output, Parallel, Plan, TILE};

impl ColumnRescaleDesc {
    /// Plans and compiles through the process-wide cache.
    ///
    /// # Errors
    /// Those of [`ColumnRescaleDesc::plan`] and [`ColumnRescaleKernel::compile`].
    pub fn compile(&self, isa: Isa) -> Result<ColumnRescaleKernel, KernelError> {
        ColumnRescaleKernel::compile(self.plan(isa)?)
    }
}

/// A callable rescaling by a scale per column. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct ColumnRescaleKernel {
    plan: ColumnRescalePlan,
    entry: Option<Entry<ColumnRescaleArgs>>,
}

kernel_methods!(ColumnRescaleKernel, ColumnRescalePlan, ColumnRescaleArgs);

impl ColumnRescaleKernel {
    /// Rescales the N = `columns` columns of `t` by `scales`, and writes the results to `out`, or in place, if the plan says so:
    /// then there is no `out`.
    ///
    /// **Shapes**: `t` and `out` hold M x N with [`elements`] elements; `scales` has one element per column of whole tiles.
    /// Padding columns are left unspecified. s8 is stored as two's complement bytes.
    ///
    /// # Errors
    /// [`KernelError::Mismatch`] for an output of another kind than the plan stores, [`KernelError::Dimension`] for no columns,
    /// [`KernelError::Length`] for buffers of another size.
    pub fn run(
        &self,
        rows: &RescaleRows,
        scales: &[f32],
        t: &mut [f32],
        out: Option<Output<'_>>,
        columns: usize,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        let plan = &self.plan;
        check_columns("column rescaling", columns)?;
        check_length(plan, "rescaling parameters", rows.rows.len(), plan.features)?;
        check_length(plan, "column scales", scales.len(), tiles(columns) * TILE)?;
        check_length(plan, "t", t.len(), elements(plan.features, columns))?;
        self.check_output(out.as_ref(), columns)?;
        let out = out.map(SharedOutput::from);
        let t = SharedMut::new(t);
        for_each_tile(parallel, columns, |tile, columns| {
            let at = tile * plan.tile_elements();
            let scales = &scales[tile * TILE..][..TILE];
            match &self.entry {
                Some(entry) => {
                    let out = out.map_or(std::ptr::null_mut(), |out| out.at(at));
                    let args = args(rows, scales, t.at(at), out, columns);
                    // SAFETY: the plan's `Isa` token proves the CPU features; the length checks made sure that all buffers hold
                    // every tile and `rows` every feature; each task has its own tile of each. The code writes what the plan's
                    // store says. The kind of the output was checked before.
                    unsafe { entry.call(&args) };
                }
                None => {
                    // SAFETY: as above.
                    let t = unsafe { std::slice::from_raw_parts_mut(t.at(at), plan.tile_elements()) };
                    // SAFETY: as above.
                    let out = out.map(|out| unsafe { out.slice(at, plan.tile_elements()) });
                    let params = &rows.rows[..];
                    with_fma!(
                        portable::tile,
                        plan: &ColumnRescalePlan,
                        params: &[RescaleParams],
                        scales: &[f32],
                        t: &mut [f32],
                        out: Option<Output<'_>>,
                        columns: usize
                    );
                }
            }
        });
        Ok(())
    }

    /// Checks the output: none if the plan works in place, otherwise one of the kind and length that the plan stores.
    fn check_output(&self, out: Option<&Output<'_>>, columns: usize) -> Result<(), KernelError> {
        let plan = &self.plan;
        let (found, expected) = match (out, plan.is_in_place()) {
            (None, true) => return Ok(()),
            (Some(out), false) => return check_output(plan, plan.sink.store, out, elements(plan.features, columns)),
            (Some(_), true) => ("an output", "none: this plan works in place"),
            (None, false) => ("no output", "an output"),
        };
        Err(KernelError::Mismatch { kernel: plan.name(), found: found.into(), expected: expected.into() })
    }
}

/// What the generated code is called with to compute one tile.
fn args(rows: &RescaleRows, scales: &[f32], t: *mut f32, out: *mut u8, columns: usize) -> ColumnRescaleArgs {
    ColumnRescaleArgs {
        t,
        out,
        params: rows.rows.as_ptr(),
        scales: scales.as_ptr(),
        constants: Constants::address(),
        columns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::KernelCache;
    use crate::support::{Clobbers, tiers, with_canaries};
    use crate::{Activation, Buffer, PanelLayout, Sign, Sink};

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let features = 6;
        let panel = |layout| Sink::bytes(layout, Sign::Signed).with(Activation::Gelu);
        let sinks = [
            Sink::f32(false).with(Activation::Gelu),
            Sink::f32(true),
            panel(PanelLayout::Plain),
            panel(PanelLayout::Vnni),
        ];
        for (isa, sink) in tiers().into_iter().flat_map(|isa| sinks.map(|sink| (isa, sink))) {
            let plan = ColumnRescaleDesc { features, sink }.plan(isa).unwrap();
            let compiled = KernelCache::global().compile_one(&plan).unwrap();
            let Some(function) = compiled.function() else { continue };
            let rows = RescaleRows::pack(&plan, &[RescaleParams::default(); 6]).unwrap();
            for columns in [1, 17, 33, 49, 64] {
                let (mut t, mut out) = (Buffer::new(elements(features, 1)), Buffer::<f32>::new(elements(features, 1)));
                let args = args(&rows, &[1.0; TILE], t.as_mut_ptr(), out.as_mut_ptr().cast(), columns);
                // SAFETY: as in `run`: the buffers hold a tile of the plan's width, `isa` proves the features.
                let clobbers = unsafe { with_canaries(function, &args) };
                assert_eq!(clobbers, Clobbers::NONE, "{} on {columns} columns", plan.name());
            }
        }
    }
}
