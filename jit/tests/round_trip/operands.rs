//! Operands as plain values: random ones for the encoder, and their text as a disassembler shows it.

use lacuna_jit::{Dst, Form, Gpr, Mask, Mem, MemDst, Rm, RmBcast, Scale, Zmm, ptr};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::manual::{Instruction, is_source};

const SCALES: [(Scale, u8); 4] = [(Scale::X1, 1), (Scale::X2, 2), (Scale::X4, 4), (Scale::X8, 8)];
const GPR_NAMES_32: [&str; 16] = [
    "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d",
    "r15d",
];

/// `[base + index * scale + disp]`.
#[derive(Clone, Copy)]
pub(crate) struct Address {
    pub(crate) base: Gpr,
    /// The register, the encoder's scale and the factor it stands for.
    pub(crate) index: Option<(Gpr, Scale, u8)>,
    pub(crate) disp: i32,
}

/// The operand that may be memory.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Reg(Zmm),
    Mem(Address),
    Bcast(Address),
}

/// A value for every operand that any form takes.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    pub(crate) dst: Zmm,
    /// The mask and whether it zeroes.
    pub(crate) mask: Option<(Mask, bool)>,
    /// The second register: a first source, or what is stored.
    pub(crate) a: Zmm,
    /// The third source.
    pub(crate) c: Zmm,
    pub(crate) k: Mask,
    pub(crate) gpr: Gpr,
    pub(crate) source: Source,
    pub(crate) imm: u8,
}

impl Address {
    fn mem(&self) -> Mem {
        let mem = ptr(self.base) + self.disp;
        self.index.map_or(mem, |(index, scale, _)| mem.index(index, scale))
    }

    fn text(&self) -> String {
        let index = self.index.map_or(String::new(), |(index, _, factor)| format!("+{}*{factor}", index.name()));
        let disp = match self.disp {
            0 => String::new(),
            d if d < 0 => format!("-0x{:x}", d.unsigned_abs()),
            d => format!("+0x{d:x}"),
        };
        format!("[{}{index}{disp}]", self.base.name())
    }

    /// Bytes of SIB and displacement: one byte of displacement if it is a multiple of `unit` that fits.
    fn bytes(&self, unit: i32) -> usize {
        let sib = self.index.is_some() || matches!(self.base.name(), "rsp" | "r12");
        let disp = match self.disp {
            0 if !matches!(self.base.name(), "rbp" | "r13") => 0,
            d if d % unit == 0 && (-128..=127).contains(&(d / unit)) => 1,
            _ => 4,
        };
        usize::from(sib) + disp
    }
}

impl Operands {
    pub(crate) fn dst(&self) -> Dst {
        match self.mask {
            None => self.dst.into(),
            Some((mask, false)) => self.dst.k(mask),
            Some((mask, true)) => self.dst.kz(mask),
        }
    }

    pub(crate) fn rm(&self) -> Rm {
        match self.source {
            Source::Reg(r) => r.into(),
            Source::Mem(m) => m.mem().into(),
            Source::Bcast(_) => unreachable!("only drawn for rows with a broadcast operand"),
        }
    }

    pub(crate) fn rm_bcast(&self) -> RmBcast {
        match self.source {
            Source::Reg(r) => r.into(),
            Source::Mem(m) => m.mem().into(),
            Source::Bcast(m) => m.mem().bcast().into(),
        }
    }

    pub(crate) fn mem(&self) -> Mem {
        match self.source {
            Source::Mem(m) => m.mem(),
            _ => unreachable!("rows that only take memory draw nothing else"),
        }
    }

    pub(crate) fn mem_dst(&self) -> MemDst {
        match self.mask {
            None => self.mem().into(),
            Some((mask, _)) => self.mem().k(mask),
        }
    }

    /// Random operands among those that `instruction` has.
    pub(crate) fn random(rng: &mut StdRng, instruction: &Instruction) -> Operands {
        let sources: Vec<&str> = instruction.sources().collect();
        let source = match sources[rng.random_range(0..sources.len())] {
            s if s.ends_with("bcst") => Source::Bcast(random_address(rng, bytes(s))),
            s if s.starts_with('m') => Source::Mem(random_address(rng, bytes(s))),
            _ => Source::Reg(random_zmm(rng, instruction)),
        };
        let mask = (instruction.masked() && rng.random())
            .then(|| (random_mask(rng), instruction.zeroing() && rng.random::<bool>()));
        Operands {
            dst: random_zmm(rng, instruction),
            mask,
            a: random_zmm(rng, instruction),
            c: random_zmm(rng, instruction),
            k: random_mask(rng),
            gpr: Gpr::new(rng.random_range(0..16)).unwrap(),
            source,
            imm: rng.random(),
        }
    }

    /// What a disassembler must show for `instruction` with these operands.
    pub(crate) fn text(&self, instruction: &Instruction) -> String {
        let operands: Vec<String> = instruction.operands().enumerate().map(|(i, slot)| self.operand(i, slot)).collect();
        format!("{} {}", instruction.mnemonic(), operands.join(", "))
    }

