//! Layernorm against an f64 reference, and between tiers bit by bit.

mod matrices;
mod support;

use lacuna_jit::Isa;
use lacuna_kernels::layernorm::{LayerNormDesc, NormParams, NormRows};
use lacuna_kernels::layout::elements;
use lacuna_kernels::{ActivationBits, KernelError, PanelLayout, Parallel, math, reference};
use matrices::{
    FEATURES, TOKENS, assert_padding_features_are_zero, assert_padding_features_untouched, assert_same_bits,
    from_panel, from_tile, random, to_tile,
};
use proptest::prelude::*;
use support::{Guarded, tiers};

const EPSILON: f32 = 1e-12;

/// What a layernorm writes: the f32 tile or not, and a panel.
type Written = (bool, Option<PanelLayout>);

const F32: Written = (true, None);
const OUTPUTS: [Written; 5] = [
    F32,
    (false, Some(PanelLayout::Plain)),
    (false, Some(PanelLayout::Vnni)),
    (true, Some(PanelLayout::Plain)),
    (true, Some(PanelLayout::Vnni)),
];

struct Case {
    features: usize,
    tokens: usize,
    x: Vec<f32>,
    params: Vec<NormParams>,
    epsilon: f32,
    seed: u64,
    bits: ActivationBits,
}

impl Case {
    /// Values around `mean`, deviating by up to 2.
    fn new(features: usize, tokens: usize, mean: f32, seed: u64) -> Case {
        let x = random(features * tokens, mean - 2.0, mean + 2.0, seed);
        let r = random(3 * features, -1.0, 1.0, seed ^ 1);
        let params = r.chunks(3).map(|r| NormParams {
            gamma: r[0] * 1.5,
            beta: r[1] * 0.5,
            out_scale: 40.0 + 20.0 * r[2],
            out_zero: 121.0,
        });
        Case { features, tokens, x, params: params.collect(), epsilon: EPSILON, seed, bits: ActivationBits::Eight }
    }

    fn reference(&self) -> Vec<f64> {
        let column = |field: fn(&NormParams) -> f32| self.params.iter().map(field).collect::<Vec<f32>>();
        reference::rows::layernorm(&self.x, &column(|p| p.gamma), &column(|p| p.beta), self.epsilon, self.tokens)
    }

    /// The f32 tile and the panel afterwards, as matrices; padding and buffers are checked on the way.
    fn run(&self, isa: Isa, (f32, layout): Written, parallel: Parallel) -> (Vec<f32>, Vec<u8>) {
        let (features, tokens) = (self.features, self.tokens);
        let kernel = LayerNormDesc { features, f32, panel: layout, activation_bits: self.bits }.compile(isa).unwrap();
        let weights = NormRows::pack(kernel.plan(), &self.params, self.epsilon).unwrap();
        let mut x = to_tile(&self.x, features, tokens, self.seed);
        let before = x.to_vec();
        let mut panel = Guarded::new(elements(features, tokens), self.seed ^ 2);
        let target = layout.map(|_| &mut panel[..]);
        kernel.run(&weights, &mut x, target, tokens, parallel).unwrap();
        assert_padding_features_untouched(&x, &before, features, tokens);
        if !f32 {
            assert_same_bits(&x, &before, "a tile that is only read");
        }
        let q = layout.map_or(Vec::new(), |layout| {
            assert_padding_features_are_zero(&panel, layout, features, tokens);
            from_panel(&panel, layout, features, tokens)
        });
        (from_tile(&x, features, tokens), q)
    }

    /// All outputs on all tiers: f32 within `bound` of the reference, panels exactly what the f32 values quantise to,
    /// everything the same on every tier.
    fn check(&self, bound: f64) {
        let what = format!("F={} N={}", self.features, self.tokens);
        let (expected, none) = self.run(Isa::Portable, F32, Parallel::Serial);
        assert!(none.is_empty());
        for (i, (&y, reference)) in expected.iter().zip(self.reference()).enumerate() {
            let error = (f64::from(y) - reference).abs();
            assert!(error <= bound * (1.0 + reference.abs()), "{what}: element {i} is {y}, expected {reference}");
        }
        let quantized = |(i, &y): (usize, &f32)| {
            let p = &self.params[i / self.tokens];
            math::quantize_u8(y.mul_add(p.out_scale, p.out_zero)).min(self.bits.largest())
        };
        let expected_q: Vec<u8> = expected.iter().enumerate().map(quantized).collect();
        for isa in tiers() {
            for output in OUTPUTS {
                let (y, q) = self.run(isa, output, Parallel::Serial);
                if output.0 {
                    assert_same_bits(&y, &expected, &format!("{what} {isa} {output:?}"));
                }
                if output.1.is_some() {
                    assert_eq!(q, expected_q, "{what} {isa} {output:?}");
                }
            }
        }
    }
}

#[test]
fn edge_sizes_match_the_reference_on_every_tier() {
    for features in FEATURES {
        for tokens in TOKENS {
            // One feature is its own mean: the deviation is exactly 0.
            let mut case = Case::new(features, tokens, 0.25, (features * 1000 + tokens) as u64);
            for bits in ActivationBits::ALL {
                case.bits = bits;
                case.check(2e-6);
            }
        }
    }
}

#[test]
fn a_large_mean_does_not_cancel() {
    // x has a unit in the last place of 2.4e-4 or 4.9e-4, its mean that of a sum near 4e5. Squares near 2e7 have one
    // of 2, more than the whole variance of 1.3: E[x^2] - E[x]^2 would be meaningless.
    let case = Case::new(384, 65, 4096.0, 7);
    case.check(2e-3);
}

