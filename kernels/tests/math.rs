//! The stated bounds of exp, Phi and GELU over all f32: every exponent times some thousand mantissas, both signs, and what is special;
//! and generated code against the scalar functions, bit by bit.

mod matrices;
mod support;

use lacuna_kernels::elementwise::{ElementwiseDesc, RowFunction};
use lacuna_kernels::math::{exp, gelu, gelu_coarse};
use lacuna_kernels::softmax::SoftmaxDesc;
use lacuna_kernels::{Parallel, reference};
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

#[test]
fn gelu_is_within_its_bounds() {
    let finite: Vec<f32> = all_values().into_iter().filter(|x| x.is_finite()).collect();
    let errors = |bound: fn(f32, f64, f64) -> f64| {
        finite.iter().map(move |&x| {
            let exact = reference::rows::gelu(f64::from(x));
            (x, bound(x, exact, (f64::from(gelu(x)) - exact).abs()))
        })
    };
    assert_within_bounds("GELU, absolute", errors(|_, _, error| error / 2e-6));
    assert_within_bounds(
        "GELU above 0, 7 ulp",
        errors(|x, exact, error| if x > 0.0 { ulps(error, exact) / 7.0 } else { 0.0 }),
    );
    assert_within_bounds(
        "GELU in -1..0, 17 ulp",
        errors(|x, exact, error| if (-1.0..0.0).contains(&x) { ulps(error, exact) / 17.0 } else { 0.0 }),
    );
    // Phi(x) = GELU(x) / x, where dividing loses nothing.
    assert_within_bounds(
        "Phi, absolute",
        errors(|x, _, error| if x.is_normal() { error / f64::from(x.abs()) / 4.5e-7 } else { 0.0 }),
    );
    assert!([0.0, -0.0, -5.0, -7.0, -f32::MAX].into_iter().all(|x| gelu(x) == 0.0));
    assert!([5.0, 7.0, f32::MAX, f32::INFINITY].into_iter().all(|x| gelu(x) == x));
    assert!(gelu(f32::NAN).is_nan());
}

#[test]
fn coarse_gelu_is_within_its_bound() {
    let errors = all_values().into_iter().filter(|x| x.is_finite()).map(|x| {
        let error = (f64::from(gelu_coarse(x)) - reference::rows::gelu(f64::from(x))).abs();
        (x, error / (2.5e-5 + 1e-6 * f64::from(x.abs())))
    });
    assert_within_bounds("GELU for 8 bit", errors);
    assert!(gelu_coarse(f32::NAN).is_nan());
}

#[test]
fn generated_gelu_is_the_scalar_one() {
    let x = all_values();
    let (features, tokens) = (x.len() / 64, 64);
    let x = &x[x.len() - features * tokens..]; // the special values are the last ones
    let expected: Vec<f32> = x.iter().map(|&x| gelu(x)).collect();
    for isa in tiers() {
        let kernel = ElementwiseDesc { features, function: RowFunction::Gelu }.compile(isa).unwrap();
        let mut tile = to_tile(x, features, tokens, 1);
        kernel.run_in_place(&mut tile, tokens, Parallel::Serial).unwrap();
        assert_same_bits(&from_tile(&tile, features, tokens), &expected, isa.name());
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
