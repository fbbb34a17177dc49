//! Linear layers in the three arithmetics, and what they read.

use lacuna_pattern::ActivationBits;

use super::exporter::{Arithmetic, Exporter};
use super::graph::{Value, int, little_endian};
use crate::calibrated::CalibratedModel;
use crate::codes::LinearCodes;
use crate::proto::DataType;
use crate::quantize::{ActivationQuant, QuantizedLinear};
use crate::transpose::transposed;
use crate::weights::Linear;

/// An activation in the form that linear layers read; those that read the same one share it.
pub(super) enum Input<'a> {
    /// f32.
    Float(Value),
    /// u8, with the scale and zero point that go with it.
    Dynamic { codes: Value, scale: Value, zero_point: Value },
    /// f32 that was rounded to u8 and back.
    Static { rounded: Value, quant: &'a ActivationQuant },
}

/// Largest magnitude of a bias in units of the last place of its row's sum. The sum of the products, `255 * 127 * K`, fits beside it in
/// s32 for any K of real models.
const BIAS_MAX: f32 = (1 << 30) as f32;

impl<'a> Exporter<'a> {
    /// Prepares an activation, whose static quantisation is that of `of`; one that was not calibrated stays f32.
    pub(super) fn linear_input(
        &mut self,
        at: &str,
        x: &Value,
        of: impl FnOnce(&'a CalibratedModel) -> Option<&'a ActivationQuant>,
    ) -> Input<'a> {
        let graph = &mut self.graph;
        match self.arithmetic {
            Arithmetic::Float => Input::Float(x.clone()),
            Arithmetic::Static(model) => {
                let Some(quant) = of(model) else { return Input::Float(x.clone()) };
                let scale = graph.floats(format!("{at}.scale"), &[], &[per_tensor(quant)]);
                let zero_point =
                    graph.constant(format!("{at}.zero_point"), DataType::Uint8, &[], || vec![quant.zero_point]);
                let codes = graph.node(format!("{at}/QuantizeLinear"), &[x, &scale, &zero_point], vec![]);
                let inputs = [&codes, &scale, &zero_point];
                let rounded = graph.node(format!("{at}/DequantizeLinear"), &inputs, vec![]);
                Input::Static { rounded, quant }
            }
            Arithmetic::Dynamic => {
                let name = format!("{at}/DynamicQuantizeLinear");
                let outputs = ["codes", "scale", "zero_point"].map(|part| format!("{name}.{part}"));
                let [codes, scale, zero_point] = graph.node_with_outputs(name, &[x], outputs, vec![]);
                Input::Dynamic { codes, scale, zero_point }
            }
        }
    }

    /// `x W^T + b`; codes that the model came with are written as they are.
    pub(super) fn linear(&mut self, at: &str, x: &Input<'_>, linear: &Linear, codes: Option<&LinearCodes>) -> Value {
        match x {
            Input::Float(x) => self.float(at, x, linear),
            Input::Dynamic { codes: inputs, scale, zero_point } => {
                self.dynamic(at, [inputs, scale, zero_point], linear, codes)
            }
            Input::Static { rounded, quant } => self.fixed(at, rounded, quant, linear, codes),
        }
    }

    /// MatMul, Add.
    fn float(&mut self, at: &str, x: &Value, linear: &Linear) -> Value {
        let (m, k) = (linear.outputs(), linear.inputs());
        let weight = self.graph.constant(format!("{at}.weight"), DataType::Float, &[k, m], || {
            little_endian(&transposed(m, k, &linear.weight.data), f32::to_le_bytes)
        });
        let product = self.graph.node(format!("{at}/MatMul"), &[x, &weight], vec![]);
        self.add_bias(at, &product, linear)
    }

    /// MatMulInteger, Cast, Mul, Add: what ONNX Runtime makes DynamicQuantizeMatMul or MatMulIntegerToFloat of, and rten its own
    /// MatMulIntegerToFloat.
    fn dynamic(
        &mut self,
        at: &str,
        [inputs, scale, zero_point]: [&Value; 3],
        linear: &Linear,
        codes: Option<&LinearCodes>,
    ) -> Value {
        let unit = ActivationQuant {
            scale: vec![1.0; linear.inputs()],
            zero_point: 0,
            bits: ActivationBits::Eight,
            mean: vec![0.0; linear.inputs()], // unknown without calibration: biases are not corrected
        };
        let quantized = QuantizedLinear::with_codes(linear, &unit, codes);
        let weight = self.codes(at, &quantized);
        let weight_scale = self.graph.floats(format!("{at}.weight_scale"), &[quantized.m], &quantized.weight_scale);
        let graph = &mut self.graph;
        let weight_zero = graph.constant("constant.s8.0".to_owned(), DataType::Int8, &[], || vec![0]);
        let inputs = [inputs, &weight, zero_point, &weight_zero];
        let sums = graph.node(format!("{at}/MatMulInteger"), &inputs, vec![]);
        let sums = graph.node(format!("{at}/Cast"), &[&sums], vec![int("to", DataType::Float as i64)]);
        let factor = graph.node(format!("{at}/scale/Mul"), &[scale, &weight_scale], vec![]);
        let product = graph.node(format!("{at}/Mul"), &[&sums, &factor], vec![]);
        self.add_bias(at, &product, linear)
    }

