//! The 16-bit arithmetic of an epilogue: what a row's parameters become, and why the result is right.
//!
//! f32 arithmetic converts every s32 accumulator to f32, multiplies, and converts back: three operations for 16 results, and
//! the multiply-add runs on the two ports that the dot products of the next row block want. In 16 bits one operation handles
//! 32 results. With `acc` the accumulator, which *starts* at the row's `bias`, and `Q` fraction bits:
//!
//! ```text
//! a = acc >> shift                      s32, rounded down
//! w = saturate(a)                       s16
//! t = round(w multiplier / 2^15)        s16, vpmulhrsw; t / 2^Q is the result in output units, plus 1/2
//! y = saturate(t >> Q)                  u8 or s8, rounded down
//! ```
//!
//! **Choice of the numbers.** Let `M` be the real multiplier and `A` the real addend, both in output units. `2^Q M = f 2^-shift`
//! with 1/2 <= |f| < 1, and `multiplier` is f rounded to 15 fraction bits. The bias adds A, the 1/2 that makes rounding down a
//! rounding to nearest, the mean of what the shift rounds away ((2^shift - 1) / 2 accumulator units), minus the half unit that
//! the rounding of t adds; it is chosen so that the rounding of f cancels in the middle of the output range.
//!
//! **Saturation.** |f| >= 1/2, so wherever w saturates, |t| >= 2^14 - 1. With Q = 6 that is 255.98 output units: beyond what a
//! byte holds on either side, so that y saturates as it should.
//!
//! **Error** without activation, in output units: the shift (and with it the rounding of the bias) moves the result by at most
//! 1/2 2^-Q, the rounding of t by 1/2 2^-Q, and the rounding of f by 2^-15 of the distance to the middle, 128 at most. So y is the
//! exact result rounded with a threshold that is off by at most 2^-6 + 2^-8 < 0.02: |y - exact| < 0.52.
//!
//! **ReLU** is a maximum, with t and the 1/2 as without activation, behind the output scale and the zero point:
//!
//! ```text
//! t = round(w multiplier / 2^15)        (x out_scale + out_zero + 1/2) 2^6
//! zero = round((out_zero + 1/2) 2^6)    t at x = 0
//! y = saturate(max(t, zero) >> 6)
//! ```
//!
//! The rounding of f cancels in the middle of the outputs that are not saturated, again 128 away at most, and a maximum with what the
//! exact result rounds to adds no error: |y - exact| < 0.52 as without activation.
//!
//! **GELU** = relu(x) - h(|x|) with h(a) = a Phi(-a), which is never above 0.1701 and vanishes beyond 3.4, for the Phi of either form:
//! only the tables differ. t is the input of GELU in *output* units, so that the first part needs no further multiplication:
//!
//! ```text
//! t = round(w multiplier / 2^15)        (x out_scale + out_zero + 1/2) 2^Q - 1; t = zero at x = 0
//! d = |t - zero|                        u16
//! p = d index / 2^16                    u16, rounded down: |x| in steps of 1/150
//! g = near[min(p, 127)] + far[min(p >> 2, 127)]    u8, modulo 256: h(|x|) in steps of 0.17 / 255
//! y = saturate((max(t, zero) - (g << 8) look_up / 2^16) >> Q)
//! ```
//!
//! h bends near 0 only: `near` has a step for each of the first 128 values of p, and `far`, which is 0 until there, a step for each
//! four beyond. Q is the most that keeps |x| <= 3.4 representable and `2^Q M` below 1, 6 at most.
//!
//! **Error** of GELU, in output units: at most 3.5 2^-Q from rounding and 0.002 out_scale from the steps of the tables, in addition to the
//! 1/2 of the rounding to a byte.
//!
//! A row whose multiplier is 0 (all of its weights are zero, or it is padding) has a bias of about 2^30. So w = 32767 for every
//! accumulator, and the multiplier is the result.

mod check;
mod tables;

use bytemuck::{Pod, Zeroable};

use super::{Activation, RowParams};
use crate::{KernelError, Sign};

