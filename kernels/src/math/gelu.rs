//! GELU through tables of polynomials: a lookup in registers (`vpermd`) costs as much as a multiply-add and runs beside it, so
//! sixteen short polynomials beat a long one.
//!
//! There are two forms, GELU(x) = x Phi(x) with the distribution function of the normal distribution,
//!
//! ```text
//! error function:  Phi(x) = (1 + erf(x / sqrt(2))) / 2                              "gelu"
//! tanh:            Phi(x) = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2         "gelu_new", "gelu_pytorch_tanh", "gelu_fast"
//! ```
//!
//! Both are 1/2 plus an odd function, and 1 within rounding from the same x on. So they differ in the tables only.

/// |x| beyond which Phi(x) is taken as 0 or 1.
pub const GELU_MAX: f32 = 5.0;
/// 1.5 * 2^22, whose unit in the last place is 1/2: added to |x|, it rounds to a multiple of 1/2 with its index in the lowest bits.
pub(crate) const GELU_MAGIC: f32 = 6_291_456.0;
/// Coefficients of Phi(x) - 1/2 around x = i/2, ascending, `[k][i]`; 0 around 0 and 1/2 from [`GELU_MAX`] on.
#[rustfmt::skip]
pub const GELU_PHI: [[f32; 16]; 5] = [
    [0.0, 0.191_462_41, 0.341_344_7, 0.433_192_82, 0.477_249_9, 0.493_790_33, 0.498_650_1, 0.499_767_36, 0.499_968_32, 0.499_996_6, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
    [0.398_939_67, 0.352_059_78, 0.241_975_55, 0.129_524_7, 0.053_993_717, 0.017_527_523, 0.004_430_506, 0.000_871_974_57, 0.000_133_605_73, 0.000_015_935_333, 0.000_038_054_775, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.000_102_322_74, -0.088_006_735, -0.120_979_026, -0.097_140_22, -0.053_995_207, -0.021_912, -0.006_647_435_5, -0.001_526_625_1, -0.000_267_397_12, -0.000_035_891_768, 0.000_727_079_17, 0.0, 0.0, 0.0, 0.0, 0.0],
    [-0.067_733_94, -0.043_652_26, -0.000_310_728_1, 0.026_527_34, 0.026_819_304, 0.015_387_827, 0.005_995_232_6, 0.001_681_583, 0.000_348_905_28, 0.000_054_364_205, 0.004_681_051_2, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.005_974_447_4, 0.019_837_957, 0.019_945_046, 0.006_141_510_3, -0.004_352_707_4, -0.005_877_842, -0.003_335_619, -0.001_196_871_5, -0.000_299_027_48, -0.000_054_156_986, 0.009_339_068, 0.0, 0.0, 0.0, 0.0, 0.0],
];

/// The same for the tanh form.
#[rustfmt::skip]
pub const GELU_TANH_PHI: [[f32; 16]; 5] = [
    [0.0, 0.191_427_98, 0.341_191_95, 0.433_047_74, 0.477_298_86, 0.493_966_3, 0.498_787_52, 0.499_823_93, 0.499_982_45, 0.499_998_87, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
    [0.398_939_6, 0.351_878_3, 0.241_777_23, 0.129_782_3, 0.054_402_776, 0.017_593_475, 0.004_264_265_8, 0.000_741_736_8, 0.000_087_928_49, 0.000_006_724_531_4, 0.000_000_318_611_94, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.000_104_579_914, -0.088_250_59, -0.120_691_83, -0.096_692_07, -0.054_172_79, -0.022_288_242, -0.006_716_268, -0.001_432_938_7, -0.000_206_005_12, -0.000_018_897_614, -0.000_000_859_169_86, 0.0, 0.0, 0.0, 0.0, 0.0],
    [-0.068_090_66, -0.043_531_38, 0.000_080_833_41, 0.026_280_118, 0.026_442_12, 0.015_496_378, 0.006_192_032_7, 0.001_703_802_6, 0.000_311_655_34, 0.000_036_118_512, 0.000_059_432_29, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.006_108_526_6, 0.020_163_057, 0.019_796_29, 0.005_822_386_6, -0.004_164_718, -0.005_691_795_6, -0.003_405_712_3, -0.001_265_426_5, -0.000_298_248_72, -0.000_043_150_532, 0.000_221_201_67, 0.0, 0.0, 0.0, 0.0, 0.0],
];

/// GELU for 8-bit results: x from which Phi(x) is taken as 1.
pub const GELU_COARSE_MAX: f32 = 4.45;
/// GELU for 8-bit results: x up to which Phi(x) is taken as 0.
pub const GELU_COARSE_MIN: f32 = -8.0 * GELU_COARSE_STEP;
/// GELU for 8-bit results: distance between the centres of two polynomials.
pub const GELU_COARSE_STEP: f32 = 19.0 / 32.0;
/// 1.5 * 2^23, whose unit in the last place is 1: added to a small number, it rounds to an integer with its two's complement in
/// the lowest bits.
pub(crate) const GELU_COARSE_MAGIC: f32 = 12_582_912.0;
/// GELU for 8-bit results: coefficients of Phi(x) around x = i [`GELU_COARSE_STEP`], ascending, `[k][i mod 16]`, i from -8 to 7.
#[rustfmt::skip]
pub const GELU_COARSE_PHI: [[f32; 16]; 4] = [
    [0.5, 0.723_639_5, 0.882_469_9, 0.962_564_9, 0.991_231_44, 0.998_508_33, 0.999_817_3, 0.999_984_1, 0.0, 0.000_016_000_085, 0.000_182_676_2, 0.001_491_668_3, 0.008_768_54, 0.037_435_114, 0.117_530_12, 0.276_360_5],
    [0.398_918_45, 0.334_459_16, 0.197_127_07, 0.081_659_35, 0.023_771_295, 0.004_860_732_2, 0.000_697_846, 0.000_027_170_627, 0.000_066_650_49, 0.000_070_300_666, 0.000_697_846, 0.004_860_732_2, 0.023_771_295, 0.081_659_35, 0.197_127_07, 0.334_459_16],
    [0.0, -0.097_389_825, -0.115_673_07, -0.072_792_83, -0.028_770_77, -0.007_530_417_8, -0.001_336_535_6, -0.000_163_422_33, -0.000_542_997, 0.000_162_887_21, 0.001_336_535_6, 0.007_530_417_8, 0.028_770_77, 0.072_792_83, 0.115_673_07, 0.097_389_825],
    [-0.065_404_18, -0.035_722_204, 0.012_731_962, 0.029_057_318, 0.018_407_796, 0.006_483_147, 0.001_431_858_2, 0.000_868_927_4, 0.001_273_2, 0.000_207_647_43, 0.001_431_858_2, 0.006_483_147, 0.018_407_796, 0.029_057_318, 0.012_731_962, -0.035_722_204],
];

/// The same for the tanh form.
#[rustfmt::skip]
pub const GELU_TANH_COARSE_PHI: [[f32; 16]; 4] = [
    [0.5, 0.723_589_96, 0.882_293_2, 0.962_520_24, 0.991_392_85, 0.998_650_9, 0.999_866_2, 0.999_991_4, 0.0, 0.000_007_679_028, 0.000_133_814_01, 0.001_349_062_1, 0.008_607_17, 0.037_479_762, 0.117_706_746, 0.276_410_07],
    [0.398_908_73, 0.334_128_53, 0.197_037_5, 0.082_085_2, 0.023_942_56, 0.004_703_060_7, 0.000_580_285_7, 0.000_052_900_305, 0.000_001_520_383, 0.000_041_166_957, 0.000_580_285_7, 0.004_703_060_7, 0.023_942_56, 0.082_085_2, 0.197_037_5, 0.334_128_53],
    [0.0, -0.097_665_146, -0.115_243_49, -0.072_678_365, -0.029_148_024, -0.007_623_614_7, -0.001_245_830_6, -0.000_090_896_09, 0.000_004_416_19, 0.000_117_969_05, 0.001_245_830_6, 0.007_623_614_7, 0.029_148_024, 0.072_678_365, 0.115_243_49, 0.097_665_146],
    [-0.065_583_07, -0.033_757_415, 0.013_494_655, 0.028_587_736, 0.018_294_672, 0.006_631_722_7, 0.001_426_591_2, 0.000_035_132_703, 0.000_015_423_933, 0.000_172_305_46, 0.001_426_591_2, 0.006_631_722_7, 0.018_294_672, 0.028_587_736, 0.013_494_655, -0.033_757_415],
];

/// GELU(x) = x Phi(x).
///
/// **Numerics**: absolute error below 2e-6, that of Phi below 4.5e-7; below 7 units in the last place for x > 0 and 17 for -1 <= x < 0.
/// Exactly x from 5 on and exactly 0 up to -5; -inf and NaN give NaN.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    fine(&GELU_PHI, x)
}

/// GELU in its tanh form, x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), which models call `gelu_new`, `gelu_pytorch_tanh`
/// or `gelu_fast`. It is up to 5e-4 away from [`gelu`].
///
/// **Numerics**: absolute error below 1e-6, that of Phi below 4.5e-7; below 7 units in the last place for x > 0 and 20 for -1 <= x < 0.
/// Exactly x from 5 on and exactly 0 up to -5; -inf and NaN give NaN.
///
/// **Source**: Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, section 2.
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    fine(&GELU_TANH_PHI, x)
}

