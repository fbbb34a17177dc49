//! The loop over groups of four keys, and what each of its passes loads.

use std::mem::offset_of;

use dynasmrt::{DynamicLabel, DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Ymm256};

use super::super::args::AttentionArgs;
use super::super::batch::KeyGroup;
use super::regs::Regs;
use crate::args::load_args;

/// Starts a loop over the groups of four keys; returns its label.
pub(super) fn begin_groups(a: &mut Asm<Ymm256>, r: &Regs) -> DynamicLabel {
    let group = a.new_dynamic_label();
    load_args!(a, r, AttentionArgs { keys });
    a.align_loop(64);
    dynasm!(a ; .arch x64 ; =>group);
    group
}

pub(super) fn next_group(a: &mut Asm<Ymm256>, r: &Regs, group: DynamicLabel) {
    dynasm!(a
        ; .arch x64
        ; add Rq(r.keys), size_of::<KeyGroup>() as i32
        ; cmp Rq(r.keys), [Rq(r.file.args()) + offset_of!(AttentionArgs, keys_end) as i32]
        ; jne =>group
    );
}

/// `at = offset of the group's keys in a VNNI panel`.
pub(super) fn load_k_offset(a: &mut Asm<Ymm256>, r: &Regs) {
    dynasm!(a ; .arch x64 ; mov Rd(r.at), [Rq(r.keys) + offset_of!(KeyGroup, k) as i32]);
}

/// `at = offset of the group's keys in a plain panel`.
pub(super) fn load_v_offset(a: &mut Asm<Ymm256>, r: &Regs) {
    dynasm!(a ; .arch x64 ; mov Rd(r.at), [Rq(r.keys) + offset_of!(KeyGroup, v) as i32]);
}
