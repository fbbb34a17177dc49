//! Normalisation and requantisation of the output.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Evex, Zmm, ptr};

use super::args::{AttentionArgs, HeadParams};
use super::plan::AttentionPlan;
use super::regs::Regs;
use crate::args::load_args;
use crate::epilogue::{EpilogueRegs, OutputLanes, emit_store_bytes};
use crate::{PanelLayout, TILE};

/// `reciprocal[v] = 1 / sum[v]`; afterwards `out_scale` points to the head's output scales.
pub(super) fn emit_reciprocal(a: &mut Asm, r: &Regs, vectors: usize) {
    a.note("1 / sum of P");
    let one = r.value[0];
    a.vbroadcastss(one, r.arg(offset_of!(AttentionArgs, one)));
    for (&reciprocal, &sum) in r.reciprocal.iter().zip(&r.sum).take(vectors) {
        a.vcvtdq2ps(sum, sum);
        a.vdivps(reciprocal, one, sum);
    }
    dynasm!(a ; .arch x64 ; mov Rq(r.out_scale), [Rq(r.head) + offset_of!(HeadParams, out_scale) as i32]);
}

/// `out = saturate(round(O[d][v] / sum[v] * out_scale[d] + out_zero))` for the features from `first` on. Destroys `acc` and `value`.
pub(super) fn emit_store(a: &mut Asm, plan: &AttentionPlan, r: &Regs, first: usize, acc: &[Vec<Zmm>]) {
    let zero = r.value[0];
    a.vbroadcastss(zero, r.arg(offset_of!(AttentionArgs, out_zero)));
    for (d, acc) in acc.iter().enumerate() {
        let scale = ptr(r.out_scale) + 4 * (first + d) as i32;
        for (&y, &reciprocal) in acc.iter().zip(&r.reciprocal) {
            a.vcvtdq2ps(y, y);
            a.vmulps(y, y, reciprocal);
            a.vfmadd132ps(y, zero, scale.bcast());
            a.vcvtps2dq(y, y);
        }
    }
    let lanes = match plan.output {
        PanelLayout::Plain => OutputLanes::Dwords(r.dwords),
        PanelLayout::Vnni => OutputLanes::Columns(&r.tokens),
    };
    load_args!(a, r, AttentionArgs { constants }); // which stores of VNNI panels and of seven bits read
    for (block, acc) in acc.chunks(4).enumerate() {
        // Four plain rows and one VNNI row are both 256 bytes.
        let rows = EpilogueRegs::rows_from(ptr(r.out) + ((first + 4 * block) * TILE) as i32, TILE as i32);
        let regs = EpilogueRegs { params: ptr(r.out_scale), rows, constants: r.constants, temps: &r.value };
        emit_store_bytes(a, plan.output, plan.sign(), acc, &regs, lanes);
    }
}
