//! Memory for weights: owned, or borrowed from bytes that others share, such as a mapped file.

use std::marker::PhantomData;
use std::sync::Arc;

use bytemuck::Pod;
use bytes::Bytes;

use crate::{Buffer, KernelError};

/// Plain elements that are never changed: in a buffer of their own, or in a part of [`Bytes`], which stay alive with them.
///
/// Clones share the elements.
#[derive(Debug, Clone)]
pub struct SharedSlice<T> {
    memory: Memory<T>,
}

#[derive(Debug, Clone)]
enum Memory<T> {
    Owned(Arc<Buffer<T>>),
    /// Aligned for T, and whole elements.
    Shared(Bytes, PhantomData<T>),
}

impl<T: Pod> SharedSlice<T> {
    /// The elements that `bytes` hold, where they are.
    ///
    /// # Errors
    /// [`KernelError::Section`] if `bytes` are not aligned for `T`, or no whole number of elements.
    pub fn shared(bytes: Bytes, kernel: &str, section: &'static str) -> Result<SharedSlice<T>, KernelError> {
        if bytes.is_empty() {
            return Ok(Buffer::new(0).into()); // wherever nothing is, it need not be aligned
        }
        match bytemuck::try_cast_slice::<u8, T>(&bytes) {
            Ok(_) => Ok(SharedSlice { memory: Memory::Shared(bytes, PhantomData) }),
            Err(_) => Err(KernelError::Section {
                kernel: kernel.to_owned(),
                section,
                found: format!("{} bytes at address {:p}", bytes.len(), bytes.as_ptr()),
                expected: format!("a multiple of {} bytes, aligned to {}", size_of::<T>(), align_of::<T>()),
            }),
        }
    }

    /// Whether the elements are in a buffer of their own.
    pub fn is_owned(&self) -> bool {
        matches!(self.memory, Memory::Owned(_))
    }
}

impl<T: Pod> std::ops::Deref for SharedSlice<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.memory {
            Memory::Owned(buffer) => buffer,
            // Checked when it was made. Two comparisons per call of a kernel cost nothing that can be measured.
            Memory::Shared(bytes, _) => bytemuck::cast_slice(bytes),
        }
    }
}

impl<T> From<Buffer<T>> for SharedSlice<T> {
    fn from(buffer: Buffer<T>) -> SharedSlice<T> {
        SharedSlice { memory: Memory::Owned(Arc::new(buffer)) }
    }
}

impl<T: Pod> From<&[T]> for SharedSlice<T> {
    fn from(elements: &[T]) -> SharedSlice<T> {
        let mut buffer = Buffer::new(elements.len());
        buffer.copy_from_slice(elements);
        buffer.into()
    }
}

impl<T: Pod> FromIterator<T> for SharedSlice<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> SharedSlice<T> {
        (&elements.into_iter().collect::<Vec<T>>()[..]).into()
    }
}

impl<T: Pod + PartialEq> PartialEq for SharedSlice<T> {
    fn eq(&self, other: &SharedSlice<T>) -> bool {
        self[..] == other[..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_elements_are_where_the_bytes_are() {
        let owned: SharedSlice<u32> = (0..64).collect();
        assert!(owned.is_owned());
        let bytes = Bytes::copy_from_slice(bytemuck::cast_slice(&owned));
        let first = (0..4).find(|i| bytes[*i..].as_ptr().align_offset(4) == 0).unwrap();
        let aligned = bytes.slice(first..first + 4 * 60);
        let shared: SharedSlice<u32> = SharedSlice::shared(aligned.clone(), "kernel", "section").unwrap();
        assert_eq!(shared.as_ptr().cast(), aligned.as_ptr());
        assert_eq!(shared.len(), 60);
        assert!(!shared.is_owned() && !shared.clone().is_owned());
        for wrong in [aligned.slice(1..5), aligned.slice(0..7)] {
            let error = SharedSlice::<u32>::shared(wrong, "kernel", "section").unwrap_err();
            assert!(error.to_string().starts_with("kernel: packed section: found "), "{error}");
        }
    }
}
