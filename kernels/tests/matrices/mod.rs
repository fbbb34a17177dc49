//! Row-major `[F][N]` matrices for the tests of the row kernels, to and from the layouts of the kernels.
#![allow(dead_code)] // every test uses a part

use lacuna_kernels::layout::{elements, f32_index, padded, tiles};
use lacuna_kernels::{PanelLayout, TILE};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::Guarded;

/// Token counts around the edges of vectors and tiles.
pub(crate) const TOKENS: [usize; 8] = [1, 15, 16, 17, 63, 64, 65, 130];
/// Feature counts around the edges of groups and blocks, and those of real models.
pub(crate) const FEATURES: [usize; 9] = [1, 3, 4, 16, 17, 26, 64, 312, 384];

/// `len` values in `low..high`.
pub(crate) fn random(len: usize, low: f32, high: f32, seed: u64) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(low..high)).collect()
}

/// `x` as an f32 tile between guard pages, garbage in all padding.
pub(crate) fn to_tile(x: &[f32], features: usize, tokens: usize, seed: u64) -> Guarded<f32> {
    let mut tile = Guarded::new(elements(features, tokens), seed);
    for f in 0..features {
        for n in 0..tokens {
            tile[f32_index(features, f, n)] = x[f * tokens + n];
        }
    }
    tile
}

/// The elements of an f32 tile.
pub(crate) fn from_tile(tile: &[f32], features: usize, tokens: usize) -> Vec<f32> {
    let element = |i: usize| tile[f32_index(features, i / tokens, i % tokens)];
    (0..features * tokens).map(element).collect()
}

/// The elements of a panel.
pub(crate) fn from_panel(panel: &[u8], layout: PanelLayout, features: usize, tokens: usize) -> Vec<u8> {
    let element = |i: usize| panel[layout.index(features, i / tokens, i % tokens)];
    (0..features * tokens).map(element).collect()
}

/// Asserts that the padding features of all tokens of a panel are zero.
pub(crate) fn assert_padding_features_are_zero(panel: &[u8], layout: PanelLayout, features: usize, tokens: usize) {
    for f in features..padded(features) {
        for n in 0..tokens {
            assert_eq!(panel[layout.index(features, f, n)], 0, "padding feature {f} of token {n}");
        }
    }
}

/// Asserts that the padding features of an f32 tile are what they were.
pub(crate) fn assert_padding_features_untouched(tile: &[f32], before: &[f32], features: usize, tokens: usize) {
    let rows = padded(features);
    for row in (0..tiles(tokens) * rows).filter(|row| row % rows >= features) {
        let bits = |tile: &[f32]| tile[row * TILE..][..TILE].iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
        assert_eq!(bits(tile), bits(before), "padding row {row}");
    }
}

/// Asserts that two results have the same bits; all NaNs are one.
#[track_caller]
pub(crate) fn assert_same_bits(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let differs = |(a, e): (&f32, &f32)| a.to_bits() != e.to_bits() && !(a.is_nan() && e.is_nan());
    let mut pairs = actual.iter().zip(expected);
    if let Some(i) = pairs.position(differs) {
        panic!("{what}: element {i} is {:e}, expected the bits of {:e}", actual[i], expected[i]);
    }
}