#[inline(always)]
fn fine(table: &[[f32; 16]; 5], x: f32) -> f32 {
    let magnitude = super::vmin(GELU_MAX, x.abs()); // NaN stays: it is the second operand
    let shifted = magnitude + GELU_MAGIC;
    let distance = magnitude - (shifted - GELU_MAGIC);
    let half = lookup(table, shifted, distance); // Phi(|x|) - 1/2
    half.mul_add(x.abs(), x * 0.5)
}

/// GELU(x) = x Phi(x) for results that are rounded to 8 bit.
///
/// **Numerics**: absolute error below 2.5e-5 + 1e-6 |x|; infinities and NaN are not meant to come.
#[inline(always)]
pub fn gelu_coarse(x: f32) -> f32 {
    coarse(&GELU_COARSE_PHI, x)
}

/// GELU in its tanh form for results that are rounded to 8 bit.
///
/// **Numerics**: absolute error below 2.5e-5 + 1e-6 |x|; infinities and NaN are not meant to come.
#[inline(always)]
pub fn gelu_tanh_coarse(x: f32) -> f32 {
    coarse(&GELU_TANH_COARSE_PHI, x)
}

#[inline(always)]
fn coarse(table: &[[f32; 16]; 4], x: f32) -> f32 {
    let clamped = super::vmax(super::vmin(x, GELU_COARSE_MAX), GELU_COARSE_MIN);
    let shifted = clamped.mul_add(1.0 / GELU_COARSE_STEP, GELU_COARSE_MAGIC);
    let distance = (shifted - GELU_COARSE_MAGIC).mul_add(-GELU_COARSE_STEP, clamped);
    lookup(table, shifted, distance) * x // Phi(x) x
}

