//! One model in one arithmetic: how good its answers are, and how long they take.

use serde::{Serialize, Serializer};

use lacuna_data::gold::Score;

/// One model in one arithmetic: how good its answers are, and how long they take. Every row of a report is one, whatever the task.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    /// The model: a folder, a packed file, or a name of the hub.
    pub(crate) model: String,
    /// How it runs: f32, f32 pruned, int8 or packed.
    pub(crate) name: &'static str,
    /// Fraction of zero blocks, if `--sparsity` was given or the packed file says it.
    pub(crate) sparsity: Option<f64>,
    /// The metrics of the task. Models are compared by the first.
    #[serde(flatten, serialize_with = "as_map")]
    pub(crate) scores: Vec<Score>,
    /// From texts to answers: the median of rounds in which all models took turns; none before they did.
    pub(crate) milliseconds_per_sequence: Option<f64>,
}

fn as_map<S: Serializer>(scores: &[Score], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(scores.iter().copied())
}

impl Measured {
    /// The metric that models are compared by, and its value; none of a task without metrics.
    #[allow(dead_code, reason = "what charts of several models show")]
    pub(crate) fn accuracy(&self) -> Option<Score> {
        self.scores.first().copied()
    }

    /// One of the metrics.
    pub(crate) fn score(&self, name: &str) -> Option<f64> {
        self.scores.iter().find(|score| score.0 == name).map(|score| score.1)
    }

    /// How it runs, and with `several` models which it is.
    pub(crate) fn title(&self, tier: &str, several: bool) -> String {
        let name = if self.name == "f32 pruned" { "f32, pruned" } else { self.name };
        let mut title = if several { format!("{}, {name}", self.model) } else { name.to_owned() };
        if let "int8" | "packed" = self.name {
            title += &format!(" ({tier})");
        }
        if let Some(sparsity) = self.sparsity {
            title += &format!(", {:.1} % zero blocks", sparsity * 1e2);
        }
        title
    }
}

/// Whether rows are of more than one model.
pub(crate) fn are_several(rows: &[Measured]) -> bool {
    rows.iter().any(|row| row.model != rows[0].model)
}
