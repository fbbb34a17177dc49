//! Scales per token against f64 references, and between tiers bit by bit.

mod matrices;
mod support;

use lacuna_jit::Isa;
use lacuna_kernels::dynamic::{
    ColumnQuantDesc, ColumnRescaleDesc, FeatureScales, RescaleParams, RescaleRows, zero_code,
};
use lacuna_kernels::layout::{elements, tiles};
use lacuna_kernels::{ActivationBits, KernelError, Output, PanelLayout, Parallel, Sign, Sink, Store, TILE, reference};
use matrices::{
    FEATURES, TOKENS, assert_padding_features_are_zero, assert_padding_features_untouched, assert_same_bits,
    from_panel, from_tile, random, to_tile,
};
use proptest::prelude::*;
use support::{Guarded, garbage, tiers};

const LAYOUTS: [PanelLayout; 2] = [PanelLayout::Plain, PanelLayout::Vnni];

/// Codes `[F][N]` and scales `[N]`.
fn quantize(
    activation_bits: ActivationBits,
    isa: Isa,
    layout: PanelLayout,
    (x, scales): (&[f32], &[f32]),
    tokens: usize,
    parallel: Parallel<'_>,
) -> (Vec<u8>, Vec<f32>) {
    let features = scales.len();
    let kernel = ColumnQuantDesc { features, layout, activation_bits }.compile(isa).unwrap();
    let scales = FeatureScales::pack(kernel.plan(), scales).unwrap();
    let x = to_tile(x, features, tokens, 41);
    let mut panel = Guarded::new(elements(features, tokens), 42);
    let mut found = Guarded::new(tiles(tokens) * TILE, 43);
    kernel.run(&scales, &x, &mut panel, &mut found, tokens, parallel).unwrap();
    assert_padding_features_are_zero(&panel, layout, features, tokens);
    (from_panel(&panel, layout, features, tokens), found[..tokens].to_vec())
}

fn check_quantize(x: &[f32], scales: &[f32], tokens: usize) {
    ActivationBits::ALL.into_iter().for_each(|bits| check_quantize_to(bits, x, scales, tokens));
}

fn check_quantize_to(bits: ActivationBits, x: &[f32], scales: &[f32], tokens: usize) {
    let features = scales.len();
    let portable = quantize(bits, Isa::Portable, PanelLayout::Plain, (x, scales), tokens, Parallel::Serial);
    for n in 0..tokens {
        let column: Vec<f64> = (0..features).map(|f| f64::from(x[f * tokens + n]) / f64::from(scales[f])).collect();
        let (scale, codes) = reference::rows::column_codes(&column, bits);
        let found = f64::from(portable.1[n]);
        assert!((found - scale).abs() <= 1e-6 * scale, "token {n}: scale {found}, expected {scale}");
        for (f, exact) in codes.into_iter().enumerate() {
            let code = f64::from(portable.0[f * tokens + n]);
            // Half a code, and a few roundings of a number up to 255.
            assert!((code - exact).abs() <= 0.5 + 1e-4, "feature {f} of token {n}: code {code}, exactly {exact}");
        }
    }
    for (isa, layout) in tiers().into_iter().flat_map(|isa| LAYOUTS.map(|layout| (isa, layout))) {
        let (codes, found) = quantize(bits, isa, layout, (x, scales), tokens, Parallel::Serial);
        assert_eq!(codes, portable.0, "F={features} N={tokens} {isa} {layout:?}");
        assert_same_bits(&found, &portable.1, &format!("scales, F={features} N={tokens} {isa} {layout:?}"));
    }
}

/// Positive, over three orders of magnitude.
fn feature_scales(features: usize, seed: u64) -> Vec<f32> {
    random(features, -5.0, 2.0, seed).into_iter().map(f32::exp).collect()
}

/// What a rescaling wrote.
#[derive(Debug, PartialEq)]
enum Found {
    F32(Vec<f32>),
    Bytes(Vec<u8>),
}

fn sinks() -> Vec<Sink> {
    Sink::all().into_iter().filter(|sink| sink.store != Store::Bf16).collect()
}

/// `t` and `x` are `[F][N]`, `scales` `[N]`.
struct Case {
    t: Vec<f32>,
    x: Vec<f32>,
    scales: Vec<f32>,
    rows: Vec<RescaleParams>,
}

