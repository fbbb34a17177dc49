//! The kernel as instructions: one emitter for both types, all blocks and both forms.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, JitError, Mem, Scale, Zmm, ptr};

use super::args::FloatArgs;
use super::desc::DType;
use super::epilogue::emit_epilogue;
use super::plan::{FloatPlan, OffsetWidth};
use super::regs::Regs;
use super::weights::BlockRow;
use crate::args::load_args;
use crate::layout::{VECTOR_BYTES, padded};
use crate::{Generate, LANES, Plan, TILE, VECTORS};

/// How far ahead the stream is fetched into L2. The hardware's own prefetcher stops at the end of a page; with weights
/// that come from L3 or memory, as in a model with many layers, this makes up to twice the speed.
const PREFETCH_BYTES: i32 = 4096;

/// `acc[r][v]` of one chain.
type Chain = Vec<Vec<Zmm>>;

/// Where the rows of X of a step are.
#[derive(Clone, Copy)]
enum Rows {
    /// At the offsets of the step's record.
    Indexed,
    /// This many steps ahead.
    Ahead(usize),
    /// The last row of a bf16 X with an odd number of them; its partner counts as zeros.
    Last,
}

macro_rules! block_row_field {
    ($field:ident) => {
        std::mem::offset_of!(BlockRow, $field) as i32
    };
}

impl Generate for FloatPlan {
    fn generate(&self) -> Result<Code, JitError> {
        emit(self)
    }
}

/// Generates the kernel.
fn emit(plan: &FloatPlan) -> Result<Code, JitError> {
    let r = Regs::new(plan)?;
    let mut a = Asm::new();
    a.begin_function(&r.file);
    load_args!(a, r, FloatArgs { x, y, constants, columns });

    let part = plan.tile.vectors;
    a.note(format!("part loop: {} columns, then one tail of fewer vectors", part * LANES));
    dynasm!(a ; .arch x64 ; xor Rd(r.second_half), Rd(r.second_half) ; ->part:);
    for vectors in (1..=part).rev() {
        let next = a.new_dynamic_label();
        let at_least = ((vectors - 1) * LANES) as i32;
        dynasm!(a ; .arch x64 ; cmp Rq(r.columns), at_least ; jle =>next);
        emit_block_rows(&mut a, plan, &r, vectors);
        if vectors == part {
            emit_next_part(&mut a, plan, &r);
        }
        dynasm!(a ; .arch x64 ; jmp ->done ; =>next);
    }
    dynasm!(a ; .arch x64 ; ->done:);
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// Moves to the next tile or to the other half of this one; jumps back while columns are left.
fn emit_next_part(a: &mut Asm, plan: &FloatPlan, r: &Regs) {
    let (x_row, y_row) = (plan.x_row_bytes() as i32, (TILE * plan.sink.store.element_bytes()) as i32);
    let (mut x_step, mut y_step) = (padded(plan.k) as i32 * x_row, padded(plan.m) as i32 * y_row);
    a.note("next part");
    dynasm!(a ; .arch x64 ; sub Rq(r.columns), (plan.tile.vectors * LANES) as i32 ; jle ->done);
    if plan.tile.vectors < VECTORS {
        (x_step, y_step) = (x_step - x_row / 2, y_step - y_row / 2);
        dynasm!(a
            ; .arch x64
            ; xor Rd(r.second_half), 1
            ; jz ->tile
            ; add Rq(r.x), x_row / 2
            ; add Rq(r.y), y_row / 2
            ; jmp ->part
            ; ->tile:
        );
    }
    dynasm!(a ; .arch x64 ; add Rq(r.x), x_step ; add Rq(r.y), y_step ; jmp ->part);
}

/// All block rows on one part of which `vectors` vectors of 16 columns are computed.
fn emit_block_rows(a: &mut Asm, plan: &FloatPlan, r: &Regs, vectors: usize) {
    let rows = plan.tile.rows;
    let chains: Vec<Chain> = r
        .acc
        .chunks_exact(rows * vectors)
        .take(plan.chains(vectors))
        .map(|chain| chain.chunks_exact(vectors).map(<[Zmm]>::to_vec).collect())
        .collect();
    let (sum, others) = chains.split_first().expect("a register tile holds at least one chain");
    let block_row = a.new_dynamic_label();

    a.note(format!("block rows on {} columns", vectors * LANES));
    load_args!(a, r, FloatArgs { stream, block_rows: block_row, bias, count });
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>block_row);
    for (m, acc) in sum.iter().enumerate() {
        for &acc in acc {
            a.vbroadcastss(acc, ptr(r.bias) + 4 * m as i32); // acc[0][r][v] = b[r]
        }
    }
    for &acc in others.iter().flatten().flatten() {
        a.vpxord(acc, acc, acc); //                           acc[1..][r][v] = 0
    }
    dynasm!(a ; .arch x64 ; mov Rd(r.steps), [Rq(r.block_row) + block_row_field!(steps)]);
    if plan.is_dense() {
        dynasm!(a ; .arch x64 ; mov Rq(r.next_row), Rq(r.x));
    }
    emit_steps(a, plan, r, &chains);
    for chain in others {
        for (&sum, &part) in sum.iter().flatten().zip(chain.iter().flatten()) {
            a.vaddps(sum, sum, part);
        }
    }
    emit_row_blocks(a, plan, r, sum);

    a.note("next block row");
    dynasm!(a
        ; .arch x64
        ; add Rq(r.block_row), size_of::<BlockRow>() as i32
        ; add Rq(r.bias), 4 * rows as i32
        ; dec Rq(r.count)
        ; jnz =>block_row
    );
}

