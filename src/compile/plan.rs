//! The parts of a model from a calibrated model: quantised, planned, packed.

use lacuna_jit::Isa;
use lacuna_kernels::attention::{AttentionParams, AttentionPlan};
use lacuna_kernels::dynamic::{
    ColumnQuantPlan, ColumnRescalePlan, FeatureScales, RescaleParams, RescaleRows, zero_code,
};
use lacuna_kernels::elementwise::QuantParams;
use lacuna_kernels::epilogue::{Activation, Epilogue, RowParams};
use lacuna_kernels::float::DType;
use lacuna_kernels::layernorm::{LayerNormPlan, NormParams, NormRows};
use lacuna_kernels::{ActivationBits, KernelError};
use lacuna_kernels::{Sink, Store};
use lacuna_model::{ActivationQuant, CalibratedModel, EncoderConfig, Precision, QuantizedLayer, QuantizedLinear};
use rayon::prelude::*;

use super::chooser::Chooser;
use super::heads::Heads;
use super::lower::incomplete;
use super::maker::{Maker, Wanted};
use super::model::PackedSteps;
use super::names::{InputName, LinearName, NormName};
use super::product::{Job, JobWeights, PlannedProduct, Reads};
use super::source::{FeatureOrder, LinearSource};
use super::state::Planned;
use super::{bert, params};
use crate::loaded::Phases;

/// A calibrated model with its weights in 8 bit.
struct Calibrated<'a, 't> {
    calibrated: &'a CalibratedModel,
    layers: &'a [QuantizedLayer],
    projection: Option<&'a QuantizedLinear>,
    chooser: &'a Chooser<'t>,
}

impl PackedSteps {
    /// Quantises, plans and packs a model, layers in parallel. If several layers fail, the error is that of the first of them.
    pub(crate) fn pack(
        calibrated: &CalibratedModel,
        chooser: &Chooser<'_>,
        phases: &mut Phases,
    ) -> Result<PackedSteps, KernelError> {
        let count = calibrated.model().config().layers;
        let layers: Vec<QuantizedLayer> = (0..count).into_par_iter().map(|i| calibrated.quantize_layer(i)).collect();
        phases.end("quantise");

        let projection = calibrated.quantize_projection();
        let maker = Calibrated { calibrated, layers: &layers, projection: projection.as_ref(), chooser };
        let plan = |i: usize| bert::layer(&maker, i, calibrated.precision()[i]);
        let planned: Vec<Result<_, _>> = match chooser.measures() {
            true => (0..count).map(plan).collect(),
            false => (0..count).into_par_iter().map(plan).collect(),
        };
        let planned = planned.into_iter().collect::<Result<Vec<_>, _>>()?;
        let planned = bert::close(&maker, planned)?;
        phases.end("plan");
        planned.pack()
    }
}

/// How a tensor of codes is quantised: a scale per feature, and the code of zero.
struct Codes<'a> {
    scale: std::borrow::Cow<'a, [f32]>,
    zero: u8,
}

impl Codes<'_> {
    fn params(&self) -> Vec<QuantParams> {
        let zero = f32::from(self.zero);
        self.scale.iter().map(|scale| QuantParams { scale: 1.0 / scale, zero }).collect()
    }
}

