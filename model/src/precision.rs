//! In which arithmetic linear layers compute, tensor by tensor.

use serde::{Deserialize, Serialize};

/// In which arithmetic the linear layers that read a tensor compute.
///
/// In every precision, sums are exact (8 bit) or f32 (floats), and the residual stream stays f32. Queries, keys, values and the output of
/// attention are 8 bit with calibrated scales in any case.
///
/// A sequence gets the same bits on every tier, alone and in any batch, on any number of threads. In 8 bit it gets them in every
/// form of compiled layers, too. The order in which floats are added depends on the form, and with it the last bits of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// s8 weights, u8 activations with calibrated scales: the fastest, and the default.
    #[default]
    Static,
    /// s8 weights, u8 activations with a scale per token that is found when the model runs: `max_k |x[k] / s[k]| / 127`, about the
    /// code 128. `s` are the calibrated scales of the features; only their proportions matter here.
    ///
    /// A token with a NaN or an infinity has results that are NaN or infinite; others are not affected.
    Dynamic,
    /// bf16 weights and activations, rounded to nearest even, sums in f32. Generated code needs a CPU with AVX512_BF16; elsewhere
    /// compiling is an error that names it, and f32 or the portable tier runs.
    Bf16,
    /// Everything in f32.
    F32,
}

impl Precision {
    /// Every precision, the fastest first.
    pub const ALL: [Precision; 4] = [Precision::Static, Precision::Dynamic, Precision::Bf16, Precision::F32];

    /// The name used in options and reports: `static`, `dynamic`, `bf16`, `f32`.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::Static => "static",
            Precision::Dynamic => "dynamic",
            Precision::Bf16 => "bf16",
            Precision::F32 => "f32",
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Precision::ALL.into_iter().find(|precision| precision.name() == s).ok_or_else(|| {
            let known = Precision::ALL.map(Precision::name).join(", ");
            format!("unknown precision {s:?}; expected one of {known}")
        })
    }
}

/// The precision of every tensor of an encoder layer that has a choice.
///
/// The input of `o` has none: attention computes in 8 bit and writes 8 bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LayerPrecision {
    /// Input of q, k, v.
    pub attn_in: Precision,
    /// Input of up.
    pub ffn_in: Precision,
    /// Input of down.
    pub gelu_out: Precision,
}

impl LayerPrecision {
    /// All tensors in the same precision.
    pub const fn all(precision: Precision) -> LayerPrecision {
        LayerPrecision { attn_in: precision, ffn_in: precision, gelu_out: precision }
    }
}
