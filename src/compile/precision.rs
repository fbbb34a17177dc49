//! The linear layers that read one tensor, planned together in the arithmetic of that tensor.
//!
//! | tensor | the layers read | they compute | then |
//! | --- | --- | --- | --- |
//! | static | the u8 panel that was written for them | in 8 bit, to their output | |
//! | dynamic | a u8 panel with a scale per token | in 8 bit, to f32 sums | each token's scale, and what its reader needs |
//! | bf16, f32 | a bf16 panel, the f32 tile | in f32, to their output | quantisation, where the reader wants 8 bit |

use lacuna_kernels::dynamic::{RescaleParams, RescaleRows, TokenQuantDesc, TokenRescaleDesc, ZERO_CODE};
use lacuna_kernels::elementwise::{ElementwiseDesc, QuantParams};
use lacuna_kernels::epilogue::{Activation, Epilogue, RowParams, Store};
use lacuna_kernels::float::DType;
use lacuna_kernels::{PanelLayout, Sign, Sink};

use super::choose::{Chooser, Layer};
use super::input::InputPlan;
use super::linear::{LinearPlan, ProductPlan, ThenPlan};
use super::source::Source;
use super::{float, params};
use crate::error::Result;
use crate::precision::Precision;

/// Where the results of a linear layer go.
pub(super) enum Target {
    /// To a panel.
    Bytes(Bytes),
    /// Onto the residual stream.
    Residual,
    /// To an f32 tile.
    F32(Activation),
    /// To a bf16 panel, which only layers of bf16 or f32 write.
    Bf16(Activation),
}

/// A panel of calibrated scales.
pub(super) struct Bytes {
    pub(super) activation: Activation,
    pub(super) layout: PanelLayout,
    pub(super) sign: Sign,
    /// Per output feature of the model.
    pub(super) scale: Vec<f32>,
    pub(super) zero: u8,
}

impl Bytes {
    fn params(&self) -> Vec<QuantParams> {
        let zero = f32::from(self.zero);
        self.scale.iter().map(|scale| QuantParams { scale: 1.0 / scale, zero }).collect()
    }
}

/// Linear layers that read the same tensor.
pub(super) struct Group {
    pub(super) input: InputPlan,
    /// In the order they were given.
    pub(super) linears: Vec<LinearPlan>,
}

/// Who writes the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Producer {
    /// A linear layer in this precision.
    Linear(Precision),
    /// Anything else.
    Other,
}

impl Producer {
    pub(super) fn writes_bf16(self) -> bool {
        matches!(self, Producer::Linear(Precision::Bf16 | Precision::F32))
    }
}

