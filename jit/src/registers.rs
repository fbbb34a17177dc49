//! Registers as values, memory operands, and the register file that hands each register out once.

use std::ops::{Add, Sub};

use crate::JitError;

/// A 64-bit general purpose register, by its hardware number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gpr(u8);

/// A vector register 0-31. The instruction says whether it is used as xmm, ymm or zmm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zmm(u8);

/// A writemask register k1-k7 (k0 means "no mask" in the encoding and is never handed out).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mask(u8);

const GPR_NAMES: [&str; 16] =
    ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

impl Gpr {
    /// The register with hardware number `code` (0-15), if there is one.
    pub fn new(code: u8) -> Option<Gpr> {
        (code < 16).then_some(Gpr(code))
    }

    /// The hardware number.
    pub fn code(self) -> u8 {
        self.0
    }

    /// The register's name in Intel syntax.
    pub fn name(self) -> &'static str {
        GPR_NAMES[usize::from(self.0)]
    }

    /// Whether a System V callee must restore it.
    pub fn is_callee_saved(self) -> bool {
        matches!(self.0, 3 | 5 | 12..=15)
    }
}

/// For `dynasm!`'s dynamic registers: `Rq(gpr)`, `Rd(gpr)`.
impl From<Gpr> for u8 {
    fn from(gpr: Gpr) -> u8 {
        gpr.0
    }
}

impl Zmm {
    /// Vector register `code` (0-31), if there is one.
    pub fn new(code: u8) -> Option<Zmm> {
        (code < 32).then_some(Zmm(code))
    }

    /// The hardware number.
    pub fn code(self) -> u8 {
        self.0
    }

    /// As a destination that keeps its old elements where `mask` is 0: `zmm{k}`.
    pub fn k(self, mask: Mask) -> Dst {
        Dst { reg: self, mask: Some(mask), zeroing: false }
    }

    /// As a destination that is zeroed where `mask` is 0: `zmm{k}{z}`.
    pub fn kz(self, mask: Mask) -> Dst {
        Dst { reg: self, mask: Some(mask), zeroing: true }
    }
}

impl Mask {
    /// Mask register `code` (1-7), if there is one.
    pub fn new(code: u8) -> Option<Mask> {
        (1..8).contains(&code).then_some(Mask(code))
    }

    /// The hardware number.
    pub fn code(self) -> u8 {
        self.0
    }
}

/// A vector destination with its optional writemask.
#[derive(Debug, Clone, Copy)]
pub struct Dst {
    pub(crate) reg: Zmm,
    pub(crate) mask: Option<Mask>,
    pub(crate) zeroing: bool,
}

impl From<Zmm> for Dst {
    fn from(reg: Zmm) -> Dst {
        Dst { reg, mask: None, zeroing: false }
    }
}

/// `[base + index * scale + disp]`; displacement in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Mem {
    pub(crate) base: Gpr,
    pub(crate) index: Option<(Gpr, Scale)>,
    pub(crate) disp: i32,
}

/// The factor on an index register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Scale {
    X1 = 0,
    X2 = 1,
    X4 = 2,
    X8 = 3,
}

/// `[base]`.
pub fn ptr(base: Gpr) -> Mem {
    Mem { base, index: None, disp: 0 }
}

/// `[base + bytes]`: shorthand for [`ptr`] with a displacement.
pub fn at(base: Gpr, bytes: i32) -> Mem {
    ptr(base) + bytes
}

impl Mem {
    /// Adds `index * scale` to the address. `rsp` cannot be an index and is ignored by the hardware; it is never
    /// handed out by [`RegFile`].
    pub fn index(self, index: Gpr, scale: Scale) -> Mem {
        Mem { index: Some((index, scale)), ..self }
    }

    /// One element at this address, repeated into every lane: `{1toN}`.
    pub fn bcast(self) -> Bcast {
        Bcast(self)
    }

    /// As a store destination written only where `mask` is 1.
    pub fn k(self, mask: Mask) -> MemDst {
        MemDst { mem: self, mask: Some(mask) }
    }
}

impl Add<i32> for Mem {
    type Output = Mem;
    fn add(self, bytes: i32) -> Mem {
        Mem { disp: self.disp + bytes, ..self }
    }
}

impl Sub<i32> for Mem {
    type Output = Mem;
    fn sub(self, bytes: i32) -> Mem {
        Mem { disp: self.disp - bytes, ..self }
    }
}

/// A broadcast memory operand; see [`Mem::bcast`].
#[derive(Debug, Clone, Copy)]
pub struct Bcast(pub(crate) Mem);

/// A store destination with its optional writemask.
#[derive(Debug, Clone, Copy)]
pub struct MemDst {
    pub(crate) mem: Mem,
    pub(crate) mask: Option<Mask>,
}

impl From<Mem> for MemDst {
    fn from(mem: Mem) -> MemDst {
        MemDst { mem, mask: None }
    }
}

/// A source that may be a register or memory.
#[derive(Debug, Clone, Copy)]
pub enum Rm {
    /// A vector register.
    Reg(Zmm),
    /// A whole vector in memory.
    Mem(Mem),
}

impl From<Zmm> for Rm {
    fn from(reg: Zmm) -> Rm {
        Rm::Reg(reg)
    }
}

impl From<Mem> for Rm {
    fn from(mem: Mem) -> Rm {
        Rm::Mem(mem)
    }
}