/// All steps of a block row: as many at a time as there are chains, then the rest one by one.
fn emit_steps(a: &mut Asm, plan: &FloatPlan, r: &Regs, chains: &[Chain]) {
    let (at_once, record) = (chains.len() as i32, plan.record_bytes() as i32);
    let rows = |ahead| if plan.is_dense() { Rows::Ahead(ahead) } else { Rows::Indexed };
    let (several, rest, single, finish) =
        (a.new_dynamic_label(), a.new_dynamic_label(), a.new_dynamic_label(), a.new_dynamic_label());
    dynasm!(a ; .arch x64 ; sub Rd(r.steps), at_once ; jl =>rest);
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>several);
    for (i, acc) in chains.iter().enumerate() {
        emit_step(a, plan, r, acc, rows(i), i as i32 * record);
    }
    emit_prefetch(a, r, at_once * record);
    emit_advance(a, plan, r, at_once);
    dynasm!(a ; .arch x64 ; sub Rd(r.steps), at_once ; jge =>several ; =>rest);
    if at_once > 1 {
        dynasm!(a ; .arch x64 ; add Rd(r.steps), at_once ; jz =>finish ; =>single);
        emit_step(a, plan, r, &chains[0], rows(0), 0);
        emit_advance(a, plan, r, 1);
        dynasm!(a ; .arch x64 ; dec Rd(r.steps) ; jnz =>single);
    }
    dynasm!(a ; .arch x64 ; =>finish);
    if plan.is_dense() && !plan.k.is_multiple_of(plan.dtype.inputs()) {
        emit_step(a, plan, r, &chains[0], Rows::Last, 0);
        dynasm!(a ; .arch x64 ; add Rq(r.stream), record);
    }
}

/// Fetches what the stream holds [`PREFETCH_BYTES`] ahead of the next `bytes`; past its end that is useless, but never a
/// fault.
fn emit_prefetch(a: &mut Asm, r: &Regs, bytes: i32) {
    for line in (0..bytes).step_by(VECTOR_BYTES as usize) {
        dynasm!(a ; .arch x64 ; prefetcht1 [Rq(r.stream) + PREFETCH_BYTES + line]);
    }
}

/// Moves `steps` steps ahead.
fn emit_advance(a: &mut Asm, plan: &FloatPlan, r: &Regs, steps: i32) {
    dynasm!(a ; .arch x64 ; add Rq(r.stream), steps * plan.record_bytes() as i32);
    if plan.is_dense() {
        let step_bytes = (plan.dtype.inputs() * plan.x_row_bytes()) as i32;
        dynasm!(a ; .arch x64 ; add Rq(r.next_row), steps * step_bytes);
    }
}

/// `acc[r][v] += W[r][k] X[k][v]` for the input features k of the step whose record is `offset` bytes ahead.
fn emit_step(a: &mut Asm, plan: &FloatPlan, r: &Regs, acc: &Chain, rows: Rows, offset: i32) {
    let vectors = acc[0].len();
    let raw_rows = if plan.dtype == DType::Bf16 { plan.tile.vectors } else { 0 };
    let (raw, rest) = r.temp.split_at(raw_rows);
    let (x, weights) = rest.split_at(plan.tile.vectors);
    let x = &x[..vectors];
    let source = ptr(r.stream) + offset + plan.index_bytes() as i32;

    a.note(format!("one step: {} input features times {} weights", plan.dtype.inputs(), acc.len()));
    match plan.dtype {
        DType::F32 => {
            let row = emit_x_address(a, plan, r, rows, offset, 0);
            for (v, &x) in (0..).zip(x) {
                a.vmovups(x, row + v * VECTOR_BYTES); //      X[k][16v..]
            }
        }
        DType::Bf16 => emit_pairs(a, plan, r, rows, offset, raw, x),
    }
    let loads_bind = vectors == 1 && acc.len() == 4;
    let row_block = plan.row_block();
    for (i, (acc, weights)) in acc.chunks_exact(row_block).zip(weights.chunks_exact(row_block).cycle()).enumerate() {
        emit_load_weights(a, source + (i * row_block * 4) as i32, loads_bind, weights);
        for (acc, &weight) in acc.iter().zip(weights) {
            for (&acc, &x) in acc.iter().zip(x) {
                match plan.dtype {
                    DType::F32 => a.vfmadd231ps(acc, x, weight),
                    DType::Bf16 => a.vdpbf16ps(acc, x, weight),
                }
            }
        }
    }
}

