//! The stated bounds of exp, Phi and GELU over all f32: every exponent times some thousand mantissas, both signs, and what is special;
//! and generated code against the scalar functions, bit by bit.

mod matrices;
mod support;

use lacuna_kernels::elementwise::ElementwiseDesc;
use lacuna_kernels::epilogue::Activation;
use lacuna_kernels::math::{exp, gelu, gelu_coarse, gelu_tanh, gelu_tanh_coarse, relu};
use lacuna_kernels::softmax::SoftmaxDesc;
use lacuna_kernels::{Parallel, Sink, reference};
use matrices::{assert_same_bits, from_tile, to_tile};
use rand::prelude::*;
use support::tiers;

const MANTISSAS: usize = 2048;

/// All exponents, subnormals included, times random mantissas and the first and last ones, positive.
fn all_exponents() -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(1);
    let special = [0, 1, (1 << 23) - 1, 1 << 22, (1 << 22) - 1, (1 << 22) + 1];
    (0..255u32)
        .flat_map(|exponent| {
            let random = (0..MANTISSAS).map(|_| rng.random_range(0..1 << 23)).collect::<Vec<u32>>();
            special.into_iter().chain(random).map(move |mantissa| f32::from_bits(exponent << 23 | mantissa))
        })
        .collect()
}

/// [`all_exponents`] of both signs, infinities and NaN.
fn all_values() -> Vec<f32> {
    let positive = all_exponents();
    let negative = positive.iter().map(|x| -x);
    let special = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN];
    positive.iter().copied().chain(negative).chain(special).collect()
}

/// `error` in units of the last place of an f32 near `exact`; subnormals all have the same.
fn ulps(error: f64, exact: f64) -> f64 {
    let exponent = exact.abs().log2().floor().max(-126.0);
    error / (exponent - 23.0).exp2()
}

/// Asserts that the largest of `errors`, (argument, error over its bound), is at most 1.
fn assert_within_bounds(what: &str, errors: impl Iterator<Item = (f32, f64)>) {
    let (x, worst) = errors.fold((0.0, 0.0), |worst, found| if found.1 > worst.1 { found } else { worst });
    println!("{what}: at worst {:.0} % of its bound, at {x:e}", 100.0 * worst);
    assert!(worst <= 1.0, "{what} of {x:e} is {worst} times its bound away");
}

#[test]
fn exp_is_within_its_bound() {
    let errors = all_exponents().into_iter().map(|x| {
        let exact = f64::from(-x).exp();
        let error = ulps((f64::from(exp(-x)) - exact).abs(), exact);
        (-x, error / (1.7 + 0.22 * f64::from(x)))
    });
    assert_within_bounds("exp", errors);
    assert_eq!([0.0, -0.0, f32::NEG_INFINITY, -f32::MAX, -104.0].map(exp), [1.0, 1.0, 0.0, 0.0, 0.0]);
    assert!(exp(f32::NAN).is_nan() && exp(-f32::NAN).is_nan());
}

/// A function with its exact twin, and its bounds: absolute, in ulp above 0, in ulp in -1..0.
type Gelu = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f64, f64, f64);
const GELUS: [Gelu; 2] = [
    ("GELU", gelu, reference::rows::gelu, 2e-6, 7.0, 17.0),
    ("GELU's tanh form", gelu_tanh, reference::rows::gelu_tanh, 1e-6, 7.0, 20.0),
];

