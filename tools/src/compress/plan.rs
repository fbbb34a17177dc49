//! What is pruned how, and why.

use std::fmt::Write as _;

use lacuna::Block;
use lacuna_console::table::Table;
use lacuna_train::prune::{Cut, Cuts};
use serde::{Deserialize, Serialize};

/// A block shape that was looked at for `--block auto`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Candidate {
    pub(super) block: Block,
    /// Milliseconds of all linear layers at the sparsity that is asked for.
    pub(super) linear_ms: f64,
    /// The mean over all matrices of the second-order error at that sparsity, of the energy of the outputs; none where it was not looked
    /// at.
    pub(super) error: Option<f64>,
    /// The sparsity at which the linear layers take as long as in 4x1 blocks at the sparsity that is asked for.
    pub(super) equal_sparsity: f64,
    /// The error at that sparsity.
    pub(super) equal_error: Option<f64>,
}

/// Times of a sequence on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Planned {
    pub(super) seq: usize,
    pub(super) threads: usize,
    /// Milliseconds of the whole model in dense int8.
    pub(super) dense_ms: f64,
    /// Milliseconds that were asked for.
    pub(super) target_ms: Option<f64>,
    /// Milliseconds that are expected of the result.
    pub(super) predicted_ms: f64,
}

/// How every matrix is pruned. It is kept beside the checkpoint, because times differ from one measurement to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// `[layer][q, k, v, o, up, down]`
    pub(super) cuts: Cuts,
    /// Whether neurons and features of heads were put in another order first.
    pub(super) reordered: bool,
    /// The shapes that `--block auto` chose from.
    pub(super) candidates: Vec<Candidate>,
    /// What was measured for the choice; none where nothing was.
    pub(super) times: Option<Planned>,
}

impl Plan {
    /// The same for all matrices.
    pub(super) fn uniform(cuts: Cuts, reordered: bool) -> Plan {
        Plan { cuts, reordered, candidates: vec![], times: None }
    }

    /// The block shapes, most blocks first, as `4x4` or `4x4, 4x1`. Matrices without zeros do not count.
    pub(super) fn shapes(&self) -> String {
        let sparse = || self.cuts.iter().flatten().filter(|cut| cut.sparsity > 0.0);
        let mut counts: Vec<(usize, Block)> =
            Block::ALL.into_iter().map(|block| (sparse().filter(|cut| cut.block == block).count(), block)).collect();
        counts.retain(|(count, _)| *count > 0);
        counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        counts.iter().map(|(_, block)| block.name()).collect::<Vec<_>>().join(", ")
    }

    /// The sparsity of all matrices together. `shapes` are those of a layer.
    pub(super) fn sparsity(&self, shapes: &[(usize, usize); 6]) -> f64 {
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
    pub(super) fn scaled(&self, share: f64) -> Cuts {
        let scale = |cut: Cut| Cut { sparsity: cut.sparsity * share, ..cut };
        self.cuts.iter().map(|six| six.map(scale)).collect()
    }

    /// The table of candidates, empty without any.
    pub(super) fn table(&self) -> Option<Table> {
        if self.candidates.is_empty() {
            return None;
        }
        let mut table = Table::new(&["<blocks", "linear ms", "error", "zeros in the time of 4x1", "error then"]);
        for candidate in &self.candidates {
            table.row(cells(candidate));
        }
        Some(table)
    }

    /// For people: what was chosen and why.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        if let Some(table) = self.table() {
            let _ = writeln!(out, "block shapes, chosen: {}\n{table}", self.shapes());
        } else if self.times.as_ref().is_some_and(|times| times.target_ms.is_some()) {
            let _ = writeln!(out, "block shapes and zeros per matrix: {}\n{}", self.shapes(), self.per_matrix());
        }
        if let Some(times) = &self.times {
            let _ = writeln!(out, "{}", times.text());
        }
        out
    }

    /// Block shape and sparsity of every matrix.
    fn per_matrix(&self) -> Table {
        let mut table = Table::new(&["<layer", "q", "k", "v", "o", "up", "down"]);
        for (layer, six) in self.cuts.iter().enumerate() {
            let cell = |cut: &Cut| match cut.sparsity {
                0.0 => "dense".to_owned(),
                sparsity => format!("{} {:.0} %", cut.block, sparsity * 1e2),
            };
            table.row([layer.to_string()].into_iter().chain(six.iter().map(cell)));
        }
        table
    }

    /// For the model card.
    pub(super) fn card(&self) -> String {
        let mut out = String::new();
        if !self.candidates.is_empty() {
            out.push_str(
                "Block shapes that were looked at: milliseconds of all linear layers and mean second-order error of their outputs at \
                 the sparsity \
                 that was asked for, and the error at the sparsity that takes as long as 4x1 blocks.\n\n\
                 | blocks | linear ms | error | zeros in the time of 4x1 | error then |\n| --- | --- | --- | --- | --- |\n",
            );
            for candidate in &self.candidates {
                let _ = writeln!(out, "| {} |", cells(candidate).join(" | "));
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

fn cells(candidate: &Candidate) -> [String; 5] {
    let percent = |error: Option<f64>| error.map_or_else(|| "-".to_owned(), |error| format!("{:.2} %", error * 1e2));
    [
        candidate.block.to_string(),
        format!("{:.3}", candidate.linear_ms),
        percent(candidate.error),
        format!("{:.1} %", candidate.equal_sparsity * 1e2),
        percent(candidate.equal_error),
    ]
}

impl Planned {
    fn text(&self) -> String {
        let target = self.target_ms.map_or_else(String::new, |ms| format!(", wanted {ms:.3} ms"));
        format!(
            "a sequence of {} tokens on {}: dense int8 {:.3} ms{target}, predicted {:.3} ms ({:.2} times as fast)",
            self.seq,
            lacuna_console::table::plural(self.threads as u64, "thread"),
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
        assert!(plan.table().is_none() && plan.text().is_empty());
        let times = Planned { seq: 128, threads: 1, dense_ms: 6.0, target_ms: Some(2.0), predicted_ms: 1.5 };
        let plan = Plan { times: Some(times), ..plan };
        assert!(plan.text().contains("4x1 90 %") && plan.text().contains("predicted 1.500 ms (4.00 times as fast)"));
    }
}
