//! The registers of the kernel, each with its role.

use std::ops::Deref;

use lacuna_jit::{Avx2, JitError, RegFile};

use super::super::plan::{ROW_BLOCK, SpmmPlan};
use super::super::regs::Regs;
use crate::dot_avx2::{Dots, TEMPS, VECTORS};

/// General registers as in [`Regs`]; vectors:
///
/// | registers | in the group loop | in the epilogue |
/// | --- | --- | --- |
/// | acc, 8 | `acc[m][v]`: s32, output feature m of the row block, vector v of the pass | the same as f32 or words, then packed |
/// | temp 0-1 | dwords of four input features; with `vpmaddwd` their odd bytes as words | parameters, activation |
/// | temp 2-3 | rows interleaved by bytes; even bytes as words; weights | activation |
/// | temp 2-3 | with codes of seven bits: dwords of the second of two groups | activation |
/// | temp 4-7 | weights; products; with `vpmaddubsw`, 7 holds ones | activation |
pub(super) struct Avx2Regs {
    regs: Regs,
    pub(super) dots: Dots,
}

impl Avx2Regs {
    pub(super) fn new(plan: &SpmmPlan, token: Avx2) -> Result<Avx2Regs, JitError> {
        let mut file = RegFile::avx2();
        let dots = Dots::new(token, plan.activation_bits(), plan.needs_pairs(), &mut file)?;
        let mut regs = Regs::scalar(plan, file)?;
        regs.acc = regs.file.zmms(ROW_BLOCK * VECTORS, "acc[m][v]")?;
        regs.temp = regs.file.zmms(TEMPS, "X, weights, products; epilogue temporaries")?;
        Ok(Avx2Regs { regs, dots })
    }
}

impl Deref for Avx2Regs {
    type Target = Regs;
    fn deref(&self) -> &Regs {
        &self.regs
    }
}