    /// Gemm of dequantized operands, which ONNX Runtime makes QGemm of.
    fn fixed(
        &mut self,
        at: &str,
        x: &Value,
        input: &ActivationQuant,
        linear: &Linear,
        codes: Option<&LinearCodes>,
    ) -> Value {
        let quantized = with_bias_in_range(QuantizedLinear::with_codes(linear, input, codes));
        let (m, step) = (quantized.m, per_tensor(input));
        let weight = self.codes(at, &quantized);
        let sum_scale = &quantized.weight_scale;
        let weight_scale: Vec<f32> = sum_scale.iter().map(|scale| scale / step).collect();
        let weight_scale = self.graph.floats(format!("{at}.weight_scale"), &[m], &weight_scale);
        let bias_scale = self.graph.floats(format!("{at}.bias_scale"), &[m], sum_scale);
        let bias: Vec<i32> =
            quantized.bias.iter().zip(sum_scale).map(|(b, scale)| (b / scale).round_ties_even() as i32).collect();
        let graph = &mut self.graph;
        let bias = graph
            .constant(format!("{at}.bias_quantized"), DataType::Int32, &[m], || little_endian(&bias, i32::to_le_bytes));
        let weight_zero = graph.constant(format!("constant.s8.0x{m}"), DataType::Int8, &[m], || vec![0; m]);
        let bias_zero = graph.constant(format!("constant.s32.0x{m}"), DataType::Int32, &[m], || {
            little_endian(&vec![0; m], i32::to_le_bytes)
        });
        let name = |part: &str| format!("{at}/{part}/DequantizeLinear");
        let axis = |axis| vec![int("axis", axis)];
        let weight = graph.node(name("weight"), &[&weight, &weight_scale, &weight_zero], axis(1));
        let bias = graph.node(name("bias"), &[&bias, &bias_scale, &bias_zero], axis(0));
        graph.node(format!("{at}/Gemm"), &[x, &weight, &bias], vec![])
    }

    fn codes(&mut self, at: &str, quantized: &QuantizedLinear) -> Value {
        let (m, k) = (quantized.m, quantized.k);
        self.graph.constant(format!("{at}.weight_quantized"), DataType::Int8, &[k, m], || {
            little_endian(&transposed(m, k, &quantized.weight), i8::to_le_bytes)
        })
    }

    fn add_bias(&mut self, at: &str, product: &Value, linear: &Linear) -> Value {
        let bias = self.graph.floats(format!("{at}.bias"), &[linear.outputs()], &linear.bias);
        self.graph.node(format!("{at}/Add"), &[product, &bias], vec![])
    }
}

/// The one scale of an activation.
fn per_tensor(quant: &ActivationQuant) -> f32 {
    quant.scale.first().copied().unwrap_or(1.0)
}

/// The same layer with every bias a number of steps of its row that fits in s32: rows of zeros get a scale that suits their bias, and
/// rows whose weights are tiny compared with it get a larger scale.
fn with_bias_in_range(mut layer: QuantizedLinear) -> QuantizedLinear {
    let k = layer.k;
    for (m, row) in layer.weight.chunks_exact_mut(k).enumerate() {
        let least = layer.bias[m].abs() / BIAS_MAX;
        let old = layer.weight_scale[m];
        if row.iter().all(|&code| code == 0) {
            layer.weight_scale[m] = if least >= f32::MIN_POSITIVE { least } else { 1.0 };
        } else if old < least {
            row.iter_mut().for_each(|code| *code = (f32::from(*code) * old / least).round_ties_even() as i8);
            layer.weight_scale[m] = least;
        }
    }
    layer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;

    /// The result of a row must not depend on the size of its bias relative to its weights.
    #[test]
    fn biases_survive_rows_of_nothing() {
        let cases =
            [([0.0, 0.0], 0.7), ([0.0, 0.0], 0.0), ([0.0, 1e-44], -3.0), ([1e-9, 0.0], 2.0), ([0.5, 0.25], 1.0)];
        let linear = Linear {
            weight: Matrix { rows: cases.len(), cols: 2, data: cases.iter().flat_map(|case| case.0).collect() },
            bias: cases.iter().map(|case| case.1).collect(),
        };
        let input =
            ActivationQuant { scale: vec![0.01; 2], zero_point: 3, bits: ActivationBits::Eight, mean: vec![0.0; 2] };
        let layer = with_bias_in_range(QuantizedLinear::new(&linear, &input));
        for (m, (weights, bias)) in cases.into_iter().enumerate() {
            let scale = layer.weight_scale[m];
            let steps = (bias / scale).round_ties_even();
            assert!(scale > 0.0 && steps.abs() <= 1.01 * BIAS_MAX, "row {m}: {steps} steps of {scale}");
            assert!(
                (steps * scale - bias).abs() <= 1e-4 * weights[0].max(bias.abs()),
                "row {m}: {steps} steps of {scale}"
            );
            let codes = &layer.weight[2 * m..2 * m + 2];
            for (code, weight) in codes.iter().zip(weights) {
                assert!((scale * f32::from(*code) - weight * 0.01).abs() <= 0.501 * scale, "row {m}");
                assert!(weight != 0.0 || *code == 0, "row {m}");
            }
        }
    }
}
