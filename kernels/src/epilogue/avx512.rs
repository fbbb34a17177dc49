//! The verbs of epilogues in AVX-512.

use lacuna_jit::{Asm, Evex, Isa, Mem, Zmm};

use super::activation::GeluConstants;
use super::fixed::FAR_SHIFT;
use super::pack::{OutputLanes, Pack, emit_load_words};
use super::regs::EpilogueRegs;
use super::verbs::Verbs;
use crate::Sign;

/// Registers of GELU for all rows.
pub(crate) struct GeluRegs {
    near: [Zmm; 2],
    far: [Zmm; 2],
    look_up: LookUp,
}

/// How the tables are looked up.
enum LookUp {
    /// By `vpermi2b`, which needs VBMI. Holds a register of zeros, and one for values of both tables.
    Bytes { zero: Zmm, h: Zmm },
    /// By `vpermi2w`. Holds a register of words 127, the last index, and one for values of the first table.
    Words { last: Zmm, near_value: Zmm },
}

impl Verbs for Asm {
    type Gelu = GeluRegs;
    const LOOK_UP_TEMPS: usize = 0;
    const ROWS_PER_LOOK_UP: usize = 1;

    fn broadcast_to_first(&mut self, to: Zmm, source: Mem, parts: usize) {
        match parts {
            1 => self.vpbroadcastd(to, source),
            2 => self.vpbroadcastd_y(to, source),
            _ => self.vpbroadcastd_x(to, source),
        }
    }

    fn look_up_16(&mut self, to: Zmm, index: Zmm, table: Mem, _: &[Zmm]) {
        self.vpermd(to, index, table);
    }

    fn round_to_half(&mut self, to: Zmm, x: Zmm, _: Zmm, _: Zmm) {
        const NEAREST_HALF: u8 = 0x18; // to even, without a precision exception
        self.vrndscaleps(to, x, NEAREST_HALF);
    }

    fn vfmadd213ps_broadcast(&mut self, y: Zmm, a: Zmm, c: Mem, _: Zmm) {
        self.vfmadd213ps(y, a, c.bcast());
    }

    /// Six of `temps`.
    fn gelu(isa: Isa, temps: &[Zmm]) -> (GeluRegs, &[Zmm]) {
        let (own, params) = temps.split_at(6);
        let look_up = match isa {
            Isa::Avx512Vnni(token) if token.vbmi() => LookUp::Bytes { zero: own[4], h: own[5] },
            _ => LookUp::Words { last: own[4], near_value: own[5] },
        };
        (GeluRegs { near: [own[0], own[1]], far: [own[2], own[3]], look_up }, params)
    }

    fn load_gelu(&mut self, r: &GeluRegs, tables: Mem) {
        for (i, (&near, &far)) in (0..).zip(r.near.iter().zip(&r.far)) {
            self.vmovdqu32(near, tables + GeluConstants::NEAR + 64 * i);
            self.vmovdqu32(far, tables + GeluConstants::FAR + 64 * i);
        }
        match r.look_up {
            LookUp::Bytes { zero, .. } => self.vpxord(zero, zero, zero),
            LookUp::Words { last, .. } => {
                self.vpternlogd(last, last, last, 0xff); //   ones
                self.vpsrlw_i(last, last, 9); //              127
            }
        }
    }

    fn look_up_gelu(&mut self, r: &GeluRegs, _: Mem, p: &[Zmm], scratch: Zmm) {
        match r.look_up {
            LookUp::Bytes { zero, h } => emit_look_up_bytes(self, r, zero, h, p),
            LookUp::Words { last, near_value } => emit_look_up_words(self, r, last, near_value, scratch, p),
        }
    }

    fn shift_right_words(&mut self, packs: &[Pack], bits: Mem, row: Option<i32>, params: &[Zmm]) {
        emit_load_words(self, params, bits, row);
        for pack in packs {
            for (i, &[words, _]) in pack.pairs.iter().enumerate() {
                let bits = if row.is_some() { params[0] } else { params[i] };
                self.vpsravw(words, words, bits);
            }
        }
    }

    fn store_plain(&mut self, sign: Sign, packs: &[Pack], regs: &EpilogueRegs<'_>, lanes: OutputLanes<'_>) {
        for pack in packs {
            let bytes = pack.emit_bytes(self, sign, regs.constants);
            let out = regs.rows[pack.index];
            match lanes {
                OutputLanes::Dwords(mask) => self.vmovdqu32_st(out.k(mask), bytes),
                OutputLanes::WholeRow | OutputLanes::Columns(_) => self.vmovdqu32_st(out, bytes),
            }
        }
    }

    fn store_columns(&mut self, to: Mem, dwords: Zmm, index: usize, lanes: OutputLanes<'_>) {
        match lanes {
            OutputLanes::Columns(masks) => self.vmovdqu32_st(to.k(masks[index]), dwords),
            OutputLanes::WholeRow | OutputLanes::Dwords(_) => self.vmovdqu32_st(to, dwords),
        }
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
