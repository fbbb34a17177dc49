//! The stream-form kernel as instructions.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, RegFile, Scale, Zmm, ptr};

use super::plan::{IndexWidth, SpmmPlan};
use super::weights::BlockRow;
use crate::epilogue::{EpilogueRegs, OutputLanes, RowParams, Store, emit_epilogue};
use crate::{LANES, Plan, TILE, VECTORS};

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct SpmmArgs {
    /// Plain panel, first tile.
    pub(super) x: *const u8,
    /// First group record.
    pub(super) stream: *const u8,
    /// First block row.
    pub(super) block_rows: *const BlockRow,
    /// `[RowParams; 4]` of the first block row.
    pub(super) params: *const [RowParams; 4],
    /// Output, first tile: bytes or f32.
    pub(super) y: *mut u8,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Tokens from the first tile on, >= 1.
    pub(super) tokens: usize,
    /// Block rows, >= 1.
    pub(super) count: usize,
}

/// Rows per block.
const ROWS: usize = 4;
/// Rows of X per group.
const GROUP: usize = 4;

/// REGISTER LAYOUT
///
/// | registers | in the group loop | in the epilogue |
/// | --- | --- | --- |
/// | acc, 4 W | `acc[m][v]`: s32, output feature m, tokens 16v..16v+16 | the same as f32, then packed |
/// | temp 0-3 | rows of X, then weights of output feature m | scale, offset |
/// | temp 4-7 | rows interleaved by bytes | activation |
/// | temp 8-11 | dwords of four input features for tokens 16v.. | activation |
/// | temp 12-15 | | activation |
struct Regs {
    file: RegFile,
    x: Gpr,
    y: Gpr,
    stream: Gpr,
    block_row: Gpr,
    params: Gpr,
    constants: Gpr,
    tokens: Gpr,
    count: Gpr,
    groups: Gpr,
    index: [Gpr; 2],
    out: Gpr,
    acc: Vec<Zmm>,
    temp: Vec<Zmm>,
}

impl Regs {
    fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            groups: file.gpr("groups left in the block row")?,
            index: [file.gpr("row offset of X")?, file.gpr("row offset of X")?],
            out: file.gpr("output of the block row")?,
            x: file.gpr("tile of X")?,
            y: file.gpr("tile of Y")?,
            stream: file.gpr("group record")?,
            block_row: file.gpr("block row")?,
            params: file.gpr("row parameters")?,
            constants: file.gpr("constants")?,
            tokens: file.gpr("tokens left")?,
            count: file.gpr("block rows left")?,
            acc: file.zmms(ROWS * VECTORS, "acc[m][v]")?,
            temp: file.zmms(16, "X rows, interleaved rows, weights; epilogue temporaries")?,
            file,
        })
    }
}

macro_rules! arg {
    ($a:expr, $regs:expr, $field:ident) => {
        $a.load_arg($regs.$field, &$regs.file, std::mem::offset_of!(SpmmArgs, $field))
    };
}

/// Generates the kernel.
pub(super) fn emit(plan: &SpmmPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    let (x_step, y_step) = (plan.x_tile_bytes() as i32, y_tile_bytes(plan));
    a.prologue(&r.file);
    arg!(a, r, x);
    arg!(a, r, y);
    arg!(a, r, constants);
    arg!(a, r, tokens);

    a.note("tile loop: full tiles, then one tail of 16, 32 or 48 tokens");
    dynasm!(a ; .arch x64 ; ->tile:);
    for vectors in (1..=VECTORS).rev() {
        let next = a.new_dynamic_label();
        let at_least = ((vectors - 1) * LANES) as i32;
        dynasm!(a ; .arch x64 ; cmp Rq(r.tokens), at_least ; jle =>next);
        emit_block_rows(&mut a, plan, &r, vectors);
        if vectors == VECTORS {
            a.note("next tile");
            dynasm!(a
                ; .arch x64
                ; add Rq(r.x), x_step
                ; add Rq(r.y), y_step
                ; sub Rq(r.tokens), TILE as i32
                ; jg ->tile
            );
        }
        dynasm!(a ; .arch x64 ; jmp ->done ; =>next);
    }
    dynasm!(a ; .arch x64 ; ->done:);
    a.epilogue(&r.file);
    a.finish(plan.name(), &r.file)
}

fn y_tile_bytes(plan: &SpmmPlan) -> i32 {
    (plan.y_tile_elements() * output_element_bytes(plan)) as i32
}

fn output_element_bytes(plan: &SpmmPlan) -> usize {
    match plan.epilogue.store {
        Store::Bytes { .. } => 1,
        Store::F32 { .. } => 4,
    }
}

