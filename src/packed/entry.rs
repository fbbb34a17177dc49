//! What the manifest of a packed file says about the model.

use lacuna_model::{ActivationBits, CalibrationBasis, EncoderConfig, Prompts, Pruning, Remark, SaturatedShares};
use serde::{Deserialize, Serialize};

use super::head::HeadEntry;
use super::pooling::PoolingEntry;
use crate::compile::StepsEntry;

/// The section of `tokenizer.json`.
pub(super) const TOKENIZER: &str = "tokenizer";

/// The model's part of the manifest.
#[derive(Serialize, Deserialize)]
pub(super) struct ModelEntry {
    pub(super) config: EncoderConfig,
    pub(super) pooling: PoolingEntry,
    /// The longest sequence in tokens, if there is a tokenizer.
    pub(super) max_length: Option<usize>,
    pub(super) head: Option<HeadEntry>,
    pub(super) layers: StepsEntry,
    /// Bits of the codes that linear layers read; left out if they have eight.
    #[serde(default, skip_serializing_if = "ActivationBits::is_default")]
    pub(super) activation_bits: ActivationBits,
    pub(super) pruning: Option<Pruning>,
    /// Calibration sentences that were truncated.
    pub(super) truncated: usize,
    /// What the model was calibrated on.
    #[serde(default)]
    pub(super) calibration: Option<CalibrationBasis>,
    /// Per layer, what of the calibration texts lies at the ends of ranges.
    #[serde(default)]
    pub(super) saturated: Vec<SaturatedShares>,
    /// What was remarkable about the file that the model was read from.
    #[serde(default)]
    pub(super) notes: Vec<String>,
    /// The prompts of the model.
    #[serde(default)]
    pub(super) prompts: Prompts,
    /// How embeddings are meant to be compared.
    #[serde(default)]
    pub(super) similarity: Option<String>,
    /// What users of the model should know about its settings.
    #[serde(default)]
    pub(super) remarks: Vec<Remark>,
}