impl Case {
    fn new(features: usize, tokens: usize, seed: u64) -> Case {
        let r = random(3 * features, -1.0, 1.0, seed);
        let row = |r: &[f32]| RescaleParams {
            bias: 2.0 * r[0],
            out_scale: 30.0 + 20.0 * r[1],
            out_zero: (60.0 * r[2] + 60.0).round(),
            unused: 0.0,
        };
        Case {
            t: random(features * tokens, -300.0, 300.0, seed + 1),
            x: random(features * tokens, -3.0, 3.0, seed + 2),
            scales: random(tokens, 0.0, 0.02, seed + 3),
            rows: r.chunks(3).map(row).collect(),
        }
    }

    fn run(&self, isa: Isa, sink: Sink, parallel: Parallel<'_>) -> Found {
        let (features, tokens) = (self.rows.len(), self.scales.len());
        let kernel = ColumnRescaleDesc { features, sink }.compile(isa).unwrap();
        let rows = RescaleRows::pack(kernel.plan(), &self.rows).unwrap();
        let mut scales = Guarded::new(tiles(tokens) * TILE, 51);
        scales[..tokens].copy_from_slice(&self.scales);
        let mut t = to_tile(&self.t, features, tokens, 52);
        let before = t.to_vec();
        match sink.store {
            Store::F32 { residual: false } => {
                kernel.run(&rows, &scales, &mut t, None, tokens, parallel).unwrap();
                assert_padding_features_untouched(&t, &before, features, tokens);
                Found::F32(from_tile(&t, features, tokens))
            }
            Store::F32 { residual: true } => {
                let mut x = to_tile(&self.x, features, tokens, 53);
                let before = x.to_vec();
                kernel.run(&rows, &scales, &mut t, Some(Output::F32(&mut x)), tokens, parallel).unwrap();
                assert_padding_features_untouched(&x, &before, features, tokens);
                Found::F32(from_tile(&x, features, tokens))
            }
            Store::Bytes { layout, .. } => {
                let mut panel = Guarded::new(elements(features, tokens), 54);
                kernel.run(&rows, &scales, &mut t, Some(Output::Bytes(&mut panel)), tokens, parallel).unwrap();
                assert_padding_features_are_zero(&panel, layout, features, tokens);
                Found::Bytes(from_panel(&panel, layout, features, tokens))
            }
            Store::Bf16 => panic!("not a sink of rescaling"),
        }
    }

    /// Against the f64 reference, then every tier against the portable one.
    fn check(&self) {
        let tokens = self.scales.len();
        for sink in sinks() {
            let portable = self.run(Isa::Portable, sink, Parallel::Serial);
            for i in 0..self.t.len() {
                let p = &self.rows[i / tokens];
                let y = f64::from(self.t[i]) * f64::from(self.scales[i % tokens]) + f64::from(p.bias);
                let y = reference::rows::activated(sink.activation, y);
                // GELU's own error, and one rounding of a number up to 8.
                let slack = 3e-6;
                match (sink.store, &portable) {
                    (Store::Bytes { sign, .. }, Found::Bytes(q)) => {
                        let (low, high, q) = match sign {
                            Sign::Unsigned => (0, 255, i32::from(q[i])),
                            Sign::Unsigned7 => (0, 127, i32::from(q[i])),
                            Sign::Signed => (-128, 127, i32::from(q[i] as i8)),
                        };
                        let slack = slack + 3e-5 / f64::from(p.out_scale);
                        let bound = |y: f64| reference::rows::quantize(y, p.out_scale, p.out_zero, low, high);
                        assert!((bound(y - slack)..=bound(y + slack)).contains(&q), "{sink:?} {i}: {y} became {q}");
                    }
                    (_, Found::F32(found)) => {
                        let y =
                            if sink.store == (Store::F32 { residual: true }) { y + f64::from(self.x[i]) } else { y };
                        let error = (f64::from(found[i]) - y).abs();
                        assert!(error <= slack, "{sink:?} {i}: {} is not {y}", found[i]);
                    }
                    (_, found) => panic!("{sink:?} wrote {found:?}"),
                }
            }
            for isa in tiers() {
                self.check_same(isa, sink, &portable);
            }
        }
    }

    fn check_same(&self, isa: Isa, sink: Sink, portable: &Found) {
        let what = format!("F={} N={} {isa} {sink:?}", self.rows.len(), self.scales.len());
        match (self.run(isa, sink, Parallel::Serial), portable) {
            (Found::F32(found), Found::F32(expected)) => assert_same_bits(&found, expected, &what),
            (found, expected) => assert_eq!(found, *expected, "{what}"),
        }
    }
}