impl<'a> Calibrated<'a, '_> {
    fn heads(&self) -> Heads {
        let config = self.calibrated.model().config();
        Heads { count: config.heads, size: config.head_size() }
    }

    fn source(&self, name: LinearName) -> Result<LinearSource<'a>, KernelError> {
        let weights = self.calibrated.model().weights();
        match name {
            LinearName::Projection => {
                let Some((quantized, float)) = self.projection.zip(weights.embeddings.projection.as_ref()) else {
                    return Err(incomplete("a projection of embeddings without weights"));
                };
                Ok(LinearSource { quantized, float, order: FeatureOrder::AsIs })
            }
            LinearName::Layer { layer, index } => {
                let order = match index {
                    0..3 => FeatureOrder::Rows(self.heads()),
                    3 => FeatureOrder::Columns(self.heads()),
                    _ => FeatureOrder::AsIs,
                };
                let (quantized, float) = (self.layers[layer].linears()[index], weights.layers[layer].linears()[index]);
                Ok(LinearSource { quantized, float, order })
            }
        }
    }

    /// How an input is quantised.
    fn input(&self, name: InputName) -> Result<&'a ActivationQuant, KernelError> {
        let quant = self.calibrated.quant();
        match name {
            InputName::Projection => {
                let quant = self.calibrated.projection_quant();
                quant.ok_or_else(|| incomplete("a projection of embeddings without scales"))
            }
            InputName::Attention(layer) => Ok(&quant[layer].attn_in),
            InputName::Attended(layer) => Ok(&quant[layer].attn_out),
            InputName::FeedForward(layer) => Ok(&quant[layer].ffn_in),
            InputName::Activated(layer) => Ok(&quant[layer].gelu_out),
        }
    }

    /// How the outputs of a linear layer are quantised, one scale per output feature of the model.
    fn output(&self, name: LinearName) -> Result<Codes<'a>, KernelError> {
        let LinearName::Layer { layer, index } = name else {
            return Err(incomplete("codes as the output of the projection"));
        };
        let quant = &self.calibrated.quant()[layer];
        let per_head = |scales: &[f32]| {
            let size = self.heads().size;
            (0..self.layers[layer].q.m).map(|m| scales[m / size]).collect::<Vec<f32>>()
        };
        match index {
            0 => Ok(Codes { scale: per_head(&quant.q_scale).into(), zero: quant.q_zero_point }),
            1 => Ok(Codes { scale: per_head(&quant.k_scale).into(), zero: 0 }),
            2 => Ok(Codes { scale: quant.v_scale[..].into(), zero: 0 }),
            4 => Ok(Codes { scale: quant.gelu_out.scale[..].into(), zero: quant.gelu_out.zero_point }),
            _ => Err(incomplete("codes as the output of a layer that adds to the residual stream")),
        }
    }

    /// Weights of a product, and what turns its sums into results.
    fn weights(&self, wanted: &Wanted) -> Result<JobWeights<'a>, KernelError> {
        let source = self.source(wanted.name)?;
        let activation_bits = self.activation_bits();
        let codes =
            |params, epilogue| JobWeights::Codes { weights: source.integers(), params, epilogue, activation_bits };
        let floats = |dtype| {
            // Biases of 8-bit products correct for rounded weights. Float products need no correction.
            let bias = source.per_output(source.float.bias.clone());
            JobWeights::Floats { weights: source.floats(), bias, dtype, sink: wanted.sink }
        };
        Ok(match wanted.precision {
            Precision::Static => {
                let (params, epilogue) = self.row_params(wanted, source)?;
                codes(params, epilogue)
            }
            Precision::Dynamic => {
                let params = source.per_output(params::code_params(source.quantized, zero_code(activation_bits)));
                codes(params, Epilogue::new(wanted.sink.activation, wanted.sink.store))
            }
            Precision::Bf16 => floats(DType::Bf16),
            Precision::F32 => floats(DType::F32),
        })
    }

    /// Row parameters and epilogue of a product of codes with calibrated scales.
    fn row_params(&self, wanted: &Wanted, source: LinearSource<'_>) -> Result<(Vec<RowParams>, Epilogue), KernelError> {
        let Sink { activation, store } = wanted.sink;
        let (linear, epilogue) = (source.quantized, Epilogue::new(activation, store));
        let Store::Bytes { .. } = store else {
            return Ok((source.per_output(params::f32_params(linear)), epilogue));
        };
        let Codes { scale, zero } = self.output(wanted.name)?;
        let params = source.per_output(match activation {
            Activation::Identity => params::requantize_params(linear, &scale, zero),
            _ => params::activation_params(linear, &scale, zero),
        });
        let epilogue = epilogue.fixed_if_possible(&params, source.k());
        Ok((params, epilogue))
    }
}

