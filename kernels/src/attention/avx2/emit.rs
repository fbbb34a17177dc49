//! The attention kernel as instructions: the loops over heads, query chunks and vectors of 16 queries.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Avx2, Code, JitError, Ymm256};

use super::super::args::{AttentionArgs, HeadParams};
use super::super::batch::QueryChunk;
use super::super::plan::AttentionPlan;
use super::keys::emit_key_bias;
use super::output::emit_output;
use super::probabilities::emit_probabilities;
use super::regs::Regs;
use super::scores::emit_scores;
use crate::args::load_args;
use crate::layout::VECTOR_BYTES;
use crate::{PanelLayout, Plan};

/// Generates the kernel.
pub(in super::super) fn emit(plan: &AttentionPlan, token: Avx2) -> Result<Code, JitError> {
    let r = Regs::new(token)?;
    let mut a = Asm::avx2();
    a.begin_function(&r.file);
    load_args!(a, r, AttentionArgs { heads: head });

    dynasm!(a ; .arch x64 ; ->head:);
    emit_key_bias(&mut a, plan, &r);
    load_args!(a, r, AttentionArgs { chunks: chunk });
    dynasm!(a ; .arch x64 ; ->chunk:);
    emit_chunk_addresses(&mut a, plan, &r);
    dynasm!(a ; .arch x64 ; ->queries:);
    emit_scores(&mut a, plan, &r);
    emit_probabilities(&mut a, &r);
    emit_output(&mut a, plan, &r);
    emit_next_queries(&mut a, plan, &r);
    dynasm!(a
        ; .arch x64
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

/// Addresses of the first 16 queries of the current chunk.
fn emit_chunk_addresses(a: &mut Asm<Ymm256>, plan: &AttentionPlan, r: &Regs) {
    a.note("query chunk");
    let offset = offset_of!(HeadParams, offset) as i32;
    let [q, out, vectors, column, tokens] = [
        offset_of!(QueryChunk, q),
        offset_of!(QueryChunk, out),
        offset_of!(QueryChunk, vectors),
        offset_of!(QueryChunk, column),
        offset_of!(QueryChunk, tokens),
    ]
    .map(|field| field as i32);
    load_args!(a, r, AttentionArgs { q, out });
    dynasm!(a
        ; .arch x64
        ; add Rq(r.q), [Rq(r.head) + offset]
        ; add Rq(r.out), [Rq(r.head) + offset]
        ; mov Rd(r.field), [Rq(r.chunk) + q]
        ; add Rq(r.q), Rq(r.field)
        ; mov Rd(r.field), [Rq(r.chunk) + out]
        ; add Rq(r.out), Rq(r.field)
        ; mov Rd(r.remaining), [Rq(r.chunk) + vectors]
        ; lea Rq(r.tokens), [Rq(r.chunk) + tokens]
    );
    if plan.output == PanelLayout::Plain {
        dynasm!(a ; .arch x64 ; movzx Rd(r.field), WORD [Rq(r.chunk) + column] ; add Rq(r.out), Rq(r.field));
    }
}

/// Continues with the next 16 queries of the chunk.
fn emit_next_queries(a: &mut Asm<Ymm256>, plan: &AttentionPlan, r: &Regs) {
    a.note("next 16 queries");
    let out_bytes = match plan.output {
        PanelLayout::Plain => 4, // four tokens here, the others 16, 32 and 48 bytes on
        PanelLayout::Vnni => VECTOR_BYTES,
    };
    dynasm!(a
        ; .arch x64
        ; add Rq(r.q), VECTOR_BYTES
        ; add Rq(r.out), out_bytes
        ; add Rq(r.tokens), size_of::<u16>() as i32
        ; dec Rd(r.remaining)
        ; jnz ->queries
    );
}
