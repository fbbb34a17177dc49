//! Where the encoder writes to.

use dynasmrt::SimpleAssembler;

use crate::encoding::Encoded;
use crate::features::Features;
use crate::ports::{Access, PortClass, PortCounts};

/// What instructions are written to.
pub trait InstructionSink {
    /// Takes the bytes of one instruction, the CPU features that it needs, and what it occupies.
    fn instruction(&mut self, bytes: &[u8], needs: Features, ports: PortCounts);
}

/// Keeps the bytes alone: for looking at single instructions.
impl InstructionSink for SimpleAssembler {
    fn instruction(&mut self, bytes: &[u8], _: Features, _: PortCounts) {
        self.extend(bytes);
    }
}

/// Writes an instruction that computes or loads.
#[inline]
pub(crate) fn emit(sink: &mut (impl InstructionSink + ?Sized), code: &Encoded, port: PortClass, needs: Features) {
    let access = if code.has_memory() { Access::Load } else { Access::None };
    sink.instruction(code.bytes(), needs, port.counts(access));
}

/// Writes an instruction that stores.
#[inline]
pub(crate) fn emit_store(sink: &mut (impl InstructionSink + ?Sized), code: &Encoded, port: PortClass, needs: Features) {
    sink.instruction(code.bytes(), needs, port.counts(Access::Store));
}
