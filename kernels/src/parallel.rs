//! How a kernel call is spread over threads.

use rayon::prelude::*;

/// Whether one kernel call uses the calling thread alone or the current rayon pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parallel {
    /// The calling thread.
    Serial,
    /// The rayon pool the caller is in.
    Rayon,
}

impl Parallel {
    /// Calls `body` for every index below `count`, in any order.
    pub fn for_each(self, count: usize, body: impl Fn(usize) + Send + Sync) {
        match self {
            Parallel::Rayon if count > 1 && rayon::current_num_threads() > 1 => {
                (0..count).into_par_iter().with_max_len(1).for_each(body);
            }
            _ => (0..count).for_each(body),
        }
    }
}

/// A pointer to memory whose parts are written by several tasks.
#[derive(Debug)]
pub(crate) struct SharedMut<T>(*mut T);

// SAFETY: the pointer is only offset and dereferenced in kernel calls whose tasks write disjoint elements; each such call
// says why they are disjoint.
unsafe impl<T: Send> Sync for SharedMut<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for SharedMut<T> {}

impl<T> Clone for SharedMut<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for SharedMut<T> {}

impl<T> SharedMut<T> {
    pub(crate) fn new(slice: &mut [T]) -> SharedMut<T> {
        SharedMut(slice.as_mut_ptr())
    }

    /// The address of element `index`, without any claim about it.
    pub(crate) fn at(self, index: usize) -> *mut T {
        self.0.wrapping_add(index)
    }
}
