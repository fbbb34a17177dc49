//! Rows of X interleaved once for several row blocks.
//!
//! A 16x1 (8x1) block is a 4x1 block in each of four (two) row blocks. They have equal lists of input features and lie one behind the other in the
//! stream. The first of them keeps its interleaved rows of X: one vector per vector of the pass and group. The others load these
//! vectors, with no index and no unpack. That gains where unpacks use the ports of dot products, as on Intel's cores: a group takes 24 operations of
//! these two ports once, and then 16. It loses on AMD's, where unpacks have pipes of their own and stores do not.
//!
//! Which row blocks repeat the list before them is a table of the weights. The first row block of a call keeps its rows in any case, so parts may
//! begin anywhere.

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Evex, Zmm, ptr};

use super::args::SpmmArgs;
use super::bound::{KEEPING_GROUPS, KEPT_GROUPS};
use super::group::{emit_dot_products, emit_gather, emit_list, emit_load_weights};
use super::pass::Pass;
use super::plan::SpmmPlan;
use super::regs::Regs;
use crate::LANES;
use crate::args::load_args;
use crate::layout::VECTOR_BYTES;

/// Begins a pass whose row blocks share rows: `repeats` takes the register of `columns`, which is saved.
pub(super) fn emit_begin_pass(a: &mut Asm, r: &Regs) {
    dynasm!(a ; .arch x64 ; push Rq(r.columns));
    load_args!(a, r, SpmmArgs { repeats });
}

pub(super) fn emit_next_row_block(a: &mut Asm, r: &Regs) {
    dynasm!(a ; .arch x64 ; inc Rq(r.repeats));
}

/// Ends such a pass.
pub(super) fn emit_end_pass(a: &mut Asm, r: &Regs) {
    dynasm!(a ; .arch x64 ; pop Rq(r.columns));
}

/// All groups of a list, with kept rows of X if it repeats the one before. `first` is where a list begins that does not.
pub(super) fn emit_list_or_kept(
    a: &mut Asm,
    plan: &SpmmPlan,
    r: &Regs,
    pass: &Pass,
    acc: &[Vec<Zmm>],
    first: DynamicLabel,
) {
    let end = a.new_dynamic_label();
    dynasm!(a ; .arch x64 ; cmp BYTE [Rq(r.repeats)], 0 ; je =>first);
    emit_kept_list(a, plan, r, pass, acc);
    dynasm!(a ; .arch x64 ; jmp =>end ; =>first);
    emit_keeping_list(a, plan, r, pass, acc);
    dynasm!(a ; .arch x64 ; =>end);
}

/// All groups of a list. Keeps their rows of X, interleaved.
fn emit_keeping_list(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass, acc: &[Vec<Zmm>]) {
    load_args!(a, r, SpmmArgs { scratch: kept });
    emit_list(a, plan, r, KEEPING_GROUPS, pass.vectors * LANES, |a, ahead| {
        a.note("one group: 4 rows of X, interleaved to dwords and kept, times 4 weights of every output");
        let (dword, weight) = (emit_gather(a, plan, r, pass, ahead), &r.temp[12..16]);
        for (v, &dword) in (0..pass.vectors as i32).zip(dword) {
            a.vmovdqu32_st(ptr(r.kept) + v * VECTOR_BYTES, dword); // k_0..k_3 of columns 16v..16v+16
        }
        emit_load_weights(a, plan, r, ahead, weight);
        emit_dot_products(a, acc, &dword[..pass.vectors], weight);
        emit_next_kept(a, r, pass);
    });
    load_args!(a, r, SpmmArgs { constants });
}

/// All groups of a list whose rows of X are kept.
fn emit_kept_list(a: &mut Asm, plan: &SpmmPlan, r: &Regs, pass: &Pass, acc: &[Vec<Zmm>]) {
    load_args!(a, r, SpmmArgs { scratch: kept });
    emit_list(a, plan, r, KEPT_GROUPS, pass.vectors * LANES, |a, ahead| {
        a.note("one group: kept dwords of 4 rows of X, times 4 weights of every output");
        let (dword, weight) = (&r.temp[8..8 + pass.vectors], &r.temp[12..16]);
        for (v, &dword) in (0..).zip(dword) {
            a.vmovdqu32(dword, ptr(r.kept) + v * VECTOR_BYTES);
        }
        emit_load_weights(a, plan, r, ahead, weight);
        emit_dot_products(a, acc, dword, weight);
        emit_next_kept(a, r, pass);
    });
    load_args!(a, r, SpmmArgs { constants });
}

fn emit_next_kept(a: &mut Asm, r: &Regs, pass: &Pass) {
    dynasm!(a ; .arch x64 ; add Rq(r.kept), pass.vectors as i32 * VECTOR_BYTES);
}

/// Bytes of the rows of X that a list keeps, at most.
pub(super) fn kept_bytes(k: usize) -> usize {
    k.div_ceil(4) * crate::VECTORS * VECTOR_BYTES as usize
}

#[cfg(test)]
mod tests {
    use crate::ActivationBits;
    use lacuna_jit::Isa;

    use super::super::{SpmmDesc, SpmmWeights};
    use crate::Block;
    use crate::epilogue::{Epilogue, RowParams};

    /// Two 16x1 blocks and the half of a third, of 3, 2 and 1 columns: all of one group, so they stay in order.
    #[test]
    fn row_blocks_of_a_block_repeat_its_list() {
        let (m, k) = (40, 6);
        let weights: Vec<i8> = (0..m * k).map(|i| i8::from(i % k % 2 == 0 && i % k / 2 < 3 - i / k / 16)).collect();
        let epilogue = Epilogue::f32(false);
        let plan = SpmmDesc { m, k, block: Block::B16x1, epilogue, activation_bits: ActivationBits::Eight }
            .plan(Isa::Portable)
            .unwrap();
        let packed = SpmmWeights::pack(&plan, &weights, &vec![RowParams::default(); m]).unwrap();
        assert_eq!(packed.repeats, [0, 1, 1, 1, 0, 1, 1, 1, 0, 1]);
    }
}
