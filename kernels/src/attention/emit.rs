//! The attention kernel as instructions.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Gpr, JitError, Mask, RegFile, Scale, Zmm, ptr};

use super::batch::{KeyGroup, QueryChunk};
use super::plan::AttentionPlan;
use crate::epilogue::{Constants as EpilogueConstants, EpilogueRegs, OutputLanes, emit_store_bytes};
use crate::math::EXP2_COARSE;
use crate::{LANES, PanelLayout, Plan, Sign, TILE, VECTORS};

/// 255 * 2^f: the coefficients of [`EXP2_COARSE`] times the largest u8.
pub(super) const EXP2_255: [f32; 4] =
    [255.0 * EXP2_COARSE[0], 255.0 * EXP2_COARSE[1], 255.0 * EXP2_COARSE[2], 255.0 * EXP2_COARSE[3]];

/// What the kernel is called with: one sequence, one head. Pointers to panels point to the head's first row, first tile.
#[derive(Debug)]
#[repr(C)]
pub(super) struct AttentionArgs {
    pub(super) q: *const u8,
    pub(super) k: *const u8,
    pub(super) v: *const u8,
    pub(super) out: *mut u8,
    pub(super) keys: *const KeyGroup,
    /// Groups of four keys, >= 1.
    pub(super) groups: usize,
    pub(super) chunks: *const QueryChunk,
    /// Query chunks, >= 1.
    pub(super) chunk_count: usize,
    /// `[group][4]` s32: what the zero point of Q contributes to every score of a key.
    pub(super) key_bias: *mut i32,
    /// `[group][4][vectors][16]` s32.
    pub(super) scores: *mut i32,
    /// `[group][vectors][16][4]` u8.
    pub(super) probabilities: *mut u8,
    /// `[D]`: value scale / output scale.
    pub(super) out_scale: *const f32,
    /// [`EpilogueConstants::address`].
    pub(super) constants: *const u8,
    pub(super) last_group_bias: [i32; 4],
    pub(super) minus_q_zero: i32,
    pub(super) exponent_scale: f32,
    pub(super) out_zero: f32,
    pub(super) one: f32,
    /// u8 and s8 ones.
    pub(super) ones: i32,
    pub(super) lowest: i32,
    pub(super) exp2: [f32; 4],
}

macro_rules! offset {
    ($field:ident) => {
        std::mem::offset_of!(AttentionArgs, $field)
    };
}

/// Keys per group.
const KEYS: usize = 4;
/// Bytes of one vector.
const VECTOR_BYTES: i32 = 4 * LANES as i32;
/// Bytes of one VNNI row.
const VNNI_ROW_BYTES: i32 = 4 * TILE as i32;
/// `vrndscaleps`: to an integer, downwards.
const FLOOR: u8 = 0x09;

/// REGISTER LAYOUT (vectors; W of them per role and query chunk)
///
/// | registers | scores | probabilities | output |
/// | --- | --- | --- | --- |
/// | acc, 16 | `S[j][v]` of 4 keys | scores, then 2^x; constants | `O[d][v]` of 16 / W features |
/// | temp, 4 | Q of 4 features | | P of 4 keys |
/// | key, 4 | K of key j | polynomial | V of feature d |
/// | max, 4 | largest score per query | | 1 / sum |
/// | sum, 4 | | sum of P | |
struct Regs {
    file: RegFile,
    q: Gpr,
    k: Gpr,
    v: Gpr,
    out: Gpr,
    keys: Gpr,
    left: Gpr,
    chunk: Gpr,
    chunks_left: Gpr,
    bias: Gpr,
    scores: Gpr,
    probabilities: Gpr,
    at: Gpr,
    constants: Gpr,
    acc: Vec<Zmm>,
    temp: Vec<Zmm>,
    key: Vec<Zmm>,
    max: Vec<Zmm>,
    sum: Vec<Zmm>,
    dwords: Mask,
    tokens: Vec<Mask>,
}

