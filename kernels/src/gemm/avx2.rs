//! The dense kernel for 256 bits.
//!
//! A *quarter* of a tile is what two vectors of 8 columns hold that the epilogue stores together: as in [`crate::spmm`], 8 columns of
//! each of two neighbouring vectors of 16. One row block of four outputs is computed at a time, over all K.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Avx2, Code, Gpr, JitError, RegFile, Scale, Vex, Ymm256, Zmm, ptr};

use super::args::GemmArgs;
use super::bound::STEPS;
use super::plan::{GemmPlan, ROW_BLOCK, ROW_BLOCKS};
use super::twos::Two;
use crate::args::load_args;
use crate::dot_avx2::{Dots, TEMPS, VECTORS, emit_twos};
use crate::epilogue::{BlockParams, EpilogueRegs, OutputLanes, Store, emit_epilogue, emit_start};
use crate::layout::VECTOR_BYTES;
use crate::{LANES, PanelLayout, Plan, TILE};

/// Bytes of one VNNI row: four input features of a tile.
const X_ROW_BYTES: i32 = 4 * TILE as i32;
/// Bytes, in a VNNI row, from the first to the second quarter of the tile: 8 columns.
const QUARTER: i32 = VECTOR_BYTES / 2;
/// Bytes, in a VNNI row, from the first to the third quarter: 32 columns.
const HALF: i32 = X_ROW_BYTES / 2;
/// Where a two says where its steps are.
const X_OF_TWO: i32 = std::mem::offset_of!(Two, x) as i32;
/// Columns that are left when the second quarter has none.
const ONE_QUARTER: i32 = LANES as i32 / 2;

/// REGISTER LAYOUT
///
/// | registers | in the step loop | in the epilogue |
/// | --- | --- | --- |
/// | acc, 8 | `acc[m][v]`: s32, output feature m of 4, vector v of the quarter | the same as f32 or words, then packed |
/// | temp 0-1 | X of four input features, v = 0, 1; with `vpmaddwd` its odd bytes as words | parameters |
/// | temp 2-7 | weights; in twos X of the second step, weights, sums, products; with `vpmaddwd` even bytes, weights, products | activation |
struct Regs {
    file: RegFile,
    x: Gpr,
    x_step: Gpr,
    y: Gpr,
    weights: Gpr,
    w_step: Gpr,
    params: Gpr,
    constants: Gpr,
    columns: Gpr,
    /// Whole register blocks left; then the row blocks of the last one.
    blocks: Gpr,
    last_row_blocks: Gpr,
    steps: Gpr,
    /// Offset in bytes of the quarter in a VNNI row.
    quarter: Gpr,
    out: Gpr,
    dots: Dots,
    /// Where X of the two steps of a two is; without twos nothing.
    two: Option<[Gpr; 2]>,
    acc: Vec<Zmm>,
    temp: Vec<Zmm>,
}

impl Regs {
    fn new(plan: &GemmPlan, token: Avx2) -> Result<Regs, JitError> {
        let mut file = RegFile::avx2();
        let dots = Dots::new(token, plan.activation_bits, false, &mut file)?;
        let two = match plan.needs_twos() {
            true => Some([file.gpr("first step of a two")?, file.gpr("second step of a two")?]),
            false => None,
        };
        let blocks = file.gpr("register blocks left; row blocks of the last one")?;
        Ok(Regs {
            dots,
            two,
            steps: file.gpr("steps or twos left; offset of the quarter in a plain row")?,
            x_step: file.gpr("four input features of X")?,
            weights: file.gpr("weights of the register block; numbers of twos")?,
            w_step: file.gpr("weights of four input features; twos")?,
            x: file.gpr("tile of X")?,
            y: file.gpr("tile of Y")?,
            params: file.gpr("row parameters")?,
            constants: file.gpr("constants")?,
            out: file.gpr("output of the row block")?,
            columns: file.gpr("columns left")?,
            blocks,
            last_row_blocks: blocks,
            quarter: file.gpr("offset of the quarter in a VNNI row")?,
            acc: file.zmms(ROW_BLOCK * VECTORS, "acc[m][v]")?,
            temp: file.zmms(TEMPS, "X, weights, products; epilogue temporaries")?,
            file,
        })
    }
}

