//! What all plans have in common: a name, an instruction set, and code.

use lacuna_jit::{Code, Isa, JitError};

use crate::KernelError;

/// Bumped when a generator changes what it emits for the same plan, so that nothing saved by an older one is believed.
pub const GENERATOR_VERSION: u32 = 5;

/// A decided kernel: everything its emitter reads, and nothing it does not, so that a plan is its own cache key.
pub trait Plan: Clone + Eq + std::hash::Hash + Send + Sync + 'static {
    /// The machine-made kernel name used in the cache, perf maps, errors, listings and benchmark ids.
    fn name(&self) -> String;

    /// The instruction set the plan was made for.
    fn isa(&self) -> Isa;

    /// Generates the code, whatever the instruction set: what [`Plan::emit`] calls.
    ///
    /// # Errors
    /// [`JitError`] if registers run out or a jump is too far.
    fn generate(&self) -> Result<Code, JitError>;

    /// The plan's code.
    ///
    /// # Errors
    /// [`KernelError::NoCode`] for a plan of the portable tier, [`KernelError::Jit`] if generation fails.
    fn emit(&self) -> Result<Code, KernelError> {
        match self.isa() {
            Isa::Portable => Err(KernelError::NoCode { kernel: self.name() }),
            Isa::Avx512Vnni(_) => Ok(self.generate()?),
        }
    }

    /// The plan as a cache key.
    fn key(&self) -> crate::cache::AnyPlan;
}
