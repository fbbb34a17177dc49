//! What a product must compute, and what it reads.

use std::borrow::Cow;

use lacuna_kernels::epilogue::{Epilogue, RowParams};
use lacuna_kernels::float::{DType, bf16};
use lacuna_kernels::{ActivationBits, PanelLayout, Sink};

/// A product wanted: its weights `[m][k]`, and what happens to the sums.
pub(crate) struct Job<'a> {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) weights: JobWeights<'a>,
}

/// Row-major weights, and what turns sums into results.
pub(crate) enum JobWeights<'a> {
    /// s8.
    Codes { weights: Cow<'a, [i8]>, params: Vec<RowParams>, epilogue: Epilogue, activation_bits: ActivationBits },
    /// f32, to be rounded to `dtype`.
    Floats { weights: Cow<'a, [f32]>, bias: Vec<f32>, dtype: DType, sink: Sink },
}

/// What a product reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// 8-bit codes in a panel.
    Codes(PanelLayout),
    /// A bf16 panel or an f32 tile.
    Floats,
}

impl Reads {
    /// All inputs. If two take the same time, the first is preferred.
    pub(crate) const ALL: [Reads; 3] =
        [Reads::Codes(PanelLayout::Vnni), Reads::Codes(PanelLayout::Plain), Reads::Floats];
}

/// What a product computes, as errors tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Computes {
    /// Sums of codes of so many bits.
    Codes(ActivationBits, Epilogue),
    /// Sums of floats.
    Floats(DType, Sink),
}

/// An input as products read it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a> {
    /// u8 panel.
    Bytes(&'a [u8]),
    /// bf16 panel.
    Bf16(&'a [bf16]),
    /// f32 tile.
    F32(&'a [f32]),
}

/// A way to compute a product: its plan, of some kind.
pub(crate) struct Offer<P> {
    pub(crate) reads: Reads,
    /// Predicted time. Only offers for the same product can be compared.
    pub(crate) time: f64,
    pub(crate) plan: P,
}
