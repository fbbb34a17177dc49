//! The safe wrapper: checks shapes, then one unsafe call per tile.

use lacuna_jit::Entry;

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
use crate::rows::{check_columns, for_each_tile, parts, with_fma};
use crate::{KernelError, Output, Parallel, Plan, TILE};

/// A callable rescaling by a scale per column. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct ColumnRescaleKernel {
    plan: ColumnRescalePlan,
    entry: Option<Entry<ColumnRescaleArgs>>,
}

kernel_methods!(ColumnRescaleKernel, ColumnRescalePlan, ColumnRescaleArgs, ColumnRescaleDesc);

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
                    for part in parts(plan.isa, columns) {
                        let (t, scales) = (t.at(at + part.first), scales.as_ptr().wrapping_add(part.first));
                        let args = args(rows, scales, t, out.wrapping_add(plan.out_offset(part)), part.columns);
                        // SAFETY: the plan's `Isa` token proves the CPU features; the length checks made sure that all buffers
                        // hold every tile and `rows` every feature; each task has its own tile of each. The code writes what the
                        // plan's store says. The kind of the output was checked before.
                        unsafe { entry.call(&args) };
                    }
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
fn args(rows: &RescaleRows, scales: *const f32, t: *mut f32, out: *mut u8, columns: usize) -> ColumnRescaleArgs {
    ColumnRescaleArgs { t, out, params: rows.rows.as_ptr(), scales, constants: Constants::address(), columns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preserved::plans_with_code;
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
        for code in plans_with_code(|isa| sinks.map(|sink| ColumnRescaleDesc { features, sink }.plan(isa).unwrap())) {
            let rows = RescaleRows::pack(&code.plan, &[RescaleParams::default(); 6]).unwrap();
            let scales = [1.0; TILE];
            for columns in [1, 17, 33, 49, 64] {
                let (mut t, mut out) = (Buffer::new(elements(features, 1)), Buffer::<f32>::new(elements(features, 1)));
                let args = args(&rows, scales.as_ptr(), t.as_mut_ptr(), out.as_mut_ptr().cast(), columns);
                // SAFETY: as in `run`: the buffers hold a tile of the plan's width.
                unsafe { code.assert_preserves(&args, columns) };
            }
        }
    }
}
