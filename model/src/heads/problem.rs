//! How logits become scores.

use serde::{Deserialize, Serialize};

use crate::reference::exp_minus_max;

/// How the logits of a sequence classification become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Problem {
    /// `softmax(logits)`: exactly one label is right. The default for models with several labels.
    SingleLabel,
    /// `1 / (1 + exp(-logit))` of each: any number of labels may be right. The default for models with one label.
    MultiLabel,
    /// The logits as they are: quantities.
    Regression,
}

impl Problem {
    /// Every problem.
    pub(super) const ALL: [Problem; 3] = [Problem::SingleLabel, Problem::MultiLabel, Problem::Regression];

    /// The names in `config.json`, for errors.
    pub(super) const NAMES: &str = "\"single_label_classification\", \"multi_label_classification\", \"regression\"";

    /// Its name in `config.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Problem::SingleLabel => "single_label_classification",
            Problem::MultiLabel => "multi_label_classification",
            Problem::Regression => "regression",
        }
    }

    /// Logits to scores, in place.
    pub fn scores(self, logits: &mut [f32]) {
        match self {
            Problem::SingleLabel => softmax(logits),
            Problem::MultiLabel => logits.iter_mut().for_each(|x| *x = sigmoid(*x)),
            Problem::Regression => {}
        }
    }

    /// The problem of a model that names `named`, or none, and has so many outputs. One output has a sigmoid unless it is a quantity, as in
    /// the pipelines of `transformers`: a softmax of one value would always be 1.
    pub(super) fn of(named: Option<Problem>, outputs: usize) -> Problem {
        match named {
            Some(Problem::Regression) => Problem::Regression,
            _ if outputs == 1 => Problem::MultiLabel,
            named => named.unwrap_or(Problem::SingleLabel),
        }
    }
}

/// `exp(x) / sum(exp(x))`, in place.
pub fn softmax(xs: &mut [f32]) {
    exp_minus_max(xs);
    let sum: f32 = xs.iter().sum();
    xs.iter_mut().for_each(|x| *x /= sum);
}

/// `1 / (1 + exp(-x))`.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_probabilities() {
        let mut logits = [1000.0, 1000.0, -1000.0];
        Problem::SingleLabel.scores(&mut logits);
        assert_eq!(logits, [0.5, 0.5, 0.0]);
        let mut logits = [0.0, 200.0, -200.0];
        Problem::MultiLabel.scores(&mut logits);
        assert_eq!(logits, [0.5, 1.0, 0.0]);
    }

    #[test]
    fn one_output_is_never_the_only_choice() {
        assert_eq!(Problem::of(Some(Problem::SingleLabel), 1), Problem::MultiLabel);
        assert_eq!(Problem::of(Some(Problem::Regression), 1), Problem::Regression);
        assert_eq!(Problem::of(None, 1), Problem::MultiLabel);
        assert_eq!(Problem::of(None, 2), Problem::SingleLabel);
        assert_eq!(Problem::of(Some(Problem::MultiLabel), 3), Problem::MultiLabel);
    }
}
