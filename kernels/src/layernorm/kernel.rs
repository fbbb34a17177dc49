//! The safe wrapper: checks shapes, then one unsafe call per tile.

use lacuna_jit::Entry;

use super::args::LayerNormArgs;
use super::desc::LayerNormDesc;
use super::params::NormRows;
use super::plan::LayerNormPlan;
use super::portable;
use crate::epilogue::Constants;
use crate::kernel::kernel_methods;
use crate::layout::elements;
use crate::output::check_length;
use crate::parallel::SharedMut;
use crate::rows::{check_columns, for_each_tile, parts, with_fma};
use crate::{KernelError, Parallel, Plan};

/// A callable layernorm. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct LayerNormKernel {
    plan: LayerNormPlan,
    entry: Option<Entry<LayerNormArgs>>,
}

kernel_methods!(LayerNormKernel, LayerNormPlan, LayerNormArgs, LayerNormDesc);

impl LayerNormKernel {
    /// Normalises the N = `columns` columns of `x`, in place, and quantises them into `panel`, as the plan's output says.
    ///
    /// **Shapes**: `x` is an f32 tile and `panel`, given exactly if the plan writes one, a panel of F x N; both
    /// have [`elements`] elements. Padding columns are left unspecified.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no columns, [`KernelError::Length`] for buffers of another size,
    /// [`KernelError::Mismatch`] for parameters of another width, or a panel that is missing or that the plan does not write.
    pub fn run(
        &self,
        params: &NormRows,
        x: &mut [f32],
        panel: Option<&mut [u8]>,
        columns: usize,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        self.check(params, x, panel.as_deref(), columns)?;
        let (x, panel) = (SharedMut::new(x), SharedMut::new(panel.unwrap_or_default()));
        for_each_tile(parallel, columns, |tile, columns| {
            let at = tile * self.plan.tile_elements();
            // SAFETY: `check` made sure that both buffers hold every tile; each task has a tile of its own.
            unsafe { self.run_tile(params, x.at(at), panel.at(at), columns) }
        });
        Ok(())
    }

    pub(crate) fn check(
        &self,
        params: &NormRows,
        x: &[f32],
        panel: Option<&[u8]>,
        columns: usize,
    ) -> Result<(), KernelError> {
        let plan = &self.plan;
        let mismatch = |found: String, expected: String| KernelError::Mismatch { kernel: plan.name(), found, expected };
        check_columns("layernorm", columns)?;
        if params.features() != plan.features {
            let parameters = |features| format!("parameters of {features} features");
            return Err(mismatch(parameters(params.features()), parameters(plan.features)));
        }
        check_length(plan, "x", x.len(), elements(plan.features, columns))?;
        match (plan.panel, panel) {
            (Some(_), Some(panel)) => check_length(plan, "panel", panel.len(), elements(plan.features, columns)),
            (None, None) => Ok(()),
            (Some(layout), None) => Err(mismatch("no panel".into(), format!("a {} panel", layout.name()))),
            (None, Some(_)) => Err(mismatch("a panel".into(), "none: this plan writes f32 only".into())),
        }
    }

    /// Computes one tile of `columns` (1..=64) columns.
    ///
    /// # Safety
    /// - `x` and, if the plan writes one, `panel` are valid for reads and writes of [`LayerNormPlan::tile_elements`]
    ///   elements that nobody else uses now.
    /// - `params` are of the plan's width.
    pub(crate) unsafe fn run_tile(&self, params: &NormRows, x: *mut f32, panel: *mut u8, columns: usize) {
        match &self.entry {
            Some(entry) => {
                for part in parts(self.plan.isa, columns) {
                    let x = x.wrapping_add(part.first);
                    let panel = panel.wrapping_add(self.plan.panel.map_or(0, |layout| part.panel_offset(layout)));
                    let args = self.args(params, x, panel, part.columns);
                    // SAFETY: the plan's `Isa` token proves the CPU features; the code reads and writes only the tile, the
                    // tile of the panel and F parameters, all valid by the caller's promise.
                    unsafe { entry.call(&args) };
                }
            }
            None => {
                let elements = self.plan.tile_elements();
                // SAFETY: the caller's promise.
                let x = unsafe { std::slice::from_raw_parts_mut(x, elements) };
                let panel = match self.plan.panel {
                    // SAFETY: the caller's promise.
                    Some(_) => unsafe { std::slice::from_raw_parts_mut(panel, elements) },
                    None => &mut [],
                };
                let plan = &self.plan;
                with_fma!(
                    portable::tile,
                    plan: &LayerNormPlan,
                    params: &NormRows,
                    x: &mut [f32],
                    panel: &mut [u8],
                    columns: usize
                );
            }
        }
    }

    /// What the generated code is called with to compute one tile.
    fn args(&self, params: &NormRows, x: *mut f32, panel: *mut u8, columns: usize) -> LayerNormArgs {
        LayerNormArgs {
            x,
            panel,
            params: params.rows.as_ptr(),
            constants: Constants::address(),
            columns,
            features: self.plan.features as f32,
            shift_features: self.plan.shift_features() as f32,
            epsilon: params.epsilon,
            one: 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::NormParams;
    use super::*;
    use crate::preserved::plans_with_code;
    use crate::{ActivationBits, Buffer, PanelLayout};

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let features = 6;
        let outputs = [(true, None), (false, Some(PanelLayout::Plain)), (true, Some(PanelLayout::Vnni))];
        let plans = |isa| {
            outputs.map(|(f32, panel)| {
                LayerNormDesc { features, f32, panel, activation_bits: ActivationBits::Eight }.plan(isa).unwrap()
            })
        };
        for code in plans_with_code(plans) {
            let kernel = LayerNormKernel::new(code.plan, code.compiled.clone()).unwrap();
            let params = NormRows::pack(&code.plan, &[NormParams::default(); 6], 1e-12).unwrap();
            for columns in [1, 17, 33, 49, 64] {
                let (mut x, mut panel) = (Buffer::new(elements(features, 1)), Buffer::new(elements(features, 1)));
                let args = kernel.args(&params, x.as_mut_ptr(), panel.as_mut_ptr(), columns);
                // SAFETY: as in `run_tile`: the buffers hold a tile of the plan's width.
                unsafe { code.assert_preserves(&args, columns) };
            }
        }
    }
}
