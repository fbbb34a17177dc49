//! The output of one call: owned, shared by its parts, and checked against what a plan stores.

use half::bf16;

use crate::parallel::SharedMut;
use crate::sink::{Output, Store};
use crate::{Buffer, KernelError, Plan, TILE};

/// Memory for an [`Output`] of any kind.
#[derive(Debug, Clone)]
pub enum OutputBuffer {
    /// A panel of codes.
    Bytes(Buffer<u8>),
    /// A bf16 panel.
    Bf16(Buffer<bf16>),
    /// An f32 tile.
    F32(Buffer<f32>),
}

impl OutputBuffer {
    /// `len` zeroed elements of the kind that `store` says.
    pub fn new(store: Store, len: usize) -> OutputBuffer {
        match store {
            Store::Bytes { .. } => OutputBuffer::Bytes(Buffer::new(len)),
            Store::Bf16 => OutputBuffer::Bf16(Buffer::new(len)),
            Store::F32 { .. } => OutputBuffer::F32(Buffer::new(len)),
        }
    }

    /// All of it.
    pub fn output(&mut self) -> Output<'_> {
        match self {
            OutputBuffer::Bytes(buffer) => Output::Bytes(buffer),
            OutputBuffer::Bf16(buffer) => Output::Bf16(buffer),
            OutputBuffer::F32(buffer) => Output::F32(buffer),
        }
    }
}

/// The output shared by the parts of one call.
#[derive(Clone, Copy)]
pub(crate) enum SharedOutput {
    Bytes(SharedMut<u8>),
    Bf16(SharedMut<bf16>),
    F32(SharedMut<f32>),
}

impl From<Output<'_>> for SharedOutput {
    fn from(out: Output<'_>) -> SharedOutput {
        match out {
            Output::Bytes(out) => SharedOutput::Bytes(SharedMut::new(out)),
            Output::Bf16(out) => SharedOutput::Bf16(SharedMut::new(out)),
            Output::F32(out) => SharedOutput::F32(SharedMut::new(out)),
        }
    }
}

impl SharedOutput {
    /// The address of an element.
    pub(crate) fn at(self, element: usize) -> *mut u8 {
        match self {
            SharedOutput::Bytes(out) => out.at(element),
            SharedOutput::Bf16(out) => out.at(element).cast(),
            SharedOutput::F32(out) => out.at(element).cast(),
        }
    }

    /// `len` elements from `element` on.
    ///
    /// # Safety
    /// - They are inside the output and nobody else uses them now.
    pub(crate) unsafe fn slice<'a>(self, element: usize, len: usize) -> Output<'a> {
        match self {
            // SAFETY: the caller's promise.
            SharedOutput::Bytes(out) => Output::Bytes(unsafe { std::slice::from_raw_parts_mut(out.at(element), len) }),
            // SAFETY: the caller's promise.
            SharedOutput::Bf16(out) => Output::Bf16(unsafe { std::slice::from_raw_parts_mut(out.at(element), len) }),
            // SAFETY: the caller's promise.
            SharedOutput::F32(out) => Output::F32(unsafe { std::slice::from_raw_parts_mut(out.at(element), len) }),
        }
    }

    /// Lets `finish` change a copy of four rows of 64 elements, whose first elements are `rows`.
    ///
    /// # Safety
    /// - The rows are inside the output, and nobody else uses them now.
    pub(crate) unsafe fn with_rows(self, rows: [usize; 4], finish: impl FnOnce(Output<'_>)) {
        match self {
            // SAFETY: the caller's promise.
            SharedOutput::Bytes(out) => unsafe { with_rows(out, rows, |rows| finish(Output::Bytes(rows))) },
            // SAFETY: the caller's promise.
            SharedOutput::Bf16(out) => unsafe { with_rows(out, rows, |rows| finish(Output::Bf16(rows))) },
            // SAFETY: the caller's promise.
            SharedOutput::F32(out) => unsafe { with_rows(out, rows, |rows| finish(Output::F32(rows))) },
        }
    }
}

/// # Safety
/// That of [`SharedOutput::with_rows`].
unsafe fn with_rows<T: Copy + Default>(out: SharedMut<T>, rows: [usize; 4], finish: impl FnOnce(&mut [T])) {
    let mut copy = [T::default(); 4 * TILE];
    for (copy, row) in copy.chunks_exact_mut(TILE).zip(rows) {
        // SAFETY: the caller's promise: the row is inside the output, and nobody writes it now.
        copy.copy_from_slice(unsafe { std::slice::from_raw_parts(out.at(row), TILE) });
    }
    finish(&mut copy);
    for (copy, row) in copy.chunks_exact(TILE).zip(rows) {
        // SAFETY: the caller's promise: the row is inside the output, and nobody else uses it now.
        unsafe { std::slice::from_raw_parts_mut(out.at(row), TILE) }.copy_from_slice(copy);
    }
}

/// Refuses a buffer of another length.
pub(crate) fn check_length(
    plan: &impl Plan,
    buffer: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), KernelError> {
    if found == expected {
        return Ok(());
    }
    Err(KernelError::Length { kernel: plan.name(), buffer, found, expected })
}

/// Refuses an output of another kind than `store` says, or of another length.
pub(crate) fn check_output(
    plan: &impl Plan,
    store: Store,
    out: &Output<'_>,
    expected: usize,
) -> Result<(), KernelError> {
    if out.kind() != store.kind() {
        return Err(wrong_kind(plan.name(), store, out));
    }
    check_length(plan, "output", out.len(), expected)
}

/// The error for an output of another kind than `store` says.
pub(crate) fn wrong_kind(kernel: String, store: Store, out: &Output<'_>) -> KernelError {
    let output_of = |kind| format!("an output of {kind}");
    KernelError::Mismatch { kernel, found: output_of(out.kind()), expected: output_of(store.kind()) }
}
