//! Row parameters of quantised layers: what turns sums of codes into the layer's output.

use lacuna_kernels::epilogue::RowParams;

use crate::quantize::QuantizedLinear;

/// `y[m] = multiplier[m] acc[m] + addend[m]` of a quantised layer, in units of y. A row of zeros has no accumulator to scale:
/// its multiplier is 0, whatever scale its weights were given.
fn scale_and_addend(linear: &QuantizedLinear, row: usize) -> (f32, f32) {
    let weights = &linear.weight[row * linear.k..][..linear.k];
    if weights.iter().all(|&w| w == 0) {
        return (0.0, linear.bias[row]);
    }
    let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
    let scale = linear.weight_scale[row];
    let zero = f64::from(scale) * f64::from(linear.input_zero_point) * sum as f64;
    (scale, (f64::from(linear.bias[row]) - zero) as f32)
}

/// Parameters of f32 output.
pub(super) fn f32_params(linear: &QuantizedLinear) -> Vec<RowParams> {
    (0..linear.m)
        .map(|row| {
            let (multiplier, addend) = scale_and_addend(linear, row);
            RowParams { multiplier, addend, ..RowParams::default() }
        })
        .collect()
}

/// Parameters of 8-bit output without activation: `q = y / scale(m) + zero`.
pub(super) fn requantize_params(linear: &QuantizedLinear, scale: impl Fn(usize) -> f32, zero: u8) -> Vec<RowParams> {
    (0..linear.m)
        .map(|row| {
            let (multiplier, addend) = scale_and_addend(linear, row);
            let scale = scale(row);
            RowParams {
                multiplier: multiplier / scale,
                addend: addend / scale + f32::from(zero),
                ..RowParams::default()
            }
        })
        .collect()
}

/// Parameters of 8-bit output behind an activation.
pub(super) fn activation_params(linear: &QuantizedLinear, scale: &[f32], zero: u8) -> Vec<RowParams> {
    let mut params = f32_params(linear);
    for (p, &scale) in params.iter_mut().zip(scale) {
        p.out_scale = 1.0 / scale;
        p.out_zero = f32::from(zero);
    }
    params
}
