//! The facts of this machine, for commands that compare kernels with their bounds.

use lacuna_jit::Isa;
use lacuna_kernels::machine::{self, Facts};

use crate::remarks::{say, warn};

/// The facts of this machine, kept from before or measured now; nothing where no code is generated. What is wrong is said.
pub fn facts(isa: Isa) -> Option<Facts> {
    let Isa::Avx512Vnni(proof) = isa else { return None };
    match machine::facts(proof) {
        Ok(kept) => {
            kept.remarks.iter().for_each(say);
            Some(kept.facts)
        }
        Err(error) => {
            warn(format_args!("{error}; bounds are left out"));
            None
        }
    }
}