#[test]
fn edge_sizes_match_the_reference_on_every_tier() {
    for features in FEATURES {
        for tokens in TOKENS {
            let seed = (features * 1000 + tokens) as u64;
            check_quantize(&random(features * tokens, -7.0, 7.0, seed), &feature_scales(features, seed), tokens);
            Case::new(features, tokens, seed).check();
        }
    }
}

#[test]
fn any_bits_give_the_same_on_every_tier() {
    let (features, tokens) = (30, 50);
    for seed in 0..20 {
        let x: Vec<f32> = garbage(features * tokens, seed);
        let scales = feature_scales(features, seed);
        let run = |isa, layout| quantize(ActivationBits::Eight, isa, layout, (&x, &scales), tokens, Parallel::Serial);
        let portable = run(Isa::Portable, PanelLayout::Plain);
        for (isa, layout) in tiers().into_iter().flat_map(|isa| LAYOUTS.map(|layout| (isa, layout))) {
            let found = run(isa, layout);
            assert_eq!(found.0, portable.0, "{isa}");
            assert_same_bits(&found.1, &portable.1, isa.name());
        }
        let case = Case { t: x, scales: garbage(tokens, seed + 100), ..Case::new(features, tokens, seed) };
        for (isa, sink) in tiers().into_iter().flat_map(|isa| sinks().into_iter().map(move |sink| (isa, sink))) {
            case.check_same(isa, sink, &case.run(Isa::Portable, sink, Parallel::Serial));
        }
    }
}

/// Five tokens: ordinary, zeros, tiny numbers, a NaN, an infinity.
#[test]
fn tokens_without_a_scale_are_as_documented() {
    let tokens = 5;
    let rows = [[1.0, 0.0, 1e-45, 1.0, 1.0], [-2.0, -0.0, -1e-40, f32::NAN, 3.0], [0.5, 0.0, 0.0, 2.0, f32::INFINITY]];
    let (least, zero) = (2f32.powi(-100) / 127.0, zero_code(ActivationBits::Eight));
    for (isa, layout) in tiers().into_iter().flat_map(|isa| LAYOUTS.map(|layout| (isa, layout))) {
        let (codes, scales) =
            quantize(ActivationBits::Eight, isa, layout, (&rows.concat(), &[1.0; 3]), tokens, Parallel::Serial);
        let of = |n: usize| [codes[n], codes[tokens + n], codes[2 * tokens + n]];
        assert_eq!((of(0), scales[0]), ([192, 1, 160], 2.0 / 127.0)); // 63.5 and 31.75: to even, to nearest
        assert_eq!((of(1), scales[1]), ([zero; 3], least));
        assert_eq!((of(2), scales[2]), ([zero; 3], least));
        assert_eq!((of(3), scales[3].is_nan()), ([0; 3], true));
        assert_eq!((of(4), scales[4]), ([zero, zero, 0], f32::INFINITY));
    }
}

