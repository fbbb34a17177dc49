//! The verbs of epilogues in AVX2: four rows of two vectors of eight columns, all stored as whole vectors.

use lacuna_jit::{Asm, Isa, Mem, Vex, Ymm256, Zmm};

use super::activation::GeluConstants;
use super::bytes::emit_pack;
use super::fixed::{ENTRIES, FAR_SHIFT};
use super::pack::{OutputLanes, Pack};
use super::regs::EpilogueRegs;
use super::verbs::Verbs;
use crate::Sign;

/// Entries that one `vpshufb` looks up.
const CHUNK: usize = 16;
/// Chunks of a table.
const CHUNKS: usize = ENTRIES / CHUNK;
/// Chunks of the far table that are 0, because the near table decides there.
const FAR_ZEROS: usize = (ENTRIES >> FAR_SHIFT) / CHUNK;

/// Registers of a look-up in tables of 128 bytes.
pub(crate) struct GeluRegs {
    index: Zmm,
    /// Bit 4 of the index, as the sign of each byte.
    bit_4: Zmm,
    /// Bit 5, then bit 6.
    bit_5: Zmm,
    values: [Zmm; 4],
}

impl Verbs for Asm<Ymm256> {
    type Gelu = GeluRegs;
    const LOOK_UP_TEMPS: usize = 2;
    const ROWS_PER_LOOK_UP: usize = 2;

    fn broadcast_to_first(&mut self, to: Zmm, source: Mem, parts: usize) {
        debug_assert_eq!(parts, 1, "only AVX-512 lets groups share vectors");
        self.vpbroadcastd(to, source);
    }

    fn look_up_16(&mut self, to: Zmm, index: Zmm, table: Mem, scratch: &[Zmm]) {
        let [upper, select] = [scratch[0], scratch[1]];
        self.vpermd(to, index, table); //                        entries 0-7
        self.vpermd(upper, index, table + 32); //                entries 8-15
        self.vpslld_i(select, index, 28); //                     bit 3 as the sign
        self.vblendvps(to, to, upper, select);
    }

    fn round_to_half(&mut self, to: Zmm, _: Zmm, shifted: Zmm, magic: Zmm) {
        self.vsubps(to, shifted, magic);
    }

    fn vfmadd213ps_broadcast(&mut self, y: Zmm, a: Zmm, c: Mem, scratch: Zmm) {
        self.vbroadcastss(scratch, c);
        self.vfmadd213ps(y, a, scratch);
    }

    /// Seven of `temps`. The second register of parameters is one of them: a look-up destroys it.
    fn gelu(_: Isa, temps: &[Zmm]) -> (GeluRegs, &[Zmm]) {
        let own = &temps[1..];
        let values = [own[3], own[4], own[5], own[6]];
        (GeluRegs { index: own[0], bit_4: own[1], bit_5: own[2], values }, &temps[..2])
    }

    /// Nothing: the tables are read where they are used.
    fn load_gelu(&mut self, _: &GeluRegs, _: Mem) {}

    fn look_up_gelu(&mut self, r: &GeluRegs, tables: Mem, p: &[Zmm], scratch: Zmm) {
        let (first, last) = (p[0], p[p.len() - 1]);
        let (value, near) = (r.values[0], scratch);
        self.vpacksswb(r.index, first, last); //                 min(p, 127)
        emit_look_up_128(self, r, tables + GeluConstants::NEAR, 0);
        self.vmovdqa(near, value);
        for &p in p {
            self.vpsrlw_i(p, p, FAR_SHIFT);
        }
        self.vpacksswb(r.index, first, last); //                 min(p >> 2, 127)
        emit_look_up_128(self, r, tables + GeluConstants::FAR, FAR_ZEROS);
        self.vpaddb(near, near, value); //                       g = near + far
        self.vpxor(value, value, value);
        if p.len() > 1 {
            self.vpunpckhbw(last, value, near); //               g << 8
        }
        self.vpunpcklbw(first, value, near);
    }

