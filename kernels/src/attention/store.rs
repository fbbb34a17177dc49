//! Normalisation and requantisation of the output.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Evex, Zmm, ptr};

use super::args::{AttentionArgs, HeadParams};
use super::plan::AttentionPlan;
use super::regs::Regs;
use crate::args::load_args;
use crate::epilogue::{EpilogueRegs, OutputLanes, emit_store_bytes};
use crate::{PanelLayout, Sign, TILE};

/// `max[v] = 1 / sum[v]`; afterwards `bias` points to the head's output scales.
pub(super) fn emit_reciprocal(a: &mut Asm, r: &Regs, vectors: usize) {
    a.note("1 / sum of P");
    let one = r.key[0];
    a.vbroadcastss(one, r.arg(offset_of!(AttentionArgs, one)));
    for (&max, &sum) in r.max.iter().zip(&r.sum).take(vectors) {
        a.vcvtdq2ps(sum, sum);
        a.vdivps(max, one, sum);
    }
    dynasm!(a ; .arch x64 ; mov Rq(r.bias), [Rq(r.head) + offset_of!(HeadParams, out_scale) as i32]);
}

/// `out = saturate(round(O[d][v] / sum[v] * out_scale[d] + out_zero))` for the features from `first` on. Destroys `acc` and `key`.
pub(super) fn emit_store(a: &mut Asm, plan: &AttentionPlan, r: &Regs, first: usize, acc: &[Vec<Zmm>]) {
    let zero = r.key[0];
    a.vbroadcastss(zero, r.arg(offset_of!(AttentionArgs, out_zero)));
    for (d, acc) in acc.iter().enumerate() {
        let scale = ptr(r.bias) + 4 * (first + d) as i32;
        for (&y, &reciprocal) in acc.iter().zip(&r.max) {
            a.vcvtdq2ps(y, y);
            a.vmulps(y, y, reciprocal);
            a.vfmadd132ps(y, zero, scale.bcast());
            a.vcvtps2dq(y, y);
        }
    }
    let lanes = match plan.output {
        PanelLayout::Plain => OutputLanes::Dwords(r.dwords),
        PanelLayout::Vnni => OutputLanes::Tokens(&r.tokens),
    };
    load_constants(a, r);
    for (block, acc) in acc.chunks(4).enumerate() {
        // Four plain rows and one VNNI row are both 256 bytes.
        let rows = EpilogueRegs::rows_from(ptr(r.out) + ((first + 4 * block) * TILE) as i32, TILE as i32);
        let regs = EpilogueRegs { params: ptr(r.bias), rows, constants: r.at, temps: &r.key };
        emit_store_bytes(a, plan.output, Sign::Unsigned, acc, &regs, lanes);
    }
}

/// `at = the constants of the epilogue`, which a VNNI store reads.
fn load_constants(a: &mut Asm, r: &Regs) {
    load_args!(a, r, AttentionArgs { constants: at });
}
