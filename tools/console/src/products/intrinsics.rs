//! The SpMM in compiler intrinsics, beside the generated one.

use lacuna_jit::Isa;
use lacuna_kernels::Output;
use lacuna_kernels::epilogue::Epilogue;
#[cfg(target_arch = "x86_64")]
use lacuna_kernels::intrinsics::IntrinsicsSpmm;

use super::problem::Weights;
use crate::context::Context;
use crate::error::{Error, Result};

/// Ready to run. There is none where the CPU has no AVX-512 VNNI.
pub struct Intrinsics {
    #[cfg(target_arch = "x86_64")]
    kernel: IntrinsicsSpmm,
    #[cfg(not(target_arch = "x86_64"))]
    kernel: std::convert::Infallible,
}

/// The epilogue as the intrinsics compute it.
pub fn in_f32(epilogue: Epilogue) -> Epilogue {
    Epilogue::new(epilogue.sink.activation, epilogue.sink.store)
}

impl Intrinsics {
    #[cfg(target_arch = "x86_64")]
    pub(super) fn new(weights: &Weights, epilogue: Epilogue, context: &Context) -> Result<Intrinsics> {
        let Isa::Avx512Vnni(proof) = context.isa() else { return Err(Self::no_instructions(context)) };
        let Weights { m, k, values, params } = weights;
        Ok(Intrinsics { kernel: IntrinsicsSpmm::new(proof, *m, *k, values, params, in_f32(epilogue))? })
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn new(_: &Weights, _: Epilogue, context: &Context) -> Result<Intrinsics> {
        Err(Self::no_instructions(context))
    }

    fn no_instructions(context: &Context) -> Error {
        let (option, expected) = ("--intrinsics", "tier avx512vnni".to_owned());
        Error::Argument { option, found: format!("tier {}", context.tier), expected }
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn run(&self, x: &[u8], tokens: usize, out: Output<'_>) -> Result<()> {
        Ok(self.kernel.run(x, tokens, out)?)
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn run(&self, _: &[u8], _: usize, _: Output<'_>) -> Result<()> {
        match self.kernel {}
    }
}
