//! One linear layer: its product, and what follows it where the product's epilogue cannot finish.

use lacuna_kernels::dynamic::{RescaleRows, TokenRescaleKernel, TokenRescalePlan};
use lacuna_kernels::elementwise::{ElementwiseKernel, ElementwisePlan, QuantParams};
use lacuna_kernels::epilogue::RowParams;
use lacuna_kernels::float::{FloatInput, FloatKernel, FloatPlan, FloatWeights, bf16};
use lacuna_kernels::gemm::{GemmKernel, GemmPlan, GemmWeights};
use lacuna_kernels::layout::elements;
use lacuna_kernels::spmm::{SpmmKernel, SpmmPlan, SpmmWeights};
use lacuna_kernels::{Block, KernelError, Output, Parallel, Plan, Store};

use super::input::Operand;
use super::source::Source;
use super::{CompiledSet, KernelSet};
use crate::error::{Error, Result};
use crate::precision::Precision;
use crate::report::LinearReport;

/// A linear layer, decided.
pub(super) struct LinearPlan {
    pub(super) precision: Precision,
    pub(super) product: ProductPlan,
    pub(super) then: ThenPlan,
}

/// A product, decided.
pub(super) enum ProductPlan {
    Integer(IntegerPlan, Vec<RowParams>),
    Float(FloatPlan),
}

/// A product of codes, decided.
#[derive(Debug, Clone, Copy)]
pub(super) enum IntegerPlan {
    Sparse(SpmmPlan),
    Dense(GemmPlan),
}

/// What follows a product, with its parameters.
#[derive(Clone)]
pub(super) enum ThenPlan {
    Nothing,
    /// The scale of every token, then what the reader needs.
    Rescale(TokenRescalePlan, RescaleRows),
    /// From f32 to a panel.
    Quantize(ElementwisePlan, Vec<QuantParams>),
}

impl LinearPlan {
    /// Packs the weights of `source`.
    pub(super) fn pack(self, source: Source<'_>) -> Result<PackedLinear> {
        let LinearPlan { precision, product, then } = self;
        let product = match product {
            ProductPlan::Integer(IntegerPlan::Sparse(plan), params) => {
                PackedProduct::Sparse(plan, SpmmWeights::pack(&plan, &source.integers(), &params)?)
            }
            ProductPlan::Integer(IntegerPlan::Dense(plan), params) => {
                PackedProduct::Dense(plan, GemmWeights::pack(&plan, &source.integers(), &params)?)
            }
            ProductPlan::Float(plan) => {
                // Biases of 8-bit products correct for their rounded weights: these have nothing to correct.
                let bias = source.per_output(source.float.bias.clone());
                PackedProduct::Float(plan, FloatWeights::pack(&plan, &source.floats(), &bias)?)
            }
        };
        Ok(PackedLinear { precision, product, then })
    }
}

/// A linear layer as it is stored: all that it needs but code.
pub(super) struct PackedLinear {
    pub(super) precision: Precision,
    pub(super) product: PackedProduct,
    pub(super) then: ThenPlan,
}

/// A product as it is stored.
pub(super) enum PackedProduct {
    Sparse(SpmmPlan, SpmmWeights),
    Dense(GemmPlan, GemmWeights),
    Float(FloatPlan, FloatWeights),
}

impl PackedLinear {
    pub(super) fn request(&self, kernels: &mut KernelSet) {
        match &self.product {
            PackedProduct::Sparse(plan, _) => kernels.request(plan),
            PackedProduct::Dense(plan, _) => kernels.request(plan),
            PackedProduct::Float(plan, _) => kernels.request(plan),
        }
        match &self.then {
            ThenPlan::Nothing => {}
            ThenPlan::Rescale(plan, _) => kernels.request(plan),
            ThenPlan::Quantize(plan, _) => kernels.request(plan),
        }
    }