#[test]
fn gelu_is_within_its_bounds() {
    // All exponents, and a dense grid where GELU bends.
    let grid = (-600_000..=600_000).map(|i| i as f32 * 1e-5);
    let finite: Vec<f32> = all_values().into_iter().filter(|x| x.is_finite()).chain(grid).collect();
    for (name, f, exact, absolute, above, below) in GELUS {
        // Of every argument: itself, the exact result, the error.
        let errors: Vec<(f32, f64, f64)> =
            finite.iter().map(|&x| (x, exact(f64::from(x)), (f64::from(f(x)) - exact(f64::from(x))).abs())).collect();
        let check = |what: &str, bound: &dyn Fn(f32, f64, f64) -> f64| {
            let over = errors.iter().map(|&(x, exact, error)| (x, bound(x, exact, error)));
            assert_within_bounds(&format!("{name}, {what}"), over);
        };
        check("absolute", &|_, _, error| error / absolute);
        check("ulp above 0", &|x, exact, error| if x > 0.0 { ulps(error, exact) / above } else { 0.0 });
        check("ulp in -1..0", &|x, exact, error| {
            if (-1.0..0.0).contains(&x) { ulps(error, exact) / below } else { 0.0 }
        });
        // Phi(x) = GELU(x) / x, where dividing loses nothing.
        check("Phi, absolute", &|x, _, error| if x.is_normal() { error / f64::from(x.abs()) / 4.5e-7 } else { 0.0 });
        assert!([0.0, -0.0, -5.0, -7.0, -f32::MAX].into_iter().all(|x| f(x) == 0.0));
        assert!([5.0, 7.0, f32::MAX, f32::INFINITY].into_iter().all(|x| f(x) == x));
        assert!(f(f32::NAN).is_nan());
    }
}

/// The tanh form is another function: a table in the wrong place would be seen.
#[test]
fn the_two_forms_of_gelu_differ_as_they_should() {
    let apart = |x: f32| f64::from(gelu(x) - gelu_tanh(x)).abs();
    let worst = (-6000..=6000).map(|i| apart(i as f32 * 1e-3)).fold(0.0, f64::max);
    assert!((4.6e-4..4.8e-4).contains(&worst), "{worst:e}");
}

#[test]
fn coarse_gelu_is_within_its_bound() {
    for (name, f, exact) in [
        ("GELU", gelu_coarse as fn(f32) -> f32, reference::rows::gelu as fn(f64) -> f64),
        ("GELU's tanh form", gelu_tanh_coarse, reference::rows::gelu_tanh),
    ] {
        let grid = (-600_000..=600_000).map(|i| i as f32 * 1e-5);
        let errors = all_values().into_iter().filter(|x| x.is_finite()).chain(grid).map(|x| {
            let error = (f64::from(f(x)) - exact(f64::from(x))).abs();
            (x, error / (2.5e-5 + 1e-6 * f64::from(x.abs())))
        });
        assert_within_bounds(&format!("{name} for 8 bit"), errors);
        assert!(f(f32::NAN).is_nan());
    }
}

#[test]
fn generated_activations_are_the_scalar_ones() {
    let x = all_values();
    let (features, tokens) = (x.len() / 64, 64);
    let x = &x[x.len() - features * tokens..]; // the special values are the last ones
    for (activation, f) in
        [(Activation::Relu, relu as fn(f32) -> f32), (Activation::Gelu, gelu), (Activation::GeluTanh, gelu_tanh)]
    {
        let expected: Vec<f32> = x.iter().map(|&x| f(x)).collect();
        for isa in tiers() {
            let kernel = ElementwiseDesc { features, sink: Sink::f32(false).with(activation) }.compile(isa).unwrap();
            let mut tile = to_tile(x, features, tokens, 1);
            kernel.run_in_place(&mut tile, tokens, Parallel::Serial).unwrap();
            assert_same_bits(&from_tile(&tile, features, tokens), &expected, isa.name());
        }
    }
}

/// Columns whose largest element is 0, so that the exponential's argument is the element itself.
#[test]
fn generated_exp_is_the_scalar_one() {
    let values = all_exponents();
    let tokens = values.len() / 3;
    let mut x = vec![0.0; tokens];
    x.extend(values[values.len() - 3 * tokens..].iter().map(|x| -x));
    let mut expected = vec![0.0; x.len()];
    for n in 0..tokens {
        let e: [f32; 4] = std::array::from_fn(|f| exp(x[f * tokens + n]));
        let scale = 1.0 / ((e[2] + e[0]) + (e[3] + e[1]));
        e.iter().enumerate().for_each(|(f, e)| expected[f * tokens + n] = e * scale);
    }
    for isa in tiers() {
        let kernel = SoftmaxDesc { features: 4 }.compile(isa).unwrap();
        let mut tile = to_tile(&x, 4, tokens, 2);
        kernel.run(&mut tile, tokens, Parallel::Serial).unwrap();
        assert_same_bits(&from_tile(&tile, 4, tokens), &expected, isa.name());
    }
}
