//! Where each element of a bf16 activation lives.

use half::bf16;
#[cfg(target_arch = "x86_64")]
use lacuna_jit::Avx512Bf16;

use super::twin::round_to_bf16;
use crate::layout::{elements, padded};
use crate::rows::with_fma;
use crate::{ChunksMut, KernelError, Parallel, TILE};

/// Position, within a row of a bf16 panel, of column `column` of its tile.
///
/// Column `32 h + 16 v + 4 l + c` sits at `32 h + 8 l + 4 v + c` (h, v in 0..2; l, c in 0..4). Interleaving the words of
/// two rows within 128-bit lanes (`vpunpcklwd`, `vpunpckhwd`) then yields vectors of 16 consecutive columns with a pair
/// of features each.
pub const fn bf16_lane_position(column: usize) -> usize {
    let (h, v, l, c) = (column / 32, column / 16 % 2, column / 4 % 4, column % 4);
    32 * h + 8 * l + 4 * v + c
}

/// Index of an element in a bf16 panel: `[tile][feature][64]` bf16, columns in the order of [`bf16_lane_position`].
/// A panel has [`elements`] elements; those of padding features and padding columns hold unspecified values.
pub const fn bf16_index(features: usize, feature: usize, column: usize) -> usize {
    (column / TILE * padded(features) + feature) * TILE + bf16_lane_position(column % TILE)
}

/// Rounds an f32 tile of `features` x `columns` into a bf16 panel, each element by [`round_to_bf16`]: with AVX512_BF16
/// where the CPU has it, in plain Rust elsewhere, to the same bits.
///
/// # Errors
/// [`KernelError::Length`] for buffers without [`elements`] elements.
pub fn pack_bf16_panel(
    tile: &[f32],
    features: usize,
    columns: usize,
    panel: &mut [bf16],
    parallel: Parallel<'_>,
) -> Result<(), KernelError> {
    let expected = elements(features, columns);
    for (buffer, found) in [("f32 tile", tile.len()), ("bf16 panel", panel.len())] {
        if found != expected {
            return Err(KernelError::Length { kernel: "pack-bf16-panel".to_owned(), buffer, found, expected });
        }
    }
    let tile_elements = padded(features) * TILE;
    parallel.for_each_chunk(ChunksMut::new(panel, tile_elements), |i, panel| {
        let (tile, panel) = (&tile[i * tile_elements..][..features * TILE], &mut panel[..features * TILE]);
        #[cfg(target_arch = "x86_64")]
        if Avx512Bf16::detect().is_some() {
            // SAFETY: the feature was detected, and with it AVX512F.
            unsafe { pack_rows_avx512(tile, panel) };
            return;
        }
        with_fma!(pack_rows, tile: &[f32], panel: &mut [bf16]);
    });
    Ok(())
}

/// Rounds whole rows of 64 columns, those of padding columns too.
#[inline(always)]
fn pack_rows(tile: &[f32], panel: &mut [bf16]) {
    for (row, out) in tile.chunks_exact(TILE).zip(panel.chunks_exact_mut(TILE)) {
        for (row, out) in row.chunks_exact(32).zip(out.chunks_exact_mut(32)) {
            let rounded: [bf16; 32] = std::array::from_fn(|column| round_to_bf16(row[column]));
            for (i, four) in out.chunks_exact_mut(4).enumerate() {
                let (l, v) = (i / 2, i % 2); // columns 16 v + 4 l + c
                four.copy_from_slice(&rounded[16 * v + 4 * l..][..4]);
            }
        }
    }
}

/// [`pack_rows`] in intrinsics.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn pack_rows_avx512(tile: &[f32], panel: &mut [bf16]) {
    use std::arch::x86_64::*;
    let interleave = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7); // four columns of v = 0, four of v = 1, ..
    for (columns, out) in tile.chunks_exact(32).zip(panel.chunks_exact_mut(32)) {
        // SAFETY: both vectors are inside the 32 elements of `columns`.
        let (low, high) = unsafe { (_mm512_loadu_ps(columns.as_ptr()), _mm512_loadu_ps(columns[16..].as_ptr())) };
        // SAFETY: both types are 64 bytes of plain data.
        let rounded: __m512i = unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(high, low)) };
        // SAFETY: `out` has 32 elements of 2 bytes.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_permutexvar_epi64(interleave, rounded)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::f32_index;

    #[test]
    fn the_layout_is_a_bijection() {
        let (features, columns) = (7, 130);
        let mut seen = vec![false; elements(features, columns)];
        for feature in 0..features {
            for column in 0..columns {
                assert!(!std::mem::replace(&mut seen[bf16_index(features, feature, column)], true));
            }
        }
    }

    /// What the two unpacks do with the words of two rows, written down from the manual.
    #[test]
    fn unpacked_rows_are_in_natural_order() {
        let mut row = [0; TILE];
        (0..TILE).for_each(|column| row[bf16_lane_position(column)] = column);
        for (half, words) in row.chunks_exact(32).enumerate() {
            for (high, first) in [(0, 0), (1, 4)] {
                let lanes = words.chunks_exact(8).flat_map(|lane| lane[first..first + 4].iter().copied());
                assert!(lanes.eq(32 * half + 16 * high..32 * half + 16 * high + 16));
            }
        }
    }

    #[test]
    fn packing_moves_and_rounds_every_element() {
        for (features, columns) in [(1, 1), (7, 64), (5, 130)] {
            let len = elements(features, columns);
            let tile: Vec<f32> = (0..len).map(|i| 1.0 + i as f32 / 1000.0).collect();
            let (mut panel, mut plain) = (vec![bf16::NAN; len], vec![bf16::NAN; len]);
            pack_bf16_panel(&tile, features, columns, &mut panel, Parallel::Rayon).unwrap();
            pack_rows(&tile, &mut plain);
            for (feature, column) in (0..features).flat_map(|f| (0..columns).map(move |n| (f, n))) {
                let expected = round_to_bf16(tile[f32_index(features, feature, column)]);
                let index = bf16_index(features, feature, column);
                assert_eq!([panel[index], plain[index]], [expected; 2]);
            }
        }
    }

    #[test]
    fn wrong_lengths_are_errors() {
        let mut panel = vec![bf16::ZERO; elements(3, 5)];
        let error = pack_bf16_panel(&[0.0; 7], 3, 5, &mut panel, Parallel::Serial).unwrap_err();
        assert_eq!(error.to_string(), "pack-bf16-panel: f32 tile has 7 elements, expected 256");
        let error = pack_bf16_panel(&vec![0.0; elements(3, 5)], 3, 5, &mut panel[1..], Parallel::Serial).unwrap_err();
        assert_eq!(error.to_string(), "pack-bf16-panel: bf16 panel has 255 elements, expected 256");
    }
}
