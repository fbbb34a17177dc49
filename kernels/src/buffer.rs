//! Memory for activations: cache-line aligned, never reallocated while in use.

use std::collections::TryReserveError;

use bytemuck::{Pod, Zeroable};

/// One cache line.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A zeroed, 64-byte aligned buffer of plain elements.
#[derive(Debug, Clone)]
pub struct Buffer<T> {
    lines: Vec<Line>,
    len: usize,
    element: std::marker::PhantomData<T>,
}

impl<T: Pod> Buffer<T> {
    /// `len` zeroed elements.
    pub fn new(len: usize) -> Buffer<T> {
        let lines = vec![Line::zeroed(); (len * size_of::<T>()).div_ceil(size_of::<Line>())];
        Buffer { lines, len, element: std::marker::PhantomData }
    }

    /// The same where the length comes from outside.
    ///
    /// # Errors
    /// If the system has not so much memory.
    pub fn try_new(len: usize) -> Result<Buffer<T>, TryReserveError> {
        let count = len.saturating_mul(size_of::<T>()).div_ceil(size_of::<Line>());
        let mut lines = Vec::new();
        lines.try_reserve_exact(count)?;
        lines.resize(count, Line::zeroed());
        Ok(Buffer { lines, len, element: std::marker::PhantomData })
    }

    /// Grows to at least `len` elements; contents are unspecified afterwards.
    pub fn reserve(&mut self, len: usize) {
        if len > self.len {
            *self = Buffer::new(len);
        }
    }
}

impl<T: Pod> std::ops::Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // Through bytes: a line need not be a whole number of elements.
        bytemuck::cast_slice(&bytemuck::cast_slice::<Line, u8>(&self.lines)[..self.len * size_of::<T>()])
    }
}

impl<T: Pod> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let bytes = bytemuck::cast_slice_mut::<Line, u8>(&mut self.lines);
        bytemuck::cast_slice_mut(&mut bytes[..self.len * size_of::<T>()])
    }
}
