//! Which of the kernels' activations a model's is.

use lacuna_kernels::epilogue;
use lacuna_model::Activation;

/// The activation that the epilogue of the up projection computes.
pub(super) fn kernel_activation(activation: Activation) -> epilogue::Activation {
    match activation {
        Activation::Gelu => epilogue::Activation::Gelu,
        Activation::GeluTanh => epilogue::Activation::GeluTanh,
        Activation::Relu => epilogue::Activation::Relu,
    }
}