/// `weights[r] = W[r][k]` of a row block in every lane: one broadcast each where there are load slots to spare; where loads
/// bind, one load with four shuffles is faster.
fn emit_load_weights(a: &mut Asm, source: Mem, loads_bind: bool, weights: &[Zmm]) {
    if !loads_bind {
        for (r, &weight) in (0..).zip(weights) {
            a.vpbroadcastd(weight, source + 4 * r);
        }
        return;
    }
    let (all, others) = (weights[0], &weights[1..]);
    a.vbroadcasti32x4(all, source); //                        W[0..4][k] in every 128-bit lane
    for (r, &weight) in (1..).zip(others) {
        a.vpshufd(weight, all, r * 0b0101_0101); //           dword r of every lane, four times
    }
    a.vpshufd(all, all, 0);
}

/// `x[v]` = pairs of the step's two input features for columns 16v..16v+16.
fn emit_pairs(a: &mut Asm, plan: &FloatPlan, r: &Regs, rows: Rows, offset: i32, raw: &[Zmm], x: &[Zmm]) {
    let halves = raw.chunks_exact(2).zip(x.chunks(2));
    let first = emit_x_address(a, plan, r, rows, offset, 0);
    for (h, (raw, _)) in (0..).zip(halves.clone()) {
        a.vmovups(raw[0], first + h * VECTOR_BYTES); //       X[k][32h..]
    }
    if matches!(rows, Rows::Last) {
        for (raw, _) in halves.clone() {
            a.vpxord(raw[1], raw[1], raw[1]);
        }
    } else {
        let second = emit_x_address(a, plan, r, rows, offset, 1);
        for (h, (raw, _)) in (0..).zip(halves.clone()) {
            a.vmovups(raw[1], second + h * VECTOR_BYTES); //  X[k'][32h..]
        }
    }
    for (raw, x) in halves {
        a.vpunpcklwd(x[0], raw[0], raw[1]); //                X[k], X[k'] of columns 32h..32h+16
        if let Some(&x) = x.get(1) {
            a.vpunpckhwd(x, raw[0], raw[1]); //               32h+16..32h+32
        }
    }
}

/// Address of the row of the step's input feature `i`; for indexed rows, loads its offset first.
fn emit_x_address(a: &mut Asm, plan: &FloatPlan, r: &Regs, rows: Rows, offset: i32, i: usize) -> Mem {
    let row_bytes = plan.x_row_bytes();
    match rows {
        Rows::Indexed => {
            let field = offset + (i * plan.index.bytes()) as i32;
            match plan.index {
                OffsetWidth::U16 => {
                    dynasm!(a ; .arch x64 ; movzx Rd(r.row[i]), WORD [Rq(r.stream) + field]);
                    ptr(r.x).index(r.row[i], Scale::X8)
                }
                OffsetWidth::U32 => {
                    dynasm!(a ; .arch x64 ; mov Rd(r.row[i]), DWORD [Rq(r.stream) + field]);
                    ptr(r.x).index(r.row[i], Scale::X1)
                }
            }
        }
        Rows::Ahead(steps) => ptr(r.next_row) + ((steps * plan.dtype.inputs() + i) * row_bytes) as i32,
        Rows::Last => ptr(r.next_row),
    }
}

/// Finishes the block row row block by row block, those that the output has rows for.
fn emit_row_blocks(a: &mut Asm, plan: &FloatPlan, r: &Regs, sum: &Chain) {
    let stored = a.new_dynamic_label();
    let element = plan.sink.store.element_bytes();
    dynasm!(a ; .arch x64 ; mov Rd(r.out_offset), [Rq(r.block_row) + block_row_field!(out_offset)]);
    match element {
        2 => dynasm!(a ; .arch x64 ; lea Rq(r.out), [Rq(r.y) + Rq(r.out_offset) * 2]),
        _ => dynasm!(a ; .arch x64 ; lea Rq(r.out), [Rq(r.y) + Rq(r.out_offset) * 4]),
    }
    let some_missing = !padded(plan.m).is_multiple_of(plan.tile.rows); // never with 1, 2 or 4 rows
    for (row_block, acc) in sum.chunks(plan.row_block()).enumerate() {
        if row_block > 0 && some_missing {
            dynasm!(a ; .arch x64 ; cmp DWORD [Rq(r.block_row) + block_row_field!(row_blocks)], row_block as i32 ; jle =>stored);
        }
        let out = ptr(r.out) + (row_block * plan.row_block() * TILE * element) as i32;
        emit_epilogue(a, &plan.sink, acc, out, r.constants, &r.temp);
    }
    dynasm!(a ; .arch x64 ; =>stored);
}
