//! The 16-bit epilogue as instructions; [`super::fixed`] says what they compute and why it is right.
//!
//! Words are in the order in which the store packs them: up to two vectors for a plain row; for a VNNI row two for each vector of
//! columns, features 0 and 1, features 2 and 3, with four columns of each feature in every 128-bit lane.

use std::mem::offset_of;

use lacuna_jit::{Asm, Evex, Isa, Mem, Zmm, ptr};

use super::activation::GeluConstants;
use super::constants::Constants;
use super::fixed::{FAR_SHIFT, FRACTION_BITS, FixedBlock, FixedGeluBlock, FixedReluBlock};
use super::regs::EpilogueRegs;
use super::store::{OutputLanes, Pack, emit_store_words};
use crate::{Activation, PanelLayout, Sign};

const BIAS: i32 = offset_of!(FixedBlock, bias) as i32;
const SHIFT: i32 = offset_of!(FixedBlock, shift) as i32;
const MULTIPLIER: i32 = offset_of!(FixedBlock, multiplier) as i32;
const ZERO: i32 = offset_of!(FixedReluBlock, zero) as i32;
const INDEX: i32 = offset_of!(FixedGeluBlock, index) as i32;
const LOOK_UP: i32 = offset_of!(FixedGeluBlock, look_up) as i32;
const FRACTION: i32 = offset_of!(FixedGeluBlock, fraction_bits) as i32;

/// `acc[m][v] = bias[m]` in the first of `parts` parts of the vector, 0 in the others.
pub(super) fn emit_bias(a: &mut Asm, params: Mem, acc: &[Vec<Zmm>], parts: usize) {
    for (m, acc) in (0..).zip(acc) {
        let bias = params + BIAS + 4 * m;
        match parts {
            1 => a.vpbroadcastd(acc[0], bias),
            2 => a.vpbroadcastd_y(acc[0], bias),
            _ => a.vpbroadcastd_x(acc[0], bias),
        }
        for &v in &acc[1..] {
            a.vmovdqa32(v, acc[0]);
        }
    }
}

/// Finishes `acc[row][vector]`, four rows that started at their biases. Destroys `acc` and `temps`.
pub(super) fn emit_fixed(
    a: &mut Asm,
    isa: Isa,
    activation: Activation,
    (layout, sign): (PanelLayout, Sign),
    acc: &[Vec<Zmm>],
    regs: &EpilogueRegs<'_>,
    lanes: OutputLanes<'_>,
) {
    let (params, function) = match activation {
        Activation::Identity => (regs.temps, Function::Identity),
        Activation::Relu => (regs.temps, Function::Relu),
        Activation::Gelu | Activation::GeluTanh => {
            let (gelu, params) = GeluRegs::split(isa, regs.temps);
            gelu.emit_load(a, ptr(regs.constants) + Constants::gelu_offset(activation));
            (params, Function::Gelu(gelu))
        }
    };
    let packs = Pack::all(layout, acc);
    match layout {
        // Rows one after the other, each with its own parameters.
        PanelLayout::Plain => {
            for pack in &packs {
                let row = pack.index as i32;
                emit_shift(a, regs.params, row, &acc[pack.index], params[0]);
                let words = Words { packs: std::slice::from_ref(pack), params, memory: regs.params, row: Some(row) };
                words.emit(a, &function);
            }
        }
        PanelLayout::Vnni => {
            for (row, acc) in (0..).zip(acc) {
                emit_shift(a, regs.params, row, acc, params[0]);
            }
            Words { packs: &packs, params, memory: regs.params, row: None }.emit(a, &function);
        }
    }
    emit_store_words(a, layout, sign, &packs, regs, lanes);
}

/// `acc >>= shift[row]`.
fn emit_shift(a: &mut Asm, params: Mem, row: i32, acc: &[Zmm], shift: Zmm) {
    a.vpbroadcastd(shift, params + SHIFT + 4 * row);
    for &v in acc {
        a.vpsravd(v, v, shift);
    }
}

/// An activation, with its registers.
enum Function {
    Identity,
    Relu,
    Gelu(GeluRegs),
}

