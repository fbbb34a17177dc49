//! How a cross-encoder's logit becomes a score.

use serde::{Deserialize, Serialize};

use super::problem::sigmoid;

/// How a cross-encoder turns its logit into a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScoreFunction {
    /// `1 / (1 + exp(-logit))`. The default of cross-encoders.
    Sigmoid,
    /// The logit itself.
    Identity,
}

impl ScoreFunction {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            ScoreFunction::Sigmoid => "sigmoid",
            ScoreFunction::Identity => "identity",
        }
    }

    /// The score of a logit.
    pub fn score(self, logit: f32) -> f32 {
        match self {
            ScoreFunction::Sigmoid => sigmoid(logit),
            ScoreFunction::Identity => logit,
        }
    }

    /// The function of a Python path such as `torch.nn.modules.activation.Sigmoid`.
    pub(super) fn from_path(path: &str) -> Option<ScoreFunction> {
        match path.strip_prefix("torch.nn.")?.rsplit('.').next()? {
            "Sigmoid" => Some(ScoreFunction::Sigmoid),
            "Identity" => Some(ScoreFunction::Identity),
            _ => None,
        }
    }
}

/// Which setting names a function for scores. If several do, the first of these is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ScoreSetting {
    /// Since 5.4, in `config_sentence_transformers.json`.
    Sentence,
    /// Since 4.0, in `config.json`.
    Newer,
    /// Before 4.0, in `config.json`.
    Older,
}

impl ScoreSetting {
    pub(super) const fn name(self) -> &'static str {
        match self {
            ScoreSetting::Sentence => "activation_fn",
            ScoreSetting::Newer => "sentence_transformers.activation_fn",
            ScoreSetting::Older => "sbert_ce_default_activation_function",
        }
    }
}
