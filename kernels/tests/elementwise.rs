//! Activations and quantisation against f64 references, and between tiers bit by bit.

mod matrices;
mod support;

use lacuna_jit::Isa;
use lacuna_kernels::elementwise::{ElementwiseDesc, QuantParams};
use lacuna_kernels::layout::elements;
use lacuna_kernels::{Activation, KernelError, PanelLayout, Parallel, Sign, Sink, reference};
use matrices::{
    FEATURES, TOKENS, assert_padding_features_are_zero, assert_padding_features_untouched, assert_same_bits,
    from_panel, from_tile, random, to_tile,
};
use proptest::prelude::*;
use support::{Guarded, garbage, tiers};

/// The activations that are one.
const FUNCTIONS: &[Activation] = Activation::ALL.split_at(1).1;

/// Stated bounds.
fn stated_error(activation: Activation) -> f64 {
    match activation {
        Activation::Identity | Activation::Relu => 0.0,
        Activation::Gelu => 2e-6,
        Activation::GeluTanh => 1e-6,
    }
}

fn quantizers() -> impl Iterator<Item = (Activation, PanelLayout, Sign)> {
    Activation::ALL.into_iter().flat_map(|activation| {
        [PanelLayout::Plain, PanelLayout::Vnni].into_iter().flat_map(move |layout| {
            [Sign::Unsigned, Sign::Signed].into_iter().map(move |sign| (activation, layout, sign))
        })
    })
}

fn activate(
    isa: Isa,
    activation: Activation,
    x: &[f32],
    features: usize,
    tokens: usize,
    parallel: Parallel,
) -> Vec<f32> {
    let kernel = ElementwiseDesc { features, sink: Sink::f32(false).with(activation) }.compile(isa).unwrap();
    let mut tile = to_tile(x, features, tokens, 31);
    let before = tile.to_vec();
    kernel.run_in_place(&mut tile, tokens, parallel).unwrap();
    assert_padding_features_untouched(&tile, &before, features, tokens);
    from_tile(&tile, features, tokens)
}

fn quantize(
    isa: Isa,
    (activation, layout, sign): (Activation, PanelLayout, Sign),
    (x, params): (&[f32], &[QuantParams]),
    tokens: usize,
    parallel: Parallel,
) -> Vec<u8> {
    let features = params.len();
    let sink = Sink::bytes(layout, sign).with(activation);
    let kernel = ElementwiseDesc { features, sink }.compile(isa).unwrap();
    let (x, params) = (to_tile(x, features, tokens, 32), Guarded::from_slice(params));
    let mut panel = Guarded::new(elements(features, tokens), 33);
    kernel.run_quantize(&params, &x, &mut panel, tokens, parallel).unwrap();
    assert_padding_features_are_zero(&panel, layout, features, tokens);
    from_panel(&panel, layout, features, tokens)
}

fn quant_params(features: usize, seed: u64) -> Vec<QuantParams> {
    let r = random(2 * features, -1.0, 1.0, seed);
    r.chunks(2).map(|r| QuantParams { scale: 30.0 + 20.0 * r[0], zero: (60.0 * r[1] + 60.0).round() }).collect()
}

fn check_activations(x: &[f32], features: usize, tokens: usize) {
    for &activation in FUNCTIONS {
        let expected = activate(Isa::Portable, activation, x, features, tokens, Parallel::Serial);
        for (&y, &x) in expected.iter().zip(x) {
            let error = (f64::from(y) - reference::rows::activated(activation, f64::from(x))).abs();
            assert!(error <= stated_error(activation), "{}({x}) = {y}", activation.name());
        }
        for isa in tiers() {
            let y = activate(isa, activation, x, features, tokens, Parallel::Serial);
            assert_same_bits(&y, &expected, &format!("{} F={features} N={tokens} {isa}", activation.name()));
        }
    }
}

fn check_quantize(x: &[f32], params: &[QuantParams], tokens: usize) {
    for form @ (activation, _, sign) in quantizers() {
        let portable = quantize(Isa::Portable, form, (x, params), tokens, Parallel::Serial);
        for (i, &q) in portable.iter().enumerate() {
            let p = &params[i / tokens];
            let (low, high, q) = match sign {
                Sign::Unsigned => (0, 255, i32::from(q)),
                Sign::Unsigned7 => (0, 127, i32::from(q)),
                Sign::Signed => (-128, 127, i32::from(q as i8)),
            };
            let (y, slack) = (reference::rows::activated(activation, f64::from(x[i])), stated_error(activation));
            // The multiply-add rounds once more than the reference: 2^-24 of at most a few hundred.
            let slack = slack + 3e-5 / f64::from(p.scale);
            let bound = |y: f64| reference::rows::quantize(y, p.scale, p.zero, low, high);
            assert!((bound(y - slack)..=bound(y + slack)).contains(&q), "element {i}: {y} became {q}");
        }
        for isa in tiers() {
            let q = quantize(isa, form, (x, params), tokens, Parallel::Serial);
            assert_eq!(q, portable, "F={} N={tokens} {isa} {form:?}", params.len());
        }
    }
}

#[test]
fn edge_sizes_match_the_reference_on_every_tier() {
    for features in FEATURES {
        for tokens in TOKENS {
            let seed = (features * 1000 + tokens) as u64;
            let x = random(features * tokens, -7.0, 7.0, seed);
            check_activations(&x, features, tokens);
            check_quantize(&x, &quant_params(features, seed), tokens);
        }
    }
}