    fn shift_right_words(&mut self, packs: &[Pack], bits: Mem, row: Option<i32>, params: &[Zmm]) {
        /// The upper half of each 128-bit lane.
        const UPPER: u8 = 0b1111_0000;
        for pack in packs {
            for (i, &[words, other]) in (0..).zip(&pack.pairs) {
                match row {
                    Some(row) => {
                        self.vpmovzxwq_x(params[0], bits + 8 * row);
                        self.vpsraw(words, words, params[0]);
                    }
                    None => {
                        self.vpmovzxwq_x(params[0], bits + 16 * i);
                        self.vpmovzxwq_x(params[1], bits + 16 * i + 8);
                        self.vpsraw(other, words, params[0]); //  row 2i
                        self.vpsraw(words, words, params[1]); //  row 2i + 1
                        self.vpblendw(words, other, words, UPPER);
                    }
                }
            }
        }
    }

    /// A vector of bytes has eight columns of two rows in each 128-bit lane.
    fn store_plain(&mut self, sign: Sign, packs: &[Pack], regs: &EpilogueRegs<'_>, _: OutputLanes<'_>) {
        /// The 128-bit lanes in the other order.
        const SWAP: u8 = 0b0100_1110;
        for two in packs.chunks(2) {
            let (first, second) = (two[0].pairs[0][0], two[two.len() - 1].pairs[0][0]);
            let other = two[0].pairs[0][1];
            emit_pack(self, sign, regs.constants, first, second);
            self.vpermq(other, first, SWAP);
            for (lane, bytes) in [first, other].into_iter().enumerate() {
                let at = |pack: &Pack| regs.rows[pack.index] + 16 * lane as i32;
                self.vmovq_x_st(at(&two[0]), bytes);
                if let Some(second) = two.get(1) {
                    self.vmovhps_st(at(second), bytes);
                }
            }
        }
    }

    fn store_columns(&mut self, to: Mem, dwords: Zmm, _: usize, _: OutputLanes<'_>) {
        self.vmovdqu_st(to, dwords);
    }
}

/// `r.values[0] = table[r.index]` of 128 bytes, whose first `zeros` chunks of 16 are 0. `vpshufb` takes the lowest four bits of an index, and
/// the three bits above select among the chunks.
fn emit_look_up_128(a: &mut Asm<Ymm256>, r: &GeluRegs, table: Mem, zeros: usize) {
    let [value, other, ..] = r.values;
    a.vpsllw_i(r.bit_4, r.index, 3);
    a.vpsllw_i(r.bit_5, r.index, 2);
    emit_four_chunks(a, r, table, zeros, 0, &r.values[..3]);
    emit_four_chunks(a, r, table, zeros, CHUNKS / 2, &r.values[1..]);
    let bit_6 = r.bit_5;
    a.vpsllw_i(bit_6, r.index, 1);
    a.vpblendvb(value, value, other, bit_6);
}

/// `values[0]`: what bits 0 to 5 of the index select of four chunks from `first` on.
fn emit_four_chunks(a: &mut Asm<Ymm256>, r: &GeluRegs, table: Mem, zeros: usize, first: usize, values: &[Zmm]) {
    emit_two_chunks(a, r, table, zeros, first, &values[..2]);
    emit_two_chunks(a, r, table, zeros, first + 2, &values[1..]);
    a.vpblendvb(values[0], values[0], values[1], r.bit_5);
}

/// `values[0]`: what bits 0 to 4 of the index select of two chunks from `first` on.
fn emit_two_chunks(a: &mut Asm<Ymm256>, r: &GeluRegs, table: Mem, zeros: usize, first: usize, values: &[Zmm]) {
    if first + 2 <= zeros {
        return a.vpxor(values[0], values[0], values[0]);
    }
    for (chunk, &value) in (first..).zip(&values[..2]) {
        a.vbroadcasti128(value, table + (CHUNK * chunk) as i32);
        a.vpshufb(value, value, r.index);
    }
    a.vpblendvb(values[0], values[0], values[1], r.bit_4);
}