/// The polynomial whose index is in the lowest bits of `shifted`, by Horner's rule with fused steps.
#[inline(always)]
fn lookup<const N: usize>(table: &[[f32; 16]; N], shifted: f32, distance: f32) -> f32 {
    let index = shifted.to_bits() as usize % 16;
    (0..N - 1).rev().fold(table[N - 1][index], |p, k| p.mul_add(distance, table[k][index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erf_gelu(x: f64) -> f64 {
        // Phi(x) through the complementary error function's continued fraction and series would need a library; a fine
        // trapezoidal integral of the density is exact enough (1e-12) and obviously right.
        let steps = 4000;
        let h = x / f64::from(steps);
        let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let inner: f64 = (1..steps).map(|i| density(h * f64::from(i))).sum();
        x * (0.5 + h * (0.5 * (density(0.0) + density(x)) + inner))
    }

    fn tanh_gelu(x: f64) -> f64 {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
    }

    #[test]
    fn gelu_is_within_its_bound() {
        let worst = |f: fn(f32) -> f32, exact: fn(f64) -> f64| {
            let grid = (-7000..=7000).map(|i| i as f32 * 1e-3);
            grid.map(|x| (f64::from(f(x)) - exact(f64::from(x))).abs()).fold(0.0, f64::max)
        };
        let (erf, tanh) = (worst(gelu, erf_gelu), worst(gelu_tanh, tanh_gelu));
        assert!(erf < 2e-6 && tanh < 1e-6, "{erf:e} {tanh:e}");
    }

    #[test]
    fn gelu_coarse_is_within_its_bound() {
        for (f, exact) in [(gelu_coarse as fn(f32) -> f32, erf_gelu as fn(f64) -> f64), (gelu_tanh_coarse, tanh_gelu)] {
            for x in (-20_000..=20_000).map(|i| i as f32 * 1e-3) {
                let exact = if x.abs() < 8.0 { exact(f64::from(x)) } else { f64::from(x.max(0.0)) };
                let error = (f64::from(f(x)) - exact).abs();
                assert!(error < 2.5e-5 + 1e-6 * f64::from(x.abs()), "{x}: {error:e}");
            }
            assert!(f(f32::NAN).is_nan());
        }
    }

    #[test]
    fn gelu_tails_are_exact() {
        for gelu in [gelu, gelu_tanh] {
            for x in [5.01f32, 6.0, 100.0, 1e10, f32::MAX.sqrt()] {
                assert_eq!(gelu(x), x);
                assert_eq!(gelu(-x), 0.0);
            }
            assert!(gelu(f32::NAN).is_nan());
        }
    }
}
