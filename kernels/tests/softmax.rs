//! Softmax against an f64 reference, and between tiers bit by bit.

mod matrices;
mod support;

use lacuna_jit::Isa;
use lacuna_kernels::softmax::SoftmaxDesc;
use lacuna_kernels::{KernelError, Parallel, reference};
use matrices::{FEATURES, TOKENS, assert_padding_features_untouched, assert_same_bits, from_tile, random, to_tile};
use proptest::prelude::*;
use support::tiers_without_avx2;

fn run(isa: Isa, x: &[f32], features: usize, tokens: usize, parallel: Parallel) -> Vec<f32> {
    let kernel = SoftmaxDesc { features }.compile(isa).unwrap();
    let mut tile = to_tile(x, features, tokens, 77);
    let before = tile.to_vec();
    kernel.run(&mut tile, tokens, parallel).unwrap();
    assert_padding_features_untouched(&tile, &before, features, tokens);
    from_tile(&tile, features, tokens)
}

/// Runs on all tiers: all the same, and within the stated bounds of the reference.
fn check(x: &[f32], features: usize, tokens: usize) {
    let what = format!("F={features} N={tokens}");
    let expected = run(Isa::Portable, x, features, tokens, Parallel::Serial);
    let reference = reference::rows::softmax(x, tokens);
    for (i, (&y, &r)) in expected.iter().zip(&reference).enumerate() {
        let column = || (0..features).map(|f| f64::from(x[f * tokens + i % tokens]));
        let below_max = column().fold(f64::NEG_INFINITY, f64::max) - f64::from(x[i]);
        // The sum of F terms adds the rounding of a quarter of them, one after the other.
        let relative = if r == 0.0 { 0.0 } else { 5e-7 + 1.4e-7 * below_max + 1.5e-8 * features as f64 };
        let error = (f64::from(y) - r).abs();
        assert!(error <= relative * r + 3e-45, "{what}: element {i} is {y:e}, expected {r:e}");
    }
    for isa in tiers_without_avx2() {
        assert_same_bits(&run(isa, x, features, tokens, Parallel::Serial), &expected, &format!("{what} {isa}"));
    }
}

#[test]
fn edge_sizes_match_the_reference_on_every_tier() {
    for features in FEATURES {
        for tokens in TOKENS {
            check(&random(features * tokens, -12.0, 12.0, (features * 1000 + tokens) as u64), features, tokens);
        }
    }
}

#[test]
fn large_inputs_neither_overflow_nor_vanish() {
    let (features, tokens) = (40, 17);
    let near: Vec<f32> = random(features * tokens, 0.0, 60.0, 1).iter().map(|x| x.round() + 30_000.0).collect();
    check(&near, features, tokens);
    let far: Vec<f32> = random(features * tokens, -1.0, 1.0, 2).iter().map(|x| x * 1e38).collect();
    check(&far, features, tokens);
    check(&vec![-3e38; features * tokens], features, tokens);
}

#[test]
fn minus_infinity_is_exactly_zero() {
    let (features, tokens) = (30, 20);
    let mut x = random(features * tokens, -4.0, 4.0, 3);
    for f in (0..features).filter(|f| f % 3 != 1) {
        x[f * tokens..][..tokens].fill(f32::NEG_INFINITY);
    }
    for isa in tiers_without_avx2() {
        let y = run(isa, &x, features, tokens, Parallel::Serial);
        for (&x, &y) in x.iter().zip(&y) {
            assert_eq!(y == 0.0, x == f32::NEG_INFINITY);
        }
        for n in 0..tokens {
            let sum: f64 = (0..features).map(|f| f64::from(y[f * tokens + n])).sum();
            assert!((sum - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn what_has_no_softmax_is_nan_in_its_token_alone() {
    let (features, tokens) = (9, 40);
    let mut x = random(features * tokens, -4.0, 4.0, 4);
    x[2 * tokens + 5] = f32::NAN;
    x[7 * tokens + 21] = f32::INFINITY;
    for f in 0..features {
        x[f * tokens + 30] = f32::NEG_INFINITY;
    }
    for isa in tiers_without_avx2() {
        let y = run(isa, &x, features, tokens, Parallel::Serial);
        for (i, y) in y.iter().enumerate() {
            assert_eq!(y.is_nan(), [5, 21, 30].contains(&(i % tokens)), "{isa} element {i}");
        }
    }
}

#[test]
fn threads_compute_the_same() {
    let x = random(77 * 130, -8.0, 8.0, 5);
    for isa in tiers_without_avx2() {
        assert_eq!(run(isa, &x, 77, 130, Parallel::Rayon), run(isa, &x, 77, 130, Parallel::Serial));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_sizes_match(features in 1usize..200, tokens in 1usize..200, range in 0.1f32..90.0, seed: u64) {
        check(&random(features * tokens, -range, range, seed), features, tokens);
    }
}

#[test]
fn bad_arguments_are_named() {
    assert!(matches!(SoftmaxDesc { features: 0 }.plan(Isa::Portable), Err(KernelError::Dimension { found: 0, .. })));
    for isa in tiers_without_avx2() {
        let kernel = SoftmaxDesc { features: 3 }.compile(isa).unwrap();
        let mut x = vec![0.0; 4 * 64];
        assert!(matches!(kernel.run(&mut x, 0, Parallel::Serial), Err(KernelError::Dimension { found: 0, .. })));
        assert!(matches!(
            kernel.run(&mut x, 65, Parallel::Serial),
            Err(KernelError::Length { buffer: "x", found: 256, expected: 512, .. })
        ));
    }
}