pub(crate) use check::StoredBlock;
pub(crate) use tables::{GeluTables, table_value};

/// Fraction bits of t without activation, and the most with GELU.
pub(crate) const FRACTION_BITS: u32 = 6;
/// Largest |t| that is sure not to be saturated.
const LARGEST: f64 = 16_383.0;
/// Largest |accumulator| per input feature.
const LARGEST_PRODUCT: i64 = 255 * 128;
/// Bias of a row with multiplier 0: if the largest accumulator added to it stays in s32, the largest subtracted from it still
/// saturates 16 bits.
const CONSTANT_BIAS: i32 = (1 << 30) + (1 << 14);

/// Steps of the table index per unit of |x|.
pub(crate) const STEPS_PER_UNIT: f64 = 150.0;
/// log2 of the steps that share an entry of the far table.
pub(crate) const FAR_SHIFT: u8 = 2;
/// Entries of each table.
pub(crate) const ENTRIES: usize = 128;
/// |x| from which on h is taken as 0.
const LARGEST_X: f64 = (ENTRIES << FAR_SHIFT) as f64 / STEPS_PER_UNIT;
/// Largest table steps per unit of d, u16 fixed point: p of the largest d, 3/2 2^15, stays below 2^15.
const LARGEST_INDEX: f64 = 43_600.0;
/// Value of h at table value 255.
const LARGEST_H: f64 = 0.17;

/// The numbers of one output feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FixedRow {
    /// What the accumulator starts at.
    pub(crate) bias: i32,
    /// Bits the accumulator is shifted right by, 0..=31.
    pub(crate) shift: i32,
    /// s15 fixed point.
    pub(crate) multiplier: i16,
    /// What only activations need.
    pub(crate) activation: ActivationRow,
}

/// The numbers of one output feature that only activations need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ActivationRow {
    /// t at x = 0.
    pub(crate) zero: i16,
    /// GELU: table steps per unit of |t - zero|, u16 fixed point.
    pub(crate) index: u16,
    /// GELU: units of t per unit of the table, in 1/256.
    pub(crate) look_up: u16,
    /// GELU: Q.
    pub(crate) fraction_bits: u16,
}

/// Why a row's parameters cannot be written in 16 bits: the parameter and what it must be.
type Misfit = (&'static str, f32, &'static str);

impl FixedRow {
    /// The numbers of a row with finite parameters.
    pub(crate) fn new(p: &RowParams, activation: Activation, sign: Sign) -> Result<FixedRow, Misfit> {
        let (low, high) = sign.range();
        let (low, high) = (f64::from(low), f64::from(high));
        let [multiplier, addend, out_scale, out_zero] =
            [p.multiplier, p.addend, p.out_scale, p.out_zero].map(f64::from);
        match activation {
            Activation::Identity => {
                let unit = f64::from(1 << FRACTION_BITS);
                Linear {
                    multiplier: multiplier * unit,
                    addend: addend * unit,
                    offset: 0.5 * unit - 0.5,
                    middle: 0.5 * (low + high) * unit,
                }
                .row(p, ActivationRow::default())
            }
            Activation::Relu => {
                let relu = ActivationRow::relu(out_scale, out_zero).ok_or((
                    "output scale",
                    p.out_scale,
                    "0 or more, and an output zero point of -255 to 255, for ReLU in 16-bit arithmetic",
                ))?;
                let unit = f64::from(1 << FRACTION_BITS);
                Linear {
                    multiplier: multiplier * out_scale * unit,
                    addend: addend * out_scale * unit,
                    offset: (out_zero + 0.5) * unit - 0.5,
                    middle: (0.5 * (out_zero.max(low) + high) - out_zero) * unit,
                }
                .row(p, relu)
            }
            Activation::Gelu | Activation::GeluTanh => {
                let gelu = ActivationRow::gelu(multiplier, out_scale, out_zero).ok_or((
                    "output scale",
                    p.out_scale,
                    "0 or 8 to 2000, and an output zero point of -255 to 255, for GELU in 16-bit arithmetic",
                ))?;
                let unit = f64::from(1 << gelu.fraction_bits);
                Linear {
                    multiplier: multiplier * out_scale * unit,
                    addend: addend * out_scale * unit,
                    offset: f64::from(gelu.zero),
                    middle: 0.5 * (high - out_zero) * unit,
                }
                .row(p, gelu)
            }
        }
    }