/// Words that are computed together. The first register for parameters serves three times, one after the other: the shift of the
/// accumulators ([`emit_shift`]), parameters, and without VBMI the `count` of a look-up between parameters.
struct Words<'a> {
    packs: &'a [Pack],
    /// Two registers for parameters.
    params: &'a [Zmm],
    /// [`FixedBlock`], [`FixedReluBlock`] or [`FixedGeluBlock`].
    memory: Mem,
    /// The only row, if there is only one.
    row: Option<i32>,
}

impl Words<'_> {
    /// From shifted accumulators to words ready to be packed.
    fn emit(&self, a: &mut Asm, function: &Function) {
        self.packs.iter().for_each(|pack| pack.emit_words(a));
        self.emit_load(a, MULTIPLIER);
        self.each(|w, _, multiplier| a.vpmulhrsw(w, w, multiplier)); // t = w multiplier / 2^15
        match function {
            Function::Gelu(gelu) => return self.emit_gelu(a, gelu),
            Function::Relu => {
                self.emit_load(a, ZERO);
                self.each(|t, _, zero| a.vpmaxsw(t, t, zero));
            }
            Function::Identity => {}
        }
        self.each(|t, _, _| a.vpsraw_i(t, t, FRACTION_BITS as u8));
    }

    /// Loads the parameters at `field`, an array `[[word; 4]; 4]`: one row's into every lane; or those of rows 0 and 1 into every
    /// 128-bit lane of one register, those of rows 2 and 3 into another.
    fn emit_load(&self, a: &mut Asm, field: i32) {
        match self.row {
            Some(row) => a.vpbroadcastd(self.params[0], self.memory + field + 8 * row),
            None => {
                a.vbroadcasti32x4(self.params[0], self.memory + field);
                a.vbroadcasti32x4(self.params[1], self.memory + field + 16);
            }
        }
    }

    /// Calls `emit` with every vector of words, a free register, and its parameters.
    fn each(&self, mut emit: impl FnMut(Zmm, Zmm, Zmm)) {
        for pack in self.packs {
            for (i, pair) in pack.pairs.iter().enumerate() {
                let param = if self.row.is_some() { self.params[0] } else { self.params[i] };
                emit(pair[0], self.spare(pair), param);
            }
        }
    }

    /// The second register of a pair; of a row with an odd number of vectors, whose last pair is one register twice, the second
    /// one for parameters, which a single row does not use.
    fn spare(&self, pair: &[Zmm; 2]) -> Zmm {
        if pair[0] == pair[1] { self.params[1] } else { pair[1] }
    }

    /// `t` becomes `max(t, zero) - h(|t - zero|)`, shifted right by the fraction bits.
    fn emit_gelu(&self, a: &mut Asm, r: &GeluRegs) {
        self.emit_load(a, ZERO);
        self.each(|t, d, zero| a.vpminsw(d, t, zero));
        self.each(|t, _, zero| a.vpmaxsw(t, t, zero));
        self.each(|t, d, _| a.vpsubw(d, t, d)); //            d = |t - zero|
        self.emit_load(a, INDEX);
        self.each(|_, d, index| a.vpmulhuw(d, d, index)); //  p = d index / 2^16
        for pack in self.packs {
            let d: Vec<Zmm> = pack.pairs.iter().map(|pair| self.spare(pair)).collect();
            match r.look_up {
                LookUp::Bytes { zero, h } => emit_look_up_bytes(a, r, zero, h, &d),
                LookUp::Words { last, near_value } => {
                    let count = self.params[0]; // its parameters are done
                    emit_look_up_words(a, r, last, near_value, count, &d);
                }
            }
        }
        self.emit_load(a, LOOK_UP);
        self.each(|_, d, look_up| a.vpmulhuw(d, d, look_up)); // h(|x|) in units of t
        self.each(|t, d, _| a.vpsubw(t, t, d)); //            max(t, zero) - h
        self.emit_load(a, FRACTION);
        self.each(|t, _, bits| a.vpsravw(t, t, bits));
    }
}

