//! Where each element of a bf16 activation lives.

use half::bf16;

use super::twin::round_to_bf16;
use crate::layout::{elements, f32_index, padded};
use crate::{KernelError, TILE};

/// Position, within a row of a bf16 panel, of the token `token` of its tile.
///
/// Token `32 h + 16 v + 4 l + c` sits at `32 h + 8 l + 4 v + c` (h, v in 0..2; l, c in 0..4). Interleaving the words of two rows
/// within 128-bit lanes (`vpunpcklwd`, `vpunpckhwd`) then yields vectors of 16 consecutive tokens with a pair of features each.
pub const fn bf16_lane_position(token: usize) -> usize {
    let (h, v, l, c) = (token / 32, token / 16 % 2, token / 4 % 4, token % 4);
    32 * h + 8 * l + 4 * v + c
}

/// Index of an element in a bf16 panel: `[tile][feature][64]` bf16, tokens in the order of [`bf16_lane_position`]. A panel has
/// [`elements`] elements; those of padding features and padding tokens hold unspecified values.
pub const fn bf16_index(features: usize, feature: usize, token: usize) -> usize {
    (token / TILE * padded(features) + feature) * TILE + bf16_lane_position(token % TILE)
}

/// Rounds an f32 tile of `features` x `tokens` into a bf16 panel, each element by [`round_to_bf16`].
///
/// # Errors
/// [`KernelError::Length`] for buffers without [`elements`] elements.
pub fn pack_bf16_panel(tile: &[f32], features: usize, tokens: usize, panel: &mut [bf16]) -> Result<(), KernelError> {
    let expected = elements(features, tokens);
    for (buffer, found) in [("f32 tile", tile.len()), ("bf16 panel", panel.len())] {
        if found != expected {
            return Err(KernelError::Length { kernel: "pack-bf16-panel".to_owned(), buffer, found, expected });
        }
    }
    for token in 0..tokens {
        for feature in 0..features {
            panel[bf16_index(features, feature, token)] = round_to_bf16(tile[f32_index(features, feature, token)]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_a_bijection() {
        let (features, tokens) = (7, 130);
        let mut seen = vec![false; elements(features, tokens)];
        for feature in 0..features {
            for token in 0..tokens {
                assert!(!std::mem::replace(&mut seen[bf16_index(features, feature, token)], true));
            }
        }
    }

    /// What the two unpacks do with the words of two rows, written down from the manual.
    #[test]
    fn unpacked_rows_are_in_natural_order() {
        let mut row = [0; TILE];
        (0..TILE).for_each(|token| row[bf16_lane_position(token)] = token);
        for (half, words) in row.chunks_exact(32).enumerate() {
            for (high, first) in [(0, 0), (1, 4)] {
                let lanes = words.chunks_exact(8).flat_map(|lane| lane[first..first + 4].iter().copied());
                assert!(lanes.eq(32 * half + 16 * high..32 * half + 16 * high + 16));
            }
        }
    }

    #[test]
    fn wrong_lengths_are_errors() {
        let mut panel = vec![bf16::ZERO; elements(3, 5)];
        let error = pack_bf16_panel(&[0.0; 7], 3, 5, &mut panel).unwrap_err();
        assert_eq!(error.to_string(), "pack-bf16-panel: f32 tile has 7 elements, expected 256");
        let error = pack_bf16_panel(&vec![0.0; elements(3, 5)], 3, 5, &mut panel[1..]).unwrap_err();
        assert_eq!(error.to_string(), "pack-bf16-panel: bf16 panel has 255 elements, expected 256");
    }
}