    /// Whether no accumulator of K = `k` products leaves s32 with the bias.
    fn holds(&self, k: usize) -> bool {
        i64::from(self.bias).abs() + k as i64 * LARGEST_PRODUCT <= i64::from(i32::MAX)
    }
}

/// `t = multiplier acc + addend + offset`, all in units of t.
struct Linear {
    multiplier: f64,
    addend: f64,
    /// Rounding, and the zero point behind an activation.
    offset: f64,
    /// Middle of the outputs, without the offset: where the rounding of the multiplier cancels.
    middle: f64,
}

impl Linear {
    fn row(&self, p: &RowParams, activation: ActivationRow) -> Result<FixedRow, Misfit> {
        let Some((fraction, mut shift)) = normalize(self.multiplier) else {
            let constant = (self.addend + self.offset).round().clamp(-LARGEST, LARGEST);
            return Ok(FixedRow { bias: CONSTANT_BIAS, shift: 0, multiplier: constant as i16, activation });
        };
        let mut multiplier = (fraction * 32_768.0).round();
        if multiplier.abs() >= 32_768.0 && shift > 0 {
            (multiplier, shift) = (multiplier / 2.0, shift - 1);
        }
        if shift < 0 {
            let expected = "|multiplier|, with an activation times the output scale, below 1/64 (GELU: below 1/2) \
                            for 16-bit arithmetic";
            return Err(("multiplier", p.multiplier, expected));
        }
        let multiplier = multiplier.clamp(-32_767.0, 32_767.0);

        let effective = multiplier / 32_768.0 / f64::from(shift).exp2();
        let rounded_away = 0.5 * (f64::from(shift).exp2() - 1.0);
        let middle = (self.middle - self.addend) / self.multiplier; // the accumulator in the middle of the outputs
        let bias = ((self.middle + self.offset) / effective - middle + rounded_away).round();
        if bias.abs() > f64::from(i32::MAX) {
            return Err(Linear::too_far(p));
        }
        Ok(FixedRow { bias: bias as i32, shift, multiplier: multiplier as i16, activation })
    }

    /// An addend that is too many accumulator units.
    fn too_far(p: &RowParams) -> Misfit {
        ("addend", p.addend, "|addend / multiplier| + 255 128 K below 2^31 for 16-bit arithmetic")
    }
}

/// `m = f 2^-shift` with 1/2 <= |f| < 1; nothing if m is so small that no accumulator makes it visible.
fn normalize(m: f64) -> Option<(f64, i32)> {
    if m.abs() < 2f64.powi(-32) {
        return None;
    }
    let exponent = ((m.to_bits() >> 52) & 0x7ff) as i32 - 1022; // |m| = f 2^exponent
    Some((m * f64::from(-exponent).exp2(), -exponent))
}

impl ActivationRow {
    /// The parameters of ReLU; `None` if 16 bits cannot hold them.
    fn relu(out_scale: f64, out_zero: f64) -> Option<ActivationRow> {
        let zero = ((out_zero + 0.5) * f64::from(1 << FRACTION_BITS)).round();
        let fits = out_scale >= 0.0 && out_zero.abs() <= 255.0;
        fits.then(|| ActivationRow { zero: zero as i16, ..ActivationRow::default() })
    }

