//! What every kernel is: a plan, and the sealed code of exactly that plan.

/// Writes the constructors and accessors of `$kernel { plan: $plan, entry: Option<Entry<$args>> }`.
///
/// The plan's emitter must read its argument as `$args`: that is the obligation of the one unsafe call here. With a descriptor,
/// this gets a `compile` too.
macro_rules! kernel_methods {
    ($kernel:ident, $plan:ident, $args:ident, $desc:ident) => {
        impl $desc {
            /// Plans and compiles through the process-wide cache.
            ///
            /// # Errors
            /// Those of planning, of code generation and of executable memory.
            pub fn compile(&self, isa: lacuna_jit::Isa) -> Result<$kernel, $crate::KernelError> {
                $kernel::compile(self.plan(isa)?)
            }
        }

        kernel_methods!($kernel, $plan, $args);
    };
    ($kernel:ident, $plan:ident, $args:ident) => {
        impl $kernel {
            /// Pairs a plan with its compiled code.
            ///
            /// # Errors
            /// [`KernelError::Mismatch`](crate::KernelError::Mismatch) if `compiled` is the code of another plan, or none for a
            /// plan that needs code; [`KernelError::Jit`](crate::KernelError::Jit) if this machine lacks a CPU feature that the code
            /// needs.
            pub fn new(plan: $plan, compiled: $crate::cache::Compiled) -> Result<$kernel, $crate::KernelError> {
                // SAFETY: this plan's emitter wrote the code (only the cache makes `Compiled`, and the plan that it holds is
                // checked), and that emitter reads its argument as `$args`.
                let entry = compiled.function_of(&plan)?.map(|function| unsafe { function.typed::<$args>() });
                Ok($kernel { plan, entry })
            }

            /// Compiles `plan` through the process-wide cache.
            ///
            /// # Errors
            /// Those of code generation and executable memory.
            pub fn compile(plan: $plan) -> Result<$kernel, $crate::KernelError> {
                $kernel::new(plan, $crate::cache::KernelCache::global().compile_one(&plan)?)
            }

            /// The plan this kernel follows.
            pub fn plan(&self) -> &$plan {
                &self.plan
            }

            /// The generated code, if the plan's tier has any.
            pub fn code(&self) -> Option<&lacuna_jit::Code> {
                self.entry.as_ref().map(lacuna_jit::Entry::code)
            }
        }
    };
}

pub(crate) use kernel_methods;