    pub(super) fn attach(self, kernels: &CompiledSet) -> Result<CompiledLinear> {
        let product = match self.product {
            PackedProduct::Sparse(plan, weights) => {
                Product::Sparse(SpmmKernel::new(plan, kernels.get(&plan))?, weights)
            }
            PackedProduct::Dense(plan, weights) => Product::Dense(GemmKernel::new(plan, kernels.get(&plan))?, weights),
            PackedProduct::Float(plan, weights) => Product::Float(FloatKernel::new(plan, kernels.get(&plan))?, weights),
        };
        let then = match self.then {
            ThenPlan::Nothing => Then::Nothing,
            ThenPlan::Rescale(plan, rows) => Then::Rescale(TokenRescaleKernel::new(plan, kernels.get(&plan))?, rows),
            ThenPlan::Quantize(plan, params) => {
                Then::Quantize(ElementwiseKernel::new(plan, kernels.get(&plan))?, params)
            }
        };
        Ok(CompiledLinear { precision: self.precision, product, then })
    }
}

/// A linear layer, ready to run.
#[derive(Debug)]
pub(crate) struct CompiledLinear {
    precision: Precision,
    product: Product,
    then: Then,
}

#[derive(Debug)]
enum Product {
    Sparse(SpmmKernel, SpmmWeights),
    Dense(GemmKernel, GemmWeights),
    Float(FloatKernel, FloatWeights),
}

#[derive(Debug)]
enum Then {
    Nothing,
    Rescale(TokenRescaleKernel, RescaleRows),
    Quantize(ElementwiseKernel, Vec<QuantParams>),
}

