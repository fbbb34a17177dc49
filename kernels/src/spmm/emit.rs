//! The stream-form kernel as instructions: tiles, passes, row blocks. Groups are in [`super::group`], narrow tails in
//! [`super::narrow`], loops over several row blocks in [`super::abreast`].

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Isa, JitError, Scale, Zmm, ptr};

use super::abreast;
use super::args::SpmmArgs;
use super::avx2;
use super::bound::GROUPS;
use super::group::{emit_group, emit_list};
use super::narrow;
use super::pass::{Pass, Rows, X};
use super::plan::{ROW_BLOCK, SpmmPlan};
use super::regs::Regs;
use super::row_block::RowBlock;
use super::shared;
use super::tile::emit_next_tile;
use crate::args::load_args;
use crate::epilogue::{BlockParams, EpilogueRegs, OutputLanes, Store, emit_epilogue, emit_start};
use crate::layout::padded;
use crate::{Generate, LANES, PanelLayout, Plan, TILE, VECTORS};

impl Generate for SpmmPlan {
    fn generate(&self) -> Result<Code, JitError> {
        match self.isa {
            Isa::Avx2(token) => avx2::emit(self, token),
            // The portable plan has no code of its own. Tools show what AVX-512 would run.
            Isa::Avx512Vnni(_) | Isa::Portable => emit(self),
        }
    }
}

/// Generates the kernel.
fn emit(plan: &SpmmPlan) -> Result<Code, JitError> {
    let r = Regs::new(plan)?;
    let mut a = Asm::new();
    a.begin_function(&r.file);
    load_args!(a, r, SpmmArgs { x, y, constants, columns });

    a.note("tile loop: full tiles, then one tail of 16, 32 or 48 columns");
    dynasm!(a ; .arch x64 ; ->tile:);
    for vectors in (1..=VECTORS).rev() {
        let next = a.new_dynamic_label();
        let at_least = ((vectors - 1) * LANES) as i32;
        dynasm!(a ; .arch x64 ; cmp Rq(r.columns), at_least ; jle =>next);
        emit_tile(&mut a, plan, &r, vectors);
        if vectors == VECTORS {
            emit_next_tile(&mut a, plan, &r);
        }
        dynasm!(a ; .arch x64 ; jmp ->done ; =>next);
    }
    dynasm!(a ; .arch x64 ; ->done:);
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// All row blocks of one tile of which `vectors` vectors of 16 columns are computed.
fn emit_tile(a: &mut Asm, plan: &SpmmPlan, r: &Regs, vectors: usize) {
    if vectors * LANES <= plan.schedule.narrow {
        load_args!(a, r, SpmmArgs { scratch: packed });
        narrow::emit_pack_rows(a, plan, r, vectors);
        load_args!(a, r, SpmmArgs { scratch: pass_x });
        let rows = Rows::of(plan, vectors, X::NarrowRows);
        emit_pass(a, plan, r, &Pass { first: 0, vectors, x: X::NarrowRows, rows, prefetch: None });
        return;
    }
    for first in (0..vectors).step_by(plan.schedule.vectors) {
        let prefetch = r.next.filter(|_| first == 0 && vectors == VECTORS);
        if let Some(next) = prefetch {
            dynasm!(a ; .arch x64 ; lea Rq(next), [Rq(r.x) + plan.x_tile_bytes() as i32]);
        }
        let vectors = plan.schedule.vectors.min(vectors - first);
        let x = if plan.packs_dwords() { X::Dwords } else { X::Tile };
        let pass = Pass { first, vectors, x, rows: Rows::of(plan, vectors, x), prefetch };
        if pass.x == X::Dwords {
            dynasm!(a ; .arch x64 ; push Rq(r.x)); // until the pass, which reads packed rows, is done
            load_args!(a, r, SpmmArgs { scratch: packed });
            narrow::emit_pack_dwords(a, plan, r, &pass);
            load_args!(a, r, SpmmArgs { scratch: pass_x });
        }
        emit_pass(a, plan, r, &pass);
        if pass.x == X::Dwords {
            dynasm!(a ; .arch x64 ; pop Rq(r.x));
        }
    }
}

/// All row blocks of one pass.
fn emit_pass(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass) {
    // Narrow code needs four accumulators per output, however few columns there are.
    let columns = if pass.x == X::NarrowRows { VECTORS } else { pass.vectors };
    let acc: Vec<Vec<Zmm>> = r.acc.chunks_exact(columns).take(ROW_BLOCK).map(<[Zmm]>::to_vec).collect();
    let (row, first, end) = (a.new_dynamic_label(), a.new_dynamic_label(), a.new_dynamic_label());

    a.note(format!("row blocks on {} columns from {}", pass.vectors * LANES, pass.first * LANES));
    load_args!(a, r, SpmmArgs { indices, weights, rows: row, params, count });
    if let Some(lanes) = r.lanes {
        let dwords: u32 = (pass.first..pass.first + pass.vectors).map(|v| 0x1111 << v).sum();
        dynasm!(a ; .arch x64 ; mov Rd(r.dwords), dwords as i32);
        a.kmovw(lanes, r.dwords);
    }
    if pass.rows == Rows::Shared {
        shared::emit_begin_pass(a, r);
        emit_begin(a, plan, r, pass, &acc);
        dynasm!(a ; .arch x64 ; jmp =>first);
    }
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>row);
    if pass.rows == Rows::Abreast {
        emit_abreast(a, plan, r, pass, row, end); //           if they can; else one alone:
    }
    emit_begin(a, plan, r, pass, &acc);
    let finished = match (pass.x, pass.rows) {
        (X::NarrowRows, _) => {
            narrow::emit_list(a, plan, r, &acc, pass.vectors);
            narrow::emit_combine(a, r, &acc, pass.vectors)
        }
        (_, Rows::Shared) => {
            shared::emit_list_or_kept(a, plan, r, pass, &acc, first);
            acc
        }
        _ => {
            emit_groups(a, plan, r, pass, &acc);
            acc
        }
    };
    emit_finish(a, plan, r, pass, 0, &finished);
    emit_next_row_blocks(a, plan, r, 1);
    if pass.rows == Rows::Shared {
        shared::emit_next_row_block(a, r);
    }
    dynasm!(a ; .arch x64 ; dec Rq(r.count) ; jnz =>row ; =>end);
    if pass.rows == Rows::Shared {
        shared::emit_end_pass(a, r);
    }
}