#[test]
fn threads_compute_the_same() {
    let (features, tokens) = (77, 130);
    let (x, scales) = (random(features * tokens, -8.0, 8.0, 5), feature_scales(features, 6));
    let case = Case::new(features, tokens, 7);
    for isa in tiers() {
        for layout in LAYOUTS {
            let run = |parallel| quantize(ActivationBits::Eight, isa, layout, (&x, &scales), tokens, parallel);
            assert_eq!(run(Parallel::Rayon), run(Parallel::Serial));
        }
        for sink in sinks() {
            assert_eq!(case.run(isa, sink, Parallel::Rayon), case.run(isa, sink, Parallel::Serial));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_sizes_match(features in 1usize..150, tokens in 1usize..150, range in 1e-3f32..1e3, seed: u64) {
        let seed = seed >> 1; // room for the sums below
        check_quantize(&random(features * tokens, -range, range, seed), &feature_scales(features, seed), tokens);
        Case::new(features, tokens, seed).check();
    }
}

#[test]
fn bad_arguments_are_named() {
    let none = ColumnQuantDesc { features: 0, layout: PanelLayout::Plain, activation_bits: ActivationBits::Eight }
        .plan(Isa::Portable);
    assert!(matches!(none, Err(KernelError::Dimension { found: 0, .. })));
    let none = ColumnRescaleDesc { features: 0, sink: Sink::f32(true) }.plan(Isa::Portable);
    assert!(matches!(none, Err(KernelError::Dimension { found: 0, .. })));
    let bf16 = ColumnRescaleDesc { features: 3, sink: Sink::bf16() }.plan(Isa::Portable).unwrap_err();
    assert_eq!(bf16.to_string(), "column rescaling: given bf16 output, expected 8-bit or f32 output");
    let serial = Parallel::Serial;
    for isa in tiers() {
        let kernel =
            ColumnQuantDesc { features: 3, layout: PanelLayout::Plain, activation_bits: ActivationBits::Eight }
                .compile(isa)
                .unwrap();
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-45] {
            let found = FeatureScales::pack(kernel.plan(), &[1.0, bad, 1.0]);
            assert!(matches!(found, Err(KernelError::Parameter { parameter: "feature scale", row: 1, .. })), "{bad}");
        }
        let found = FeatureScales::pack(kernel.plan(), &[1.0; 2]);
        assert!(matches!(found, Err(KernelError::Length { found: 2, expected: 3, .. })));
        let scales = FeatureScales::pack(kernel.plan(), &[1.0; 3]).unwrap();
        let (mut x, mut panel, mut tokens) = (vec![0f32; 256], vec![0u8; 256], vec![0f32; 64]);
        let found = kernel.run(&scales, &x, &mut panel, &mut tokens, 0, serial);
        assert!(matches!(found, Err(KernelError::Dimension { found: 0, .. })));
        let found = kernel.run(&scales, &x[1..], &mut panel, &mut tokens, 5, serial);
        assert!(matches!(found, Err(KernelError::Length { buffer: "x", found: 255, .. })));
        let found = kernel.run(&scales, &x, &mut panel[1..], &mut tokens, 5, serial);
        assert!(matches!(found, Err(KernelError::Length { buffer: "panel", found: 255, .. })));
        let found = kernel.run(&scales, &x, &mut panel, &mut tokens[..5], 5, serial);
        assert!(matches!(found, Err(KernelError::Length { buffer: "column scales", found: 5, expected: 64, .. })));
        let wide = ColumnQuantDesc { features: 4, layout: PanelLayout::Plain, activation_bits: ActivationBits::Eight }
            .compile(isa)
            .unwrap();
        let found = wide.run(&scales, &x, &mut panel, &mut tokens, 5, serial);
        assert!(matches!(found, Err(KernelError::Length { found: 3, expected: 4, .. })));

        let kernel = ColumnRescaleDesc { features: 3, sink: Sink::f32(true) }.compile(isa).unwrap();
        let bad = RescaleParams { bias: f32::NAN, ..RescaleParams::default() };
        let found = RescaleRows::pack(kernel.plan(), &[RescaleParams::default(), bad, bad]);
        assert!(matches!(found, Err(KernelError::Parameter { parameter: "bias", row: 1, .. })));
        let bad = RescaleParams { unused: f32::NAN, ..RescaleParams::default() };
        let found = RescaleRows::pack(kernel.plan(), &[RescaleParams::default(), RescaleParams::default(), bad]);
        assert!(matches!(found, Err(KernelError::Parameter { parameter: "unused parameter", row: 2, .. })));
        let rows = RescaleRows::pack(kernel.plan(), &[RescaleParams::default(); 3]).unwrap();
        let mut t = vec![0f32; 256];
        let found = kernel.run(&rows, &tokens, &mut t, Some(Output::Bytes(&mut panel)), 5, serial);
        assert!(matches!(found, Err(KernelError::Mismatch { .. })));
        let found = kernel.run(&rows, &tokens, &mut t, None, 5, serial);
        assert!(matches!(found, Err(KernelError::Mismatch { .. })));
        let found = kernel.run(&rows, &tokens, &mut t, Some(Output::F32(&mut x[1..])), 5, serial);
        assert!(matches!(found, Err(KernelError::Length { buffer: "output", found: 255, .. })));
        let found = kernel.run(&rows, &tokens, &mut t[1..], Some(Output::F32(&mut x)), 5, serial);
        assert!(matches!(found, Err(KernelError::Length { buffer: "t", found: 255, .. })));
        let found = kernel.run(&rows, &tokens[1..], &mut t, Some(Output::F32(&mut x)), 5, serial);
        assert!(matches!(found, Err(KernelError::Length { buffer: "column scales", found: 63, .. })));
        let found = kernel.run(&rows, &tokens, &mut t, Some(Output::F32(&mut x)), 0, serial);
        assert!(matches!(found, Err(KernelError::Dimension { found: 0, .. })));
    }
}
