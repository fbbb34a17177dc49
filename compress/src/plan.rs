//! What is pruned how, and why.

use std::fmt::Write as _;

use lacuna::Block;
use lacuna_data::words::plural;
use lacuna_train::prune::{Cut, Cuts};
use serde::{Deserialize, Serialize};

/// A block shape that was looked at for `--block auto`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The shape.
    pub block: Block,
    /// Milliseconds of all linear layers at the sparsity that is asked for.
    pub linear_ms: f64,
    /// The mean over all matrices of the second-order error at that sparsity, of the energy of the outputs; none where it was not looked
    /// at.
    pub error: Option<f64>,
    /// The sparsity at which the linear layers take as long as in 4x1 blocks at the sparsity that is asked for.
    pub equal_sparsity: f64,
    /// The error at that sparsity.
    pub equal_error: Option<f64>,
}

/// Times of a sequence on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Tokens of the sequence.
    pub seq: usize,
    /// Threads that run it.
    pub threads: usize,
    /// Milliseconds of the whole model in dense int8.
    pub dense_ms: f64,
    /// Milliseconds that were asked for.
    pub target_ms: Option<f64>,
    /// Milliseconds that are expected of the result.
    pub predicted_ms: f64,
}

/// How every matrix is pruned. It is kept beside the checkpoint, because times differ from one measurement to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `[layer][q, k, v, o, up, down]`
    pub cuts: Cuts,
    /// Whether neurons and features of heads were put in another order first.
    pub reordered: bool,
    /// The shapes that `--block auto` chose from.
    pub candidates: Vec<Candidate>,
    /// What was measured for the choice; none where nothing was.
    pub times: Option<Planned>,
}

impl Plan {
    /// The same for all matrices.
    pub(crate) fn uniform(cuts: Cuts, reordered: bool) -> Plan {
        Plan { cuts, reordered, candidates: vec![], times: None }
    }

    /// The block shapes, most blocks first, as `4x4` or `4x4, 4x1`. Matrices without zeros do not count.
    pub fn shapes(&self) -> String {
        let sparse = || self.cuts.iter().flatten().filter(|cut| cut.sparsity > 0.0);
        let mut counts: Vec<(usize, Block)> =
            Block::ALL.into_iter().map(|block| (sparse().filter(|cut| cut.block == block).count(), block)).collect();
        counts.retain(|(count, _)| *count > 0);
        counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        counts.iter().map(|(_, block)| block.name()).collect::<Vec<_>>().join(", ")
    }

    /// The sparsity of all matrices together. `shapes` are those of a layer.
    pub(crate) fn sparsity(&self, shapes: &[(usize, usize); 6]) -> f64 {
        let all = || self.cuts.iter().flatten().map(|cut| cut.sparsity);
        let first = all().next().unwrap_or(0.0);
        if all().all(|sparsity| sparsity == first) {
            return first; // exactly as it was asked for
        }
        let sizes = shapes.iter().cycle().map(|&(m, k)| (m * k) as f64);
        let (zeros, size) = all().zip(sizes).fold((0.0, 0.0), |(zeros, sum), (s, size)| (zeros + s * size, sum + size));
        zeros / size
    }

    /// How the matrices are pruned at this share of their sparsities. Dense ones stay dense.
    pub(crate) fn scaled(&self, share: f64) -> Cuts {
        let scale = |cut: Cut| Cut { sparsity: cut.sparsity * share, ..cut };
        self.cuts.iter().map(|six| six.map(scale)).collect()
    }

    /// For the model card.
    pub(crate) fn card(&self) -> String {
        let mut out = String::new();
        if !self.candidates.is_empty() {
            out.push_str(
                "Block shapes that were looked at: milliseconds of all linear layers and mean second-order error of their outputs at \
                 the sparsity \
                 that was asked for, and the error at the sparsity that takes as long as 4x1 blocks.\n\n\
                 | blocks | linear ms | error | zeros in the time of 4x1 | error then |\n| --- | --- | --- | --- | --- |\n",
            );
            for candidate in &self.candidates {
                let _ = writeln!(out, "| {} |", candidate.cells().join(" | "));
            }
            out.push('\n');
        }
        if self.reordered {
            out.push_str(
                "Neurons and features within heads were put in another order first; what the model computes does not depend on \
                 it.\n",
            );
        }
        if let Some(times) = &self.times {
            let _ = writeln!(out, "Time: {}.", times.text());
        }
        out
    }
}

impl Candidate {
    /// What a table says of it: the blocks, the time of the linear layers, the error, the zeros in the time of 4x1, and the error then.
    pub fn cells(&self) -> [String; 5] {
        let percent =
            |error: Option<f64>| error.map_or_else(|| "-".to_owned(), |error| format!("{:.2} %", error * 1e2));
        [
            self.block.to_string(),
            format!("{:.3}", self.linear_ms),
            percent(self.error),
            format!("{:.1} %", self.equal_sparsity * 1e2),
            percent(self.equal_error),
        ]
    }
}

impl Planned {
    /// In words.
    pub fn text(&self) -> String {
        let target = self.target_ms.map_or_else(String::new, |ms| format!(", wanted {ms:.3} ms"));
        format!(
            "a sequence of {} tokens on {}: dense int8 {:.3} ms{target}, predicted {:.3} ms ({:.2} times as fast)",
            self.seq,
            plural(self.threads as u64, "thread"),
            self.dense_ms,
            self.predicted_ms,
            self.dense_ms / self.predicted_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_file_and_names_its_shapes() {
        let mut plan = Plan::uniform(vec![[Cut { block: Block::B4x4, sparsity: 0.8 }; 6]; 2], true);
        plan.cuts[1][5] = Cut { block: Block::B4x1, sparsity: 0.9 };
        plan.cuts[1][4] = Cut { block: Block::B8x1, sparsity: 0.0 };
        assert_eq!(plan.shapes(), "4x4, 4x1");
        assert_eq!(plan.scaled(0.5)[1].map(|cut| cut.sparsity), [0.4, 0.4, 0.4, 0.4, 0.0, 0.45]);
        assert_eq!(plan.scaled(1.0), plan.cuts);
        let shapes = [(4, 4), (4, 4), (4, 4), (4, 4), (8, 4), (4, 8)];
        assert!((plan.sparsity(&shapes) - (12.0 * 0.8 + 2.0 * 0.9) / 16.0).abs() < 1e-12);
        assert_eq!(Plan::uniform(plan.scaled(1.0)[..1].to_vec(), false).sparsity(&shapes), 0.8);
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        let times = Planned { seq: 128, threads: 1, dense_ms: 6.0, target_ms: Some(2.0), predicted_ms: 1.5 };
        assert!(times.text().contains("predicted 1.500 ms (4.00 times as fast)"));
    }
}
