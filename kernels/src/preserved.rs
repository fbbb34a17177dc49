//! What the tests of all kernels share: generated code preserves what a callee must.

use lacuna_jit::Isa;

use crate::cache::{Compiled, KernelCache};
use crate::support::{Clobbers, tiers, with_canaries};
use crate::{Generate, Plan};

/// A plan and its code.
pub(crate) struct PlanWithCode<P> {
    pub(crate) plan: P,
    pub(crate) compiled: Compiled,
}

/// Those of `plans(isa)` that have code, for every instruction set that this machine can run.
pub(crate) fn plans_with_code<P: Generate, I: IntoIterator<Item = P>>(
    plans: impl Fn(Isa) -> I,
) -> impl Iterator<Item = PlanWithCode<P>> {
    let all: Vec<P> = tiers().into_iter().flat_map(plans).collect();
    all.into_iter().filter_map(|plan| {
        let compiled = KernelCache::global().compile_one(&plan).unwrap();
        compiled.function().is_some().then_some(PlanWithCode { plan, compiled })
    })
}

impl<P: Plan> PlanWithCode<P> {
    /// Calls the code with `args`, which describe `columns` columns, and panics if it did not preserve what a callee must.
    ///
    /// # Safety
    /// - `args` are of the type that the plan's emitter reads, and satisfy what it expects.
    pub(crate) unsafe fn assert_preserves<A>(&self, args: &A, columns: usize) {
        let function = self.compiled.function().expect("the plan has code");
        // SAFETY: the caller's promise; the plan's `Isa` proves the CPU features, and generated code returns to its caller.
        let clobbers = unsafe { with_canaries(function, args) };
        assert_eq!(clobbers, Clobbers::NONE, "{} on {columns} columns", self.plan.name());
    }
}