impl Regs {
    fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            at: file.gpr("offset of the key group")?,
            left: file.gpr("key groups left")?,
            keys: file.gpr("key group")?,
            q: file.gpr("Q of the chunk")?,
            k: file.gpr("K of the head")?,
            v: file.gpr("V of the head")?,
            scores: file.gpr("scores")?,
            probabilities: file.gpr("probabilities")?,
            bias: file.gpr("key bias; output scales")?,
            out: file.gpr("output of the chunk")?,
            chunk: file.gpr("query chunk")?,
            chunks_left: file.gpr("query chunks left")?,
            constants: file.gpr("constants")?,
            acc: file.zmms(16, "S[j][v], P[j][v], O[d][v]")?,
            temp: file.zmms(4, "Q, P")?,
            key: file.zmms(4, "K, polynomial, V")?,
            max: file.zmms(4, "largest score per query; 1 / sum")?,
            sum: file.zmms(4, "sum of P per query")?,
            dwords: file.mask("dwords of a plain row that belong to the sequence")?,
            tokens: (0..VECTORS)
                .map(|_| file.mask("tokens of a vector that belong to the sequence"))
                .collect::<Result<_, _>>()?,
            file,
        })
    }

    fn arg(&self, offset: usize) -> lacuna_jit::Mem {
        ptr(self.file.args()) + offset as i32
    }
}

/// Generates the kernel.
pub(super) fn emit(plan: &AttentionPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.prologue(&r.file);
    a.load_arg(r.k, &r.file, offset!(k));
    a.load_arg(r.v, &r.file, offset!(v));
    a.load_arg(r.constants, &r.file, offset!(constants));
    a.load_arg(r.chunk, &r.file, offset!(chunks));
    a.load_arg(r.chunks_left, &r.file, offset!(chunk_count));
    emit_key_bias(&mut a, plan, &r);

    dynasm!(a ; .arch x64 ; ->chunk:);
    emit_chunk_addresses(&mut a, &r);
    for vectors in [4, 2, 1] {
        let next = a.new_dynamic_label();
        let field = std::mem::offset_of!(QueryChunk, vectors) as i32;
        dynasm!(a ; .arch x64 ; cmp DWORD [Rq(r.chunk) + field], vectors ; jne =>next);
        emit_scores(&mut a, plan, &r, vectors as usize);
        emit_probabilities(&mut a, &r, vectors as usize);
        emit_output(&mut a, plan, &r, vectors as usize);
        dynasm!(a ; .arch x64 ; jmp ->next_chunk ; =>next);
    }
    dynasm!(a
        ; .arch x64
        ; ->next_chunk:
        ; add Rq(r.chunk), size_of::<QueryChunk>() as i32
        ; dec Rq(r.chunks_left)
        ; jnz ->chunk
    );
    a.epilogue(&r.file);
    a.finish(plan.name(), &r.file)
}

/// Starts a loop over the groups of four keys; returns its label.
fn begin_groups(a: &mut Asm, r: &Regs) -> dynasmrt::DynamicLabel {
    let group = a.new_dynamic_label();
    a.load_arg(r.keys, &r.file, offset!(keys));
    a.load_arg(r.left, &r.file, offset!(groups));
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>group);
    group
}

fn next_group(a: &mut Asm, r: &Regs, group: dynasmrt::DynamicLabel) {
    dynasm!(a
        ; .arch x64
        ; add Rq(r.keys), size_of::<KeyGroup>() as i32
        ; dec Rq(r.left)
        ; jnz =>group
    );
}

/// `at = offset of the group's keys in a VNNI panel`.
fn load_k_offset(a: &mut Asm, r: &Regs) {
    let field = std::mem::offset_of!(KeyGroup, k) as i32;
    dynasm!(a ; .arch x64 ; mov Rd(r.at), [Rq(r.keys) + field]);
}

