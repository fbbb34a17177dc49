//! What the choice of kernels depends on in addition to the products.

use std::sync::{Mutex, PoisonError};

use lacuna_jit::Isa;
use lacuna_kernels::KernelError;
use lacuna_kernels::spmm::{SpmmPlan, SpmmWeights, Tuner, Tuning, TuningTable};

/// Which kernels run the linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Form {
    /// Per activation tensor, what is predicted to be fastest for the layers that read it: 4x1, 4x4 or 1x4 blocks, or dense.
    #[default]
    Auto,
    /// Dense int8 everywhere: the baseline that sparsity must beat.
    Dense,
    /// Sparse 4x1 everywhere, at any density. Rows are reordered where the zeros are not in 4x1 blocks.
    Sparse,
}

/// What the choice of kernels depends on in addition to the products.
pub(crate) struct Chooser<'a> {
    pub(super) form: Form,
    pub(super) isa: Isa,
    pub(super) tuner: Tuner,
    tuning: Tuning,
    /// Saved choices. Without a table and without measurement the cost model decides.
    table: Option<Mutex<&'a mut TuningTable>>,
}

impl<'a> Chooser<'a> {
    pub(crate) fn new(form: Form, isa: Isa, tuning: Tuning, table: Option<&'a mut TuningTable>) -> Chooser<'a> {
        Chooser { form, isa, tuner: Tuner::default(), tuning, table: table.map(Mutex::new) }
    }

    /// Whether kernels are timed. Then nothing else should run.
    pub(super) fn measures(&self) -> bool {
        self.tuning != Tuning::Fast
    }

    /// The schedule of the table for a sparse plan, or one measured for it; without a table the plan itself.
    pub(super) fn tuned(
        &self,
        plan: SpmmPlan,
        pack: impl FnOnce() -> Result<SpmmWeights, KernelError>,
    ) -> Result<SpmmPlan, KernelError> {
        let Some(table) = &self.table else { return Ok(plan) };
        let packed = pack()?;
        table.lock().unwrap_or_else(PoisonError::into_inner).choose(&self.tuner, &plan, &packed, self.tuning)
    }
}
