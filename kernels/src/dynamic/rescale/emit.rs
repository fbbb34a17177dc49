//! The kernel as instructions. One call computes one tile.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Code, Isa, JitError, Mem, Vector, Ymm256, Zmm, Zmm512, ptr};

use super::args::ColumnRescaleArgs;
use super::params::RescaleParams;
use super::plan::{ColumnRescalePlan, StoreForm};
use super::regs::Regs;
use crate::args::load_args;
use crate::layout::VECTOR_BYTES;
use crate::rows::{
    F32_ROW_BYTES, GROUP, PanelRows, RowVerbs, element, emit_activate, emit_quantize, emit_rows, emit_store_f32,
    emit_store_panel,
};
use crate::{Generate, Plan};

impl Generate for ColumnRescalePlan {
    fn generate(&self) -> Result<Code, JitError> {
        match self.isa {
            Isa::Avx2(_) => emit::<Ymm256>(self),
            Isa::Avx512Vnni(_) | Isa::Portable => emit::<Zmm512>(self),
        }
    }
}

/// Generates the kernel.
fn emit<W>(plan: &ColumnRescalePlan) -> Result<Code, JitError>
where
    Asm<W>: RowVerbs,
{
    let (mut a, file) = Asm::<W>::begin();
    let r = Regs::new::<Asm<W>>(file)?;
    a.begin_function(&r.file);
    load_args!(a, r, ColumnRescaleArgs { t, out, params, scales, constants, columns });
    emit_rows(&mut a, plan.features, [r.columns, r.count], &r.y, |a, y, rows| emit_group(a, plan, &r, y, rows));
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// Up to four rows; a panel gets zeros for those that are missing.
fn emit_group<W>(a: &mut Asm<W>, plan: &ColumnRescalePlan, r: &Regs, y: &[Vec<Zmm>], rows: usize)
where
    Asm<W>: RowVerbs,
{
    let param = |row: usize, field: usize| ptr(r.params) + (row * size_of::<RescaleParams>() + field) as i32;
    for (row, y) in y[..rows].iter().enumerate() {
        a.vbroadcastss(r.bias, param(row, offset_of!(RescaleParams, bias)));
        for (v, &y) in y.iter().enumerate() {
            a.vmovups(y, element(r.t, row, v));
            a.vfmadd132ps(y, r.bias, scale(r, v)); //             y = t scale[n] + bias[m]
        }
    }
    emit_activate(a, plan.sink.activation, &y[..rows], &r.temp, r.constants);
    match plan.form {
        StoreForm::InPlace => emit_store_f32(a, r.t, &y[..rows]),
        StoreForm::Residual => {
            for (row, y) in y[..rows].iter().enumerate() {
                for (v, &y) in y.iter().enumerate() {
                    a.vaddps(y, y, element(r.out, row, v)); //  x + y
                }
            }
            emit_store_f32(a, r.out, &y[..rows]);
            dynasm!(a ; .arch x64 ; add Rq(r.out), GROUP as i32 * F32_ROW_BYTES);
        }
        StoreForm::Panel(layout, sign) => {
            for (row, y) in y[..rows].iter().enumerate() {
                let fields = [offset_of!(RescaleParams, out_scale), offset_of!(RescaleParams, out_zero)];
                emit_quantize(a, y, fields.map(|field| param(row, field)), [r.out_scale, r.out_zero]);
            }
            let panel = PanelRows { layout, sign, group: r.out, constants: r.constants, temps: &r.temp };
            emit_store_panel(a, &panel, y, rows);
        }
    }
    dynasm!(a ; .arch x64
        ; add Rq(r.t), GROUP as i32 * F32_ROW_BYTES
        ; add Rq(r.params), (GROUP * size_of::<RescaleParams>()) as i32
    );
}

/// Scales of columns 16v..16v+16.
fn scale(r: &Regs, v: usize) -> Mem {
    ptr(r.scales) + v as i32 * VECTOR_BYTES
}