impl<'a> Maker for Calibrated<'a, '_> {
    type State = Planned<'a>;
    type Error = KernelError;

    fn config(&self) -> &EncoderConfig {
        self.calibrated.model().config()
    }

    fn activation_bits(&self) -> ActivationBits {
        self.calibrated.activation_bits()
    }

    fn isa(&self) -> Isa {
        self.chooser.isa
    }

    fn failed(&self, _: &str, source: KernelError) -> KernelError {
        source
    }

    fn products(&self, wanted: &[Wanted]) -> Result<(Reads, Vec<PlannedProduct<'a>>), KernelError> {
        let job = |wanted: &Wanted| Ok(Job { m: wanted.m, k: wanted.k, weights: self.weights(wanted)? });
        self.chooser.choose(wanted.iter().map(job).collect::<Result<_, KernelError>>()?)
    }

    fn token_scales(&self, input: InputName, plan: &ColumnQuantPlan) -> Result<FeatureScales, KernelError> {
        FeatureScales::pack(plan, &self.input(input)?.scale)
    }

    fn rescale_rows(&self, linear: LinearName, _: &str, plan: &ColumnRescalePlan) -> Result<RescaleRows, KernelError> {
        let source = self.source(linear)?;
        let codes = match plan.sink().store {
            Store::Bytes { .. } => self.output(linear)?.params(),
            Store::Bf16 | Store::F32 { .. } => Vec::new(),
        };
        let row = |(m, &bias): (usize, &f32)| {
            let QuantParams { scale: out_scale, zero: out_zero } = codes.get(m).copied().unwrap_or_default();
            RescaleParams { bias, out_scale, out_zero, ..RescaleParams::default() }
        };
        let rows = source.per_output(source.quantized.bias.iter().enumerate().map(row).collect());
        RescaleRows::pack(plan, &rows)
    }

    fn output_codes(&self, linear: LinearName, _: &str, _: usize) -> Result<Vec<QuantParams>, KernelError> {
        Ok(self.source(linear)?.per_output(self.output(linear)?.params()))
    }

    fn input_codes(&self, input: InputName, _: &str, _: usize) -> Result<Vec<QuantParams>, KernelError> {
        let ActivationQuant { scale, zero_point, .. } = self.input(input)?;
        Ok(Codes { scale: scale[..].into(), zero: *zero_point }.params())
    }

    fn norm(&self, norm: NormName, input: Option<InputName>, plan: &LayerNormPlan) -> Result<NormRows, KernelError> {
        let (weights, epsilon) = (self.calibrated.model().weights(), self.config().layer_norm_eps);
        let weights = match norm {
            NormName::Embedding => &weights.embeddings.norm,
            NormName::Attention(layer) => &weights.layers[layer].attention_norm,
            NormName::Output(layer) => &weights.layers[layer].output_norm,
        };
        let panel = match plan.panel() {
            Some(_) => input.map(|input| self.input(input)).transpose()?,
            None => None,
        };
        let rows: Vec<NormParams> = (0..weights.gamma.len())
            .map(|f| NormParams {
                gamma: weights.gamma[f],
                beta: weights.beta[f],
                out_scale: panel.map_or(0.0, |quant| 1.0 / quant.scale[f]),
                out_zero: panel.map_or(0.0, |quant| f32::from(quant.zero_point)),
            })
            .collect();
        NormRows::pack(plan, &rows, epsilon)
    }

    fn attention(&self, layer: usize, plan: &AttentionPlan) -> Result<AttentionParams, KernelError> {
        let (quant, heads) = (&self.calibrated.quant()[layer], self.heads());
        let root = (heads.size as f32).sqrt();
        let out_scale: Vec<f32> = quant.v_scale.iter().zip(&quant.attn_out.scale).map(|(v, out)| v / out).collect();
        let params = AttentionParams {
            score_scale: quant.q_scale.iter().zip(&quant.k_scale).map(|(q, k)| q * k / root).collect(),
            q_zero: vec![quant.q_zero_point; heads.count],
            out_scale: heads.spread(&out_scale, 0.0),
            out_zero: quant.attn_out.zero_point,
        };
        params.check(plan)?; // else every run would fail
        Ok(params)
    }
}
