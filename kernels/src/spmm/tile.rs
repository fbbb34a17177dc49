//! From one tile to the next, in code of either width.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::Asm;

use super::plan::SpmmPlan;
use super::regs::Regs;
use crate::TILE;

/// Moves to the next tile, if columns are left.
pub(super) fn emit_next_tile<W>(a: &mut Asm<W>, plan: &SpmmPlan, r: &Regs) {
    let y_step = (plan.y_tile_elements() * plan.epilogue.sink.store.element_bytes()) as i32;
    a.note("next tile");
    dynasm!(a
        ; .arch x64
        ; add Rq(r.x), plan.x_tile_bytes() as i32
        ; add Rq(r.y), y_step
        ; sub Rq(r.columns), TILE as i32
        ; jg ->tile
    );
}
