//! The element-wise kernels as instructions. One call computes one tile.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Code, Isa, JitError, Vector, Ymm256, Zmm, Zmm512, ptr};

use super::args::ElementwiseArgs;
use super::params::QuantParams;
use super::plan::ElementwisePlan;
use super::regs::Regs;
use crate::args::load_args;
use crate::rows::{
    F32_ROW_BYTES, GROUP, PanelRows, RowVerbs, element, emit_activate, emit_quantize, emit_rows, emit_store_f32,
    emit_store_panel,
};
use crate::{Generate, Plan};

impl Generate for ElementwisePlan {
    fn generate(&self) -> Result<Code, JitError> {
        match self.isa {
            Isa::Avx2(_) => emit::<Ymm256>(self),
            Isa::Avx512Vnni(_) | Isa::Portable => emit::<Zmm512>(self),
        }
    }
}

/// Generates the kernel.
fn emit<W>(plan: &ElementwisePlan) -> Result<Code, JitError>
where
    Asm<W>: RowVerbs,
{
    let (mut a, file) = Asm::<W>::begin();
    let r = Regs::new::<Asm<W>>(file)?;
    a.begin_function(&r.file);
    load_args!(a, r, ElementwiseArgs { x, panel, params, constants, columns });
    emit_rows(&mut a, plan.features, [r.columns, r.count], &r.y, |a, y, rows| emit_group(a, plan, &r, y, rows));
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// Up to four rows; the panel gets zeros for those that are missing.
fn emit_group<W>(a: &mut Asm<W>, plan: &ElementwisePlan, r: &Regs, y: &[Vec<Zmm>], rows: usize)
where
    Asm<W>: RowVerbs,
{
    for (row, y) in y[..rows].iter().enumerate() {
        for (v, &y) in y.iter().enumerate() {
            a.vmovups(y, element(r.x, row, v));
        }
    }
    emit_activate(a, plan.sink.activation, &y[..rows], &r.temp, r.constants);
    match plan.sink.store.codes() {
        None => emit_store_f32(a, r.x, &y[..rows]),
        Some((layout, sign)) => {
            for (row, y) in y[..rows].iter().enumerate() {
                let param = |field: usize| ptr(r.params) + (row * size_of::<QuantParams>() + field) as i32;
                let params = [param(offset_of!(QuantParams, scale)), param(offset_of!(QuantParams, zero))];
                emit_quantize(a, y, params, [r.scale, r.zero]);
            }
            let panel = PanelRows { layout, sign, group: r.panel, constants: r.constants, temps: &r.temp };
            emit_store_panel(a, &panel, y, rows);
            dynasm!(a ; .arch x64 ; add Rq(r.params), (GROUP * size_of::<QuantParams>()) as i32);
        }
    }
    dynasm!(a ; .arch x64 ; add Rq(r.x), GROUP as i32 * F32_ROW_BYTES);
}
