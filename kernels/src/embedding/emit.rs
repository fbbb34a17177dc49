//! The embedding kernel as instructions. One call computes one tile, in blocks of 16 tokens x 16 features.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, Mask, RegFile, Scale, Zmm, ptr};

use super::desc::EmbeddingPlan;
use crate::rows::{F32_ROW_BYTES, VECTOR_BYTES};
use crate::{Generate, LANES, Plan};

/// How far ahead rows of the word table are fetched. Words are anywhere in a table that fits no cache, and 16 rows are read side by
/// side, a line of each at a time: more than the hardware's prefetchers follow to memory.
const PREFETCH_BYTES: i32 = 4 * VECTOR_BYTES;

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct EmbeddingArgs {
    /// Tables, `[rows][F]`.
    pub(super) word: *const f32,
    pub(super) kind: *const f32,
    pub(super) position: *const f32,
    /// Rows of the tile's tokens, up to a multiple of 16.
    pub(super) word_ids: *const u32,
    pub(super) kind_ids: *const u32,
    pub(super) position_ids: *const u32,
    /// The f32 tile.
    pub(super) x: *mut f32,
    /// Tokens of this tile, 1..=64.
    pub(super) tokens: usize,
}

/// One table while its features are walked.
struct Table {
    /// Feature 16 b of row 0.
    base: Gpr,
    /// Rows of the 16 tokens.
    ids: Gpr,
    /// Byte offset of a token's row.
    row: Gpr,
}

/// REGISTER LAYOUT
///
/// | registers | role |
/// | --- | --- |
/// | block, 16 | `block[i]`: features 16b.. of token i; transposed: `block[j]`: 16 tokens of feature 16b + j |
/// | temp, 16 | half-transposed |
/// | tail | mask of the features in the last block |
struct Regs {
    file: RegFile,
    tables: [Table; 3],
    x: Gpr,
    column: Gpr,
    tokens: Gpr,
    count: Gpr,
    block: Vec<Zmm>,
    temp: Vec<Zmm>,
    tail: Mask,
}

impl Regs {
    fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        let mut table = |base, ids, row| -> Result<Table, JitError> {
            Ok(Table { base: file.gpr(base)?, ids: file.gpr(ids)?, row: file.gpr(row)? })
        };
        let tables = [
            table("word table", "word rows", "offset of the word's row")?,
            table("type table", "type rows", "offset of the type's row")?,
            table("position table", "position rows", "offset of the position's row")?,
        ];
        Ok(Regs {
            tables,
            x: file.gpr("row of the tile")?,
            column: file.gpr("first row of the column")?,
            tokens: file.gpr("tokens left")?,
            count: file.gpr("blocks of 16 features left")?,
            block: file.zmms(LANES, "16 features of token i; 16 tokens of feature j")?,
            temp: file.zmms(LANES, "half-transposed")?,
            tail: file.mask("features in the last block")?,
            file,
        })
    }
}

/// Offsets of the tables and their indices in the argument struct.
const TABLES: [(usize, usize); 3] = [
    (offset_of!(EmbeddingArgs, word), offset_of!(EmbeddingArgs, word_ids)),
    (offset_of!(EmbeddingArgs, kind), offset_of!(EmbeddingArgs, kind_ids)),
    (offset_of!(EmbeddingArgs, position), offset_of!(EmbeddingArgs, position_ids)),
];

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
    a.prologue(&r.file);
    a.load_arg(r.column, &r.file, offset_of!(EmbeddingArgs, x));
    a.load_arg(r.tokens, &r.file, offset_of!(EmbeddingArgs, tokens));
    for (table, (_, ids)) in r.tables.iter().zip(TABLES) {
        a.load_arg(table.ids, &r.file, ids);
    }
    if tail > 0 {
        dynasm!(a ; .arch x64 ; mov Rd(r.count), (1 << tail) - 1);
        a.kmovw(r.tail, r.count);
    }

    a.note("16 tokens");
    dynasm!(a ; .arch x64 ; ->column: ; mov Rq(r.x), Rq(r.column));
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
    a.note("next 16 tokens");
    for table in &r.tables {
        dynasm!(a ; .arch x64 ; add Rq(table.ids), (LANES * size_of::<u32>()) as i32);
    }
    dynasm!(a ; .arch x64
        ; add Rq(r.column), VECTOR_BYTES
        ; sub Rq(r.tokens), LANES as i32
        ; jg ->column
    );
    a.epilogue(&r.file);
    a.finish(plan.name(), &r.file)
}

/// `features` (16, or fewer in the last block) features of 16 tokens.
fn emit_block(a: &mut Asm, plan: &EmbeddingPlan, r: &Regs, features: usize) {
    a.note(format!("gather {features} features of 16 tokens"));
    for (i, &sum) in r.block.iter().enumerate() {
        emit_gather_token(a, plan, r, i, sum, features < LANES);
    }
    emit_transpose_16x16(a, &r.block, &r.temp);
    a.note("store features as rows");
    for (j, &row) in r.block[..features].iter().enumerate() {
        a.vmovups_st(ptr(r.x) + j as i32 * F32_ROW_BYTES, row); //    x[16b + j][16 tokens]
    }
    dynasm!(a ; .arch x64 ; add Rq(r.x), LANES as i32 * F32_ROW_BYTES);
    for table in &r.tables {
        dynasm!(a ; .arch x64 ; add Rq(table.base), VECTOR_BYTES);
    }
}

/// `sum = (word[..] + kind[..]) + position[..]` of token i. Masked loads do not touch what is behind the row; fetching ahead may ask
/// for it in vain, but never faults.
fn emit_gather_token(a: &mut Asm, plan: &EmbeddingPlan, r: &Regs, i: usize, sum: Zmm, masked: bool) {
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
        a.vpunpckldq(temp[i], rows[i], rows[i + 1]); //               features 4l, 4l+1 of tokens i, i+1
        a.vpunpckhdq(temp[i + 1], rows[i], rows[i + 1]); //           features 4l+2, 4l+3
    }
    for i in (0..16).step_by(4) {
        a.vpunpcklqdq(rows[i], temp[i], temp[i + 2]); //              feature 4l of tokens i..i+4 in lane l
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
        a.vshufi32x4(t0, rows[k], rows[4 + k], LANES_0_1); //         features k, 4+k of tokens 0..8
        a.vshufi32x4(t1, rows[k], rows[4 + k], LANES_2_3); //         features 8+k, 12+k
        a.vshufi32x4(t2, rows[8 + k], rows[12 + k], LANES_0_1); //    features k, 4+k of tokens 8..16
        a.vshufi32x4(t3, rows[8 + k], rows[12 + k], LANES_2_3);
    }
    for k in 0..4 {
        let [t0, t1, t2, t3] = [temp[k], temp[4 + k], temp[8 + k], temp[12 + k]];
        a.vshufi32x4(rows[k], t0, t2, LANES_0_2); //                  feature k of 16 tokens
        a.vshufi32x4(rows[4 + k], t0, t2, LANES_1_3); //              feature 4 + k
        a.vshufi32x4(rows[8 + k], t1, t3, LANES_0_2); //              feature 8 + k
        a.vshufi32x4(rows[12 + k], t1, t3, LANES_1_3); //             feature 12 + k
    }
}
