//! From the manual's notation to bytes. Knows prefixes, ModRM, SIB and displacement compression; knows no memory policy.

use crate::registers::{Dst, Gpr, Mask, Mem, Rm, RmBcast, Zmm};

/// How a memory operand's size, and with it the unit N of a one-byte displacement (disp8*N), follows from the vector length
/// (SDM volume 2, tables 2-34 and 2-35).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tuple {
    /// A whole vector, or one broadcast element of 4 bytes (W0) or 8 bytes (W1).
    Full,
    /// A whole vector, no broadcast.
    FullMem,
    /// A quarter of the vector.
    Quarter,
    /// One element of 4 bytes.
    Scalar4,
    /// 16 bytes.
    Mem16,
    /// 32 bytes.
    Mem32,
}

/// An instruction's encoding, parsed from the manual's notation at compile time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    vex: bool,
    /// 0, 1, 2 for 128, 256, 512 bits.
    length: u8,
    /// 0 none, 1 66, 2 F3, 3 F2.
    prefix: u8,
    /// 1 0F, 2 0F38, 3 0F3A.
    map: u8,
    wide: bool,
    opcode: u8,
    /// `/digit`, for instructions that extend the opcode in ModRM.reg.
    digit: Option<u8>,
    tuple: Tuple,
}

impl Encoding {
    /// Parses `(E)VEX.length[.prefix].map.W opcode /r|/digit [ib]`. A malformed row fails the build.
    pub(crate) const fn parse(spec: &str, tuple: Tuple) -> Encoding {
        let s = spec.as_bytes();
        let vex = s[0] == b'V';
        let mut i = if vex { 4 } else { 5 };
        assert!(s[i - 1] == b'.', "expected VEX. or EVEX.");
        let length = match s[i] {
            b'1' => 0,
            b'2' => 1,
            b'5' => 2,
            _ => panic!("expected 128, 256 or 512"),
        };
        i += 4;
        let mut prefix = 0;
        if s[i] != b'0' {
            prefix = match (s[i], s[i + 1]) {
                (b'6', b'6') => 1,
                (b'F', b'3') => 2,
                (b'F', b'2') => 3,
                _ => panic!("expected 66, F3 or F2"),
            };
            i += 3;
        }
        assert!(s[i] == b'0' && s[i + 1] == b'F', "expected an 0F map");
        i += 2;
        let map = match (s[i], s[i + 1]) {
            (b'.', _) => 1,
            (b'3', b'8') => 2,
            (b'3', b'A') => 3,
            _ => panic!("expected 0F, 0F38 or 0F3A"),
        };
        if map > 1 {
            i += 2;
        }
        assert!(s[i] == b'.' && s[i + 1] == b'W', "expected .W0 or .W1");
        let wide = s[i + 2] == b'1';
        i += 4;
        let opcode = hex(s[i]) * 16 + hex(s[i + 1]);
        i += 3;
        assert!(s[i] == b'/', "expected /r or /digit");
        let digit = if s[i + 1] == b'r' { None } else { Some(hex(s[i + 1])) };
        Encoding { vex, length, prefix, map, wide, opcode, digit, tuple }
    }

    /// Vector length in bytes.
    pub fn vector_bytes(&self) -> i32 {
        16 << self.length
    }

    /// N of disp8*N; 1 with a VEX prefix, whose displacements are not compressed.
    pub fn disp8_unit(&self, broadcast: bool) -> i32 {
        match self.tuple {
            _ if self.vex => 1,
            Tuple::Full if broadcast => 4 << i32::from(self.wide),
            Tuple::Full | Tuple::FullMem => self.vector_bytes(),
            Tuple::Quarter => self.vector_bytes() / 4,
            Tuple::Scalar4 => 4,
            Tuple::Mem16 => 16,
            Tuple::Mem32 => 32,
        }
    }

    /// Fills ModRM.reg and the writemask from a destination.
    #[inline]
    pub(crate) fn masked(self, dst: Dst) -> Operands {
        Operands { mask: dst.mask, zeroing: dst.zeroing, ..self.register(dst.reg.code()) }
    }

    /// Fills vvvv and the writemask from a destination; ModRM.reg holds the row's digit.
    #[inline]
    pub(crate) fn masked_vector(self, dst: Dst) -> Operands {
        let digit = self.digit.unwrap_or(0);
        Operands { mask: dst.mask, zeroing: dst.zeroing, vector: dst.reg.code(), ..self.register(digit) }
    }

    /// Fills vvvv; ModRM.reg holds the row's digit.
    #[inline]
    pub(crate) fn digit_and_vector(self, dst: Zmm) -> Operands {
        self.register(self.digit.unwrap_or(0)).vector(dst)
    }

    /// Fills ModRM.reg.
    #[inline]
    pub(crate) fn register(self, reg: u8) -> Operands {
        Operands { encoding: self, reg, vector: 0, mask: None, zeroing: false }
    }
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'A'..=b'F' => digit - b'A' + 10,
        _ => panic!("expected an upper-case hexadecimal digit"),
    }
}

/// What ModRM.rm and SIB name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    Reg(Zmm),
    Gpr(Gpr),
    Mem(Mem),
    Bcast(Mem),
}

impl From<Rm> for Source {
    fn from(rm: Rm) -> Source {
        match rm {
            Rm::Reg(r) => Source::Reg(r),
            Rm::Mem(m) => Source::Mem(m),
        }
    }
}

