//! The embedding kernel as instructions. One call computes one tile, in blocks of 16 columns x 16 features.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, JitError, Scale, Zmm, ptr};

use super::args::{EmbeddingArgs, TABLES};
use super::plan::EmbeddingPlan;
use super::regs::Regs;
use crate::args::load_args;
use crate::layout::VECTOR_BYTES;
use crate::rows::F32_ROW_BYTES;
use crate::{Generate, LANES, Plan};

/// How far ahead rows of the word table are fetched. Words are anywhere in a table that fits no cache, and 16 rows are read
/// together, a line of each at a time: more than the hardware's prefetchers follow to memory.
const PREFETCH_BYTES: i32 = 4 * VECTOR_BYTES;

impl Generate for EmbeddingPlan {
    fn generate(&self) -> Result<Code, JitError> {
        emit(self)
    }
}

/// Generates the kernel.
fn emit(plan: &EmbeddingPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    let (blocks, tail) = (plan.features / LANES, plan.features % LANES);
    a.begin_function(&r.file);
    load_args!(a, r, EmbeddingArgs { x: first, columns: left });
    for (table, (_, ids)) in r.tables.iter().zip(TABLES) {
        a.load_arg(table.ids, &r.file, ids);
    }
    if tail > 0 {
        dynasm!(a ; .arch x64 ; mov Rd(r.tail_bits), (1 << tail) - 1);
        a.kmovw(r.tail, r.tail_bits);
    }

    a.note("16 columns");
    dynasm!(a ; .arch x64 ; ->columns: ; mov Rq(r.x), Rq(r.first));
    for (table, (base, _)) in r.tables.iter().zip(TABLES) {
        a.load_arg(table.base, &r.file, base);
    }
    if blocks > 0 {
        dynasm!(a ; .arch x64 ; mov Rd(r.count), blocks as i32);
        a.align_loop(32);
        dynasm!(a ; .arch x64 ; ->block:);
        emit_block(&mut a, plan, &r, LANES);
        dynasm!(a ; .arch x64 ; dec Rd(r.count) ; jnz ->block);
    }
    if tail > 0 {
        emit_block(&mut a, plan, &r, tail);
    }
    a.note("next 16 columns");
    for table in &r.tables {
        dynasm!(a ; .arch x64 ; add Rq(table.ids), (LANES * size_of::<u32>()) as i32);
    }
    dynasm!(a ; .arch x64
        ; add Rq(r.first), VECTOR_BYTES
        ; sub Rq(r.left), LANES as i32
        ; jg ->columns
    );
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// `features` (16, or fewer in the last block) features of 16 columns.
fn emit_block(a: &mut Asm, plan: &EmbeddingPlan, r: &Regs, features: usize) {
    a.note(format!("gather {features} features of 16 columns"));
    for (i, &sum) in r.block.iter().enumerate() {
        emit_gather_column(a, plan, r, i, sum, features < LANES);
    }
    emit_transpose_16x16(a, &r.block, &r.temp);
    a.note("store features as rows");
    for (j, &row) in r.block[..features].iter().enumerate() {
        a.vmovups_st(ptr(r.x) + j as i32 * F32_ROW_BYTES, row); //    x[16b + j][16 columns]
    }
    dynasm!(a ; .arch x64 ; add Rq(r.x), LANES as i32 * F32_ROW_BYTES);
    for table in &r.tables {
        dynasm!(a ; .arch x64 ; add Rq(table.base), VECTOR_BYTES);
    }
}

/// `sum = (word[..] + kind[..]) + position[..]` of column i. Masked loads do not touch what is behind the row. A prefetch may ask for
/// it, but never faults.
fn emit_gather_column(a: &mut Asm, plan: &EmbeddingPlan, r: &Regs, i: usize, sum: Zmm, masked: bool) {
    let row_bytes = (plan.features * size_of::<f32>()) as i32;
    let dst = || if masked { sum.kz(r.tail) } else { sum.into() };
    for (step, table) in r.tables.iter().enumerate() {
        dynasm!(a ; .arch x64
            ; mov Rd(table.row), DWORD [Rq(table.ids) + 4 * i as i32]
            ; imul Rq(table.row), Rq(table.row), row_bytes
        );
        let row = ptr(table.base).index(table.row, Scale::X1);
        match step {
            0 => {
                a.vmovups(dst(), row);
                dynasm!(a ; .arch x64 ; prefetcht0 [Rq(table.base) + Rq(table.row) + PREFETCH_BYTES]);
            }
            _ => a.vaddps(dst(), sum, row),
        }
    }
}

/// `rows[j][i] = rows[i][j]`: first within 4x4 blocks, which are 128-bit lanes, then lanes as a 4x4 matrix.
fn emit_transpose_16x16(a: &mut Asm, rows: &[Zmm], temp: &[Zmm]) {
    a.note("transpose 16x16");
    for i in (0..16).step_by(2) {
        a.vpunpckldq(temp[i], rows[i], rows[i + 1]); //               features 4l, 4l+1 of columns i, i+1
        a.vpunpckhdq(temp[i + 1], rows[i], rows[i + 1]); //           features 4l+2, 4l+3
    }
    for i in (0..16).step_by(4) {
        a.vpunpcklqdq(rows[i], temp[i], temp[i + 2]); //              feature 4l of columns i..i+4 in lane l
        a.vpunpckhqdq(rows[i + 1], temp[i], temp[i + 2]); //          feature 4l+1
        a.vpunpcklqdq(rows[i + 2], temp[i + 1], temp[i + 3]); //      feature 4l+2
        a.vpunpckhqdq(rows[i + 3], temp[i + 1], temp[i + 3]); //      feature 4l+3
    }
    const LANES_0_1: u8 = 0b01_00_01_00; // of both operands
    const LANES_2_3: u8 = 0b11_10_11_10;
    const LANES_0_2: u8 = 0b10_00_10_00;
    const LANES_1_3: u8 = 0b11_01_11_01;
    for k in 0..4 {
        let [t0, t1, t2, t3] = [temp[k], temp[4 + k], temp[8 + k], temp[12 + k]];
        a.vshufi32x4(t0, rows[k], rows[4 + k], LANES_0_1); //         features k, 4+k of columns 0..8
        a.vshufi32x4(t1, rows[k], rows[4 + k], LANES_2_3); //         features 8+k, 12+k
        a.vshufi32x4(t2, rows[8 + k], rows[12 + k], LANES_0_1); //    features k, 4+k of columns 8..16
        a.vshufi32x4(t3, rows[8 + k], rows[12 + k], LANES_2_3);
    }
    for k in 0..4 {
        let [t0, t1, t2, t3] = [temp[k], temp[4 + k], temp[8 + k], temp[12 + k]];
        a.vshufi32x4(rows[k], t0, t2, LANES_0_2); //                  feature k of 16 columns
        a.vshufi32x4(rows[4 + k], t0, t2, LANES_1_3); //              feature 4 + k
        a.vshufi32x4(rows[8 + k], t1, t3, LANES_0_2); //              feature 8 + k
        a.vshufi32x4(rows[12 + k], t1, t3, LANES_1_3); //             feature 12 + k
    }
}
