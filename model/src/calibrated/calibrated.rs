//! A model and how it is quantised: the stage between calibration and compilation.

use lacuna_pattern::ActivationBits;

use super::basis::CalibrationBasis;
use crate::calibrate::{CalibrationReport, SaturatedShares};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::precision::LayerPrecision;
use crate::quantize::{ActivationQuant, LayerQuant, QuantizedLayer, QuantizedLinear};
use crate::reference::TapSet;
use crate::simulate::Simulation;
use crate::tokens::TokenIds;

/// An encoder with a quantisation for every tensor between its kernels.
#[derive(Debug, Clone)]
pub struct CalibratedModel {
    pub(super) model: Model,
    pub(super) quant: Vec<LayerQuant>,
    pub(super) activation_bits: ActivationBits,
    pub(super) precision: Vec<LayerPrecision>,
    pub(super) projection: Option<ActivationQuant>,
    pub(super) saturated: Vec<SaturatedShares>,
    pub(super) basis: CalibrationBasis,
    pub(super) report: Option<CalibrationReport>,
}

impl CalibratedModel {
    /// The f32 model: configuration, weights, tokenizer, pooling, reference, timings.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The f32 model, for which the quantisation is given up.
    pub fn into_model(self) -> Model {
        self.model
    }

    /// The quantisation of every layer's activations.
    pub fn quant(&self) -> &[LayerQuant] {
        &self.quant
    }

    /// Bits of the codes that linear layers read.
    pub fn activation_bits(&self) -> ActivationBits {
        self.activation_bits
    }

    /// The arithmetic of every layer; all static unless [`CalibratedModel::with_precision`] said otherwise.
    pub fn precision(&self) -> &[LayerPrecision] {
        &self.precision
    }

    /// The same model with another arithmetic for some tensors.
    ///
    /// # Errors
    /// [`Error::PrecisionLayers`] unless there is one entry per layer.
    pub fn with_precision(mut self, precision: Vec<LayerPrecision>) -> Result<CalibratedModel> {
        let (found, expected) = (precision.len(), self.quant.len());
        if found != expected {
            return Err(Error::PrecisionLayers { found, expected });
        }
        self.precision = precision;
        Ok(self)
    }

    /// The quantisation of the input of the embeddings' projection, in models that have one.
    pub fn projection_quant(&self) -> Option<&ActivationQuant> {
        self.projection.as_ref()
    }

    /// How many calibration sentences were longer than the model's limit, and were truncated.
    pub fn truncated_sentences(&self) -> usize {
        self.basis.truncated
    }

    /// Of every layer, what share of the codes of the calibration texts lies at the ends of their ranges.
    pub fn saturated(&self) -> &[SaturatedShares] {
        &self.saturated
    }

    /// What it was calibrated on.
    pub fn basis(&self) -> &CalibrationBasis {
        &self.basis
    }

    /// The quantised linear layers of encoder layer `i`, the input to kernel generation.
    ///
    /// Weights that are zero in f32 are zero in s8. Where the model's file has codes, they are these codes, but for weights that were
    /// pruned since.
    ///
    /// # Panics
    /// When `i` is not below the number of layers.
    pub fn quantize_layer(&self, i: usize) -> QuantizedLayer {
        QuantizedLayer::new(
            &self.model.weights().layers[i],
            &self.quant[i],
            self.model.codes().and_then(|codes| codes.layers.get(i)),
        )
    }

    /// The quantised projection of the embeddings, in models that have one.
    pub fn quantize_projection(&self) -> Option<QuantizedLinear> {
        let projection = self.model.weights().embeddings.projection.as_ref();
        let codes = self.model.codes().and_then(|codes| codes.projection.as_ref());
        projection
            .zip(self.projection.as_ref())
            .map(|(linear, input)| QuantizedLinear::with_codes(linear, input, codes))
    }

    /// What calibration measured on held-out sequences; nothing unless
    /// [`CalibrationOptions::report`](crate::CalibrationOptions::report), [`choice`](crate::CalibrationOptions::choice) or
    /// [`keep`](crate::CalibrationOptions::keep) asked for it.
    pub fn report(&self) -> Option<&CalibrationReport> {
        self.report.as_ref()
    }

    /// Predicts the embeddings of the quantised model in f32, rounding the given tensors as
    /// [`CalibratedModel::precision`] says; weights are rounded if `weights` is set.
    ///
    /// # Errors
    /// Those of [`Reference::forward`](crate::reference::Reference::forward).
    pub fn simulate<S: TokenIds>(&self, ids: &[S], taps: TapSet, weights: bool) -> Result<Vec<Vec<f32>>> {
        let model = &self.model;
        let (config, float, pooling) = (model.config(), model.weights(), model.pooling());
        let (quant, projection, precision) = (&self.quant, self.projection.as_ref(), &self.precision);
        let codes = self.model.codes();
        let simulation = Simulation { config, weights: float, pooling, quant, projection, precision, codes };
        simulation.embed(ids, taps, weights)
    }
}
