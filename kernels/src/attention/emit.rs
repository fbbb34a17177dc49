//! The attention kernel as instructions: the loops over heads and query chunks.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Code, Evex, Isa, JitError, Scale, ptr};

use super::args::{AttentionArgs, HeadParams};
use super::batch::QueryChunk;
use super::groups::{begin_groups, load_k_offset, next_group};
use super::plan::AttentionPlan;
use super::regs::Regs;
use super::sizes::{KEYS, MAX_SHORT_GROUPS, VNNI_ROW_BYTES};
use super::{avx2, long, short};
use crate::args::load_args;
use crate::{Generate, Plan, VECTORS};

impl Generate for AttentionPlan {
    fn generate(&self) -> Result<Code, JitError> {
        match self.isa() {
            Isa::Avx2(token) => avx2::emit(self, token),
            Isa::Avx512Vnni(_) | Isa::Portable => emit(self),
        }
    }
}

/// Generates the kernel.
fn emit(plan: &AttentionPlan) -> Result<Code, JitError> {
    let r = Regs::new()?;
    let mut a = Asm::new();
    a.begin_function(&r.file);
    load_args!(a, r, AttentionArgs { heads: head });

    dynasm!(a ; .arch x64 ; ->head:);
    emit_head_addresses(&mut a, &r);
    emit_key_bias(&mut a, plan, &r);
    dynasm!(a ; .arch x64 ; ->chunk:);
    emit_chunk_addresses(&mut a, &r);
    let groups = offset_of!(AttentionArgs, groups) as i32;
    if plan.has_short_form() {
        for count in 1..=MAX_SHORT_GROUPS {
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
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// The first query chunk, and K and V of the current head.
fn emit_head_addresses(a: &mut Asm, r: &Regs) {
    a.note("head");
    let offset = offset_of!(HeadParams, offset) as i32;
    load_args!(a, r, AttentionArgs { k, v, chunks: chunk });
    dynasm!(a ; .arch x64 ; add Rq(r.k), [Rq(r.head) + offset] ; add Rq(r.v), [Rq(r.head) + offset]);
}

/// `key_bias[j] = -q_zero * sum_d K[d][j]`, four keys at a time; keys past the end get a bias that masks them.
fn emit_key_bias(a: &mut Asm, plan: &AttentionPlan, r: &Regs) {
    let (sum, zero, ones) = (r.acc[0], r.query[0], r.query[1]);
    a.note("key bias: -q_zero * sum_d K[d][j]");
    load_args!(a, r, AttentionArgs { key_bias: bias });
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
    load_args!(a, r, AttentionArgs { q, out });
    dynasm!(a
        ; .arch x64
        ; add Rq(r.q), [Rq(r.head) + offset]
        ; add Rq(r.out), [Rq(r.head) + offset]
        ; mov Rd(r.field), [Rq(r.chunk) + q]
        ; add Rq(r.q), Rq(r.field)
        ; mov Rd(r.field), [Rq(r.chunk) + out]
        ; add Rq(r.out), Rq(r.field)
        ; movzx Rd(r.field), WORD [Rq(r.chunk) + dwords]
    );
    a.kmovw(r.dwords, r.field);
    for (v, &mask) in r.tokens.iter().enumerate() {
        dynasm!(a ; .arch x64 ; movzx Rd(r.field), WORD [Rq(r.chunk) + tokens + 2 * v as i32]);
        a.kmovw(mask, r.field);
    }
}
