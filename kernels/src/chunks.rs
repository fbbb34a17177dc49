//! Buffers cut into chunks that the parts of one parallel call own.

use std::marker::PhantomData;

use crate::Parallel;
use crate::parallel::SharedMut;

/// What [`Parallel::for_each_chunk`] hands out piece by piece: [`ChunksMut`], arrays and pairs of such.
///
/// # Safety
/// - Chunks of different indices do not overlap.
pub unsafe trait Chunked: Sync {
    /// One piece.
    type Chunk;

    /// Number of pieces.
    fn count(&self) -> usize;

    /// Piece `i`.
    ///
    /// # Safety
    /// - `i` is below [`Chunked::count`] and no two calls have the same `i`.
    unsafe fn chunk(&self, i: usize) -> Self::Chunk;
}

/// A slice in chunks of `size` elements, of which the last may be shorter; the shared counterpart of
/// [`slice::chunks_mut`].
#[derive(Debug)]
pub struct ChunksMut<'a, T> {
    data: SharedMut<T>,
    len: usize,
    size: usize,
    lifetime: PhantomData<&'a mut ()>,
}

impl<'a, T: Send> ChunksMut<'a, T> {
    /// `data` in chunks of `size` elements; a size of zero counts as one.
    pub fn new(data: &'a mut [T], size: usize) -> ChunksMut<'a, T> {
        ChunksMut { len: data.len(), data: SharedMut::new(data), size: size.max(1), lifetime: PhantomData }
    }
}

// SAFETY: chunk i is the elements from `i size` to `(i + 1) size`.
unsafe impl<'a, T: Send + 'a> Chunked for ChunksMut<'a, T> {
    type Chunk = &'a mut [T];

    fn count(&self) -> usize {
        self.len.div_ceil(self.size)
    }

    unsafe fn chunk(&self, i: usize) -> &'a mut [T] {
        let start = i * self.size;
        let len = self.size.min(self.len - start);
        // SAFETY: `i` is below `count`, so the chunk is inside the slice, which is borrowed for 'a; nobody else gets chunk i.
        unsafe { std::slice::from_raw_parts_mut(self.data.at(start), len) }
    }
}

// SAFETY: each member's chunks are disjoint.
unsafe impl<C: Chunked, const N: usize> Chunked for [C; N] {
    type Chunk = [C::Chunk; N];

    fn count(&self) -> usize {
        self.iter().map(C::count).min().unwrap_or(0)
    }

    unsafe fn chunk(&self, i: usize) -> [C::Chunk; N] {
        // SAFETY: the caller's promise; `count` is the least of all.
        self.each_ref().map(|member| unsafe { member.chunk(i) })
    }
}

// SAFETY: each member's chunks are disjoint.
unsafe impl<A: Chunked, B: Chunked> Chunked for (A, B) {
    type Chunk = (A::Chunk, B::Chunk);

    fn count(&self) -> usize {
        self.0.count().min(self.1.count())
    }

    unsafe fn chunk(&self, i: usize) -> (A::Chunk, B::Chunk) {
        // SAFETY: the caller's promise; `count` is the least of both.
        unsafe { (self.0.chunk(i), self.1.chunk(i)) }
    }
}

impl Parallel<'_> {
    /// Calls `body` with every chunk and its index, in any order.
    pub fn for_each_chunk<C: Chunked>(self, chunks: C, body: impl Fn(usize, C::Chunk) + Send + Sync) {
        let shared = &chunks;
        // SAFETY: `for_each` calls each index below `count` once, and `chunks` is dropped after it.
        self.for_each(shared.count(), |i| body(i, unsafe { shared.chunk(i) }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_those_of_the_slice() {
        for (len, size) in [(0, 3), (1, 3), (7, 3), (9, 3), (5, 1), (4, 100), (3, 0)] {
            let (mut a, mut b) = (vec![0; len], vec![0; len]);
            let chunks = (ChunksMut::new(&mut a, size), [ChunksMut::new(&mut b, size)]);
            Parallel::Rayon.for_each_chunk(chunks, |i, (a, [b])| {
                a.iter_mut().chain(b).for_each(|x| *x += i + 1);
            });
            let expected: Vec<usize> = (0..len).map(|i| i / size.max(1) + 1).collect();
            assert!(a == expected && b == expected, "{len} in chunks of {size}");
        }
    }

    #[test]
    fn the_shortest_member_counts() {
        let (mut a, mut b) = ([0; 10], [0; 5]);
        let chunks = (ChunksMut::new(&mut a, 2), ChunksMut::new(&mut b, 2));
        assert_eq!(chunks.count(), 3);
        Parallel::Serial.for_each_chunk(chunks, |_, (a, b)| a.iter_mut().chain(b).for_each(|x| *x += 1));
        assert_eq!((a.iter().sum::<i32>(), b.iter().sum::<i32>()), (6, 5));
    }
}