/// Begins a row block.
fn emit_begin(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass, acc: &[Vec<Zmm>]) {
    let parts = if pass.x == X::NarrowRows { narrow::groups(pass.vectors) } else { 1 };
    emit_prefetch(a, plan, pass);
    emit_start(a, &plan.epilogue, ptr(r.params), acc, parts);
}

fn emit_next_row_blocks(a: &mut Asm, plan: &SpmmPlan, r: &Regs, count: i32) {
    a.note("next row block");
    dynasm!(a
        ; .arch x64
        ; add Rq(r.row), count * size_of::<RowBlock>() as i32
        ; add Rq(r.params), count * BlockParams::stride(&plan.epilogue)
    );
}

/// Row blocks that run abreast, from their first groups to their outputs; nothing if the next ones cannot.
fn emit_abreast(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass, row: DynamicLabel, end: DynamicLabel) {
    let alone = a.new_dynamic_label();
    let of_output: Vec<Vec<Zmm>> = r.acc.chunks_exact(pass.vectors).map(<[Zmm]>::to_vec).collect();
    let acc: Vec<Vec<Vec<Zmm>>> = of_output.chunks_exact(ROW_BLOCK).map(<[Vec<Zmm>]>::to_vec).collect();
    abreast::emit_begin(a, plan, r, pass, alone);
    for (b, acc) in (0..).zip(&acc) {
        emit_start(a, &plan.epilogue, ptr(r.params) + b * BlockParams::stride(&plan.epilogue), acc, 1);
    }
    abreast::emit_lists(a, plan, r, pass, &acc);
    for (b, acc) in (0..).zip(&acc) {
        emit_finish(a, plan, r, pass, b, acc);
    }
    let count = acc.len() as i32;
    emit_next_row_blocks(a, plan, r, count);
    dynasm!(a ; .arch x64 ; sub Rq(r.count), count ; jnz =>row ; jmp =>end ; =>alone);
}

