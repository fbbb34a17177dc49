//! Emptying caches between samples.

use std::fmt;
use std::hint::black_box;

use lacuna_console::table::bytes;
use lacuna_jit::cpu::Caches;

/// Bytes of a cache line.
const LINE: usize = 64;
/// Assumed where the CPU does not tell the size of its last cache.
const UNKNOWN_LAST_CACHE: usize = 64 << 20;
/// Bounds of the buffer: what a large shared cache or a wrong answer would ask for.
const BUFFER: std::ops::RangeInclusive<usize> = 32 << 20..=1 << 30;

/// A buffer whose reading pushes everything else out of the caches.
pub(super) struct Evictor {
    words: Vec<u64>,
}

impl Evictor {
    /// Twice as large as the last cache.
    pub(super) fn new() -> Evictor {
        let size = (2 * last_cache_bytes().unwrap_or(UNKNOWN_LAST_CACHE)).clamp(*BUFFER.start(), *BUFFER.end());
        Evictor { words: vec![1; size / size_of::<u64>()] } // ones: untouched zero pages would be one page
    }

    /// Bytes of the buffer.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.words[..])
    }

    /// Reads the buffer on every worker of the current pool: each core has caches of its own.
    pub(super) fn evict(&self) {
        let read = || black_box(self.words.iter().step_by(LINE / size_of::<u64>()).sum::<u64>());
        match rayon::current_num_threads() {
            1 => drop(read()),
            _ => drop(rayon::broadcast(|_| read())),
        }
    }
}

impl fmt::Display for Evictor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bytes(self.bytes()))
    }
}

/// The size of the largest cache, as the CPU tells it.
fn last_cache_bytes() -> Option<usize> {
    Caches::detect().map(|caches| caches.l3.max(caches.l2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_larger_than_any_cache() {
        let evictor = Evictor::new();
        evictor.evict();
        assert!(evictor.bytes() >= last_cache_bytes().unwrap_or(0).min(1 << 29) * 2);
    }
}
