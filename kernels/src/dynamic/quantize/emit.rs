//! The kernel as instructions. One call computes one tile.

use std::mem::offset_of;

use dynasmrt::{DynasmApi, dynasm};
use lacuna_jit::{Asm, Code, Isa, JitError, Vector, Ymm256, Zmm512, ptr};

use super::args::ColumnQuantArgs;
use super::plan::ColumnQuantPlan;
use super::regs::{Columns, Regs};
use crate::args::load_args;
use crate::layout::VECTOR_BYTES;
use crate::rows::{F32_ROW_BYTES, GROUP, PanelRows, RowVerbs, element, emit_row_groups, emit_store_panel, emit_zero};
use crate::{Generate, Plan};

impl Generate for ColumnQuantPlan {
    fn generate(&self) -> Result<Code, JitError> {
        match self.isa {
            Isa::Avx2(_) => emit::<Ymm256>(self),
            Isa::Avx512Vnni(_) | Isa::Portable => emit::<Zmm512>(self),
        }
    }
}

/// Generates the kernel.
fn emit<W>(plan: &ColumnQuantPlan) -> Result<Code, JitError>
where
    Asm<W>: RowVerbs,
{
    let (mut a, file) = Asm::<W>::begin();
    let r = Regs::new::<Asm<W>>(file)?;
    a.begin_function(&r.file);
    load_args!(a, r, ColumnQuantArgs { panel, scales, constants, columns });
    a.emit_by_vectors(r.columns, |a, vectors| {
        let columns = r.columns(vectors);
        emit_maxima(a, plan, &r, &columns);
        emit_scales(a, &r, &columns);
        emit_codes(a, plan, &r, &columns);
    });
    a.end_function(&r.file);
    a.finish(plan.name(), &r.file)
}

/// `max[v] = max_f |x[f] inverse[f]|`, compared as integers: a NaN is more than infinity.
fn emit_maxima<W>(a: &mut Asm<W>, plan: &ColumnQuantPlan, r: &Regs, columns: &Columns<'_>)
where
    Asm<W>: RowVerbs,
{
    a.remark("maximum of every column");
    load_args!(a, r, ColumnQuantArgs { x, inverse });
    a.vpbroadcastd(r.magnitude, r.arg(offset_of!(ColumnQuantArgs, magnitude)));
    emit_zero(a, columns.max);
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        for row in 0..rows {
            a.vbroadcastss(r.inverse_scale, ptr(r.inverse) + 4 * row as i32);
            for (v, (&d, &max)) in columns.d.iter().zip(columns.max).enumerate() {
                a.vmulps(d, r.inverse_scale, element(r.x, row, v)); //          d = x[f] inverse[f]
                a.vpand(d, d, r.magnitude); //                           |d|
                a.vpmaxsd(max, max, d);
            }
        }
        emit_next(a, r);
    });
}

/// `scale[v] = max[v] / codes` to memory, and `factor[v] = codes / max[v]`.
fn emit_scales<W>(a: &mut Asm<W>, r: &Regs, columns: &Columns<'_>)
where
    Asm<W>: RowVerbs,
{
    a.remark("scales");
    a.vbroadcastss(r.least, r.arg(offset_of!(ColumnQuantArgs, least)));
    a.vbroadcastss(r.codes, r.arg(offset_of!(ColumnQuantArgs, codes)));
    for (v, (&max, &factor)) in columns.max.iter().zip(columns.factor).enumerate() {
        let scale = columns.scale[v];
        a.vmaxps(max, r.least, max); //                                   NaN stays: it is the second operand
        a.vdivps(scale, max, r.codes);
        a.vmovups_st(ptr(r.scales) + v as i32 * VECTOR_BYTES, scale);
        a.vdivps(factor, r.codes, max);
    }
}

/// `code = round(x[f] inverse[f] factor + zero)`, four rows at a time, to the panel.
fn emit_codes<W>(a: &mut Asm<W>, plan: &ColumnQuantPlan, r: &Regs, columns: &Columns<'_>)
where
    Asm<W>: RowVerbs,
{
    a.remark("codes");
    load_args!(a, r, ColumnQuantArgs { x, inverse });
    emit_row_groups(a, plan.features, r.count, |a, rows| {
        a.vbroadcastss(r.zero, r.arg(offset_of!(ColumnQuantArgs, zero)));
        for (row, y) in columns.y[..rows].iter().enumerate() {
            a.vbroadcastss(r.inverse_scale, ptr(r.inverse) + 4 * row as i32);
            for (v, (&y, &factor)) in y.iter().zip(columns.factor).enumerate() {
                a.vmulps(y, r.inverse_scale, element(r.x, row, v)); //          d = x[f] inverse[f]
                a.vfmadd213ps(y, factor, r.zero); //                      d codes / max + zero
                a.vcvtps2dq(y, y);
            }
        }
        let (layout, sign) = (plan.layout, plan.sign());
        let panel = PanelRows { layout, sign, group: r.panel, constants: r.constants, temps: &r.temp };
        emit_store_panel(a, &panel, &columns.y, rows);
        emit_next(a, r);
    });
}

fn emit_next<W>(a: &mut Asm<W>, r: &Regs) {
    dynasm!(a ; .arch x64 ; add Rq(r.x), GROUP as i32 * F32_ROW_BYTES ; add Rq(r.inverse), 4 * GROUP as i32);
}
