//! The safe wrapper: checks shapes, then one unsafe call per tile.

use lacuna_jit::Entry;

use super::args::ElementwiseArgs;
use super::desc::ElementwiseDesc;
use super::params::QuantParams;
use super::plan::ElementwisePlan;
use super::portable;
use crate::epilogue::Constants;
use crate::kernel::kernel_methods;
use crate::layout::elements;
use crate::output::check_length;
use crate::parallel::SharedMut;
use crate::rows::{check_columns, for_each_tile, parts, with_fma};
use crate::{KernelError, Parallel, Plan};

/// A callable element-wise function. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct ElementwiseKernel {
    plan: ElementwisePlan,
    entry: Option<Entry<ElementwiseArgs>>,
}

kernel_methods!(ElementwiseKernel, ElementwisePlan, ElementwiseArgs, ElementwiseDesc);

impl ElementwiseKernel {
    /// Applies the function to the N = `columns` columns of `x`, in place.
    ///
    /// **Shapes**: `x` is an f32 tile of F x N with [`elements`] elements. Padding columns are left unspecified.
    ///
    /// # Errors
    /// [`KernelError::Mismatch`] if the plan writes a panel, [`KernelError::Dimension`] for no columns,
    /// [`KernelError::Length`] for a buffer of another size.
    pub fn run_in_place(&self, x: &mut [f32], columns: usize, parallel: Parallel<'_>) -> Result<(), KernelError> {
        let plan = &self.plan;
        if plan.sink.store.codes().is_some() {
            return Err(self.mismatch("an f32 tile to be changed in place", "a panel as output"));
        }
        check_columns("elementwise", columns)?;
        check_length(plan, "x", x.len(), elements(plan.features, columns))?;
        let x = SharedMut::new(x);
        for_each_tile(parallel, columns, |tile, columns| {
            let x = x.at(tile * plan.tile_elements());
            match &self.entry {
                Some(entry) => {
                    for part in parts(plan.isa, columns) {
                        let args = ElementwiseArgs {
                            x: x.wrapping_add(part.first),
                            panel: std::ptr::null_mut(),
                            params: std::ptr::null(),
                            constants: Constants::address(),
                            columns: part.columns,
                        };
                        // SAFETY: the plan's `Isa` token proves the CPU features; the length check made sure that `x` holds
                        // every tile, of which each task has its own; panel and parameters are not touched by an in-place
                        // plan.
                        unsafe { entry.call(&args) };
                    }
                }
                None => {
                    // SAFETY: as above.
                    let x = unsafe { std::slice::from_raw_parts_mut(x, plan.tile_elements()) };
                    with_fma!(portable::activate_tile, plan: &ElementwisePlan, x: &mut [f32], columns: usize);
                }
            }
        });
        Ok(())
    }

    /// Quantises the N = `columns` columns of `x` into `panel`.
    ///
    /// **Shapes**: `x` is an f32 tile and `panel` a panel of F x N, both with [`elements`] elements; `params` has
    /// one entry per feature. Padding columns are left unspecified. s8 is stored as two's complement bytes.
    ///
    /// # Errors
    /// [`KernelError::Mismatch`] if the plan works in place, [`KernelError::Dimension`] for no columns,
    /// [`KernelError::Length`] for buffers of another size, [`KernelError::Parameter`] for parameters that are not
    /// finite.
    pub fn run_quantize(
        &self,
        params: &[QuantParams],
        x: &[f32],
        panel: &mut [u8],
        columns: usize,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        let plan = &self.plan;
        let Some((layout, _)) = plan.sink.store.codes() else {
            return Err(self.mismatch("a panel as output", "an f32 tile to be changed in place"));
        };
        check_columns("elementwise", columns)?;
        check_length(plan, "quantisation parameters", params.len(), plan.features)?;
        check_length(plan, "x", x.len(), elements(plan.features, columns))?;
        check_length(plan, "panel", panel.len(), elements(plan.features, columns))?;
        self.check_params(params)?;
        let panel = SharedMut::new(panel);
        for_each_tile(parallel, columns, |tile, columns| {
            let at = tile * plan.tile_elements();
            let x = &x[at..][..plan.tile_elements()];
            let panel = panel.at(at);
            match &self.entry {
                Some(entry) => {
                    for part in parts(plan.isa, columns) {
                        let args = ElementwiseArgs {
                            x: x.as_ptr().wrapping_add(part.first).cast_mut(), // only read by a plan that writes a panel
                            panel: panel.wrapping_add(part.panel_offset(layout)),
                            params: params.as_ptr(),
                            constants: Constants::address(),
                            columns: part.columns,
                        };
                        // SAFETY: the plan's `Isa` token proves the CPU features; the length checks made sure that `x` and
                        // `panel` hold every tile and `params` every feature; each task has its own tile of the panel.
                        unsafe { entry.call(&args) };
                    }
                }
                None => {
                    // SAFETY: as above.
                    let panel = unsafe { std::slice::from_raw_parts_mut(panel, plan.tile_elements()) };
                    with_fma!(
                        portable::quantize_tile,
                        plan: &ElementwisePlan,
                        x: &[f32],
                        params: &[QuantParams],
                        panel: &mut [u8],
                        columns: usize
                    );
                }
            }
        });
        Ok(())
    }

    fn mismatch(&self, found: &str, expected: &str) -> KernelError {
        KernelError::Mismatch { kernel: self.plan.name(), found: found.into(), expected: expected.into() }
    }

    fn check_params(&self, params: &[QuantParams]) -> Result<(), KernelError> {
        // All at once first: this runs before every call, and the search for the culprit cannot be vectorised.
        if bytemuck::cast_slice(params).iter().fold(true, |all, value: &f32| all & value.is_finite()) {
            return Ok(());
        }
        for (row, p) in params.iter().enumerate() {
            for (parameter, found) in [("scale", p.scale), ("zero point", p.zero)] {
                if !found.is_finite() {
                    let (kernel, expected) = (self.plan.name(), "a finite number");
                    return Err(KernelError::Parameter { kernel, parameter, row, found, expected });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preserved::plans_with_code;
    use crate::{Activation, Buffer, PanelLayout, Sign, Sink};

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let features = 6;
        let quantize = |layout| Sink::bytes(layout, Sign::Signed).with(Activation::Gelu);
        let quantized = [quantize(PanelLayout::Plain), quantize(PanelLayout::Vnni)];
        let in_place = Activation::ALL[1..].iter().map(|&activation| Sink::f32(false).with(activation));
        let sinks: Vec<Sink> = in_place.chain(quantized).collect();
        let plans = |isa| sinks.iter().map(move |&sink| ElementwiseDesc { features, sink }.plan(isa).unwrap());
        let params = [QuantParams::default(); 6];
        for code in plans_with_code(plans) {
            for columns in [1, 17, 33, 49, 64] {
                let (mut x, mut panel) = (Buffer::new(elements(features, 1)), Buffer::new(elements(features, 1)));
                let args = ElementwiseArgs {
                    x: x.as_mut_ptr(),
                    panel: panel.as_mut_ptr(),
                    params: params.as_ptr(),
                    constants: Constants::address(),
                    columns,
                };
                // SAFETY: as in `run_quantize`: the buffers hold a tile of the plan's width.
                unsafe { code.assert_preserves(&args, columns) };
            }
        }
    }
}
