//! Words to bytes.

use lacuna_jit::{Gpr, Vector, Zmm, ptr};

use super::constants::Constants;
use super::pack::Pack;
use crate::Sign;

impl Pack {
    /// Packs words to bytes. `constants` is [`Constants::address`].
    pub(super) fn emit_bytes(&self, a: &mut impl Vector, sign: Sign, constants: Gpr) -> Zmm {
        let (first, last) = (self.pairs[0][0], self.pairs[self.pairs.len() - 1][0]);
        emit_pack(a, sign, constants, first, last);
        first
    }
}

/// Packs words to bytes, saturated to the numbers of `sign`: `first` becomes those of `first` and `last`.
pub(crate) fn emit_pack(a: &mut impl Vector, sign: Sign, constants: Gpr, first: Zmm, last: Zmm) {
    match sign {
        Sign::Unsigned => a.vpackuswb(first, first, last),
        Sign::Unsigned7 => {
            a.vpackuswb(first, first, last);
            a.vpminub(first, first, ptr(constants) + Constants::LARGEST_U7);
        }
        Sign::Signed => a.vpacksswb(first, first, last),
    }
}
