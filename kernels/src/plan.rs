//! What all plans have in common: a name, an instruction set, and code.

use lacuna_jit::{Code, Isa};

use crate::KernelError;

/// Bumped when a generator changes what it emits for the same plan, so that nothing saved by an older one is believed.
pub const GENERATOR_VERSION: u32 = 1;

/// A decided kernel: everything its emitter reads, and nothing it does not, so that a plan is its own cache key.
pub trait Plan: Clone + Eq + std::hash::Hash + Send + Sync + 'static {
    /// The machine-made kernel name used in the cache, perf maps, errors, listings and benchmark ids.
    fn name(&self) -> String;

    /// The instruction set the plan was made for.
    fn isa(&self) -> Isa;

    /// Generates the code.
    ///
    /// # Errors
    /// [`KernelError::Jit`] if registers run out or a jump is too far.
    fn emit(&self) -> Result<Code, KernelError>;

    /// The plan as a cache key.
    fn key(&self) -> crate::cache::AnyPlan;
}