/// All block rows of one tile of which `vectors` vectors of 16 tokens are computed.
fn emit_block_rows(a: &mut Asm, plan: &SpmmPlan, r: &Regs, vectors: usize) {
    let acc: Vec<Vec<Zmm>> = r.acc.chunks(VECTORS).map(|row| row[..vectors].to_vec()).collect();
    let (block_row, group, finish) = (a.new_dynamic_label(), a.new_dynamic_label(), a.new_dynamic_label());

    a.note(format!("block rows on {} tokens", vectors * LANES));
    arg!(a, r, stream);
    a.load_arg(r.block_row, &r.file, std::mem::offset_of!(SpmmArgs, block_rows));
    arg!(a, r, params);
    arg!(a, r, count);
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>block_row);
    for &zmm in acc.iter().flatten() {
        a.vpxord(zmm, zmm, zmm); //                           acc[m][v] = 0
    }
    dynasm!(a
        ; .arch x64
        ; mov Rd(r.groups), [Rq(r.block_row)]
        ; test Rd(r.groups), Rd(r.groups)
        ; jz =>finish
    );
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>group);
    emit_group(a, plan.index, r, &acc);
    dynasm!(a
        ; .arch x64
        ; add Rq(r.stream), plan.index.record_bytes() as i32
        ; dec Rd(r.groups)
        ; jnz =>group
        ; =>finish
    );

    emit_output_address(a, plan, r);
    let regs = EpilogueRegs { params: ptr(r.params), out: ptr(r.out), constants: r.constants, temps: &r.temp };
    emit_epilogue(a, &plan.epilogue, &acc, &regs, OutputLanes::WholeRow);
    a.note("next block row");
    dynasm!(a
        ; .arch x64
        ; add Rq(r.block_row), size_of::<BlockRow>() as i32
        ; add Rq(r.params), size_of::<[RowParams; ROWS]>() as i32
        ; dec Rq(r.count)
        ; jnz =>block_row
    );
}

/// `acc[m][v] += sum_i W[m][k_i] X[k_i][16v..16v+16]` for the four input features k_i of one group.
fn emit_group(a: &mut Asm, index: IndexWidth, r: &Regs, acc: &[Vec<Zmm>]) {
    let vectors = acc[0].len();
    let (row, rest) = r.temp.split_at(GROUP);
    let (bytes, dword) = rest.split_at(GROUP);

    a.note("one group: 4 rows of X, interleaved to dwords, times 4x4 weights");
    for (i, &row) in row.iter().enumerate() {
        emit_load_x_row(a, index, r, i, row); //              row[i] = X[k_i][0..64]
    }
    a.vpunpcklbw(bytes[0], row[0], row[1]); //                k_0 k_1 interleaved, tokens of v = 0, 1
    a.vpunpcklbw(bytes[1], row[2], row[3]); //                k_2 k_3
    a.vpunpcklwd(dword[0], bytes[0], bytes[1]); //            k_0..k_3 of tokens 0..16
    if vectors > 1 {
        a.vpunpckhwd(dword[1], bytes[0], bytes[1]); //        tokens 16..32
    }
    if vectors > 2 {
        a.vpunpckhbw(bytes[2], row[0], row[1]); //            tokens of v = 2, 3
        a.vpunpckhbw(bytes[3], row[2], row[3]);
        a.vpunpcklwd(dword[2], bytes[2], bytes[3]); //        tokens 32..48
    }
    if vectors > 3 {
        a.vpunpckhwd(dword[3], bytes[2], bytes[3]); //        tokens 48..64
    }
    let weights = ptr(r.stream) + 4 * index.bytes() as i32;
    for (m, acc) in acc.iter().enumerate() {
        let weight = row[m]; //                               the rows are in `bytes` by now
        if vectors == 1 {
            a.vpdpbusd(acc[0], dword[0], (weights + 4 * m as i32).bcast());
            continue;
        }
        a.vpbroadcastd(weight, weights + 4 * m as i32); //    W[m][k_0..k_3]
        for (&acc, &x) in acc.iter().zip(dword) {
            a.vpdpbusd(acc, x, weight); //                    acc[m][v] += X . W[m]
        }
    }
}

/// `dst = X[k_i][0..64]` through the record's index i.
fn emit_load_x_row(a: &mut Asm, index: IndexWidth, r: &Regs, i: usize, dst: Zmm) {
    let offset = r.index[i % 2];
    let field = (i * index.bytes()) as i32;
    match index {
        IndexWidth::U16 => {
            dynasm!(a ; .arch x64 ; movzx Rd(offset), WORD [Rq(r.stream) + field]);
            a.vmovdqu32(dst, ptr(r.x).index(offset, Scale::X8));
        }
        IndexWidth::U32 => {
            dynasm!(a ; .arch x64 ; mov Rd(offset), DWORD [Rq(r.stream) + field]);
            a.vmovdqu32(dst, ptr(r.x).index(offset, Scale::X1));
        }
    }
}

/// `out = y + out_offset * element size`.
fn emit_output_address(a: &mut Asm, plan: &SpmmPlan, r: &Regs) {
    let field = std::mem::offset_of!(BlockRow, out_offset) as i32;
    dynasm!(a ; .arch x64 ; mov Rd(r.out), [Rq(r.block_row) + field]);
    match output_element_bytes(plan) {
        1 => dynasm!(a ; .arch x64 ; add Rq(r.out), Rq(r.y)),
        _ => dynasm!(a ; .arch x64 ; lea Rq(r.out), [Rq(r.y) + Rq(r.out) * 4]),
    }
}
