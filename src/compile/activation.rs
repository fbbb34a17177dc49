//! Which of the kernels' activations a model's is.

use lacuna_kernels::epilogue;

use crate::config::Activation;
use crate::error::{Error, Result};

/// The activation that the epilogue of the up projection computes.
///
/// # Errors
/// [`Error::UnsupportedActivation`] for one that no kernel computes yet.
pub(super) fn kernel_activation(activation: Activation) -> Result<epilogue::Activation> {
    match activation {
        Activation::Gelu => Ok(epilogue::Activation::Gelu),
        Activation::GeluTanh | Activation::Relu => {
            Err(Error::UnsupportedActivation { found: activation, supported: "gelu" })
        }
    }
}