impl From<RmBcast> for Source {
    fn from(rm: RmBcast) -> Source {
        match rm {
            RmBcast::Reg(r) => Source::Reg(r),
            RmBcast::Mem(m) => Source::Mem(m),
            RmBcast::Bcast(m) => Source::Bcast(m),
        }
    }
}

/// An encoding with its operands, except the last one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operands {
    encoding: Encoding,
    reg: u8,
    vector: u8,
    mask: Option<Mask>,
    zeroing: bool,
}

/// The bytes of one instruction; at most 15 by the architecture's own limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoded {
    bytes: [u8; 16],
    len: usize,
    memory: bool,
}

impl Encoded {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Whether an operand is in memory.
    #[inline]
    pub(crate) fn has_memory(&self) -> bool {
        self.memory
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }
}

impl Operands {
    #[inline]
    pub(crate) fn vector(self, reg: Zmm) -> Operands {
        Operands { vector: reg.code(), ..self }
    }

    #[inline]
    pub(crate) fn writemask(self, mask: Option<Mask>) -> Operands {
        Operands { mask, ..self }
    }

    /// Adds the last operand and encodes.
    #[inline]
    pub(crate) fn source(self, source: Source, imm: Option<u8>) -> Encoded {
        let broadcast = matches!(source, Source::Bcast(_));
        let memory = broadcast || matches!(source, Source::Mem(_));
        let mut out = Encoded { bytes: [0; 16], len: 0, memory };
        // Bits 3 and 4 of the register in ModRM.rm, or bit 3 of base and index.
        let (b, x) = match source {
            Source::Reg(r) => (r.code() >> 3 & 1, r.code() >> 4 & 1),
            Source::Gpr(r) => (r.code() >> 3 & 1, 0),
            Source::Mem(m) | Source::Bcast(m) => {
                (m.base.code() >> 3 & 1, m.index.map_or(0, |(r, _)| r.code() >> 3 & 1))
            }
        };
        if self.encoding.vex {
            self.vex_prefix(&mut out, x, b);
        } else {
            self.evex_prefix(&mut out, x, b, broadcast);
        }
        out.push(self.encoding.opcode);
        let reg = (self.reg & 7) << 3;
        match source {
            Source::Reg(r) => out.push(0xc0 | reg | r.code() & 7),
            Source::Gpr(r) => out.push(0xc0 | reg | r.code() & 7),
            Source::Mem(m) | Source::Bcast(m) => address(&mut out, reg, m, self.encoding.disp8_unit(broadcast)),
        }
        if let Some(imm) = imm {
            out.push(imm);
        }
        out
    }

    /// `62 | R X B R' 0 m m m | W v v v v 1 p p | z L' L b V' a a a`; R, X, B, R', v and V' are stored inverted.
    #[inline]
    fn evex_prefix(&self, out: &mut Encoded, x: u8, b: u8, broadcast: bool) {
        let e = &self.encoding;
        out.push(0x62);
        out.push(!(self.reg >> 3 & 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | ((self.reg >> 4 & 1) ^ 1) << 4 | e.map);
        out.push(u8::from(e.wide) << 7 | (!self.vector & 15) << 3 | 1 << 2 | e.prefix);
        out.push(
            u8::from(self.zeroing) << 7
                | e.length << 5
                | u8::from(broadcast) << 4
                | ((self.vector >> 4 & 1) ^ 1) << 3
                | self.mask.map_or(0, Mask::code),
        );
    }

    /// `C4 | R X B m m m m m | W v v v v L p p`; R, X, B and v are stored inverted.
    #[inline]
    fn vex_prefix(&self, out: &mut Encoded, x: u8, b: u8) {
        let e = &self.encoding;
        out.push(0xc4);
        out.push(!(self.reg >> 3 & 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | e.map);
        out.push(u8::from(e.wide) << 7 | (!self.vector & 15) << 3 | e.length << 2 | e.prefix);
    }
}

/// ModRM, SIB and displacement. `unit` is N of disp8*N.
#[inline]
fn address(out: &mut Encoded, reg: u8, m: Mem, unit: i32) {
    const SIB_FOLLOWS: u8 = 4;
    const NO_INDEX: u8 = 4;
    /// Base 5 (rbp, r13) without displacement would mean "no base".
    const NEEDS_DISPLACEMENT: u8 = 5;
    let base = m.base.code() & 7;
    let short = (m.disp % unit == 0).then(|| m.disp / unit).and_then(|d| i8::try_from(d).ok());
    let mode = match (m.disp, short) {
        (0, _) if base != NEEDS_DISPLACEMENT => 0,
        (_, Some(_)) => 1,
        _ => 2,
    };
    match m.index {
        None if base != SIB_FOLLOWS => out.push(mode << 6 | reg | base),
        None => {
            out.push(mode << 6 | reg | SIB_FOLLOWS);
            out.push(NO_INDEX << 3 | base);
        }
        Some((index, scale)) => {
            out.push(mode << 6 | reg | SIB_FOLLOWS);
            out.push((scale as u8) << 6 | (index.code() & 7) << 3 | base);
        }
    }
    match (mode, short) {
        (1, Some(d)) => out.push(d as u8),
        (2, _) => m.disp.to_le_bytes().into_iter().for_each(|b| out.push(b)),
        _ => {}
    }
}
