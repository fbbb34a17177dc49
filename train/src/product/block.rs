//! A block of sums of products over tokens: 4 rows of A by 6 rows of B.
//!
//! Each step of 16 tokens loads 10 vectors for 24 multiplications. At the end the lanes of the 24 accumulators are summed together: 16
//! vectors take 15 additions and 30 shuffles.

use super::groups::GROUP;
#[cfg(target_arch = "x86_64")]
use crate::cpu::{Level, level};

/// Rows of A in a block.
pub(super) const ROWS: usize = GROUP;
/// Rows of B in a block.
pub(super) const COLS: usize = 6;
/// f32 lanes of a vector.
pub(super) const LANES: usize = 16;

/// The rows of B in a block: step s of row c is the 16 elements from `places[c] + s * step` on.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    pub(super) data: &'a [f32],
    pub(super) places: [usize; COLS],
    pub(super) step: usize,
}

/// `sum_n a[r][n] b[c][n]` over the tokens n of some steps of 16.
///
/// # Layout
/// `a` is `[steps][ROWS][16]`.
///
/// # Panics
/// If an operand is too short.
pub(super) fn block(a: &[f32], b: Columns<'_>, steps: usize) -> [[f32; COLS]; ROWS] {
    assert!(steps > 0 && a.len() >= steps * ROWS * LANES, "rows of A in a block");
    let last = (steps - 1) * b.step + LANES;
    assert!(b.places.into_iter().all(|place| place + last <= b.data.len()), "rows of B in a block");
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 {
        // SAFETY: the features of the level were detected, and all steps are inside the operands.
        return unsafe { avx512::block(a, b, steps) };
    }
    plain(a, b, steps)
}

/// [`block`] in plain Rust, to the same bits.
fn plain(a: &[f32], b: Columns<'_>, steps: usize) -> [[f32; COLS]; ROWS] {
    std::array::from_fn(|r| {
        b.places.map(|place| {
            let mut lanes = [0.0f32; LANES];
            for step in 0..steps {
                let (a, b) = (&a[(step * ROWS + r) * LANES..][..LANES], &b.data[place + step * b.step..][..LANES]);
                lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane = a.mul_add(*b, *lane));
            }
            tree(&lanes)
        })
    })
}

/// The sum of lanes, in the order in which vectors are summed.
pub(super) fn tree(lanes: &[f32; LANES]) -> f32 {
    let quad = |i: usize| (lanes[4 * i] + lanes[4 * i + 2]) + (lanes[4 * i + 1] + lanes[4 * i + 3]);
    (quad(0) + quad(1)) + (quad(2) + quad(3))
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{COLS, Columns, LANES, ROWS};

    /// # Safety
    /// - The CPU has AVX512F.
    /// - All steps are inside both operands.
    #[target_feature(enable = "avx512f,fma")]
    pub(super) unsafe fn block(a: &[f32], b: Columns<'_>, steps: usize) -> [[f32; COLS]; ROWS] {
        let rows: [*const f32; COLS] = b.places.map(|place| b.data.as_ptr().wrapping_add(place));
        let mut acc = [[_mm512_setzero_ps(); COLS]; ROWS];
        for step in 0..steps {
            // SAFETY: the caller's promise.
            let b: [__m512; COLS] = std::array::from_fn(|c| unsafe { _mm512_loadu_ps(rows[c].add(step * b.step)) });
            for (r, acc) in acc.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let a = unsafe { _mm512_loadu_ps(a.as_ptr().add((step * ROWS + r) * LANES)) };
                for (acc, b) in acc.iter_mut().zip(b) {
                    *acc = _mm512_fmadd_ps(a, b, *acc);
                }
            }
        }
        let zero = _mm512_setzero_ps();
        let at = |i: usize| if i < ROWS * COLS { acc[i / COLS][i % COLS] } else { zero };
        let mut sums = [[0.0f32; LANES]; 2];
        for (half, sums) in sums.iter_mut().enumerate() {
            let lanes = sum_lanes(std::array::from_fn(|i| at(half * LANES + i)));
            // SAFETY: `sums` has 16 elements.
            unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), lanes) };
        }
        let flat = sums.as_flattened();
        std::array::from_fn(|r| std::array::from_fn(|c| flat[r * COLS + c]))
    }

    /// Lane i of the result is the sum of the lanes of vector i, in the order of [`super::tree`].
    #[target_feature(enable = "avx512f")]
    fn sum_lanes(v: [__m512; LANES]) -> __m512 {
        let pairs: [__m512; 8] = std::array::from_fn(|i| {
            let (x, y) = (v[2 * i], v[2 * i + 1]);
            _mm512_add_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y))
        });
        let quads: [__m512; 4] = std::array::from_fn(|i| {
            let (x, y) = (_mm512_castps_pd(pairs[2 * i]), _mm512_castps_pd(pairs[2 * i + 1]));
            let (low, high) = (_mm512_unpacklo_pd(x, y), _mm512_unpackhi_pd(x, y));
            _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high))
        });
        let halves: [__m512; 2] = std::array::from_fn(|i| sum_parts(quads[2 * i], quads[2 * i + 1]));
        sum_parts(halves[0], halves[1])
    }

    /// Sums of neighbouring parts of 128 bits: those of x, then those of y.
    #[target_feature(enable = "avx512f")]
    fn sum_parts(x: __m512, y: __m512) -> __m512 {
        _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(x, y), _mm512_shuffle_f32x4::<0xdd>(x, y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_the_bits_of_the_plain_loop() {
        let data: Vec<f32> = (0..20 * 336).map(|i| (i as f32 * 0.37).sin()).collect();
        for (step, places) in [(LANES, [0, 336, 2352, 3696, 5040, 5040]), (96, [0, 16, 32, 48, 64, 80])] {
            let b = Columns { data: &data, places, step };
            assert_eq!(block(&data, b, 20), plain(&data, b, 20));
        }
    }
}
