//! Functions of one number that loops over vectors inline.

/// `e^x`.
///
/// # Numerics
/// Within 2 units in the last place. 0 below -87.3; x above 88 is not meant to come. NaN gives 0.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Below this, results are denormal: zero is given.
    const MIN: f32 = -87.3;
    /// The upper part of ln 2, with zeros at its end: `n * LN2_HIGH` is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    /// 1.5 * 2^23: added to a small number, it rounds to an integer.
    const MAGIC: f32 = 12_582_912.0;
    let clamped = if x > MIN { x } else { MIN };
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, clamped));
    let p = [1.388_888_9e-3f32, 8.333_334e-3, 4.166_666_6e-2, 0.166_666_67, 0.5, 1.0, 1.0];
    let p = p.into_iter().reduce(|sum, c| sum.mul_add(r, c)).unwrap_or(1.0);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if x > MIN { p * power } else { 0.0 }
}

/// The error function.
///
/// # Numerics
/// A rational function, within 1e-6 of the exact value. NaN stays NaN.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    /// erf of this rounds to 1 in f32.
    const LIMIT: f32 = 3.832_507;
    const NUMERATOR: [f32; 5] =
        [2.290_506_6e-4, 3.408_291e-3, 5.095_569_5e-2, 1.852_083_2e-1, std::f32::consts::FRAC_2_SQRT_PI];
    const DENOMINATOR: [f32; 7] =
        [-1.179_160_3e-7, 2.354_796_6e-5, 1.017_962_5e-3, 1.407_047e-2, 1.109_850_5e-1, 4.974_692_5e-1, 1.0];
    let x = if x > LIMIT { LIMIT } else { x };
    let x = if x < -LIMIT { -LIMIT } else { x };
    let square = x * x;
    let p = NUMERATOR.into_iter().reduce(|sum, c| sum.mul_add(square, c)).unwrap_or(0.0);
    let q = DENOMINATOR.into_iter().reduce(|sum, c| sum.mul_add(square, c)).unwrap_or(1.0);
    x * p / q
}

/// Value and derivative of `x Phi(x)`, `Phi(x) = (1 + erf(x / sqrt(2))) / 2`.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> (f32, f32) {
    /// `1 / sqrt(2 pi)`.
    const DENSITY: f32 = 0.398_942_3;
    let phi = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
    let density = DENSITY * exp(-0.5 * x * x);
    (x * phi, x.mul_add(density, phi))
}

/// Value and derivative of `x sigma(2 y)`, `y = sqrt(2 / pi) (x + 0.044715 x^3)`: the tanh form of GELU.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> (f32, f32) {
    /// `2 sqrt(2 / pi)`.
    const SCALE: f32 = 2.0 * 0.797_884_6;
    const CUBE: f32 = 0.044_715;
    let square = x * x;
    let twice = SCALE * x * square.mul_add(CUBE, 1.0);
    let small = exp(-twice.abs());
    let of_magnitude = 1.0 / (1.0 + small);
    let sigma = if twice >= 0.0 { of_magnitude } else { small * of_magnitude };
    let slope = SCALE * square.mul_add(3.0 * CUBE, 1.0);
    let bell = small * of_magnitude * of_magnitude; // sigma (1 - sigma)
    (x * sigma, (x * slope).mul_add(bell, sigma))
}

/// Value and derivative of `max(x, 0)`.
#[inline(always)]
pub(crate) fn relu(x: f32) -> (f32, f32) {
    if x > 0.0 { (x, 1.0) } else { (0.0, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_its_bound() {
        for i in -870_000..=100_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.4e-7, "exp({x}) is off by {error}");
        }
        assert_eq!([exp(-1e9), exp(f32::NEG_INFINITY), exp(0.0)], [0.0, 0.0, 1.0]);
    }

    #[test]
    fn activations_and_derivatives_agree_with_f64() {
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let phi = |x: f64| 0.5 * (1.0 + libm::erf(x / 2f64.sqrt()));
        let tanh = |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
        for i in -90_000..=90_000 {
            let x = i as f32 * 1e-4;
            let wide = f64::from(x);
            let (value, slope) = gelu(x);
            assert!((f64::from(value) - wide * phi(wide)).abs() < 4e-6, "gelu({x})");
            assert!((f64::from(slope) - (phi(wide) + wide * density(wide))).abs() < 4e-6, "gelu'({x})");
            let (value, slope) = gelu_tanh(x);
            let difference = (tanh(wide + 1e-5) - tanh(wide - 1e-5)) / 2e-5;
            assert!((f64::from(value) - tanh(wide)).abs() < 2e-6, "gelu_tanh({x})");
            assert!((f64::from(slope) - difference).abs() < 2e-6, "gelu_tanh'({x})");
        }
    }
}