/// Generates the kernel.
pub(super) fn emit(plan: &GemmPlan, token: Avx2) -> Result<Code, JitError> {
    let r = Regs::new(plan, token)?;
    let mut a = Asm::avx2();
    a.begin_function(&r.file);
    r.dots.emit_begin(&mut a);
    load_args!(a, r, GemmArgs { x, y, constants, columns });
    a.note("quarter loop: 8 columns of each of two vectors of 16");
    dynasm!(a
        ; .arch x64
        ; ->tile:
        ; xor Rd(r.quarter), Rd(r.quarter)
        ; ->quarter:
    );
    emit_blocks(&mut a, plan, &r);
    emit_next_quarter(&mut a, plan, &r);
    dynasm!(a ; .arch x64 ; ->done:);
    r.dots.emit_end(&mut a);
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// Moves to the next quarter that has columns, or to the next tile.
fn emit_next_quarter(a: &mut Asm<Ymm256>, plan: &GemmPlan, r: &Regs) {
    let y_tile_bytes = (plan.y_tile_elements() * plan.epilogue.sink.store.element_bytes()) as i32;
    let second_half = a.new_dynamic_label();
    a.note("next quarter: 0, 1, 2, 3 are at 0, 32, 128 and 160 bytes");
    dynasm!(a
        ; .arch x64
        ; test Rd(r.quarter), QUARTER
        ; jnz =>second_half
        ; cmp Rq(r.columns), ONE_QUARTER
        ; jle ->done
        ; add Rd(r.quarter), QUARTER
        ; jmp ->quarter
        ; =>second_half
        ; sub Rq(r.columns), TILE as i32 / 2
        ; jle ->done
        ; xor Rd(r.quarter), QUARTER | HALF
        ; test Rd(r.quarter), HALF
        ; jnz ->quarter
        ; add Rq(r.x), plan.x_tile_bytes() as i32
        ; add Rq(r.y), y_tile_bytes
        ; jmp ->tile
    );
}

/// All row blocks on one quarter.
fn emit_blocks(a: &mut Asm<Ymm256>, plan: &GemmPlan, r: &Regs) {
    a.note("row blocks on one quarter");
    load_args!(a, r, GemmArgs { weights, params, blocks });
    if r.two.is_some() {
        load_args!(a, r, GemmArgs { weights: w_step, counts: weights });
    }
    dynasm!(a ; .arch x64 ; mov Rq(r.out), Rq(r.y));
    emit_add_quarter(a, plan, r);
    let (whole, last, end) = (a.new_dynamic_label(), a.new_dynamic_label(), a.new_dynamic_label());
    dynasm!(a
        ; .arch x64
        ; test Rq(r.blocks), Rq(r.blocks)
        ; jz =>last
        ; =>whole
    );
    emit_block(a, plan, r, ROW_BLOCKS);
    dynasm!(a ; .arch x64 ; dec Rq(r.blocks) ; jnz =>whole ; =>last);
    load_args!(a, r, GemmArgs { last_row_blocks });
    for row_blocks in 1..ROW_BLOCKS {
        let next = a.new_dynamic_label();
        dynasm!(a ; .arch x64 ; cmp Rq(r.last_row_blocks), row_blocks as i32 ; jne =>next);
        emit_block(a, plan, r, row_blocks);
        dynasm!(a ; .arch x64 ; jmp =>end ; =>next);
    }
    dynasm!(a ; .arch x64 ; =>end);
}

/// `out += ` the offset of the quarter in a row of the output.
fn emit_add_quarter(a: &mut Asm<Ymm256>, plan: &GemmPlan, r: &Regs) {
    match plan.epilogue.sink.store {
        // 0, 32, 8 and 40: a half of the tile is 8 bytes in each 128-bit lane.
        Store::Bytes { layout: PanelLayout::Plain, .. } => dynasm!(a
            ; .arch x64
            ; mov Rd(r.steps), Rd(r.quarter)
            ; and Rd(r.steps), QUARTER
            ; add Rq(r.out), Rq(r.steps)
            ; mov Rd(r.steps), Rd(r.quarter)
            ; and Rd(r.steps), HALF
            ; shr Rd(r.steps), 4
            ; add Rq(r.out), Rq(r.steps)
        ),
        _ => dynasm!(a ; .arch x64 ; add Rq(r.out), Rq(r.quarter)),
    }
}

/// The row blocks of one register block, one after the other.
fn emit_block(a: &mut Asm<Ymm256>, plan: &GemmPlan, r: &Regs, row_blocks: usize) {
    let params_bytes = BlockParams::stride(&plan.epilogue);
    let out_bytes = (ROW_BLOCK * TILE * plan.epilogue.sink.store.element_bytes()) as i32;
    let step_bytes = (row_blocks * ROW_BLOCK * 4) as i32;
    for row_block in 0..row_blocks as i32 {
        a.note(format!("row block {row_block} of a register block of {row_blocks}"));
        match r.two {
            Some(two) => emit_row_block_in_twos(a, plan, r, two),
            None => emit_row_block(a, plan, r, 4 * ROW_BLOCK as i32 * row_block, step_bytes),
        }
        dynasm!(a ; .arch x64 ; add Rq(r.params), params_bytes ; add Rq(r.out), out_bytes);
    }
    if r.two.is_none() {
        dynasm!(a ; .arch x64 ; add Rq(r.weights), plan.steps() as i32 * step_bytes);
    }
}

/// Four outputs, whose weights begin `first` bytes behind those of the register block, over all K.
fn emit_row_block(a: &mut Asm<Ymm256>, plan: &GemmPlan, r: &Regs, first: i32, step_bytes: i32) {
    let acc: Vec<Vec<Zmm>> = r.acc.chunks_exact(VECTORS).map(<[Zmm]>::to_vec).collect();
    let again = a.new_dynamic_label();
    emit_start(a, &plan.epilogue, ptr(r.params), &acc, 1);
    dynasm!(a
        ; .arch x64
        ; lea Rq(r.x_step), [Rq(r.x) + Rq(r.quarter)]
        ; lea Rq(r.w_step), [Rq(r.weights) + first]
        ; mov Rd(r.steps), (plan.steps() / plan.unroll) as i32
    );
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>again);
    a.begin_loop(STEPS, ROW_BLOCK, LANES, plan.unroll);
    for u in 0..plan.unroll as i32 {
        emit_step(a, r, &acc, u * X_ROW_BYTES, u * step_bytes);
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.x_step), plan.unroll as i32 * X_ROW_BYTES
        ; add Rq(r.w_step), plan.unroll as i32 * step_bytes
        ; dec Rd(r.steps)
        ; jnz =>again
    );
    a.end_loop();
    emit_finish(a, plan, r, &acc);
}

