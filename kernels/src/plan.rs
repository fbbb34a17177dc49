//! What all plans have in common: a name, an instruction set, and code.
//!
//! A plan implements [`Plan`] in its own file and [`Generate`] in the file of its emitter. That is all: a kernel is known to the
//! cache because it exists, and no list names the kinds of plans.

use std::any::{Any, TypeId};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use lacuna_jit::{Code, Isa, JitError};

use crate::KernelError;

/// Raised when a generator emits other code for the same plan. Choices that an older version saved are then not used.
pub const GENERATOR_VERSION: u32 = 7;

/// A decided kernel. It holds exactly what its emitter reads, so a plan is its own cache key.
pub trait Plan: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static {
    /// The machine-made kernel name used in the cache, perf maps, errors, listings and benchmark ids.
    fn name(&self) -> String;

    /// The instruction set the plan was made for.
    fn isa(&self) -> Isa;

    /// What the code depends on. Plans with equal canonical forms share their code.
    fn canonical(&self) -> Self {
        self.clone()
    }
}

/// A plan whose emitter can write its code.
pub trait Generate: Plan {
    /// Generates the code for any instruction set; [`Generate::emit`] calls it.
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
            Isa::Avx512Vnni(_) | Isa::Avx2(_) => Ok(self.generate()?),
        }
    }

    /// The plan as a cache key.
    fn key(&self) -> AnyPlan {
        AnyPlan(Arc::new(self.canonical()))
    }
}

/// Any plan in its canonical form, as a cache key. Two are equal if they are the same kind of plan and equal plans.
#[derive(Clone)]
pub struct AnyPlan(Arc<dyn Erased>);

impl AnyPlan {
    /// [`Plan::name`]
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// [`Plan::isa`]
    pub fn isa(&self) -> Isa {
        self.0.isa()
    }

    /// [`Generate::emit`]
    ///
    /// # Errors
    /// Those of the plan.
    pub fn emit(&self) -> Result<Code, KernelError> {
        self.0.emit()
    }

    /// Whether this is the key of `plan`.
    pub(crate) fn is_key_of(&self, plan: &impl Plan) -> bool {
        self.0.as_any().downcast_ref() == Some(&plan.canonical())
    }
}

impl PartialEq for AnyPlan {
    fn eq(&self, other: &AnyPlan) -> bool {
        self.0.equals(other.0.as_any())
    }
}

impl Eq for AnyPlan {}

impl Hash for AnyPlan {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash_into(state);
    }
}

impl fmt::Debug for AnyPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// [`Generate`] without its type.
trait Erased: fmt::Debug + Send + Sync {
    fn name(&self) -> String;
    fn isa(&self) -> Isa;
    fn emit(&self) -> Result<Code, KernelError>;
    fn as_any(&self) -> &dyn Any;
    fn equals(&self, other: &dyn Any) -> bool;
    fn hash_into(&self, state: &mut dyn Hasher);
}

impl<P: Generate> Erased for P {
    fn name(&self) -> String {
        Plan::name(self)
    }

    fn isa(&self) -> Isa {
        Plan::isa(self)
    }

    fn emit(&self) -> Result<Code, KernelError> {
        Generate::emit(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }

    fn hash_into(&self, mut state: &mut dyn Hasher) {
        TypeId::of::<P>().hash(&mut state);
        self.hash(&mut state);
    }
}