/// Where a linear layer writes: the buffer must be of the kind that it was planned for.
#[derive(Debug)]
pub(crate) enum Destination<'a> {
    /// A panel.
    Bytes(&'a mut [u8]),
    /// An f32 tile, or the residual stream.
    F32(&'a mut [f32]),
    /// A bf16 panel.
    Bf16(&'a mut [bf16]),
}

impl CompiledLinear {
    /// Writes the layer's results for `tokens` tokens of `x`. `sums` is memory for the product where it is not the result: at least
    /// an f32 tile of [`CompiledLinear::sums`] features.
    pub(crate) fn run(
        &self,
        x: Operand<'_>,
        tokens: usize,
        out: Destination<'_>,
        sums: &mut [f32],
        parallel: Parallel<'_>,
    ) -> Result<()> {
        let Some(t) = sums.get_mut(..elements(self.sums(), tokens)) else {
            return Err(self.mismatch("too little memory for sums", "an f32 tile"));
        };
        match (&self.then, x, out) {
            (Then::Nothing, x, out) => self.multiply(x, tokens, out, parallel),
            (Then::Rescale(kernel, rows), Operand::PerToken(_, scales), out) => {
                let (t, out) = match (kernel.plan().sink().store, out) {
                    (Store::F32 { residual: false }, Destination::F32(out)) => (out, None),
                    (Store::F32 { residual: true }, Destination::F32(x)) => (t, Some(Output::F32(x))),
                    (Store::Bytes { .. }, Destination::Bytes(panel)) => (t, Some(Output::Bytes(panel))),
                    _ => return Err(self.mismatch("an output of another kind", "what the layer was planned for")),
                };
                self.multiply(x, tokens, Destination::F32(t), parallel)?;
                Ok(kernel.run(rows, scales, t, out, tokens, parallel)?)
            }
            (Then::Quantize(kernel, params), x, Destination::Bytes(panel)) => {
                self.multiply(x, tokens, Destination::F32(t), parallel)?;
                Ok(kernel.run_quantize(params, t, panel, tokens, parallel)?)
            }
            _ => Err(self.mismatch("an input or output of another kind", "what the layer was planned for")),
        }
    }

    fn multiply(&self, x: Operand<'_>, tokens: usize, out: Destination<'_>, parallel: Parallel<'_>) -> Result<()> {
        match (&self.product, x) {
            (Product::Float(kernel, weights), Operand::F32(_) | Operand::Bf16(_)) => {
                let x = match x {
                    Operand::Bf16(x) => FloatInput::Bf16(x),
                    Operand::F32(x) => FloatInput::F32(x),
                    Operand::Panel(_) | Operand::PerToken(..) => FloatInput::F32(&[]),
                };
                let out = match out {
                    Destination::F32(out) => Output::F32(out),
                    Destination::Bf16(out) => Output::Bf16(out),
                    Destination::Bytes(_) => return Err(self.mismatch("an output of bytes", "floats")),
                };
                kernel.run(weights, x, tokens, out, parallel)?;
            }
            (product, Operand::Panel(x) | Operand::PerToken(x, _)) => {
                let out = match out {
                    Destination::Bytes(out) => Output::Bytes(out),
                    Destination::F32(out) => Output::F32(out),
                    Destination::Bf16(_) => return Err(self.mismatch("an output of bf16", "bytes or f32")),
                };
                match product {
                    Product::Sparse(kernel, weights) => kernel.run(weights, x, tokens, out, parallel)?,
                    Product::Dense(kernel, weights) => kernel.run(weights, x, tokens, out, parallel)?,
                    Product::Float(..) => return Err(self.mismatch("codes", "floats")),
                }
            }
            _ => return Err(self.mismatch("floats", "codes")),
        }
        Ok(())
    }

    /// Features of the sums that [`CompiledLinear::run`] needs memory for.
    pub(crate) fn sums(&self) -> usize {
        match &self.then {
            Then::Rescale(kernel, _) if kernel.plan().is_in_place() => 0,
            Then::Rescale(kernel, _) => kernel.plan().features(),
            Then::Quantize(kernel, _) => kernel.plan().features(),
            Then::Nothing => 0,
        }
    }

    /// The kernel's name and the shape of its product.
    fn product(&self) -> (String, usize, usize) {
        match &self.product {
            Product::Sparse(kernel, _) => (kernel.plan().name(), kernel.plan().m(), kernel.plan().k()),
            Product::Dense(kernel, _) => (kernel.plan().name(), kernel.plan().m(), kernel.plan().k()),
            Product::Float(kernel, _) => (kernel.plan().name(), kernel.plan().m(), kernel.plan().k()),
        }
    }

    /// A step of the encoder paired with the wrong buffer.
    fn mismatch(&self, found: &str, expected: &str) -> Error {
        let (kernel, ..) = self.product();
        KernelError::Mismatch { kernel, found: found.into(), expected: expected.into() }.into()
    }

    pub(super) fn report(&self, layer: usize, name: &'static str) -> LinearReport {
        let (kernel, m, k) = self.product();
        let (form, density, fill_ratio, weight_bytes) = match &self.product {
            Product::Sparse(kernel, weights) => {
                let form = match kernel.plan().block() {
                    Block::B1x4 => "sparse 1x4",
                    Block::B4x4 => "sparse 4x4",
                    Block::Unstructured => "sparse 4x1 reordered",
                    _ => "sparse 4x1",
                };
                (form, weights.density(), weights.fill_ratio(), weights.bytes())
            }
            Product::Dense(_, weights) => ("dense", 1.0, 1.0, weights.bytes()),
            Product::Float(kernel, weights) => match kernel.plan().block() {
                Block::Dense => ("dense", 1.0, 1.0, weights.bytes()),
                block => {
                    let form = match block {
                        Block::Unstructured => "sparse unstructured",
                        Block::B4x1 => "sparse 4x1",
                        _ => "sparse 8x1",
                    };
                    (form, weights.density(), weights.fill_ratio(), weights.bytes())
                }
            },
        };
        LinearReport { layer, name, m, k, density, fill_ratio, form, precision: self.precision, kernel, weight_bytes }
    }
}
