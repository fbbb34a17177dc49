//! The loop over groups of four keys, and what each of its passes loads.

use std::mem::offset_of;

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Zmm};

use super::args::AttentionArgs;
use super::batch::KeyGroup;
use super::exponential::Exp2Operands;
use super::regs::Regs;
use crate::args::load_args;

/// Starts a loop over the groups of four keys; returns its label.
pub(super) fn begin_groups(a: &mut Asm, r: &Regs) -> DynamicLabel {
    let group = a.new_dynamic_label();
    load_args!(a, r, AttentionArgs { keys });
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

/// The constants of 2^-x in `registers` as far as they go; `exponential` points to the rest.
pub(super) fn emit_exp2_constants(a: &mut Asm, r: &Regs, registers: &[Zmm]) -> Exp2Operands {
    load_args!(a, r, AttentionArgs { exponential });
    Exp2Operands::load(a, r.exponential, r.head, registers)
}
