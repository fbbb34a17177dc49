//! The safe wrapper: checks shapes, then one unsafe call per tile.

use lacuna_jit::Entry;

use super::args::{Constants, SoftmaxArgs};
use super::desc::SoftmaxDesc;
use super::plan::SoftmaxPlan;
use super::portable;
use crate::kernel::kernel_methods;
use crate::layout::elements;
use crate::output::check_length;
use crate::parallel::SharedMut;
use crate::rows::{check_columns, for_each_tile, with_fma};
use crate::{KernelError, Parallel};

/// A callable softmax. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct SoftmaxKernel {
    plan: SoftmaxPlan,
    entry: Option<Entry<SoftmaxArgs>>,
}

kernel_methods!(SoftmaxKernel, SoftmaxPlan, SoftmaxArgs, SoftmaxDesc);

impl SoftmaxKernel {
    /// Softmax of the N = `columns` columns of `x`, in place.
    ///
    /// **Shapes**: `x` is an f32 tile of F x N with [`elements`] elements. Padding columns are left unspecified.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no columns, [`KernelError::Length`] for a buffer of another size.
    pub fn run(&self, x: &mut [f32], columns: usize, parallel: Parallel<'_>) -> Result<(), KernelError> {
        check_columns("softmax", columns)?;
        check_length(&self.plan, "x", x.len(), elements(self.plan.features, columns))?;
        let x = SharedMut::new(x);
        for_each_tile(parallel, columns, |tile, columns| {
            let x = x.at(tile * self.plan.tile_elements());
            match &self.entry {
                Some(entry) => {
                    let args = SoftmaxArgs { x, constants: Constants::TABLE, columns };
                    // SAFETY: the plan's `Isa` token proves the CPU features; the length check made sure that `x` holds
                    // every tile, of which each task has its own.
                    unsafe { entry.call(&args) };
                }
                None => {
                    // SAFETY: as above.
                    let x = unsafe { std::slice::from_raw_parts_mut(x, self.plan.tile_elements()) };
                    let plan = &self.plan;
                    with_fma!(portable::tile, plan: &SoftmaxPlan, x: &mut [f32], columns: usize);
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Buffer;
    use crate::preserved::plans_with_code;

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let features = 6;
        for code in plans_with_code(|isa| [SoftmaxDesc { features }.plan(isa).unwrap()]) {
            for columns in [1, 17, 64] {
                let mut x = Buffer::new(elements(features, 1));
                let args = SoftmaxArgs { x: x.as_mut_ptr(), constants: Constants::TABLE, columns };
                // SAFETY: as in `run`: the buffer holds a tile of the plan's width.
                unsafe { code.assert_preserves(&args, columns) };
            }
        }
    }
}
