//! What epilogues do that takes other instructions on each width.

use lacuna_jit::{Isa, Mem, Vector, Zmm};

use super::pack::{OutputLanes, Pack};
use super::regs::EpilogueRegs;
use crate::Sign;

/// The verbs of epilogues that AVX-512 and AVX2 say differently. What both say alike is in [`Vector`].
pub(crate) trait Verbs: Vector {
    /// Registers of [`Verbs::look_up_gelu`].
    type Gelu;
    /// Registers that [`Verbs::look_up_16`] destroys.
    const LOOK_UP_TEMPS: usize;
    /// Rows of a plain panel that go through [`Verbs::look_up_gelu`] together.
    const ROWS_PER_LOOK_UP: usize;

    /// The dword at `source` into every lane of the first of `parts` equal parts of a vector, 0 into the others.
    fn broadcast_to_first(&mut self, to: Zmm, source: Mem, parts: usize);

    /// `to = table[index]` of 16 dwords in memory; the lowest four bits of `index` count. `to` and `scratch` are not `index`.
    fn look_up_16(&mut self, to: Zmm, index: Zmm, table: Mem, scratch: &[Zmm]);

    /// `to`: x rounded to the nearest half. `shifted` is x + `magic`, which has that rounding.
    fn round_to_half(&mut self, to: Zmm, x: Zmm, shifted: Zmm, magic: Zmm);

    /// `y = y a + c` with the one c in memory. `scratch` may be destroyed.
    fn vfmadd213ps_broadcast(&mut self, y: Zmm, a: Zmm, c: Mem, scratch: Zmm);

    /// Registers of [`Verbs::look_up_gelu`] out of `temps`, and what is left of them: 2 at least.
    fn gelu(isa: Isa, temps: &[Zmm]) -> (Self::Gelu, &[Zmm]);

    /// Loads what [`Verbs::look_up_gelu`] keeps in registers from `tables`, a [`super::activation::GeluConstants`].
    fn load_gelu(&mut self, gelu: &Self::Gelu, tables: Mem);

    /// Words p in one or two registers become g << 8: `near[min(p, 127)] + far[min(p >> 2, 127)]`. `scratch` is destroyed.
    fn look_up_gelu(&mut self, gelu: &Self::Gelu, tables: Mem, p: &[Zmm], scratch: Zmm);

    /// Shifts the words of `packs` right by the numbers at `bits`, `[[word; 4]; 4]`, those of one row or of four. Destroys `params` and
    /// the second registers of pairs.
    fn shift_right_words(&mut self, packs: &[Pack], bits: Mem, row: Option<i32>, params: &[Zmm]);

    /// Packs words to bytes and stores them as plain rows.
    fn store_plain(&mut self, sign: Sign, packs: &[Pack], regs: &EpilogueRegs<'_>, lanes: OutputLanes<'_>);

    /// Stores a vector of dwords, one for each column; it is the vector `index` of the row.
    fn store_columns(&mut self, to: Mem, dwords: Zmm, index: usize, lanes: OutputLanes<'_>);
}
