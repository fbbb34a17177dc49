//! Tiles, passes and row blocks.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Avx2, Code, JitError, Scale, Ymm256, Zmm, ptr};

use super::super::args::SpmmArgs;
use super::super::bound::GROUPS;
use super::super::group::{emit_list, emit_list_in_twos};
use super::super::plan::{ROW_BLOCK, SpmmPlan};
use super::super::row_block::RowBlock;
use super::super::tile::emit_next_tile;
use super::group::{emit_group, emit_two_groups};
use super::pass::Pass;
use super::regs::Avx2Regs;
use crate::args::load_args;
use crate::dot_avx2::VECTORS;
use crate::epilogue::{BlockParams, EpilogueRegs, OutputLanes, Store, emit_epilogue, emit_start};
use crate::{LANES, Plan, TILE};

/// Columns up to which a last tile has code of its own.
const TAILS: [usize; 2] = [LANES, 2 * LANES];

/// Generates the kernel.
pub(in super::super) fn emit(plan: &SpmmPlan, token: Avx2) -> Result<Code, JitError> {
    let r = Avx2Regs::new(plan, token)?;
    let mut a = Asm::avx2();
    a.begin_function(&r.file);
    r.dots.emit_begin(&mut a);
    load_args!(a, r, SpmmArgs { x, y, constants, columns });
    a.note("tile loop: full tiles, then one tail of 16 or 32 columns; one of 48 is computed as a full tile");
    dynasm!(a ; .arch x64 ; ->tile:);
    for columns in TAILS {
        let next = a.new_dynamic_label();
        dynasm!(a ; .arch x64 ; cmp Rq(r.columns), columns as i32 ; jg =>next);
        emit_tile(&mut a, plan, &r, columns);
        dynasm!(a ; .arch x64 ; jmp ->done ; =>next);
    }
    emit_tile(&mut a, plan, &r, TILE);
    emit_next_tile(&mut a, plan, &r);
    dynasm!(a ; .arch x64 ; ->done:);
    r.dots.emit_end(&mut a);
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// All row blocks of one tile.
fn emit_tile(a: &mut Asm<Ymm256>, plan: &SpmmPlan, r: &Avx2Regs, columns: usize) {
    for pass in Pass::of_tile(columns) {
        emit_pass(a, plan, r, &pass);
    }
}

/// All row blocks of one pass.
fn emit_pass(a: &mut Asm<Ymm256>, plan: &SpmmPlan, r: &Avx2Regs, pass: &Pass) {
    let acc: Vec<Vec<Zmm>> = r.acc.chunks_exact(VECTORS).map(<[Zmm]>::to_vec).collect();
    let row = a.new_dynamic_label();
    a.note(format!("row blocks on columns {}", pass.text()));
    load_args!(a, r, SpmmArgs { indices, weights, rows: row, params, count });
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>row);
    emit_start(a, &plan.epilogue, ptr(r.params), &acc, 1);
    if !plan.adds_in_twos() {
        r.dots.emit_begin_list(a, &r.temp[VECTORS..]);
    }
    let columns = pass.vectors * LANES / 2;
    match plan.adds_in_twos() {
        true => emit_list_in_twos(a, plan, r, GROUPS, columns, |a| emit_two_groups(a, plan, r, pass, &acc)),
        false => emit_list(a, plan, r, GROUPS, columns, |a, ahead| emit_group(a, plan, r, pass, &acc, ahead)),
    }
    emit_finish(a, plan, r, pass, &acc);
    a.note("next row block");
    dynasm!(a
        ; .arch x64
        ; add Rq(r.row), size_of::<RowBlock>() as i32
        ; add Rq(r.params), BlockParams::stride(&plan.epilogue)
        ; dec Rq(r.count)
        ; jnz =>row
    );
}

/// The epilogue of a row block.
fn emit_finish(a: &mut Asm<Ymm256>, plan: &SpmmPlan, r: &Avx2Regs, pass: &Pass, acc: &[Vec<Zmm>]) {
    let store = plan.epilogue.sink.store;
    let (scale, layout) = match store {
        Store::Bytes { layout, .. } => (Scale::X1, Some(layout)),
        Store::F32 { .. } | Store::Bf16 => (Scale::X4, None), // plans refuse bf16
    };
    let first = pass.output(layout);
    let row_bytes = (TILE * store.element_bytes()) as i32;
    let rows = match plan.scatters() {
        true => r.outputs.map(|offset| ptr(r.y).index(offset, scale) + first),
        false => EpilogueRegs::rows_from(ptr(r.y).index(r.outputs[0], scale) + first, row_bytes),
    };
    for (i, offset) in (0..).zip(r.outputs).take(if plan.scatters() { ROW_BLOCK } else { 1 }) {
        let field = std::mem::offset_of!(RowBlock, outputs) as i32 + 4 * i;
        dynasm!(a ; .arch x64 ; mov Rd(offset), [Rq(r.row) + field]);
    }
    let regs = EpilogueRegs { params: ptr(r.params), rows, constants: r.constants, temps: &r.temp };
    emit_epilogue(a, plan.isa, &plan.epilogue, acc, &regs, OutputLanes::WholeRow);
}