/// `key_bias[j] = -q_zero * sum_d K[d][j]`, four keys at a time; keys past the end get a bias that masks them.
fn emit_key_bias(a: &mut Asm, plan: &AttentionPlan, r: &Regs) {
    let (sum, zero, ones) = (r.acc[0], r.temp[0], r.temp[1]);
    a.note("key bias: -q_zero * sum_d K[d][j]");
    a.load_arg(r.bias, &r.file, offset!(key_bias));
    a.vpbroadcastd_x(zero, r.arg(offset!(minus_q_zero)));
    a.vpbroadcastd_x(ones, r.arg(offset!(ones)));
    let group = begin_groups(a, r);
    load_k_offset(a, r);
    a.vpxord_x(sum, sum, sum);
    for step in 0..plan.steps() as i32 {
        let key = ptr(r.k).index(r.at, Scale::X1) + step * VNNI_ROW_BYTES;
        a.vpdpbusd_x(sum, ones, key); //                        sum[j] += K[4 step..][j] . 1
    }
    a.vpmulld_x(sum, sum, zero);
    a.vmovdqu32_x_st(ptr(r.bias), sum);
    dynasm!(a ; .arch x64 ; add Rq(r.bias), 4 * KEYS as i32);
    next_group(a, r, group);
    a.vpaddd_x(sum, sum, r.arg(offset!(last_group_bias)));
    a.vmovdqu32_x_st(ptr(r.bias) - 4 * KEYS as i32, sum);
}