    /// The parameters of GELU, with the most fraction bits that fit; `None` if no number of bits fits. If a multiplier is too large for
    /// every number of bits, [`Linear::row`] refuses it.
    fn gelu(multiplier: f64, out_scale: f64, out_zero: f64) -> Option<ActivationRow> {
        (1..=FRACTION_BITS).rev().find_map(|fraction_bits| {
            let unit = f64::from(1 << fraction_bits);
            let zero = ((out_zero + 0.5) * unit - 1.0).round();
            let index = if out_scale == 0.0 { 0.0 } else { (STEPS_PER_UNIT * 65_536.0 / (out_scale * unit)).round() };
            let step = (multiplier * out_scale).abs(); // outputs per accumulator unit
            let fits = out_scale >= 0.0
                && (step * unit < 0.999 || step * 2.0 >= 0.999)
                && out_zero.abs() <= 255.0
                && index <= LARGEST_INDEX
                && LARGEST_X * out_scale * unit <= LARGEST - zero.abs();
            fits.then(|| ActivationRow {
                zero: zero as i16,
                index: index as u16,
                look_up: (LARGEST_H / 255.0 * 256.0 * out_scale * unit).round() as u16,
                fraction_bits: fraction_bits as u16,
            })
        })
    }
}

/// The numbers of all rows of a K = `k` product; all parameters are finite.
///
/// # Errors
/// [`KernelError::Parameter`] naming the first row that cannot be written in 16 bits.
pub(crate) fn rows(
    params: &[RowParams],
    k: usize,
    activation: Activation,
    sign: Sign,
    kernel: &str,
) -> Result<Vec<FixedRow>, KernelError> {
    let row = |(row, p): (usize, &RowParams)| match FixedRow::new(p, activation, sign) {
        Ok(fixed) if fixed.holds(k) => Ok(fixed),
        Ok(_) => Err((row, Linear::too_far(p))),
        Err(misfit) => Err((row, misfit)),
    };
    let rows: Result<Vec<FixedRow>, _> = params.iter().enumerate().map(row).collect();
    rows.map_err(|(row, (parameter, found, expected))| KernelError::Parameter {
        kernel: kernel.to_owned(),
        parameter,
        row,
        found,
        expected,
    })
}

/// What the kernels read of four output features. Words are repeated four times: 32 bits are what a row of a plain panel
/// broadcasts, 128 bits (features 0 and 1, 2 and 3) what two packed rows of a VNNI panel do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct FixedBlock {
    pub(crate) bias: [i32; 4],
    pub(crate) shift: [i32; 4],
    pub(crate) multiplier: [[i16; 4]; 4],
}

/// [`FixedBlock`] and what ReLU needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct FixedReluBlock {
    pub(crate) linear: FixedBlock,
    pub(crate) zero: [[i16; 4]; 4],
}

/// [`FixedReluBlock`] and what GELU needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct FixedGeluBlock {
    pub(crate) relu: FixedReluBlock,
    pub(crate) index: [[u16; 4]; 4],
    pub(crate) look_up: [[u16; 4]; 4],
    pub(crate) fraction_bits: [[u16; 4]; 4],
}

impl From<&[FixedRow; 4]> for FixedBlock {
    fn from(rows: &[FixedRow; 4]) -> FixedBlock {
        FixedBlock {
            bias: rows.map(|row| row.bias),
            shift: rows.map(|row| row.shift),
            multiplier: rows.map(|row| [row.multiplier; 4]),
        }
    }
}

impl From<&[FixedRow; 4]> for FixedReluBlock {
    fn from(rows: &[FixedRow; 4]) -> FixedReluBlock {
        FixedReluBlock { linear: rows.into(), zero: rows.map(|row| [row.activation.zero; 4]) }
    }
}

impl From<&[FixedRow; 4]> for FixedGeluBlock {
    fn from(rows: &[FixedRow; 4]) -> FixedGeluBlock {
        FixedGeluBlock {
            relu: rows.into(),
            index: rows.map(|row| [row.activation.index; 4]),
            look_up: rows.map(|row| [row.activation.look_up; 4]),
            fraction_bits: rows.map(|row| [row.activation.fraction_bits; 4]),
        }
    }
}

/// `vpmulhrsw`.
#[inline(always)]
pub(crate) fn multiply_rounded(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b) + 0x4000) >> 15) as i16
}

/// `vpmulhuw`.
#[inline(always)]
pub(crate) fn multiply_high(a: u16, b: u16) -> u16 {
    ((u32::from(a) * u32::from(b)) >> 16) as u16
}

#[cfg(test)]
mod tests;
