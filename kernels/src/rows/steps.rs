//! Steps that several row kernels take on a group of rows in registers, `y[f mod 4][v]`.

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Gpr, Mem, Vector, Zmm, ptr};

use super::heads::{GROUP, PANEL_ROW_BYTES, element};
use crate::epilogue::{Accuracy, Constants, EpilogueRegs, OutputLanes, Verbs, emit_activation, emit_store_bytes};
use crate::{Activation, PanelLayout, Sign, VECTORS};

/// Zeros every register.
pub(crate) fn emit_zero<'a>(a: &mut impl Vector, registers: impl IntoIterator<Item = &'a Zmm>) {
    for &zmm in registers {
        a.vpxor(zmm, zmm, zmm);
    }
}

/// Replaces each of `y` by its activation in f32 precision. Destroys `temps`; `constants` holds [`Constants::address`].
pub(crate) fn emit_activate(a: &mut impl Verbs, activation: Activation, y: &[Vec<Zmm>], temps: &[Zmm], constants: Gpr) {
    let table = ptr(constants) + Constants::table(activation, Accuracy::Float);
    // Four vectors at a time, of however many rows: their steps hide each other's latency.
    for vectors in y.concat().chunks(VECTORS) {
        emit_activation(a, activation, Accuracy::Float, vectors, temps, table);
    }
}

/// `y = round(y scale[f] + zero[f])` as s32, of one row; `params` are where its scale and zero point are, which `scale` and `zero`
/// receive.
pub(crate) fn emit_quantize(a: &mut impl Vector, y: &[Zmm], params: [Mem; 2], [scale, zero]: [Zmm; 2]) {
    a.vbroadcastss(scale, params[0]);
    a.vbroadcastss(zero, params[1]);
    for &y in y {
        a.vfmadd213ps(y, scale, zero); //                       q = y scale[f] + zero[f]
        a.vcvtps2dq(y, y);
    }
}

/// Stores rows to the group of rows of an f32 tile that starts at `group`.
pub(crate) fn emit_store_f32(a: &mut impl Vector, group: Gpr, y: &[Vec<Zmm>]) {
    for (row, y) in y.iter().enumerate() {
        for (v, &y) in y.iter().enumerate() {
            a.vmovups_st(element(group, row, v), y);
        }
    }
}

/// The panel that groups of rows are stored to, and the registers that this takes.
pub(crate) struct PanelRows<'a> {
    pub(crate) layout: PanelLayout,
    pub(crate) sign: Sign,
    /// The group's first row in the panel.
    pub(crate) group: Gpr,
    /// [`Constants::address`].
    pub(crate) constants: Gpr,
    /// Two registers, destroyed.
    pub(crate) temps: &'a [Zmm],
}

/// Packs the first `rows` rows of `y`, which are s32, to bytes, stores them to the panel, and advances to the panel's next group.
/// The rows that a last group lacks are padding features, which become 0. Destroys `y`.
pub(crate) fn emit_store_panel<W>(a: &mut Asm<W>, to: &PanelRows<'_>, y: &[Vec<Zmm>], rows: usize)
where
    Asm<W>: Verbs,
{
    emit_zero(a, y[rows..].iter().flatten()); //                padding features are 0
    let regs = EpilogueRegs {
        params: ptr(to.group), //                               not read by a store
        rows: EpilogueRegs::rows_from(ptr(to.group), PANEL_ROW_BYTES),
        constants: to.constants,
        temps: to.temps,
    };
    emit_store_bytes(a, to.layout, to.sign, y, &regs, OutputLanes::WholeRow);
    dynasm!(a ; .arch x64 ; add Rq(to.group), GROUP as i32 * PANEL_ROW_BYTES);
}