impl Chooser<'_> {
    /// Plans the `linears` that read a tensor of `precision`.
    pub(super) fn group(
        &self,
        precision: Precision,
        producer: Producer,
        linears: &[(Source<'_>, Target)],
    ) -> Result<Group> {
        match precision {
            Precision::Static => {
                let parts = linears.iter().map(|(source, target)| integer_part(*source, target)).collect();
                let (layout, products) = self.products(linears, parts)?;
                let linear = |product| LinearPlan { precision, product, then: ThenPlan::Nothing };
                Ok(Group { input: InputPlan::Panel(layout), linears: products.into_iter().map(linear).collect() })
            }
            Precision::Dynamic => {
                let part = |source: &Source<'_>| {
                    (source.per_output(params::code_params(source.quantized, ZERO_CODE)), Epilogue::f32(false))
                };
                let parts = linears.iter().map(|(source, _)| part(source)).collect();
                let (layout, products) = self.products(linears, parts)?;
                let linear = |((source, target), product): (&(Source<'_>, Target), ProductPlan)| {
                    Ok(LinearPlan { precision, product, then: self.rescale(*source, target)? })
                };
                let features = linears.first().map_or(0, |(source, _)| source.k());
                Ok(Group {
                    input: InputPlan::PerToken(TokenQuantDesc { features, layout }.plan(self.isa)?),
                    linears: linears.iter().zip(products).map(linear).collect::<Result<_>>()?,
                })
            }
            Precision::Bf16 | Precision::F32 => {
                let features = linears.first().map_or(0, |(source, _)| source.k());
                let (dtype, input) = match precision {
                    Precision::Bf16 if producer.writes_bf16() => (DType::Bf16, InputPlan::Bf16),
                    Precision::Bf16 => (DType::Bf16, InputPlan::Rounded(features)),
                    _ => (DType::F32, InputPlan::F32),
                };
                let linear = |(source, target): &(Source<'_>, Target)| {
                    let (epilogue, then) = self.float_part(*source, target)?;
                    let shape = (source.m(), source.k());
                    let plan = float::plan(self.form, self.isa, shape, dtype, &source.floats(), epilogue)?;
                    Ok(LinearPlan { precision, product: ProductPlan::Float(plan), then })
                };
                Ok(Group { input, linears: linears.iter().map(linear).collect::<Result<_>>()? })
            }
        }
    }

    /// The common layout of integer products and their plans.
    fn products(
        &self,
        linears: &[(Source<'_>, Target)],
        parts: Vec<(Vec<RowParams>, Epilogue)>,
    ) -> Result<(PanelLayout, Vec<ProductPlan>)> {
        let weights: Vec<_> = linears.iter().map(|(source, _)| source.integers()).collect();
        let layers: Vec<Layer<'_>> = linears
            .iter()
            .zip(&weights)
            .zip(&parts)
            .map(|(((source, _), weights), (params, epilogue))| Layer {
                m: source.m(),
                k: source.k(),
                weights,
                params,
                epilogue: *epilogue,
            })
            .collect();
        let (layout, plans) = self.choose(&layers)?;
        let products = plans.into_iter().zip(parts).map(|(plan, (params, _))| ProductPlan::Integer(plan, params));
        Ok((layout, products.collect()))
    }

    /// What follows sums of codes with a scale per token.
    fn rescale(&self, source: Source<'_>, target: &Target) -> Result<ThenPlan> {
        let (sink, panel) = match target {
            Target::Bytes(bytes) => {
                let &Bytes { activation, layout, sign, .. } = bytes;
                (Sink::bytes(layout, sign).with(activation), bytes.params())
            }
            Target::Residual => (Sink::f32(true), Vec::new()),
            Target::F32(activation) | Target::Bf16(activation) => (Sink::f32(false).with(*activation), Vec::new()),
        };
        let row = |(m, &bias): (usize, &f32)| {
            let QuantParams { scale: out_scale, zero: out_zero } = panel.get(m).copied().unwrap_or_default();
            RescaleParams { bias, out_scale, out_zero, ..RescaleParams::default() }
        };
        let rows = source.per_output(source.quantized.bias.iter().enumerate().map(row).collect());
        let plan = TokenRescaleDesc { features: source.m(), sink }.plan(self.isa)?;
        Ok(ThenPlan::Rescale(plan, RescaleRows::pack(&plan, &rows)?))
    }

    /// The sink of a product of floats, and what follows it.
    fn float_part(&self, source: Source<'_>, target: &Target) -> Result<(Sink, ThenPlan)> {
        Ok(match target {
            Target::Bytes(bytes) => {
                let &Bytes { activation, layout, sign, .. } = bytes;
                let sink = Sink::bytes(layout, sign).with(activation);
                let plan = ElementwiseDesc { features: source.m(), sink }.plan(self.isa)?;
                (Sink::f32(false), ThenPlan::Quantize(plan, source.per_output(bytes.params())))
            }
            Target::Residual => (Sink::f32(true), ThenPlan::Nothing),
            Target::F32(activation) => (Sink::f32(false).with(*activation), ThenPlan::Nothing),
            Target::Bf16(activation) => (Sink::bf16().with(*activation), ThenPlan::Nothing),
        })
    }
}

/// Row parameters and epilogue of a product of codes with calibrated scales.
fn integer_part(source: Source<'_>, target: &Target) -> (Vec<RowParams>, Epilogue) {
    let linear = source.quantized;
    match target {
        Target::Bytes(bytes) => {
            let store = Store::Bytes { layout: bytes.layout, sign: bytes.sign };
            let params = match bytes.activation {
                Activation::Identity => params::requantize_params(linear, &bytes.scale, bytes.zero),
                _ => params::activation_params(linear, &bytes.scale, bytes.zero),
            };
            let params = source.per_output(params);
            let epilogue = Epilogue::new(bytes.activation, store).fixed_if_possible(&params, source.k());
            (params, epilogue)
        }
        Target::Residual => (source.per_output(params::f32_params(linear)), Epilogue::f32(true)),
        Target::F32(activation) | Target::Bf16(activation) => {
            let store = Store::F32 { residual: false };
            (source.per_output(params::f32_params(linear)), Epilogue::new(*activation, store))
        }
    }
}
