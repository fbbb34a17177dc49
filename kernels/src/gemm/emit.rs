//! The dense kernel as instructions.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, Mask, RegFile, Zmm, ptr};

use super::plan::{BLOCK_STRIPS, GemmPlan, STRIP};
use crate::epilogue::{BlockParams, EpilogueRegs, OutputLanes, Store, emit_epilogue, emit_start};
use crate::{Generate, LANES, PanelLayout, Plan, TILE};

/// What the kernel is called with.
#[derive(Debug)]
#[repr(C)]
pub(super) struct GemmArgs {
    /// VNNI panel, first tile.
    pub(super) x: *const u8,
    /// First register block.
    pub(super) weights: *const u8,
    /// The first strip's record of [`BlockParams`].
    pub(super) params: *const u8,
    /// Output of the first strip, first tile: bytes or f32.
    pub(super) y: *mut u8,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    /// Tokens from the first tile on, >= 1.
    pub(super) tokens: usize,
    /// Whole register blocks.
    pub(super) blocks: usize,
    /// Strips of a last, smaller register block: 0, 1 or 2.
    pub(super) last_strips: usize,
}

/// Vectors of 16 tokens per register block.
const VECTORS: usize = 2;
/// Bytes of one VNNI row: four input features of a tile.
const X_ROW_BYTES: i32 = 4 * TILE as i32;
/// Bytes from one half of a 256-byte row to the other.
const HALF_BYTES: i32 = X_ROW_BYTES / 2;

/// REGISTER LAYOUT
///
/// | registers | in the step loop | in the epilogue |
/// | --- | --- | --- |
/// | acc, 24 | `acc[m][v]`: s32, output feature m of 12, tokens 16v..16v+16 of the half-tile | the same as f32 or words, then packed |
/// | temp 0-1 | X of four input features, v = 0, 1 | parameters |
/// | temp 2-7 | weights of output features m, m+1, .. | activation |
struct Regs {
    file: RegFile,
    x: Gpr,
    x_step: Gpr,
    y: Gpr,
    weights: Gpr,
    params: Gpr,
    constants: Gpr,
    tokens: Gpr,
    blocks: Gpr,
    steps: Gpr,
    half: Gpr,
    out: Gpr,
    scratch: [Gpr; 2],
    lanes: Mask,
    acc: Vec<Zmm>,
    temp: Vec<Zmm>,
}

impl Regs {
    fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            steps: file.gpr("steps left")?,
            x_step: file.gpr("four input features of X")?,
            weights: file.gpr("weights")?,
            x: file.gpr("tile of X")?,
            y: file.gpr("tile of Y")?,
            params: file.gpr("row parameters")?,
            constants: file.gpr("constants")?,
            out: file.gpr("output of the strip")?,
            tokens: file.gpr("tokens left")?,
            blocks: file.gpr("register blocks left")?,
            half: file.gpr("0 or 128: byte offset of the half-tile")?,
            scratch: [file.gpr("scratch")?, file.gpr("scratch")?],
            lanes: file.mask("dwords of a plain row that this half-tile owns")?,
            acc: file.zmms(BLOCK_STRIPS * STRIP * VECTORS, "acc[m][v]")?,
            temp: file.zmms(8, "X, weights; epilogue temporaries")?,
            file,
        })
    }
}

macro_rules! arg {
    ($a:expr, $regs:expr, $field:ident) => {
        $a.load_arg($regs.$field, &$regs.file, std::mem::offset_of!(GemmArgs, $field))
    };
}

impl Generate for GemmPlan {
    fn generate(&self) -> Result<Code, JitError> {
        emit(self)
    }
}

/// Generates the kernel.
fn emit(plan: &GemmPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.prologue(&r.file);
    arg!(a, r, x);
    arg!(a, r, y);
    arg!(a, r, constants);
    arg!(a, r, tokens);
    a.note("half-tile loop: 32 tokens, the last one 32 or 16");
    dynasm!(a
        ; .arch x64
        ; xor Rd(r.half), Rd(r.half)
        ; ->half_tile:
        ; cmp Rq(r.tokens), LANES as i32
        ; jle ->single
    );
    emit_blocks(&mut a, plan, &r, VECTORS);
    emit_next_half_tile(&mut a, plan, &r);
    dynasm!(a ; .arch x64 ; jmp ->done ; ->single:);
    emit_blocks(&mut a, plan, &r, 1);
    dynasm!(a ; .arch x64 ; ->done:);
    a.epilogue(&r.file);
    a.finish(plan.name(), &r.file)
}

