//! Where GEMM and SpMM write, checked against what their epilogues store.

use crate::epilogue::{BlockOutput, Store};
use crate::parallel::SharedMut;
use crate::{KernelError, Plan, TILE};

/// Where a GEMM or SpMM writes: the buffer must be of the kind its epilogue stores.
#[derive(Debug)]
pub enum Output<'a> {
    /// A plain or VNNI panel of u8 or s8 (as two's complement bytes).
    Bytes(&'a mut [u8]),
    /// An f32 tile; with a residual epilogue the results are added to it.
    F32(&'a mut [f32]),
}

/// The output shared by the parts of one call.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    Bytes(SharedMut<u8>),
    F32(SharedMut<f32>),
}

impl From<Output<'_>> for Target {
    fn from(out: Output<'_>) -> Target {
        match out {
            Output::Bytes(out) => Target::Bytes(SharedMut::new(out)),
            Output::F32(out) => Target::F32(SharedMut::new(out)),
        }
    }
}

impl Target {
    pub(crate) fn at(self, element: usize) -> *mut u8 {
        match self {
            Target::Bytes(out) => out.at(element),
            Target::F32(out) => out.at(element).cast(),
        }
    }

    /// # Safety
    /// - 4 x 64 elements from `element` on are inside the output and nobody else uses them now.
    pub(crate) unsafe fn block<'a>(self, element: usize) -> BlockOutput<'a> {
        const ELEMENTS: usize = 4 * TILE;
        match self {
            Target::Bytes(out) => {
                // SAFETY: the caller's promise.
                BlockOutput::Bytes(unsafe { std::slice::from_raw_parts_mut(out.at(element), ELEMENTS) })
            }
            // SAFETY: the caller's promise.
            Target::F32(out) => BlockOutput::F32(unsafe { std::slice::from_raw_parts_mut(out.at(element), ELEMENTS) }),
        }
    }
}

impl Target {
    /// Lets `finish` change a copy of four rows of 64 elements, whose first elements are `rows`.
    ///
    /// # Safety
    /// - The rows are inside the output, and nobody else uses them now.
    pub(crate) unsafe fn with_rows(self, rows: [usize; 4], finish: impl FnOnce(BlockOutput<'_>)) {
        match self {
            // SAFETY: the caller's promise.
            Target::Bytes(out) => unsafe { with_rows(out, rows, |rows| finish(BlockOutput::Bytes(rows))) },
            // SAFETY: as above.
            Target::F32(out) => unsafe { with_rows(out, rows, |rows| finish(BlockOutput::F32(rows))) },
        }
    }
}

/// # Safety
/// That of [`Target::with_rows`].
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

pub(crate) fn check_output(
    plan: &impl Plan,
    store: &Store,
    out: &Output<'_>,
    expected: usize,
) -> Result<(), KernelError> {
    let found = match (store, out) {
        (Store::Bytes { .. }, Output::Bytes(out)) => out.len(),
        (Store::F32 { .. }, Output::F32(out)) => out.len(),
        (_, out) => {
            let kind = |bytes| if bytes { "an output of bytes" } else { "an output of f32" };
            return Err(KernelError::Mismatch {
                kernel: plan.name(),
                found: kind(matches!(out, Output::Bytes(_))).into(),
                expected: kind(matches!(store, Store::Bytes { .. })).into(),
            });
        }
    };
    check_length(plan, "output", found, expected)
}