#[test]
fn any_bits_give_the_same_on_every_tier() {
    let (features, tokens) = (30, 50);
    for seed in 0..20 {
        let x: Vec<f32> = garbage(features * tokens, seed);
        let params = quant_params(features, seed);
        for &activation in FUNCTIONS {
            let run = |isa| activate(isa, activation, &x, features, tokens, Parallel::Serial);
            let y = run(Isa::Portable);
            assert!(x.iter().zip(&y).all(|(x, y)| x.is_nan() == y.is_nan() || !x.is_finite()));
            tiers().into_iter().for_each(|isa| assert_same_bits(&run(isa), &y, isa.name()));
        }
        for isa in tiers() {
            for form in quantizers() {
                let portable = quantize(Isa::Portable, form, (&x, &params), tokens, Parallel::Serial);
                assert_eq!(quantize(isa, form, (&x, &params), tokens, Parallel::Serial), portable);
            }
        }
    }
}

#[test]
fn quantisation_rounds_to_even_and_saturates() {
    let x = [0.5, 1.5, 2.5, 254.5, 255.5, 1e6, -0.5, -1e6, -128.5, 127.5];
    let params = [QuantParams { scale: 1.0, zero: 0.0 }];
    for isa in tiers() {
        for layout in [PanelLayout::Plain, PanelLayout::Vnni] {
            let run =
                |sign| quantize(isa, (Activation::Identity, layout, sign), (&x, &params), x.len(), Parallel::Serial);
            assert_eq!(run(Sign::Unsigned), [0, 2, 2, 254, 255, 255, 0, 0, 0, 128]);
            let signed: Vec<i8> = run(Sign::Signed).into_iter().map(|q| q as i8).collect();
            assert_eq!(signed, [0, 2, 2, 127, 127, 127, 0, -128, -128, 127]);
        }
    }
}

#[test]
fn threads_compute_the_same() {
    let (features, tokens) = (77, 130);
    let (x, params) = (random(features * tokens, -8.0, 8.0, 5), quant_params(features, 6));
    for isa in tiers() {
        for &activation in FUNCTIONS {
            let run = |parallel| activate(isa, activation, &x, features, tokens, parallel);
            assert_eq!(run(Parallel::Rayon), run(Parallel::Serial));
        }
        for form in quantizers() {
            let run = |parallel| quantize(isa, form, (&x, &params), tokens, parallel);
            assert_eq!(run(Parallel::Rayon), run(Parallel::Serial));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_sizes_match(features in 1usize..150, tokens in 1usize..150, range in 0.1f32..12.0, seed: u64) {
        let x = random(features * tokens, -range, range, seed);
        check_activations(&x, features, tokens);
        check_quantize(&x, &quant_params(features, seed), tokens);
    }
}

#[test]
fn bad_arguments_are_named() {
    let in_place = |features, activation| ElementwiseDesc { features, sink: Sink::f32(false).with(activation) };
    let none = in_place(0, Activation::Gelu).plan(Isa::Portable);
    assert!(matches!(none, Err(KernelError::Dimension { found: 0, .. })));
    let nothing = in_place(3, Activation::Identity).plan(Isa::Portable);
    assert!(matches!(nothing, Err(KernelError::Mismatch { .. })));
    for sink in [Sink::bf16(), Sink::f32(true).with(Activation::Relu)] {
        let error = ElementwiseDesc { features: 3, sink }.plan(Isa::Portable).unwrap_err();
        let expected = "f32 output in place, or a panel of codes";
        assert_eq!(error.to_string(), format!("elementwise: given {} output, expected {expected}", sink.store.name()));
    }
    let sink = Sink::bytes(PanelLayout::Plain, Sign::Unsigned);
    let serial = Parallel::Serial;
    for isa in tiers() {
        let gelu = in_place(3, Activation::Gelu).compile(isa).unwrap();
        let quantize = ElementwiseDesc { features: 3, sink }.compile(isa).unwrap();
        let (mut x, mut panel) = (vec![0f32; 256], vec![0u8; 256]);
        let mut params = vec![QuantParams::default(); 3];

        assert!(matches!(gelu.run_in_place(&mut x, 0, serial), Err(KernelError::Dimension { found: 0, .. })));
        assert!(matches!(gelu.run_in_place(&mut x, 65, serial), Err(KernelError::Length { buffer: "x", .. })));
        assert!(matches!(quantize.run_in_place(&mut x, 5, serial), Err(KernelError::Mismatch { .. })));
        let found = gelu.run_quantize(&params, &x, &mut panel, 5, serial);
        assert!(matches!(found, Err(KernelError::Mismatch { .. })));
        let found = quantize.run_quantize(&params, &x, &mut panel, 0, serial);
        assert!(matches!(found, Err(KernelError::Dimension { found: 0, .. })));
        let found = quantize.run_quantize(&params[1..], &x, &mut panel, 5, serial);
        assert!(matches!(found, Err(KernelError::Length { found: 2, expected: 3, .. })));
        let found = quantize.run_quantize(&params, &x[1..], &mut panel, 5, serial);
        assert!(matches!(found, Err(KernelError::Length { buffer: "x", found: 255, .. })));
        let found = quantize.run_quantize(&params, &x, &mut panel[1..], 5, serial);
        assert!(matches!(found, Err(KernelError::Length { buffer: "panel", found: 255, .. })));
        params[1].scale = f32::INFINITY;
        let found = quantize.run_quantize(&params, &x, &mut panel, 5, serial);
        assert!(matches!(found, Err(KernelError::Parameter { parameter: "scale", row: 1, .. })));
    }
}