#[test]
fn first_features_far_from_the_mean_are_no_harm() {
    // The kernel takes its sums about the mean of the first 64 features: here as far from the mean as can be.
    let mut case = Case::new(1024, 20, 0.0, 8);
    for x in &mut case.x[..64 * case.tokens] {
        *x += 1000.0;
    }
    case.check(2e-5);
    case.x[10 * case.tokens + 3] = 1e18; // one outlier that is all of the variance
    case.check(2e-5);
}

#[test]
fn constant_columns_give_beta() {
    let mut case = Case::new(64, 17, 0.0, 3);
    case.x.fill(0.5);
    case.epsilon = 1e-5;
    let (y, _) = case.run(Isa::detect(), F32, Parallel::Serial);
    for (i, y) in y.into_iter().enumerate() {
        assert_eq!(y, case.params[i / case.tokens].beta);
    }
}

#[test]
fn a_nan_stays_in_its_token() {
    let (features, tokens) = (26, 20);
    let mut case = Case::new(features, tokens, 0.0, 5);
    case.x[3 * tokens + 7] = f32::NAN;
    case.x[5 * tokens + 11] = f32::INFINITY;
    for isa in tiers() {
        let (y, q) = case.run(isa, (true, Some(PanelLayout::Plain)), Parallel::Serial);
        for (i, (&y, &q)) in y.iter().zip(&q).enumerate() {
            let broken = [7, 11].contains(&(i % tokens));
            assert_eq!(y.is_nan(), broken, "element {i}");
            assert!(!broken || q == 0);
        }
    }
}

#[test]
fn threads_compute_the_same() {
    let case = Case::new(312, 130, 0.0, 9);
    for isa in tiers() {
        for output in OUTPUTS {
            assert_eq!(case.run(isa, output, Parallel::Rayon), case.run(isa, output, Parallel::Serial));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_sizes_match(features in 1usize..200, tokens in 1usize..200, mean in -3f32..3.0, seed: u64) {
        Case::new(features, tokens, mean, seed).check(2e-5);
    }
}

#[test]
fn bad_arguments_are_named() {
    let desc = LayerNormDesc { features: 0, f32: true, panel: None, activation_bits: ActivationBits::Eight };
    assert!(matches!(desc.plan(Isa::Portable), Err(KernelError::Dimension { found: 0, .. })));
    let desc = LayerNormDesc { features: usize::MAX, f32: true, panel: None, activation_bits: ActivationBits::Eight };
    assert!(matches!(desc.plan(Isa::Portable), Err(KernelError::Dimension { .. })));
    let nothing = LayerNormDesc { features: 5, f32: false, panel: None, activation_bits: ActivationBits::Eight }
        .plan(Isa::Portable)
        .unwrap_err();
    assert_eq!(nothing.to_string(), "layernorm: given no output, expected an f32 tile, a panel, or both");

    for isa in tiers() {
        let kernel = LayerNormDesc { features: 5, f32: true, panel: None, activation_bits: ActivationBits::Eight }
            .compile(isa)
            .unwrap();
        let with_panel = LayerNormDesc {
            features: 5,
            f32: true,
            panel: Some(PanelLayout::Plain),
            activation_bits: ActivationBits::Eight,
        }
        .compile(isa)
        .unwrap();
        let params = vec![NormParams { gamma: 1.0, ..Default::default() }; 5];
        let pack = |params: &[NormParams], epsilon| NormRows::pack(kernel.plan(), params, epsilon);
        let weights = pack(&params, EPSILON).unwrap();
        let other = LayerNormDesc { features: 4, f32: true, panel: None, activation_bits: ActivationBits::Eight }
            .plan(isa)
            .unwrap();
        let narrow = NormRows::pack(&other, &params[..4], EPSILON).unwrap();
        let (mut x, mut panel) = (vec![0.0; elements(5, 3)], vec![0; elements(5, 3)]);
        let serial = Parallel::Serial;

        let found = kernel.run(&weights, &mut x, None, 0, serial);
        assert!(matches!(found, Err(KernelError::Dimension { dimension: "N", found: 0, .. })));
        let found = kernel.run(&weights, &mut x[1..], None, 3, serial);
        assert!(matches!(found, Err(KernelError::Length { buffer: "x", found: 511, expected: 512, .. })));
        let found = kernel.run(&weights, &mut x, Some(&mut panel), 3, serial);
        assert!(matches!(found, Err(KernelError::Mismatch { .. })));
        let found = with_panel.run(&weights, &mut x, None, 3, serial);
        assert!(matches!(found, Err(KernelError::Mismatch { .. })));
        let found = with_panel.run(&weights, &mut x, Some(&mut panel[..1]), 3, serial);
        assert!(matches!(found, Err(KernelError::Length { buffer: "panel", found: 1, .. })));
        let found = kernel.run(&narrow, &mut x, None, 3, serial);
        assert!(matches!(found, Err(KernelError::Mismatch { .. })));

        assert!(matches!(pack(&params[1..], EPSILON), Err(KernelError::Length { found: 4, expected: 5, .. })));
        for epsilon in [-1.0, f32::NAN, f32::INFINITY] {
            assert!(matches!(pack(&params, epsilon), Err(KernelError::Parameter { parameter: "epsilon", .. })));
        }
        let mut bad = params.clone();
        bad[2].beta = f32::NAN;
        assert!(matches!(pack(&bad, EPSILON), Err(KernelError::Parameter { parameter: "beta", row: 2, .. })));
        bad[2] = NormParams { gamma: 1e6, out_scale: 1e6, ..Default::default() };
        assert!(matches!(pack(&bad, EPSILON), Err(KernelError::Parameter { parameter: "output scale", row: 2, .. })));
    }
}
