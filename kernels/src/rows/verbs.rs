//! What row kernels say differently on each width. The rest is in [`Verbs`] and [`lacuna_jit::Vector`].

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Evex, Gpr, Mem, RegFile, Vex, Ymm256, Zmm};

use crate::epilogue::{Verbs, gelu_temps};
use crate::{LANES, VECTORS};

/// An assembler that row kernels are written for.
pub(crate) trait RowVerbs: Verbs + Sized {
    /// The most vectors of columns that are computed together.
    const VECTORS: usize;
    /// Registers that activations have.
    const ACTIVATION_TEMPS: usize;

    /// An empty assembler, and all registers.
    fn begin() -> (Self, RegFile);

    /// Emits `body` for every number of vectors that hold columns, and the choice among them by the number of columns in `columns`.
    fn emit_by_vectors(&mut self, columns: Gpr, body: impl FnMut(&mut Self, usize));

    /// `to = a / b` with the one b in memory. `scratch` may be destroyed.
    fn vdivps_broadcast(&mut self, to: Zmm, a: Zmm, b: Mem, scratch: Zmm);

    /// `to = a + b` with the one b in memory. `scratch` may be destroyed.
    fn vaddps_broadcast(&mut self, to: Zmm, a: Zmm, b: Mem, scratch: Zmm);
}

impl RowVerbs for Asm {
    const VECTORS: usize = VECTORS;
    const ACTIVATION_TEMPS: usize = gelu_temps(VECTORS);

    fn begin() -> (Self, RegFile) {
        (Asm::new(), RegFile::new())
    }

    /// For 4, 3, 2 and 1 vectors of 16 columns.
    fn emit_by_vectors(&mut self, columns: Gpr, mut body: impl FnMut(&mut Self, usize)) {
        let done = self.new_dynamic_label();
        for vectors in (1..=VECTORS).rev() {
            let fewer = self.new_dynamic_label();
            if vectors > 1 {
                let below = ((vectors - 1) * LANES) as i32;
                dynasm!(self ; .arch x64 ; cmp Rq(columns), below ; jle =>fewer);
            }
            body(self, vectors);
            dynasm!(self ; .arch x64 ; jmp =>done ; =>fewer);
        }
        dynasm!(self ; .arch x64 ; =>done);
    }

    fn vdivps_broadcast(&mut self, to: Zmm, a: Zmm, b: Mem, _: Zmm) {
        self.vdivps(to, a, b.bcast());
    }

    fn vaddps_broadcast(&mut self, to: Zmm, a: Zmm, b: Mem, _: Zmm) {
        self.vaddps(to, a, b.bcast());
    }
}

/// A call computes two vectors of 8 columns, 16 columns apart: those that a store of a plain row packs together. See [`super::parts`].
impl RowVerbs for Asm<Ymm256> {
    const VECTORS: usize = 2;
    const ACTIVATION_TEMPS: usize = 8;

    fn begin() -> (Self, RegFile) {
        (Asm::avx2(), RegFile::avx2())
    }

    fn emit_by_vectors(&mut self, _: Gpr, mut body: impl FnMut(&mut Self, usize)) {
        body(self, Self::VECTORS);
    }

    fn vdivps_broadcast(&mut self, to: Zmm, a: Zmm, b: Mem, scratch: Zmm) {
        self.vbroadcastss(scratch, b);
        self.vdivps(to, a, scratch);
    }

    fn vaddps_broadcast(&mut self, to: Zmm, a: Zmm, b: Mem, scratch: Zmm) {
        self.vbroadcastss(scratch, b);
        self.vaddps(to, a, scratch);
    }
}
