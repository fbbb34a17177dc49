//! Position-independent machine code with its name, register map and line notes, and the assembler that makes it.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};

use dynasmrt::x64::X64Relocation;
use dynasmrt::{DynasmApi, VecAssembler, dynasm};

use crate::error::JitError;
use crate::evex::EvexSink;
use crate::features::Features;
use crate::ports::PortCounts;
use crate::registers::{Gpr, RegFile, RegisterRole};
use crate::scalar;
use crate::sink::InstructionSink;
use crate::vex::VexSink;
use crate::width::{Ymm256, Zmm512};

/// A remark on the instructions from `offset` to the next note, in matrix terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Offset in bytes from the start of the code.
    pub offset: usize,
    /// The remark.
    pub text: Cow<'static, str>,
}

/// An inner loop of a matrix product, as [`Asm::begin_loop`] and [`Asm::end_loop`] mark it. One iteration adds the products of `depth`
/// groups of four input features to `outputs` x `columns` sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop {
    /// Which of the kernel's loops it is.
    pub name: &'static str,
    /// Output features.
    pub outputs: usize,
    /// Columns: tokens.
    pub columns: usize,
    /// Groups of four input features per iteration.
    pub depth: usize,
    /// What the vector instructions of one iteration occupy.
    ports: PortCounts,
    /// Where its scalar instructions are: offsets in bytes from the start of the code.
    scalar: Vec<Range<usize>>,
}

/// Finished code: position independent, entered at its first byte as `extern "sysv64" fn(*const Args)`.
#[derive(Debug, Clone)]
pub struct Code {
    /// Machine-made kernel name, the same everywhere: cache, perf map, errors, benchmark ids.
    pub name: String,
    /// The instructions.
    pub bytes: Vec<u8>,
    /// What each register is for.
    pub registers: Vec<RegisterRole>,
    /// Remarks, by ascending offset.
    pub notes: Vec<Note>,
    /// The CPU features that its instructions need. Scalar instructions count as what every x86-64 CPU has.
    pub features: Features,
    /// The loops that the emitter marked, in their order.
    pub loops: Vec<Loop>,
}

impl Code {
    /// What one iteration of a loop of this code occupies.
    ///
    /// # Errors
    /// [`JitError::UnknownInstruction`] for a scalar instruction whose length is not known.
    pub fn ports(&self, of: &Loop) -> Result<PortCounts, JitError> {
        let mut ports = of.ports;
        for range in &of.scalar {
            let bytes = self.bytes.get(range.clone()).unwrap_or_default();
            ports.scalar += scalar::count(bytes).map_err(|offset| JitError::UnknownInstruction {
                name: self.name.clone(),
                offset: range.start + offset,
            })?;
        }
        Ok(ports)
    }

    /// Refuses code that a machine with the features `available` cannot execute.
    ///
    /// # Errors
    /// [`JitError::MissingFeatures`] with the name of the kernel and what is missing.
    pub fn check(&self, available: Features) -> Result<(), JitError> {
        if available.contains(self.features) {
            return Ok(());
        }
        Err(JitError::MissingFeatures { kernel: self.name.clone(), missing: self.features.without(available) })
    }
}

/// An assembler with notes, which collects the CPU features of what it assembles. It takes vector instructions of one
/// [`crate::Width`]: by the methods of [`crate::Evex`] or [`crate::Vex`], and of [`crate::Vector`]. Because it dereferences to the dynasm
/// assembler, `dynasm!(a ; ..)` writes scalar instructions.
pub struct Asm<W = Zmm512> {
    ops: VecAssembler<X64Relocation>,
    notes: Vec<Note>,
    features: Features,
    ports: PortCounts,
    loops: Vec<Loop>,
    open: Option<OpenLoop>,
    width: PhantomData<W>,
}

/// A loop under way.
struct OpenLoop {
    to: Loop,
    /// What was counted when it began.
    before: PortCounts,
    /// Where the last vector instruction ended.
    vector_end: usize,
}

impl OpenLoop {
    /// Takes what lies between the last vector instruction and `offset` as scalar instructions.
    #[inline]
    fn scalar_until(&mut self, offset: usize) {
        if offset > self.vector_end {
            self.to.scalar.push(self.vector_end..offset);
        }
    }
}

impl Default for Asm {
    fn default() -> Self {
        Self::new()
    }
}

impl Asm {
    /// An empty assembler of AVX-512.
    pub fn new() -> Asm {
        Asm::empty()
    }
}

