//! The safe wrapper: checks shapes, then one unsafe call per tile.

use lacuna_jit::Entry;

use super::super::constants::{LEAST_MAXIMUM, codes, zero_code};
use super::args::ColumnQuantArgs;
use super::desc::ColumnQuantDesc;
use super::params::FeatureScales;
use super::plan::ColumnQuantPlan;
use super::portable;
use crate::epilogue::Constants;
use crate::kernel::kernel_methods;
use crate::layout::{elements, tiles};
use crate::output::check_length;
use crate::parallel::SharedMut;
use crate::rows::{check_columns, for_each_tile, parts, with_fma};
use crate::{ActivationBits, KernelError, Parallel, TILE};

/// A callable quantisation with a scale per column. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct ColumnQuantKernel {
    plan: ColumnQuantPlan,
    entry: Option<Entry<ColumnQuantArgs>>,
}

kernel_methods!(ColumnQuantKernel, ColumnQuantPlan, ColumnQuantArgs, ColumnQuantDesc);

impl ColumnQuantKernel {
    /// Quantises the N = `columns` columns of `x` into `panel`, each by a scale of its own, which `scales` receives.
    ///
    /// **Shapes**: `x` is an f32 tile and `panel` a panel of K x N, both with [`elements`] elements; `scales` has one element
    /// per column of whole tiles. Padding columns are left unspecified.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no columns, [`KernelError::Length`] for buffers of another size.
    pub fn run(
        &self,
        features: &FeatureScales,
        x: &[f32],
        panel: &mut [u8],
        scales: &mut [f32],
        columns: usize,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        let plan = &self.plan;
        check_columns("column quantisation", columns)?;
        check_length(plan, "feature scales", features.inverse.len(), plan.features)?;
        check_length(plan, "x", x.len(), elements(plan.features, columns))?;
        check_length(plan, "panel", panel.len(), elements(plan.features, columns))?;
        check_length(plan, "column scales", scales.len(), tiles(columns) * TILE)?;
        let (panel, scales) = (SharedMut::new(panel), SharedMut::new(scales));
        for_each_tile(parallel, columns, |tile, columns| {
            let at = tile * plan.tile_elements();
            let x = &x[at..][..plan.tile_elements()];
            let (panel, scales) = (panel.at(at), scales.at(tile * TILE));
            match &self.entry {
                Some(entry) => {
                    for part in parts(plan.isa, columns) {
                        let x = x.as_ptr().wrapping_add(part.first);
                        let panel = panel.wrapping_add(part.panel_offset(plan.layout));
                        let args = args(
                            plan.activation_bits,
                            features,
                            x,
                            panel,
                            scales.wrapping_add(part.first),
                            part.columns,
                        );
                        // SAFETY: the plan's `Isa` token proves the CPU features; the length checks made sure that all buffers
                        // hold every tile and `features` every feature; each task has its own tile of the panel and of the
                        // scales.
                        unsafe { entry.call(&args) };
                    }
                }
                None => {
                    // SAFETY: as above.
                    let panel = unsafe { std::slice::from_raw_parts_mut(panel, plan.tile_elements()) };
                    // SAFETY: as above.
                    let scales = unsafe { std::slice::from_raw_parts_mut(scales, TILE) };
                    let inverse = &features.inverse[..];
                    with_fma!(
                        portable::tile,
                        plan: &ColumnQuantPlan,
                        inverse: &[f32],
                        x: &[f32],
                        panel: &mut [u8],
                        scales: &mut [f32],
                        columns: usize
                    );
                }
            }
        });
        Ok(())
    }
}

/// What the generated code is called with to compute one tile.
fn args(
    bits: ActivationBits,
    features: &FeatureScales,
    x: *const f32,
    panel: *mut u8,
    scales: *mut f32,
    columns: usize,
) -> ColumnQuantArgs {
    ColumnQuantArgs {
        x,
        panel,
        inverse: features.inverse.as_ptr(),
        scales,
        constants: Constants::address(),
        columns,
        magnitude: !(1 << 31),
        least: LEAST_MAXIMUM,
        codes: codes(bits),
        zero: f32::from(zero_code(bits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preserved::plans_with_code;
    use crate::{Buffer, PanelLayout};

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let features = 6;
        let layouts = [PanelLayout::Plain, PanelLayout::Vnni];
        for code in plans_with_code(|isa| {
            layouts.map(|layout| {
                ColumnQuantDesc { features, layout, activation_bits: ActivationBits::Eight }.plan(isa).unwrap()
            })
        }) {
            let scales = FeatureScales::pack(&code.plan, &[1.0; 6]).unwrap();
            for columns in [1, 17, 33, 49, 64] {
                let (x, mut panel) = (Buffer::new(elements(features, 1)), Buffer::new(elements(features, 1)));
                let mut found = Buffer::new(TILE);
                let bits = ActivationBits::Eight;
                let args = args(bits, &scales, x.as_ptr(), panel.as_mut_ptr(), found.as_mut_ptr(), columns);
                // SAFETY: as in `run`: the buffers hold a tile of the plan's width.
                unsafe { code.assert_preserves(&args, columns) };
            }
        }
    }
}
