//! The dense kernel as instructions.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Isa, JitError, Zmm, ptr};

use super::args::GemmArgs;
use super::avx2;
use super::bound::STEPS;
use super::plan::{GemmPlan, ROW_BLOCK, ROW_BLOCKS};
use super::regs::{BLOCK_VECTORS, Regs};
use crate::args::load_args;
use crate::epilogue::{BlockParams, EpilogueRegs, OutputLanes, Store, emit_epilogue, emit_start};
use crate::{Generate, LANES, PanelLayout, Plan, TILE};

/// Bytes of one VNNI row: four input features of a tile.
const X_ROW_BYTES: i32 = 4 * TILE as i32;
/// Bytes from one half of a 256-byte row to the other.
const HALF_BYTES: i32 = X_ROW_BYTES / 2;

impl Generate for GemmPlan {
    fn generate(&self) -> Result<Code, JitError> {
        match self.isa {
            Isa::Avx2(token) => avx2::emit(self, token),
            // The portable plan has no code of its own. Tools show what AVX-512 would run.
            Isa::Avx512Vnni(_) | Isa::Portable => emit(self),
        }
    }
}

/// Generates the kernel.
fn emit(plan: &GemmPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.begin_function(&r.file);
    load_args!(a, r, GemmArgs { x, y, constants, columns });
    a.note("half-tile loop: 32 columns, the last one 32 or 16");
    dynasm!(a
        ; .arch x64
        ; xor Rd(r.half), Rd(r.half)
        ; ->half_tile:
        ; cmp Rq(r.columns), LANES as i32
        ; jle ->single
    );
    emit_blocks(&mut a, plan, &r, BLOCK_VECTORS);
    emit_next_half_tile(&mut a, plan, &r);
    dynasm!(a ; .arch x64 ; jmp ->done ; ->single:);
    emit_blocks(&mut a, plan, &r, 1);
    dynasm!(a ; .arch x64 ; ->done:);
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// Moves to the other half of the tile or to the next tile; jumps back while columns are left.
fn emit_next_half_tile(a: &mut Asm, plan: &GemmPlan, r: &Regs) {
    let y_tile_bytes = (plan.y_tile_elements() * plan.epilogue.sink.store.element_bytes()) as i32;
    a.note("next half-tile");
    dynasm!(a
        ; .arch x64
        ; sub Rq(r.columns), (BLOCK_VECTORS * LANES) as i32
        ; jle ->done
        ; xor Rd(r.half), HALF_BYTES
        ; jnz ->half_tile
        ; add Rq(r.x), plan.x_tile_bytes() as i32
        ; add Rq(r.y), y_tile_bytes
        ; jmp ->half_tile
    );
}

fn is_plain(plan: &GemmPlan) -> bool {
    matches!(plan.epilogue.sink.store, Store::Bytes { layout: PanelLayout::Plain, .. })
}

/// All register blocks on one half-tile of which `vectors` vectors are computed.
fn emit_blocks(a: &mut Asm, plan: &GemmPlan, r: &Regs, vectors: usize) {
    a.note(format!("register blocks on {} columns", vectors * LANES));
    load_args!(a, r, GemmArgs { weights, params, blocks });
    dynasm!(a ; .arch x64 ; mov Rq(r.out), Rq(r.y));
    if is_plain(plan) {
        emit_lane_mask(a, r, vectors);
    } else {
        dynasm!(a ; .arch x64 ; add Rq(r.out), Rq(r.half));
    }
    let (whole, last, end) = (a.new_dynamic_label(), a.new_dynamic_label(), a.new_dynamic_label());
    dynasm!(a
        ; .arch x64
        ; test Rq(r.blocks), Rq(r.blocks)
        ; jz =>last
        ; =>whole
    );
    emit_block(a, plan, r, ROW_BLOCKS, vectors);
    dynasm!(a ; .arch x64 ; dec Rq(r.blocks) ; jnz =>whole ; =>last);
    load_args!(a, r, GemmArgs { last_row_blocks });
    for row_blocks in 1..ROW_BLOCKS {
        let next = a.new_dynamic_label();
        dynasm!(a ; .arch x64 ; cmp Rq(r.last_row_blocks), row_blocks as i32 ; jne =>next);
        emit_block(a, plan, r, row_blocks, vectors);
        dynasm!(a ; .arch x64 ; jmp =>end ; =>next);
    }
    dynasm!(a ; .arch x64 ; =>end);
}

/// The dwords `4 l + v` of a plain row that hold the half-tile's columns: v = 0, 1 or v = 2, 3 (or the first of them).
fn emit_lane_mask(a: &mut Asm, r: &Regs, vectors: usize) {
    let first_half: i32 = if vectors == BLOCK_VECTORS { 0x3333 } else { 0x1111 };
    let [dwords, second] = r.dwords;
    dynasm!(a
        ; .arch x64
        ; mov Rd(dwords), first_half
        ; mov Rd(second), first_half << 2
        ; test Rd(r.half), Rd(r.half)
        ; cmovnz Rd(dwords), Rd(second)
    );
    a.kmovw(r.lanes, dwords);
}

/// `row blocks` row blocks of four output features x `vectors` vectors of 16 columns, over all K.
fn emit_block(a: &mut Asm, plan: &GemmPlan, r: &Regs, row_blocks: usize, vectors: usize) {
    let acc: Vec<Vec<Zmm>> =
        r.acc.chunks(BLOCK_VECTORS).take(row_blocks * ROW_BLOCK).map(|m| m[..vectors].to_vec()).collect();
    let step_bytes = (row_blocks * ROW_BLOCK * 4) as i32;
    let params_bytes = BlockParams::stride(&plan.epilogue);
    let again = a.new_dynamic_label();

    a.note(format!("register block: {} output features", row_blocks * ROW_BLOCK));
    for (row_block, acc) in (0..).zip(acc.chunks(ROW_BLOCK)) {
        emit_start(a, &plan.epilogue, ptr(r.params) + row_block * params_bytes, acc, 1);
    }
    dynasm!(a
        ; .arch x64
        ; lea Rq(r.x_step), [Rq(r.x) + Rq(r.half)]
        ; mov Rd(r.steps), (plan.steps() / plan.unroll) as i32
    );
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>again);
    a.begin_loop(STEPS, row_blocks * ROW_BLOCK, vectors * LANES, plan.unroll);
    for u in 0..plan.unroll as i32 {
        emit_step(a, r, &acc, u * X_ROW_BYTES, u * step_bytes);
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.x_step), plan.unroll as i32 * X_ROW_BYTES
        ; add Rq(r.weights), plan.unroll as i32 * step_bytes
        ; dec Rd(r.steps)
        ; jnz =>again
    );
    a.end_loop();

    let out_bytes = (ROW_BLOCK * TILE * plan.epilogue.sink.store.element_bytes()) as i32;
    let lanes = if is_plain(plan) { OutputLanes::Dwords(r.lanes) } else { OutputLanes::WholeRow };
    for (row_block, acc) in acc.chunks(ROW_BLOCK).enumerate() {
        let row_block = row_block as i32;
        let regs = EpilogueRegs {
            params: ptr(r.params) + row_block * params_bytes,
            rows: EpilogueRegs::rows_from(ptr(r.out) + row_block * out_bytes, out_bytes / ROW_BLOCK as i32),
            constants: r.constants,
            temps: &r.temp,
        };
        emit_epilogue(a, plan.isa, &plan.epilogue, acc, &regs, lanes);
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.params), row_blocks as i32 * params_bytes
        ; add Rq(r.out), row_blocks as i32 * out_bytes
    );
}

/// `acc[m][v] += W[m][k..k+4] . X[k..k+4][v]`.
fn emit_step(a: &mut Asm, r: &Regs, acc: &[Vec<Zmm>], x_offset: i32, w_offset: i32) {
    let vectors = acc[0].len();
    let (x, weights) = r.temp.split_at(BLOCK_VECTORS);
    for (v, &x) in x[..vectors].iter().enumerate() {
        a.vmovdqu32(x, ptr(r.x_step) + x_offset + v as i32 * 4 * LANES as i32); // X[k..k+4][16v..]
    }
    for (m, acc) in acc.iter().enumerate() {
        let source = ptr(r.weights) + w_offset + 4 * m as i32;
        if vectors == 1 {
            a.vpdpbusd(acc[0], x[0], source.bcast());
            continue;
        }
        let weight = weights[m % weights.len()];
        a.vpbroadcastd(weight, source); //                     W[m][k..k+4]
        for (&acc, &x) in acc.iter().zip(x) {
            a.vpdpbusd(acc, x, weight);
        }
    }
}
