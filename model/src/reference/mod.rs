//! The f32 forward pass: reference for every other one, and the eyes of calibration.
//!
//! Deliberately plain: token-major matrices, one matrix product after the other through the `gemm`
//! crate, simple loops for the rest. It shares no code and no layout with the generated kernels, so
//! that agreement between the two means something. It is also the baseline to beat, and uses the
//! machine honestly: `gemm`'s own AVX-512 kernels, one product over all tokens of a group of
//! sentences, no padding.

mod activation;
mod fake_quant;
mod forward;
mod observe;
mod ops;

#[cfg(feature = "onnx")]
pub(crate) use activation::erf;
pub use activation::{activate, gelu, gelu_tanh};
pub use fake_quant::{FakeQuant, TapSet};
pub(crate) use fake_quant::{reader_weights, round_tensor};
pub use forward::Reference;
pub use observe::{Observer, Site, Tap};
#[cfg(feature = "onnx")]
pub(crate) use ops::rows_times;
pub(crate) use ops::{exp_minus_max, linear};
pub use ops::{layer_norm, matmul_transposed};
