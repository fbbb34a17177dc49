//! The attention kernel as instructions: what is called with what, registers, and the loops over heads and query chunks.

use std::mem::offset_of;

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, Mask, Mem, RegFile, Scale, Zmm, ptr};

use super::batch::{KeyGroup, QueryChunk};
use super::exponential::{self, Exp2Operands};
use super::plan::AttentionPlan;
use super::{long, short};
use crate::{Generate, LANES, Plan, TILE, VECTORS};

/// What differs between the heads of a call.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct HeadParams {
    /// `[D]`: value scale / output scale.
    pub(super) out_scale: *const f32,
    /// Bytes from the first row of the first head of a panel to that of this head.
    pub(super) offset: u64,
    /// [`crate::math::Falloff::multiplier`].
    pub(super) multiplier: u32,
    /// [`crate::math::Falloff::limit`].
    pub(super) limit: u32,
    pub(super) minus_q_zero: i32,
}

/// What the kernel is called with: one sequence, some heads. Pointers to panels point to the first head's first row in the
/// first tile.
#[derive(Debug)]
#[repr(C)]
pub(super) struct AttentionArgs {
    pub(super) q: *const u8,
    pub(super) k: *const u8,
    pub(super) v: *const u8,
    pub(super) out: *mut u8,
    /// At least one head.
    pub(super) heads: *const HeadParams,
    pub(super) heads_end: *const HeadParams,
    /// At least one group of four keys.
    pub(super) keys: *const KeyGroup,
    pub(super) keys_end: *const KeyGroup,
    /// Number of these groups.
    pub(super) groups: usize,
    /// At least one query chunk.
    pub(super) chunks: *const QueryChunk,
    pub(super) chunks_end: *const QueryChunk,
    /// `[group][4]` s32: what the zero point of Q contributes to every score of a key.
    pub(super) key_bias: *mut i32,
    /// `[group][4][vectors][16]` s32.
    pub(super) scores: *mut i32,
    /// `[group][vectors][16][4]` u8.
    pub(super) probabilities: *mut u8,
    /// [`exponential::Constants::TABLE`].
    pub(super) exponential: *const exponential::Constants,
    /// [`crate::epilogue::Constants::address`].
    pub(super) constants: *const u8,
    pub(super) last_group_bias: [i32; 4],
    pub(super) out_zero: f32,
    pub(super) one: f32,
    /// u8 and s8 ones.
    pub(super) ones: i32,
    pub(super) lowest: i32,
}

/// Keys per group.
pub(super) const KEYS: usize = 4;
/// Bytes of one vector.
pub(super) const VECTOR_BYTES: i32 = 4 * LANES as i32;
/// Bytes of one VNNI row: four features.
pub(super) const VNNI_ROW_BYTES: i32 = 4 * TILE as i32;

/// REGISTER LAYOUT (vectors; W of them per role and query chunk)
///
/// | registers | scores | probabilities | output |
/// | --- | --- | --- | --- |
/// | acc, 16 | `S[j][v]` | distances from the largest score, then P; constants of 2^-x | `O[d][v]` of 16 / W features |
/// | temp, 4 | Q of 4 features | | P of 4 keys, store |
/// | key, 4 | K of key j | | V of feature d |
/// | max, 4 | largest score per query | | 1 / sum |
/// | sum, 4 | | sum of P | |
///
/// In a short sequence, P of its four key groups is in `temp`, and `key` and `sum` help with 2^-x.
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) head: Gpr,
    pub(super) q: Gpr,
    pub(super) k: Gpr,
    pub(super) v: Gpr,
    pub(super) out: Gpr,
    pub(super) keys: Gpr,
    pub(super) chunk: Gpr,
    pub(super) bias: Gpr,
    pub(super) scores: Gpr,
    pub(super) probabilities: Gpr,
    pub(super) at: Gpr,
    pub(super) acc: Vec<Zmm>,
    pub(super) temp: Vec<Zmm>,
    pub(super) key: Vec<Zmm>,
    pub(super) max: Vec<Zmm>,
    pub(super) sum: Vec<Zmm>,
    pub(super) dwords: Mask,
    pub(super) tokens: Vec<Mask>,
}