/// Four outputs over all K, two steps at a time: `w_step` points to the next two, `weights` to how many there are.
fn emit_row_block_in_twos(a: &mut Asm<Ymm256>, plan: &GemmPlan, r: &Regs, [first, second]: [Gpr; 2]) {
    let acc: Vec<Vec<Zmm>> = r.acc.chunks_exact(VECTORS).map(<[Zmm]>::to_vec).collect();
    let again = a.new_dynamic_label();
    emit_start(a, &plan.epilogue, ptr(r.params), &acc, 1);
    dynasm!(a
        ; .arch x64
        ; lea Rq(r.x_step), [Rq(r.x) + Rq(r.quarter)]
        ; mov Rd(r.steps), [Rq(r.weights)]
    );
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>again);
    a.begin_loop(STEPS, ROW_BLOCK, LANES, 2);
    dynasm!(a
        ; .arch x64
        ; mov Rd(first), [Rq(r.w_step) + X_OF_TWO]
        ; mov Rd(second), [Rq(r.w_step) + X_OF_TWO + 4]
    );
    let (x, temps) = r.temp.split_at(2 * VECTORS);
    let x = [&x[..VECTORS], &x[VECTORS..]];
    for (step, x) in [first, second].into_iter().zip(x) {
        for (v, &x) in (0..).zip(x) {
            a.vmovdqu(x, ptr(r.x_step).index(step, Scale::X1) + v * VECTOR_BYTES);
        }
    }
    let weights = ptr(r.w_step) + std::mem::offset_of!(Two, weights) as i32;
    let rows: Vec<&[Zmm]> = acc.iter().map(Vec::as_slice).collect();
    emit_twos(a, &rows, x, [weights, weights + 4 * ROW_BLOCK as i32], r.constants, temps);
    dynasm!(a
        ; .arch x64
        ; add Rq(r.w_step), size_of::<Two>() as i32
        ; dec Rd(r.steps)
        ; jnz =>again
    );
    a.end_loop();
    dynasm!(a ; .arch x64 ; add Rq(r.weights), size_of::<u32>() as i32);
    emit_finish(a, plan, r, &acc);
}

/// The epilogue of a row block.
fn emit_finish(a: &mut Asm<Ymm256>, plan: &GemmPlan, r: &Regs, acc: &[Vec<Zmm>]) {
    let row_bytes = (TILE * plan.epilogue.sink.store.element_bytes()) as i32;
    let rows = EpilogueRegs::rows_from(ptr(r.out), row_bytes);
    let regs = EpilogueRegs { params: ptr(r.params), rows, constants: r.constants, temps: &r.temp };
    emit_epilogue(a, plan.isa, &plan.epilogue, acc, &regs, OutputLanes::WholeRow);
}

/// `acc[m][v] += W[m][k..k+4] . X[k..k+4][v]`.
fn emit_step(a: &mut Asm<Ymm256>, r: &Regs, acc: &[Vec<Zmm>], x_offset: i32, w_offset: i32) {
    let (x, temps) = r.temp.split_at(VECTORS);
    for (v, &x) in (0..).zip(x) {
        a.vmovdqu(x, ptr(r.x_step) + x_offset + v * VECTOR_BYTES);
    }
    let acc: Vec<&[Zmm]> = acc.iter().map(Vec::as_slice).collect();
    r.dots.emit(a, &acc, x, ptr(r.w_step) + w_offset, r.constants, temps);
}
