//! Row parameters of quantised layers: what turns sums of codes into the layer's output.

use lacuna_kernels::epilogue::RowParams;
use lacuna_model::QuantizedLinear;

/// `y[m] = multiplier[m] acc[m] + addend[m] + bias[m]` of a quantised layer whose input has its zero at code `zero`, in units of y:
/// multiplier and addend. A row of zeros has no accumulator to scale: its multiplier is 0, whatever scale its weights were given.
fn scale_and_zero(linear: &QuantizedLinear, row: usize, zero: u8) -> (f32, f64) {
    let weights = &linear.weight[row * linear.k..][..linear.k];
    if weights.iter().all(|&w| w == 0) {
        return (0.0, 0.0);
    }
    let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
    let scale = linear.weight_scale[row];
    (scale, -f64::from(scale) * f64::from(zero) * sum as f64)
}

fn scale_and_addend(linear: &QuantizedLinear, row: usize) -> (f32, f32) {
    let (scale, addend) = scale_and_zero(linear, row, linear.input_zero_point);
    (scale, (f64::from(linear.bias[row]) + addend) as f32)
}

/// Parameters of f32 output without the bias, for an input whose codes have their zero at `zero`.
pub(super) fn code_params(linear: &QuantizedLinear, zero: u8) -> Vec<RowParams> {
    (0..linear.m)
        .map(|row| {
            let (multiplier, addend) = scale_and_zero(linear, row, zero);
            RowParams { multiplier, addend: addend as f32, ..RowParams::default() }
        })
        .collect()
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

/// Parameters of 8-bit output without activation: `q = y / scale[m] + zero`.
pub(super) fn requantize_params(linear: &QuantizedLinear, scale: &[f32], zero: u8) -> Vec<RowParams> {
    scale
        .iter()
        .enumerate()
        .map(|(row, scale)| {
            let (multiplier, addend) = scale_and_addend(linear, row);
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