impl Regs {
    fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            at: file.gpr("offset of the key group")?,
            keys: file.gpr("key group")?,
            q: file.gpr("Q of the chunk")?,
            k: file.gpr("K of the head")?,
            v: file.gpr("V of the head")?,
            scores: file.gpr("scores")?,
            probabilities: file.gpr("probabilities")?,
            bias: file.gpr("key bias; output scales; constants")?,
            out: file.gpr("output of the chunk")?,
            chunk: file.gpr("query chunk")?,
            head: file.gpr("head")?,
            acc: file.zmms(16, "S[j][v]; P[j][v]; O[d][v]")?,
            temp: file.zmms(4, "Q; P")?,
            key: file.zmms(4, "K; V")?,
            max: file.zmms(VECTORS, "largest score per query; 1 / sum")?,
            sum: file.zmms(VECTORS, "sum of P per query")?,
            dwords: file.mask("dwords of a plain row that belong to the sequence")?,
            tokens: (0..VECTORS)
                .map(|_| file.mask("tokens of a vector that belong to the sequence"))
                .collect::<Result<_, _>>()?,
            file,
        })
    }

    pub(super) fn arg(&self, offset: usize) -> Mem {
        ptr(self.file.args()) + offset as i32
    }

    pub(super) fn head_param(&self, offset: usize) -> Mem {
        ptr(self.head) + offset as i32
    }
}

/// `register = field of the arguments`.
macro_rules! load_arg {
    ($a:expr, $regs:expr, $register:ident, $field:ident) => {
        $a.load_arg($regs.$register, &$regs.file, std::mem::offset_of!($crate::attention::emit::AttentionArgs, $field))
    };
}
pub(super) use load_arg;

impl Generate for AttentionPlan {
    fn generate(&self) -> Result<Code, JitError> {
        emit(self)
    }
}

/// Generates the kernel.
fn emit(plan: &AttentionPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.prologue(&r.file);
    load_arg!(a, r, head, heads);

    dynasm!(a ; .arch x64 ; ->head:);
    emit_head_addresses(&mut a, &r);
    emit_key_bias(&mut a, plan, &r);
    dynasm!(a ; .arch x64 ; ->chunk:);
    emit_chunk_addresses(&mut a, &r);
    let groups = offset_of!(AttentionArgs, groups) as i32;
    if plan.has_short_form() {
        for count in 1..=short::MAX_GROUPS {
            let next = a.new_dynamic_label();
            dynasm!(a ; .arch x64 ; cmp DWORD [Rq(r.file.args()) + groups], count as i32 ; jne =>next);
            short::emit_chunk(&mut a, plan, &r, count);
            dynasm!(a ; .arch x64 ; jmp ->next_chunk ; =>next);
        }
    }
    for vectors in (1..=VECTORS).rev() {
        let next = a.new_dynamic_label();
        let field = offset_of!(QueryChunk, vectors) as i32;
        dynasm!(a ; .arch x64 ; cmp DWORD [Rq(r.chunk) + field], vectors as i32 ; jne =>next);
        long::emit_chunk(&mut a, plan, &r, vectors);
        dynasm!(a ; .arch x64 ; jmp ->next_chunk ; =>next);
    }
    dynasm!(a
        ; .arch x64
        ; ->next_chunk:
        ; add Rq(r.chunk), size_of::<QueryChunk>() as i32
        ; cmp Rq(r.chunk), [Rq(r.file.args()) + offset_of!(AttentionArgs, chunks_end) as i32]
        ; jne ->chunk
        ; add Rq(r.head), size_of::<HeadParams>() as i32
        ; cmp Rq(r.head), [Rq(r.file.args()) + offset_of!(AttentionArgs, heads_end) as i32]
        ; jne ->head
    );
    a.epilogue(&r.file);
    a.finish(plan.name(), &r.file)
}

/// Starts a loop over the groups of four keys; returns its label.
pub(super) fn begin_groups(a: &mut Asm, r: &Regs) -> DynamicLabel {
    let group = a.new_dynamic_label();
    load_arg!(a, r, keys, keys);
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>group);
    group
}

pub(super) fn next_group(a: &mut Asm, r: &Regs, group: DynamicLabel) {
    dynasm!(a
        ; .arch x64
        ; add Rq(r.keys), size_of::<KeyGroup>() as i32
        ; cmp Rq(r.keys), [Rq(r.file.args()) + offset_of!(AttentionArgs, keys_end) as i32]
        ; jne =>group
    );
}