/// A source that may be a register, memory or a broadcast element. Only instructions that can broadcast take it.
#[derive(Debug, Clone, Copy)]
pub enum RmBcast {
    /// A vector register.
    Reg(Zmm),
    /// A whole vector in memory.
    Mem(Mem),
    /// One element in memory for every lane.
    Bcast(Mem),
}

impl From<Zmm> for RmBcast {
    fn from(reg: Zmm) -> RmBcast {
        RmBcast::Reg(reg)
    }
}

impl From<Rm> for RmBcast {
    fn from(rm: Rm) -> RmBcast {
        match rm {
            Rm::Reg(reg) => RmBcast::Reg(reg),
            Rm::Mem(mem) => RmBcast::Mem(mem),
        }
    }
}

impl From<Mem> for RmBcast {
    fn from(mem: Mem) -> RmBcast {
        RmBcast::Mem(mem)
    }
}

impl From<Bcast> for RmBcast {
    fn from(b: Bcast) -> RmBcast {
        RmBcast::Bcast(b.0)
    }
}

/// What a register is for; printed at the head of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRole {
    /// Intel name.
    pub register: String,
    /// What the kernel keeps in it.
    pub role: &'static str,
}

/// Hands every register out once, with the role it plays.
///
/// `rdi` holds the argument pointer of a System V call and is handed out as [`RegFile::args`]; `rsp` is never handed out.
#[derive(Debug)]
pub struct RegFile {
    gprs: Vec<Gpr>,
    zmms: Vec<Zmm>,
    /// `zmm` or `ymm`.
    vector: &'static str,
    masks: Vec<Mask>,
    roles: Vec<RegisterRole>,
    used_callee_saved: Vec<Gpr>,
}

impl Default for RegFile {
    fn default() -> Self {
        Self::new()
    }
}

impl RegFile {
    /// All registers of AVX-512 free but `rsp` and `rdi`. Caller-saved general registers are handed out first.
    pub fn new() -> RegFile {
        RegFile::with_vectors(32, "zmm", 1..8)
    }

    /// The registers of AVX2: 16 vectors and no masks; general registers as in [`RegFile::new`].
    pub fn avx2() -> RegFile {
        RegFile::with_vectors(16, "ymm", 0..0)
    }

    fn with_vectors(vectors: u8, vector: &'static str, masks: std::ops::Range<u8>) -> RegFile {
        // Taken from the back: rax, rcx, rdx, rsi, r8-r11, then the callee-saved ones.
        let gprs = [15, 14, 13, 12, 5, 3, 11, 10, 9, 8, 6, 2, 1, 0].into_iter().map(Gpr).collect();
        let zmms = (0..vectors).rev().map(Zmm).collect();
        let masks = masks.rev().map(Mask).collect();
        let roles = vec![RegisterRole { register: "rdi".into(), role: "arguments" }];
        RegFile { gprs, zmms, vector, masks, roles, used_callee_saved: Vec::new() }
    }

    /// The register that holds the pointer to the argument struct on entry.
    pub fn args(&self) -> Gpr {
        Gpr(7)
    }

    /// A free general purpose register.
    ///
    /// # Errors
    /// [`JitError::OutOfRegisters`] when none is left.
    pub fn gpr(&mut self, role: &'static str) -> Result<Gpr, JitError> {
        let gpr = self.gprs.pop().ok_or(JitError::OutOfRegisters { class: "general purpose", role })?;
        if gpr.is_callee_saved() {
            self.used_callee_saved.push(gpr);
        }
        self.roles.push(RegisterRole { register: gpr.name().into(), role });
        Ok(gpr)
    }

    /// A free vector register.
    ///
    /// # Errors
    /// [`JitError::OutOfRegisters`] when none is left.
    pub fn zmm(&mut self, role: &'static str) -> Result<Zmm, JitError> {
        let zmm = self.zmms.pop().ok_or(JitError::OutOfRegisters { class: "vector", role })?;
        self.roles.push(RegisterRole { register: format!("{}{}", self.vector, zmm.0), role });
        Ok(zmm)
    }

    /// `count` free vector registers for one role.
    ///
    /// # Errors
    /// [`JitError::OutOfRegisters`] when fewer are left.
    pub fn zmms(&mut self, count: usize, role: &'static str) -> Result<Vec<Zmm>, JitError> {
        if self.zmms.len() < count {
            return Err(JitError::OutOfRegisters { class: "vector", role });
        }
        let taken: Vec<Zmm> = (0..count).filter_map(|_| self.zmms.pop()).collect();
        if let (Some(first), Some(last)) = (taken.first(), taken.last()) {
            let last = if count == 1 { String::new() } else { format!("-{}", last.0) };
            let register = format!("{}{}{last}", self.vector, first.0);
            self.roles.push(RegisterRole { register, role });
        }
        Ok(taken)
    }

    /// A free writemask register.
    ///
    /// # Errors
    /// [`JitError::OutOfRegisters`] when none is left.
    pub fn mask(&mut self, role: &'static str) -> Result<Mask, JitError> {
        let mask = self.masks.pop().ok_or(JitError::OutOfRegisters { class: "mask", role })?;
        self.roles.push(RegisterRole { register: format!("k{}", mask.0), role });
        Ok(mask)
    }

    /// Callee-saved registers handed out so far, in order.
    pub fn used_callee_saved(&self) -> &[Gpr] {
        &self.used_callee_saved
    }

    /// The register map so far.
    pub fn roles(&self) -> &[RegisterRole] {
        &self.roles
    }
}