    fn operand(&self, position: usize, slot: &str) -> String {
        let mask = match self.mask {
            Some((mask, zeroing)) if slot.contains("{k1}") => {
                format!("{{k{}}}{}", mask.code(), if zeroing { "{z}" } else { "" })
            }
            _ => String::new(),
        };
        let class = &slot[..slot.find(|c: char| c.is_ascii_digit()).unwrap()];
        match class {
            "imm" => format!("0x{:x}", self.imm),
            "r" if slot == "r32" => GPR_NAMES_32[usize::from(self.gpr.code())].to_owned(),
            "r" => self.gpr.name().to_owned(),
            "k" => format!("k{}", self.k.code()),
            _ if is_source(slot) => self.source(slot) + &mask,
            _ if position == 0 => format!("{class}{}{mask}", self.dst.code()),
            _ if position == 3 => format!("{class}{}", self.c.code()),
            _ => format!("{class}{}", self.a.code()),
        }
    }

    fn source(&self, slot: &str) -> String {
        let mut alternatives = slot.split('/');
        match self.source {
            Source::Reg(r) => format!("{}{}", &slot[..3], r.code()),
            Source::Mem(m) => {
                let size = bytes(alternatives.find(|s| s.starts_with('m')).unwrap());
                format!("{} ptr {}", size_name(size), m.text())
            }
            Source::Bcast(m) => {
                let vector = bytes(alternatives.clone().find(|s| s.starts_with('m')).unwrap());
                let element = bytes(alternatives.next_back().unwrap());
                format!("{} ptr {}{{1to{}}}", size_name(element), m.text(), vector / element)
            }
        }
    }

    /// Length in bytes of `instruction` with these operands.
    pub(crate) fn length(&self, instruction: &Instruction) -> usize {
        let vex = instruction.vex || instruction.mnemonic().starts_with('k');
        let prefix = if vex { 3 } else { 4 };
        let address = match self.source {
            Source::Reg(_) => 0,
            Source::Mem(m) => m.bytes(unit(instruction, false)),
            Source::Bcast(m) => m.bytes(unit(instruction, true)),
        };
        let opcode_and_modrm = 2;
        let immediate = instruction.immediate() || instruction.form == Form::RvmR;
        prefix + opcode_and_modrm + address + usize::from(immediate)
    }
}

/// N of disp8*N: the size of the memory operand, or 1 with a VEX prefix.
pub(crate) fn unit(instruction: &Instruction, broadcast: bool) -> i32 {
    if instruction.vex {
        return 1;
    }
    let slot = instruction.sources().find(|s| s.starts_with('m') && s.ends_with("bcst") == broadcast);
    bytes(slot.unwrap())
}

/// `m512{k1}` is 64 bytes, `m32bcst` 4.
fn bytes(slot: &str) -> i32 {
    let digits: String = slot.chars().skip(1).take_while(char::is_ascii_digit).collect();
    digits.parse::<i32>().unwrap() / 8
}

fn size_name(bytes: i32) -> &'static str {
    match bytes {
        4 => "dword",
        8 => "qword",
        16 => "xmmword",
        32 => "ymmword",
        64 => "zmmword",
        _ => unreachable!("no such memory operand"),
    }
}

/// Displacements around every border of disp8*N, where N is `unit`.
pub(crate) fn edge_displacements(unit: i32) -> [i32; 16] {
    let n = unit;
    [
        0,
        n,
        -n,
        127 * n,
        128 * n,
        -128 * n,
        -129 * n,
        127 * n - 1,
        -128 * n + 1,
        n / 2,
        -n / 2,
        1,
        127,
        -128,
        i32::MAX,
        i32::MIN,
    ]
}

/// Every base and every index register with every scale.
pub(crate) fn every_base_and_index() -> impl Iterator<Item = Address> {
    let gprs = || (0..16).filter_map(Gpr::new);
    let indices =
        move || gprs().filter(|r| r.name() != "rsp").flat_map(|r| SCALES.map(|(s, factor)| Some((r, s, factor))));
    gprs().flat_map(move |base| [None].into_iter().chain(indices()).map(move |index| Address { base, index, disp: 0 }))
}

fn random_zmm(rng: &mut StdRng, instruction: &Instruction) -> Zmm {
    Zmm::new(rng.random_range(0..instruction.registers())).unwrap()
}

fn random_mask(rng: &mut StdRng) -> Mask {
    Mask::new(rng.random_range(1..8)).unwrap()
}

fn random_address(rng: &mut StdRng, unit: i32) -> Address {
    let base = Gpr::new(rng.random_range(0..16)).unwrap();
    let index = Gpr::new(rng.random_range(0..16)).filter(|r| r.name() != "rsp" && rng.random()).map(|r| {
        let (scale, factor) = SCALES[rng.random_range(0..SCALES.len())];
        (r, scale, factor)
    });
    let edges = edge_displacements(unit);
    let disp = match rng.random_range(0..4) {
        0 => rng.random(),
        1 => rng.random_range(-1024..1024),
        2 => rng.random_range(-130..130) * unit,
        _ => edges[rng.random_range(0..edges.len())],
    };
    Address { base, index, disp }
}