/// `at = offset of the group's keys in a VNNI panel`.
pub(super) fn load_k_offset(a: &mut Asm, r: &Regs, group: usize) {
    let field = (group * size_of::<KeyGroup>() + offset_of!(KeyGroup, k)) as i32;
    dynasm!(a ; .arch x64 ; mov Rd(r.at), [Rq(r.keys) + field]);
}

/// `at = offset of the group's keys in a plain panel`.
pub(super) fn load_v_offset(a: &mut Asm, r: &Regs, group: usize) {
    let field = (group * size_of::<KeyGroup>() + offset_of!(KeyGroup, v)) as i32;
    dynasm!(a ; .arch x64 ; mov Rd(r.at), [Rq(r.keys) + field]);
}

/// The first query chunk, and K and V of the current head.
fn emit_head_addresses(a: &mut Asm, r: &Regs) {
    a.note("head");
    let offset = offset_of!(HeadParams, offset) as i32;
    load_arg!(a, r, k, k);
    load_arg!(a, r, v, v);
    load_arg!(a, r, chunk, chunks);
    dynasm!(a ; .arch x64 ; add Rq(r.k), [Rq(r.head) + offset] ; add Rq(r.v), [Rq(r.head) + offset]);
}

/// `key_bias[j] = -q_zero * sum_d K[d][j]`, four keys at a time; keys past the end get a bias that masks them.
fn emit_key_bias(a: &mut Asm, plan: &AttentionPlan, r: &Regs) {
    let (sum, zero, ones) = (r.acc[0], r.temp[0], r.temp[1]);
    a.note("key bias: -q_zero * sum_d K[d][j]");
    load_arg!(a, r, bias, key_bias);
    a.vpbroadcastd_x(zero, r.head_param(offset_of!(HeadParams, minus_q_zero)));
    a.vpbroadcastd_x(ones, r.arg(offset_of!(AttentionArgs, ones)));
    let group = begin_groups(a, r);
    load_k_offset(a, r, 0);
    a.vpxord_x(sum, sum, sum);
    for step in 0..plan.steps() as i32 {
        let key = ptr(r.k).index(r.at, Scale::X1) + step * VNNI_ROW_BYTES;
        a.vpdpbusd_x(sum, ones, key); //                        sum[j] += K[4 step..][j] . 1
    }
    a.vpmulld_x(sum, sum, zero);
    a.vmovdqu32_x_st(ptr(r.bias), sum);
    dynasm!(a ; .arch x64 ; add Rq(r.bias), 4 * KEYS as i32);
    next_group(a, r, group);
    a.vpaddd_x(sum, sum, r.arg(offset_of!(AttentionArgs, last_group_bias)));
    a.vmovdqu32_x_st(ptr(r.bias) - 4 * KEYS as i32, sum);
}

/// Addresses and store masks of the current query chunk.
fn emit_chunk_addresses(a: &mut Asm, r: &Regs) {
    a.note("query chunk");
    let offset = offset_of!(HeadParams, offset) as i32;
    let q = offset_of!(QueryChunk, q) as i32;
    let out = offset_of!(QueryChunk, out) as i32;
    let dwords = offset_of!(QueryChunk, dwords) as i32;
    let tokens = offset_of!(QueryChunk, tokens) as i32;
    load_arg!(a, r, q, q);
    load_arg!(a, r, out, out);
    dynasm!(a
        ; .arch x64
        ; add Rq(r.q), [Rq(r.head) + offset]
        ; add Rq(r.out), [Rq(r.head) + offset]
        ; mov Rd(r.at), [Rq(r.chunk) + q]
        ; add Rq(r.q), Rq(r.at)
        ; mov Rd(r.at), [Rq(r.chunk) + out]
        ; add Rq(r.out), Rq(r.at)
        ; movzx Rd(r.at), WORD [Rq(r.chunk) + dwords]
    );
    a.kmovw(r.dwords, r.at);
    for (v, &mask) in r.tokens.iter().enumerate() {
        dynasm!(a ; .arch x64 ; movzx Rd(r.at), WORD [Rq(r.chunk) + tokens + 2 * v as i32]);
        a.kmovw(mask, r.at);
    }
}

/// The constants of 2^-x in `registers` as far as they go; `bias` points to the rest.
pub(super) fn emit_exp2_constants(a: &mut Asm, r: &Regs, registers: &[Zmm]) -> Exp2Operands {
    load_arg!(a, r, bias, exponential);
    Exp2Operands::load(a, r.bias, r.head, registers)
}
