//! The stream-form kernel as instructions.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, Mem, RegFile, Scale, Zmm, ptr};

use super::plan::{IndexWidth, SpmmPlan};
use super::weights::BlockRow;
use crate::epilogue::{EpilogueRegs, OutputLanes, RowParams, emit_epilogue};
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
/// | acc, 16 | `acc[m][v]`: s32, output feature m, tokens 16v..16v+16; 4 / W sets (W = 3: one) | the same as f32, then packed |
/// | temp 0-3 | rows of X | scale, offset |
/// | temp 4-7 | rows interleaved by bytes | activation |
/// | temp 8-11 | dwords of four input features for tokens 16v.. | activation |
/// | temp 12-15 | weights of output feature m | activation |
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
    (plan.y_tile_elements() * plan.epilogue.store.element_bytes()) as i32
}

/// All block rows of one tile of which `vectors` vectors of 16 tokens are computed.
///
/// One group adds once to every accumulator, so a chain of groups runs no faster than the latency of `vpdpbusd`. With one or
/// two vectors that would bind: then consecutive groups use different sets of accumulators, summed at the end.
fn emit_block_rows(a: &mut Asm, plan: &SpmmPlan, r: &Regs, vectors: usize) {
    let sets: Vec<Vec<Vec<Zmm>>> = r
        .acc
        .chunks_exact(ROWS * vectors)
        .map(|set| set.chunks_exact(vectors).map(<[Zmm]>::to_vec).collect())
        .collect();
    let block_row = a.new_dynamic_label();

    a.note(format!("block rows on {} tokens", vectors * LANES));
    arg!(a, r, stream);
    a.load_arg(r.block_row, &r.file, std::mem::offset_of!(SpmmArgs, block_rows));
    arg!(a, r, params);
    arg!(a, r, count);
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>block_row);
    for &zmm in sets.iter().flatten().flatten() {
        a.vpxord(zmm, zmm, zmm); //                           acc[m][v] = 0
    }
    dynasm!(a ; .arch x64 ; mov Rd(r.groups), [Rq(r.block_row)]);
    emit_groups(a, plan.index, r, &sets);
    let (acc, others) = sets.split_first().expect("16 accumulators hold at least one set");
    for (&sum, &part) in others.iter().flat_map(|set| acc.iter().flatten().zip(set.iter().flatten())) {
        a.vpaddd(sum, sum, part);
    }

    emit_output_address(a, plan, r);
    let regs = EpilogueRegs { params: ptr(r.params), out: ptr(r.out), constants: r.constants, temps: &r.temp };
    emit_epilogue(a, &plan.epilogue, acc, &regs, OutputLanes::WholeRow);
    a.note("next block row");
    dynasm!(a
        ; .arch x64
        ; add Rq(r.block_row), size_of::<BlockRow>() as i32
        ; add Rq(r.params), size_of::<[RowParams; ROWS]>() as i32
        ; dec Rq(r.count)
        ; jnz =>block_row
    );
}

/// All groups of a block row: as many at a time as there are sets of accumulators, then the rest one by one.
fn emit_groups(a: &mut Asm, index: IndexWidth, r: &Regs, sets: &[Vec<Vec<Zmm>>]) {
    let (at_once, record) = (sets.len() as i32, index.record_bytes() as i32);
    let (several, rest, single, finish) =
        (a.new_dynamic_label(), a.new_dynamic_label(), a.new_dynamic_label(), a.new_dynamic_label());
    dynasm!(a ; .arch x64 ; sub Rd(r.groups), at_once ; jl =>rest);
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>several);
    for (i, acc) in sets.iter().enumerate() {
        emit_group(a, index, r, acc, i as i32 * record);
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.stream), at_once * record
        ; sub Rd(r.groups), at_once
        ; jge =>several
        ; =>rest
    );
    if at_once > 1 {
        dynasm!(a ; .arch x64 ; add Rd(r.groups), at_once ; jz =>finish ; =>single);
        emit_group(a, index, r, &sets[0], 0);
        dynasm!(a
            ; .arch x64
            ; add Rq(r.stream), record
            ; dec Rd(r.groups)
            ; jnz =>single
        );
    }
    dynasm!(a ; .arch x64 ; =>finish);
}

/// `acc[m][v] += sum_i W[m][k_i] X[k_i][16v..16v+16]` for the four input features k_i of the group `offset` bytes ahead.
fn emit_group(a: &mut Asm, index: IndexWidth, r: &Regs, acc: &[Vec<Zmm>], offset: i32) {
    let vectors = acc[0].len();
    let (row, rest) = r.temp.split_at(GROUP);
    let (bytes, rest) = rest.split_at(GROUP);
    let (dword, weight) = rest.split_at(VECTORS);

    a.note("one group: 4 rows of X, interleaved to dwords, times 4x4 weights");
    for (i, &row) in row.iter().enumerate() {
        emit_load_x_row(a, index, r, i, offset, row); //      row[i] = X[k_i][0..64]
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
    emit_load_weights(a, ptr(r.stream) + offset + 4 * index.bytes() as i32, vectors, weight);
    for (acc, &weight) in acc.iter().zip(weight) {
        for (&acc, &x) in acc.iter().zip(dword) {
            a.vpdpbusd(acc, x, weight); //                    acc[m][v] += X . W[m]
        }
    }
}

/// `weight[m] = W[m][k_0..k_3]` in every lane. Wide tiles have load slots to spare and use one broadcast per m; with one or
/// two vectors loads bind, and one load with four shuffles is faster.
fn emit_load_weights(a: &mut Asm, source: Mem, vectors: usize, weight: &[Zmm]) {
    if vectors > 2 {
        for (m, &weight) in weight.iter().enumerate() {
            a.vpbroadcastd(weight, source + 4 * m as i32);
        }
        return;
    }
    let (all, others) = (weight[0], &weight[1..]);
    a.vbroadcasti32x4(all, source); //                        W[0..4][k_0..k_3] in every 128-bit lane
    for (m, &weight) in (1..).zip(others) {
        a.vpshufd(weight, all, m * 0b0101_0101); //           dword m of every lane, four times
    }
    a.vpshufd(all, all, 0);
}

/// `dst = X[k_i][0..64]` through the record's index i.
fn emit_load_x_row(a: &mut Asm, index: IndexWidth, r: &Regs, i: usize, offset: i32, dst: Zmm) {
    let at = r.index[i % 2];
    let field = offset + (i * index.bytes()) as i32;
    match index {
        IndexWidth::U16 => {
            dynasm!(a ; .arch x64 ; movzx Rd(at), WORD [Rq(r.stream) + field]);
            a.vmovdqu32(dst, ptr(r.x).index(at, Scale::X8));
        }
        IndexWidth::U32 => {
            dynasm!(a ; .arch x64 ; mov Rd(at), DWORD [Rq(r.stream) + field]);
            a.vmovdqu32(dst, ptr(r.x).index(at, Scale::X1));
        }
    }
}

/// `out = y + out_offset * element size`.
fn emit_output_address(a: &mut Asm, plan: &SpmmPlan, r: &Regs) {
    let field = std::mem::offset_of!(BlockRow, out_offset) as i32;
    dynasm!(a ; .arch x64 ; mov Rd(r.out), [Rq(r.block_row) + field]);
    match plan.epilogue.store.element_bytes() {
        1 => dynasm!(a ; .arch x64 ; add Rq(r.out), Rq(r.y)),
        _ => dynasm!(a ; .arch x64 ; lea Rq(r.out), [Rq(r.y) + Rq(r.out) * 4]),
    }
}
