//! Which sinks a product of floats has.

use crate::{KernelError, Sink, Store};

/// Refuses what no product of floats stores: codes.
pub(super) fn check_sink(sink: &Sink) -> Result<(), KernelError> {
    match sink.store {
        Store::F32 { .. } | Store::Bf16 => Ok(()),
        Store::Bytes { .. } => Err(KernelError::Mismatch {
            kernel: "float".into(),
            found: format!("{} output of a product of floats", sink.name()),
            expected: "f32 or bf16 output".into(),
        }),
    }
}

/// Every sink of a product of floats.
pub fn sinks() -> Vec<Sink> {
    Sink::all().into_iter().filter(|sink| check_sink(sink).is_ok()).collect()
}
