//! The 16-bit epilogue as instructions; [`super::fixed`] says what they compute and why it is right.
//!
//! Words are in the order in which the store packs them: up to two vectors for a plain row; for a VNNI row two for each vector of
//! columns, features 0 and 1, features 2 and 3, with four columns of each feature in every 128-bit lane.

use std::mem::offset_of;

use lacuna_jit::{Isa, Mem, Vector, Zmm, ptr};

use super::constants::Constants;
use super::fixed::{FRACTION_BITS, FixedBlock, FixedGeluBlock, FixedReluBlock};
use super::pack::{OutputLanes, Pack, emit_load_words};
use super::regs::EpilogueRegs;
use super::store::emit_store_words;
use super::verbs::Verbs;
use crate::{Activation, PanelLayout, Sign};

const BIAS: i32 = offset_of!(FixedBlock, bias) as i32;
const SHIFT: i32 = offset_of!(FixedBlock, shift) as i32;
const MULTIPLIER: i32 = offset_of!(FixedBlock, multiplier) as i32;
const ZERO: i32 = offset_of!(FixedReluBlock, zero) as i32;
const INDEX: i32 = offset_of!(FixedGeluBlock, index) as i32;
const LOOK_UP: i32 = offset_of!(FixedGeluBlock, look_up) as i32;
const FRACTION: i32 = offset_of!(FixedGeluBlock, fraction_bits) as i32;

/// `acc[m][v] = bias[m]` in the first of `parts` parts of the vector, 0 in the others.
pub(super) fn emit_bias(a: &mut impl Verbs, params: Mem, acc: &[Vec<Zmm>], parts: usize) {
    for (m, acc) in (0..).zip(acc) {
        let bias = params + BIAS + 4 * m;
        a.broadcast_to_first(acc[0], bias, parts);
        for &v in &acc[1..] {
            a.vmovdqa(v, acc[0]);
        }
    }
}

/// Finishes `acc[row][vector]`, four rows that started at their biases. Destroys `acc` and `temps`.
pub(super) fn emit_fixed<A: Verbs>(
    a: &mut A,
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
            let tables = ptr(regs.constants) + Constants::gelu_offset(activation);
            let (gelu, params) = A::gelu(isa, regs.temps);
            a.load_gelu(&gelu, tables);
            (params, Function::Gelu(gelu, tables))
        }
    };
    let packs = Pack::all(layout, acc);
    match layout {
        // Rows one after the other, each with its own parameters.
        PanelLayout::Plain => {
            for packs in packs.chunks(A::ROWS_PER_LOOK_UP) {
                let words = |pack| {
                    let packs = std::slice::from_ref(pack);
                    Words { packs, params, memory: regs.params, row: Some(packs[0].index as i32) }
                };
                for pack in packs {
                    emit_shift(a, regs.params, pack.index as i32, &acc[pack.index], params[0]);
                    words(pack).emit(a, &function);
                }
                if let Function::Gelu(gelu, tables) = &function {
                    emit_look_up(a, gelu, *tables, packs, params);
                    packs.iter().for_each(|pack| words(pack).emit_difference(a));
                }
            }
        }
        PanelLayout::Vnni => {
            for (row, acc) in (0..).zip(acc) {
                emit_shift(a, regs.params, row, acc, params[0]);
            }
            let words = Words { packs: &packs, params, memory: regs.params, row: None };
            words.emit(a, &function);
            if let Function::Gelu(gelu, tables) = &function {
                packs.iter().for_each(|pack| emit_look_up(a, gelu, *tables, std::slice::from_ref(pack), params));
                words.emit_difference(a);
            }
        }
    }
    emit_store_words(a, layout, sign, &packs, regs, lanes);
}

/// The table indices of all words of `packs` become g << 8.
fn emit_look_up<A: Verbs>(a: &mut A, gelu: &A::Gelu, tables: Mem, packs: &[Pack], params: &[Zmm]) {
    let indices = packs.iter().flat_map(|pack| pack.pairs.iter().map(|pair| spare(pair, params)));
    a.look_up_gelu(gelu, tables, &indices.collect::<Vec<_>>(), params[0]); // its parameters are done
}

/// The second register of a pair; of a row with an odd number of vectors, whose last pair is one register twice, the second
/// one for parameters, which a single row does not use.
fn spare(pair: &[Zmm; 2], params: &[Zmm]) -> Zmm {
    if pair[0] == pair[1] { params[1] } else { pair[1] }
}

/// `acc >>= shift[row]`.
fn emit_shift(a: &mut impl Vector, params: Mem, row: i32, acc: &[Zmm], shift: Zmm) {
    a.vpbroadcastd(shift, params + SHIFT + 4 * row);
    for &v in acc {
        a.vpsravd(v, v, shift);
    }
}

/// An activation, with its registers.
enum Function<G> {
    Identity,
    Relu,
    /// The registers, and where the tables are.
    Gelu(G, Mem),
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
    /// From shifted accumulators to words ready to be packed; with GELU to t, and in the spare registers the indices of the tables.
    fn emit<A: Verbs>(&self, a: &mut A, function: &Function<A::Gelu>) {
        self.packs.iter().for_each(|pack| pack.emit_words(a));
        self.emit_load(a, MULTIPLIER);
        self.each(|w, _, multiplier| a.vpmulhrsw(w, w, multiplier)); // t = w multiplier / 2^15
        match function {
            Function::Gelu(..) => return self.emit_index(a),
            Function::Relu => {
                self.emit_load(a, ZERO);
                self.each(|t, _, zero| a.vpmaxsw(t, t, zero));
            }
            Function::Identity => {}
        }
        self.each(|t, _, _| a.vpsraw_i(t, t, FRACTION_BITS as u8));
    }

    /// Loads the parameters at `field`.
    fn emit_load(&self, a: &mut impl Vector, field: i32) {
        emit_load_words(a, self.params, self.memory + field, self.row);
    }

    /// Calls `emit` with every vector of words, a free register, and its parameters.
    fn each(&self, mut emit: impl FnMut(Zmm, Zmm, Zmm)) {
        for pack in self.packs {
            for (i, pair) in pack.pairs.iter().enumerate() {
                let param = if self.row.is_some() { self.params[0] } else { self.params[i] };
                emit(pair[0], spare(pair, self.params), param);
            }
        }
    }

    /// `t` becomes `max(t, zero)`, and the spare register `|t - zero|` in steps of the tables.
    fn emit_index(&self, a: &mut impl Verbs) {
        self.emit_load(a, ZERO);
        self.each(|t, d, zero| a.vpminsw(d, t, zero));
        self.each(|t, _, zero| a.vpmaxsw(t, t, zero));
        self.each(|t, d, _| a.vpsubw(d, t, d)); //            d = |t - zero|
        self.emit_load(a, INDEX);
        self.each(|_, d, index| a.vpmulhuw(d, d, index)); //  p = d index / 2^16
    }

    /// `t` becomes `max(t, zero) - h(|t - zero|)`, shifted right by the fraction bits.
    fn emit_difference(&self, a: &mut impl Verbs) {
        self.emit_load(a, LOOK_UP);
        self.each(|_, d, look_up| a.vpmulhuw(d, d, look_up)); // h(|x|) in units of t
        self.each(|t, d, _| a.vpsubw(t, t, d)); //            max(t, zero) - h
        a.shift_right_words(self.packs, self.memory + FRACTION, self.row, self.params);
    }
}