/// With VBMI: words `d` = p become g << 8. A table look-up takes bytes, packed from one or two vectors of words.
fn emit_look_up_bytes(a: &mut Asm, r: &GeluRegs, zero: Zmm, h: Zmm, d: &[Zmm]) {
    let (first, last) = (d[0], d[d.len() - 1]);
    a.vpacksswb(h, first, last); //                           min(p, 127)
    for &d in d {
        a.vpsrlw_i(d, d, FAR_SHIFT);
    }
    a.vpacksswb(first, first, last); //                       min(p >> 2, 127)
    a.vpermi2b(h, r.near[0], r.near[1]);
    a.vpermi2b(first, r.far[0], r.far[1]);
    a.vpaddb(h, h, first); //                                 g = near + far
    if d.len() > 1 {
        a.vpunpckhbw(last, zero, h); //                       g << 8
    }
    a.vpunpcklbw(first, zero, h);
}

/// Without VBMI: words `d` = p become g << 8, with the same bits. `count` is destroyed.
fn emit_look_up_words(a: &mut Asm, r: &GeluRegs, last: Zmm, near: Zmm, count: Zmm, d: &[Zmm]) {
    for &d in d {
        a.vpminsw(near, d, last); //                          min(p, 127)
        emit_look_up_word(a, near, r.near, count);
        a.vpsrlw_i(d, d, FAR_SHIFT);
        a.vpminsw(d, d, last); //                             min(p >> 2, 127)
        emit_look_up_word(a, d, r.far, count);
        a.vpaddb(d, d, near); //                              g = near + far, below unused bits
        a.vpsllw_i(d, d, 8); //                               g << 8
    }
}

/// Words `index` become `table[index]` in their lower bytes; their upper bytes have no meaning. `table` is looked up as words, two
/// entries in each, and the one wanted is shifted down. `count` is destroyed.
fn emit_look_up_word(a: &mut Asm, index: Zmm, table: [Zmm; 2], count: Zmm) {
    a.vpsllw_i(count, index, 15);
    a.vpsrlw_i(index, index, 1);
    a.vpsrlw_i(count, count, 12); //                          8 (index mod 2)
    a.vpermi2w(index, table[0], table[1]);
    a.vpsrlvw(index, index, count);
}

/// How the tables are looked up.
enum LookUp {
    /// By `vpermi2b`, which needs VBMI. Holds a register of zeros, and one for values of both tables.
    Bytes { zero: Zmm, h: Zmm },
    /// By `vpermi2w`. Holds a register of words 127, the last index, and one for values of the first table.
    Words { last: Zmm, near_value: Zmm },
}

/// Registers of GELU for all rows.
struct GeluRegs {
    near: [Zmm; 2],
    far: [Zmm; 2],
    look_up: LookUp,
}

impl GeluRegs {
    /// Takes six of `temps`; the rest is for parameters.
    fn split(isa: Isa, temps: &[Zmm]) -> (GeluRegs, &[Zmm]) {
        let (own, params) = temps.split_at(6);
        let look_up = match isa {
            Isa::Avx512Vnni(token) if token.vbmi() => LookUp::Bytes { zero: own[4], h: own[5] },
            _ => LookUp::Words { last: own[4], near_value: own[5] },
        };
        (GeluRegs { near: [own[0], own[1]], far: [own[2], own[3]], look_up }, params)
    }

    /// Loads the tables at `constants`, a [`GeluConstants`].
    fn emit_load(&self, a: &mut Asm, constants: Mem) {
        for (i, (&near, &far)) in (0..).zip(self.near.iter().zip(&self.far)) {
            a.vmovdqu32(near, constants + GeluConstants::NEAR + 64 * i);
            a.vmovdqu32(far, constants + GeluConstants::FAR + 64 * i);
        }
        match self.look_up {
            LookUp::Bytes { zero, .. } => a.vpxord(zero, zero, zero),
            LookUp::Words { last, .. } => {
                a.vpternlogd(last, last, last, 0xff); //      ones
                a.vpsrlw_i(last, last, 9); //                 127
            }
        }
    }
}