/// Addresses and store masks of the current query chunk.
fn emit_chunk_addresses(a: &mut Asm, r: &Regs) {
    a.note("query chunk");
    a.load_arg(r.q, &r.file, offset!(q));
    a.load_arg(r.out, &r.file, offset!(out));
    let q = std::mem::offset_of!(QueryChunk, q) as i32;
    let out = std::mem::offset_of!(QueryChunk, out) as i32;
    let dwords = std::mem::offset_of!(QueryChunk, dwords) as i32;
    let tokens = std::mem::offset_of!(QueryChunk, tokens) as i32;
    dynasm!(a
        ; .arch x64
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

/// `S[j][v] = key_bias[j] + sum_d K[d][j] Q[d][v]` for all keys, kept in `scores`; the largest per query in `max`.
fn emit_scores(a: &mut Asm, plan: &AttentionPlan, r: &Regs, vectors: usize) {
    let acc: Vec<&[Zmm]> = r.acc.chunks(vectors).take(KEYS).collect();
    a.note(format!("scores of {} queries", vectors * LANES));
    a.load_arg(r.bias, &r.file, offset!(key_bias));
    a.load_arg(r.scores, &r.file, offset!(scores));
    for &max in &r.max[..vectors] {
        a.vpbroadcastd(max, r.arg(offset!(lowest)));
    }
    let group = begin_groups(a, r);
    load_k_offset(a, r);
    for (j, acc) in acc.iter().enumerate() {
        a.vpbroadcastd(acc[0], ptr(r.bias) + 4 * j as i32); //  S[j][v] = key_bias[j]
        for &other in &acc[1..] {
            a.vmovdqa32(other, acc[0]);
        }
    }
    for step in 0..plan.steps() as i32 {
        for (v, &q) in r.temp[..vectors].iter().enumerate() {
            a.vmovdqu32(q, ptr(r.q) + step * VNNI_ROW_BYTES + v as i32 * VECTOR_BYTES); // Q[4 step..][16v..]
        }
        for (j, acc) in acc.iter().enumerate() {
            let key = ptr(r.k).index(r.at, Scale::X1) + step * VNNI_ROW_BYTES + 4 * j as i32;
            if vectors == 1 {
                a.vpdpbusd(acc[0], r.temp[0], key.bcast());
                continue;
            }
            a.vpbroadcastd(r.key[j], key); //                   K[4 step..][j]
            for (&acc, &q) in acc.iter().zip(&r.temp) {
                a.vpdpbusd(acc, q, r.key[j]);
            }
        }
    }
    for (j, acc) in acc.iter().enumerate() {
        for (v, &score) in acc.iter().enumerate() {
            a.vpmaxsd(r.max[v], r.max[v], score);
            a.vmovdqu32_st(ptr(r.scores) + (j * vectors + v) as i32 * VECTOR_BYTES, score);
        }
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.bias), 4 * KEYS as i32
        ; add Rq(r.scores), (KEYS * vectors) as i32 * VECTOR_BYTES
    );
    next_group(a, r, group);
}

/// `P[j][v] = round(255 * 2^((S[j][v] - max[v]) * c))`, four keys to a dword per query, and their sums.
fn emit_probabilities(a: &mut Asm, r: &Regs, vectors: usize) {
    let (work, constants) = r.acc.split_at(2 * KEYS);
    let (p, floor) = work.split_at(KEYS);
    let [scale, transpose, ones, ..] = constants else { unreachable!("16 accumulators") };
    let coefficient = &constants[3..7];
    a.note("probabilities");
    a.vbroadcastss(*scale, r.arg(offset!(exponent_scale)));
    a.vpbroadcastd(*ones, r.arg(offset!(ones)));
    a.vmovdqu32(*transpose, ptr(r.constants) + EpilogueConstants::TRANSPOSE);
    for (i, &c) in coefficient.iter().enumerate() {
        a.vbroadcastss(c, r.arg(offset!(exp2)) + 4 * i as i32);
    }
    for &sum in &r.sum[..vectors] {
        a.vpxord(sum, sum, sum);
    }
    a.load_arg(r.scores, &r.file, offset!(scores));
    a.load_arg(r.probabilities, &r.file, offset!(probabilities));
    let group = begin_groups(a, r);
    for v in 0..vectors {
        for (j, &x) in p.iter().enumerate() {
            a.vmovdqu32(x, ptr(r.scores) + (j * vectors + v) as i32 * VECTOR_BYTES);
            a.vpsubd(x, x, r.max[v]); //                        S - max, <= 0
        }
        for &x in p {
            a.vcvtdq2ps(x, x);
        }
        for &x in p {
            a.vmulps(x, x, *scale); //                          x = (S - max) c
        }
        for (&n, &x) in floor.iter().zip(p) {
            a.vrndscaleps(n, x, FLOOR); //                      n = floor(x)
            a.vsubps(x, x, n); //                               f = x - n, in [0, 1]
        }
        emit_exp2(a, p, floor, &r.key, coefficient);
        for &y in p {
            a.vcvtps2dq(y, y);
        }
        a.vpackssdw(p[0], p[0], p[1]);
        a.vpackssdw(p[2], p[2], p[3]);
        a.vpackuswb(p[0], p[0], p[2]);
        a.vpshufb(p[0], p[0], *transpose); //                   P[0..4][v]
        a.vpdpbusd(r.sum[v], p[0], *ones);
        a.vmovdqu32_st(ptr(r.probabilities) + v as i32 * VECTOR_BYTES, p[0]);
    }
    dynasm!(a
        ; .arch x64
        ; add Rq(r.scores), (KEYS * vectors) as i32 * VECTOR_BYTES
        ; add Rq(r.probabilities), vectors as i32 * VECTOR_BYTES
    );
    next_group(a, r, group);
}

/// `f = polynomial(f) * 2^n`, Horner's rule on four vectors at once.
fn emit_exp2(a: &mut Asm, f: &[Zmm], n: &[Zmm], y: &[Zmm], coefficient: &[Zmm]) {
    for (&y, &f) in y.iter().zip(f) {
        a.vmovdqa32(y, coefficient[3]);
        a.vfmadd213ps(y, f, coefficient[2]); //                 y = c3 f + c2
    }
    for &c in coefficient[..2].iter().rev() {
        for (&y, &f) in y.iter().zip(f) {
            a.vfmadd213ps(y, f, c);
        }
    }
    for ((&f, &y), &n) in f.iter().zip(y).zip(n) {
        a.vscalefps(f, y, n);
    }
}

/// `O[d][v] = sum_j V[d][j] P[j][v] / sum[v]`, requantised and stored.
fn emit_output(a: &mut Asm, plan: &AttentionPlan, r: &Regs, vectors: usize) {
    let features_at_once = r.acc.len() / vectors;
    a.note("1 / sum of P");
    let one = r.temp[0];
    a.vbroadcastss(one, r.arg(offset!(one)));
    for (&max, &sum) in r.max.iter().zip(&r.sum).take(vectors) {
        a.vcvtdq2ps(sum, sum);
        a.vdivps(max, one, sum);
    }
    a.load_arg(r.bias, &r.file, offset!(out_scale));
    let mut first = 0;
    while first < plan.head_size {
        let features = features_at_once.min(plan.head_size - first);
        let acc: Vec<Vec<Zmm>> = r.acc.chunks(vectors).take(features).map(<[Zmm]>::to_vec).collect();
        emit_weighted_values(a, r, first, &acc);
        emit_store(a, plan, r, first, &acc);
        first += features;
    }
}

/// `O[d][v] = sum_j V[d][j] P[j][v]` for the features from `first` on.
fn emit_weighted_values(a: &mut Asm, r: &Regs, first: usize, acc: &[Vec<Zmm>]) {
    let vectors = acc[0].len();
    a.note(format!("O of features {first} to {}", first + acc.len() - 1));
    for &zmm in acc.iter().flatten() {
        a.vpxord(zmm, zmm, zmm);
    }
    a.load_arg(r.probabilities, &r.file, offset!(probabilities));
    let group = begin_groups(a, r);
    let field = std::mem::offset_of!(KeyGroup, v) as i32;
    dynasm!(a ; .arch x64 ; mov Rd(r.at), [Rq(r.keys) + field]);
    for (v, &p) in r.temp[..vectors].iter().enumerate() {
        a.vmovdqu32(p, ptr(r.probabilities) + v as i32 * VECTOR_BYTES); // P[4 keys][16v..]
    }
    for (d, acc) in acc.iter().enumerate() {
        let value = ptr(r.v).index(r.at, Scale::X1) + ((first + d) * TILE) as i32;
        if vectors == 1 {
            a.vpdpbusd(acc[0], r.temp[0], value.bcast());
            continue;
        }
        let broadcast = r.key[d % r.key.len()];
        a.vpbroadcastd(broadcast, value); //                    V[d][4 keys]
        for (&acc, &p) in acc.iter().zip(&r.temp) {
            a.vpdpbusd(acc, p, broadcast);
        }
    }
    dynasm!(a ; .arch x64 ; add Rq(r.probabilities), vectors as i32 * VECTOR_BYTES);
    next_group(a, r, group);
}

/// `out = saturate(round(O[d][v] / sum[v] * out_scale[d] + out_zero))`.
fn emit_store(a: &mut Asm, plan: &AttentionPlan, r: &Regs, first: usize, acc: &[Vec<Zmm>]) {
    let (scale, zero) = (r.temp[0], r.temp[1]);
    a.vbroadcastss(zero, r.arg(offset!(out_zero)));
    for (d, acc) in acc.iter().enumerate() {
        a.vbroadcastss(scale, ptr(r.bias) + 4 * (first + d) as i32);
        for (&y, &reciprocal) in acc.iter().zip(&r.max) {
            a.vcvtdq2ps(y, y);
            a.vmulps(y, y, reciprocal);
            a.vfmadd213ps(y, scale, zero);
            a.vcvtps2dq(y, y);
        }
    }
    let lanes = match plan.output {
        PanelLayout::Plain => OutputLanes::Dwords(r.dwords),
        PanelLayout::Vnni => OutputLanes::Tokens(&r.tokens),
    };
    for (block, rows) in acc.chunks(4).enumerate() {
        // Four plain rows and one VNNI row are both 256 bytes.
        let out = ptr(r.out) + ((first + 4 * block) * TILE) as i32;
        let regs = EpilogueRegs { params: ptr(r.bias), out, constants: r.constants, temps: &r.temp };
        emit_store_bytes(a, plan.output, Sign::Unsigned, rows, &regs, lanes);
    }
}