/// The groups of a row block. A VNNI group of at most two vectors adds once to at most eight accumulators, so a chain of groups
/// runs at the latency of `vpdpbusd`. So the second of two groups has its own accumulators, which are added at the end.
fn emit_groups(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass, acc: &[Vec<Zmm>]) {
    let columns = pass.vectors * LANES;
    if !plan.has_second_accumulators(pass.vectors) {
        return emit_list(a, plan, r, GROUPS, columns, |a, ahead| emit_group(a, plan, r, pass, acc, ahead));
    }
    let free = r.acc[ROW_BLOCK * pass.vectors..].chunks_exact(pass.vectors);
    let second: Vec<Vec<Zmm>> = free.take(ROW_BLOCK).map(<[Zmm]>::to_vec).collect();
    for &zmm in second.iter().flatten() {
        a.vpxord(zmm, zmm, zmm);
    }
    let group = |a: &mut Asm, ahead| emit_group(a, plan, r, pass, if ahead == 0 { acc } else { &second }, ahead);
    emit_list(a, plan, r, GROUPS, columns, group);
    for (&sum, &part) in acc.iter().flatten().zip(second.iter().flatten()) {
        a.vpaddd(sum, sum, part);
    }
}

/// As many lines of the next tile of X as make all of it when all row blocks are done.
fn emit_prefetch(a: &mut Asm, plan: &SpmmPlan, pass: &Pass) {
    let Some(next) = pass.prefetch else { return };
    let lines = padded(plan.k).div_ceil(plan.rows()).min(MAX_PREFETCHES) as i32;
    a.note("prefetch the next tile");
    for line in 0..lines {
        dynasm!(a ; .arch x64 ; prefetcht1 [Rq(next) + line * TILE as i32]);
    }
    dynasm!(a ; .arch x64 ; add Rq(next), lines * TILE as i32);
}

/// Most prefetches per row block.
const MAX_PREFETCHES: usize = 16;

/// The epilogue of the row block that is `b` behind the next.
fn emit_finish(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass, b: i32, acc: &[Vec<Zmm>]) {
    let (scale, element) = match plan.epilogue.sink.store.element_bytes() {
        1 => (Scale::X1, 1),
        _ => (Scale::X4, 4),
    };
    let plain = matches!(plan.epilogue.sink.store, Store::Bytes { layout: PanelLayout::Plain, .. });
    let first_vector = if plain { 0 } else { (pass.first * TILE) as i32 };
    let rows = match plan.scatters() {
        true => r.outputs.map(|offset| ptr(r.y).index(offset, scale) + first_vector),
        false => EpilogueRegs::rows_from(ptr(r.y).index(r.outputs[0], scale) + first_vector, TILE as i32 * element),
    };
    for (i, offset) in (0..).zip(r.outputs).take(if plan.scatters() { ROW_BLOCK } else { 1 }) {
        let field = b * size_of::<RowBlock>() as i32 + std::mem::offset_of!(RowBlock, outputs) as i32 + 4 * i;
        dynasm!(a ; .arch x64 ; mov Rd(offset), [Rq(r.row) + field]);
    }
    let params = ptr(r.params) + b * BlockParams::stride(&plan.epilogue);
    let regs = EpilogueRegs { params, rows, constants: r.constants, temps: &r.temp };
    let lanes = r.lanes.map_or(OutputLanes::WholeRow, OutputLanes::Dwords);
    emit_epilogue(a, plan.isa, &plan.epilogue, acc, &regs, lanes);
}