impl Asm<Ymm256> {
    /// An empty assembler of AVX2.
    pub fn avx2() -> Asm<Ymm256> {
        Asm::empty()
    }
}

impl<W> Asm<W> {
    fn empty() -> Asm<W> {
        Asm {
            ops: VecAssembler::new_with_capacity(0, 8192, 16, 0, 16, 16, 16),
            notes: Vec::with_capacity(32),
            features: Features::NONE,
            ports: PortCounts::default(),
            loops: Vec::new(),
            open: None,
            width: PhantomData,
        }
    }

    /// Remarks on the instructions that follow.
    pub fn note(&mut self, text: impl Into<Cow<'static, str>>) {
        let offset = self.ops.offset().0;
        self.notes.push(Note { offset, text: text.into() });
    }

    /// Begins the body of an inner loop, at the target of its jump. Loops that are marked do not nest.
    pub fn begin_loop(&mut self, name: &'static str, outputs: usize, columns: usize, depth: usize) {
        let to = Loop { name, outputs, columns, depth, ports: PortCounts::default(), scalar: Vec::new() };
        self.open = Some(OpenLoop { to, before: self.ports, vector_end: self.ops.offset().0 });
    }

    /// Ends the body of the inner loop, behind its jump.
    pub fn end_loop(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        open.scalar_until(self.ops.offset().0);
        self.loops.push(Loop { ports: self.ports - open.before, ..open.to });
    }

    /// Saves the callee-saved registers that `regs` handed out. Emit it first, after all registers are drawn.
    pub fn begin_function(&mut self, regs: &RegFile) {
        self.note("begin: save callee-saved registers");
        for &gpr in regs.used_callee_saved() {
            dynasm!(self.ops ; .arch x64 ; push Rq(gpr));
        }
    }

    /// Clears the upper vector state, restores what [`Asm::begin_function`] saved and returns.
    pub fn end_function(&mut self, regs: &RegFile) {
        self.note("end: restore callee-saved registers and return");
        dynasm!(self.ops ; .arch x64 ; vzeroupper);
        for &gpr in regs.used_callee_saved().iter().rev() {
            dynasm!(self.ops ; .arch x64 ; pop Rq(gpr));
        }
        dynasm!(self.ops ; .arch x64 ; ret);
    }

    /// `mov dst, qword [args + offset]`: loads a field of the argument struct.
    pub fn load_arg(&mut self, dst: Gpr, regs: &RegFile, offset: usize) {
        let offset = offset as i32; // argument structs are far smaller than 2 GiB
        dynasm!(self.ops ; .arch x64 ; mov Rq(dst), QWORD [Rq(regs.args()) + offset]);
    }

    /// Pads with no-ops to a multiple of `alignment` bytes, so that a loop starts on a fetch line.
    pub fn align_loop(&mut self, alignment: usize) {
        /// Recommended multi-byte NOP forms by length (AMD64 and Intel manuals agree on them).
        const NOPS: [&[u8]; 9] = [
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
            &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        ];
        let mut pad = self.ops.offset().0.next_multiple_of(alignment) - self.ops.offset().0;
        while pad > 0 {
            let n = pad.min(NOPS.len());
            self.ops.extend(NOPS[n - 1]);
            pad -= n;
        }
    }

    /// Resolves labels and returns the finished code.
    ///
    /// # Errors
    /// [`JitError::Assemble`] for an undefined label or a jump that is too far.
    pub fn finish(self, name: String, regs: &RegFile) -> Result<Code, JitError> {
        let bytes =
            self.ops.finalize().map_err(|e| JitError::Assemble { name: name.clone(), message: e.to_string() })?;
        let Asm { notes, features, loops, .. } = self;
        Ok(Code { name, bytes, registers: regs.roles().to_vec(), notes, features, loops })
    }
}

impl EvexSink for Asm<Zmm512> {}

impl VexSink for Asm<Ymm256> {}

impl<W> InstructionSink for Asm<W> {
    #[inline]
    fn instruction(&mut self, bytes: &[u8], needs: Features, ports: PortCounts) {
        self.features = self.features | needs;
        self.ports += ports;
        if let Some(open) = &mut self.open {
            let offset = self.ops.offset().0;
            open.scalar_until(offset);
            open.vector_end = offset + bytes.len();
        }
        self.ops.extend(bytes);
    }
}

impl<W> Deref for Asm<W> {
    type Target = VecAssembler<X64Relocation>;
    fn deref(&self) -> &Self::Target {
        &self.ops
    }
}

impl<W> DerefMut for Asm<W> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.ops
    }
}