/// Moves to the other half of the tile or to the next tile; jumps back while tokens are left.
fn emit_next_half_tile(a: &mut Asm, plan: &GemmPlan, r: &Regs) {
    let y_tile_bytes = (plan.y_tile_elements() * plan.epilogue.sink.store.element_bytes()) as i32;
    a.note("next half-tile");
    dynasm!(a
        ; .arch x64
        ; sub Rq(r.tokens), (VECTORS * LANES) as i32
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
    a.note(format!("register blocks on {} tokens", vectors * LANES));
    arg!(a, r, weights);
    arg!(a, r, params);
    arg!(a, r, blocks);
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
    emit_block(a, plan, r, BLOCK_STRIPS, vectors);
    dynasm!(a ; .arch x64 ; dec Rq(r.blocks) ; jnz =>whole ; =>last);
    a.load_arg(r.blocks, &r.file, std::mem::offset_of!(GemmArgs, last_strips));
    for strips in 1..BLOCK_STRIPS {
        let next = a.new_dynamic_label();
        dynasm!(a ; .arch x64 ; cmp Rq(r.blocks), strips as i32 ; jne =>next);
        emit_block(a, plan, r, strips, vectors);
        dynasm!(a ; .arch x64 ; jmp =>end ; =>next);
    }
    dynasm!(a ; .arch x64 ; =>end);
}

/// The dwords `4 l + v` of a plain row that hold the half-tile's tokens: v = 0, 1 or v = 2, 3 (or the first of them).
fn emit_lane_mask(a: &mut Asm, r: &Regs, vectors: usize) {
    let first_half: i32 = if vectors == VECTORS { 0x3333 } else { 0x1111 };
    let [mask, second] = r.scratch;
    dynasm!(a
        ; .arch x64
        ; mov Rd(mask), first_half
        ; mov Rd(second), first_half << 2
        ; test Rd(r.half), Rd(r.half)
        ; cmovnz Rd(mask), Rd(second)
    );
    a.kmovw(r.lanes, mask);
}

/// `strips` strips of four output features x `vectors` vectors of 16 tokens, over all K.
fn emit_block(a: &mut Asm, plan: &GemmPlan, r: &Regs, strips: usize, vectors: usize) {
    let acc: Vec<Vec<Zmm>> = r.acc.chunks(VECTORS).take(strips * STRIP).map(|m| m[..vectors].to_vec()).collect();
    let step_bytes = (strips * STRIP * 4) as i32;
    let params_bytes = BlockParams::stride(&plan.epilogue);
    let again = a.new_dynamic_label();

    a.note(format!("register block: {} output features", strips * STRIP));
    for (strip, acc) in (0..).zip(acc.chunks(STRIP)) {
        emit_start(a, &plan.epilogue, ptr(r.params) + strip * params_bytes, acc, 1);
    }
    dynasm!(a
        ; .arch x64
        ; lea Rq(r.x_step), [Rq(r.x) + Rq(r.half)]
        ; mov Rd(r.steps), (plan.steps() / plan.unroll) as i32
    );
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>again);
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

    let out_bytes = (STRIP * TILE * plan.epilogue.sink.store.element_bytes()) as i32;
    let lanes = if is_plain(plan) { OutputLanes::Dwords(r.lanes) } else { OutputLanes::WholeRow };
    for (strip, acc) in acc.chunks(STRIP).enumerate() {
        let strip = strip as i32;
        let regs = EpilogueRegs {
            params: ptr(r.params) + strip * params_bytes,
            rows: EpilogueRegs::rows_from(ptr(r.out) + strip * out_bytes, out_bytes / STRIP as i32),
            constants: r.constants,
            temps: &r.temp,
        };
        emit_epilogue(a, plan.isa, &plan.epilogue, acc, &regs, lanes);
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.params), strips as i32 * params_bytes
        ; add Rq(r.out), strips as i32 * out_bytes
    );
}

/// `acc[m][v] += W[m][k..k+4] . X[k..k+4][v]`.
fn emit_step(a: &mut Asm, r: &Regs, acc: &[Vec<Zmm>], x_offset: i32, w_offset: i32) {
    let vectors = acc[0].len();
    let (x, weights) = r.temp.split_at(VECTORS);
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
