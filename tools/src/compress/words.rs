//! What came out, in words.

use std::fmt::Write as _;

use lacuna_compress::{Plan, Summary};
use lacuna_console::table::Table;
use lacuna_train::prune::Cut;

/// `12 min`, `40 s`.
pub(super) fn minutes(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// A summary for people.
pub(super) fn text(summary: &Summary) -> String {
    let mut out = String::new();
    if let Some(cut) = &summary.cut {
        let _ = writeln!(out, "{}: {}", summary.out, cut.describe());
    }
    let least = summary.matrices.iter().map(|matrix| matrix.zeros).fold(1.0, f64::min);
    let _ = writeln!(
        out,
        "{}: {:.1} % of the weights of the linear layers are zero, at least {:.1} % of each",
        summary.out,
        summary.zeros * 1e2,
        least * 1e2
    );
    if let Some(plan) = &summary.plan {
        out += &plan_text(plan);
    }
    if let Some(measured) = summary.measured_text() {
        let _ = writeln!(out, "{measured}");
    }
    if let Some(gradual) = &summary.gradual {
        let _ = writeln!(out, "{}", gradual.text());
    }
    let mut times = format!("pruned in {}", minutes(summary.pruning_seconds));
    if summary.steps > 0 {
        times += &format!(
            "; trained {} steps, {} tokens in {}",
            summary.steps,
            summary.tokens,
            minutes(summary.training_seconds)
        );
    }
    let _ = writeln!(out, "{times}, on {} threads of {}", summary.threads, summary.cpu);
    if let Some((metric, figures, count)) = summary.figures() {
        let mut table = Table::new(&["<model", metric.name()]);
        for (name, value) in figures.rows("result", summary.gradual.as_ref()) {
            table.row([name, format!("{value:.4}")]);
        }
        let _ = write!(out, "on {count} {}, which were not trained on:\n{table}", metric.noun());
    }
    out.trim_end().to_owned() + "\n"
}

/// The table of candidates, empty without any.
fn table(plan: &Plan) -> Option<Table> {
    if plan.candidates.is_empty() {
        return None;
    }
    let mut table = Table::new(&["<blocks", "linear ms", "error", "zeros in the time of 4x1", "error then"]);
    for candidate in &plan.candidates {
        table.row(candidate.cells());
    }
    Some(table)
}

/// For people: what was chosen and why.
pub(super) fn plan_text(plan: &Plan) -> String {
    let mut out = String::new();
    if let Some(table) = table(plan) {
        let _ = writeln!(out, "block shapes, chosen: {}\n{table}", plan.shapes());
    } else if plan.times.as_ref().is_some_and(|times| times.target_ms.is_some()) {
        let _ = writeln!(out, "block shapes and zeros per matrix: {}\n{}", plan.shapes(), per_matrix(plan));
    }
    if let Some(times) = &plan.times {
        let _ = writeln!(out, "{}", times.text());
    }
    out
}

/// Block shape and sparsity of every matrix.
fn per_matrix(plan: &Plan) -> Table {
    let mut table = Table::new(&["<layer", "q", "k", "v", "o", "up", "down"]);
    for (layer, six) in plan.cuts.iter().enumerate() {
        let cell = |cut: &Cut| match cut.sparsity {
            0.0 => "dense".to_owned(),
            sparsity => format!("{} {:.0} %", cut.block, sparsity * 1e2),
        };
        table.row([layer.to_string()].into_iter().chain(six.iter().map(cell)));
    }
    table
}

#[cfg(test)]
mod tests {
    use lacuna::Block;
    use lacuna_compress::Planned;

    use super::*;

    #[test]
    fn plans_are_told_by_matrix() {
        let cuts = vec![[Cut { block: Block::B4x1, sparsity: 0.9 }; 6]; 2];
        let plan = Plan { cuts, reordered: false, candidates: vec![], times: None };
        assert!(table(&plan).is_none() && plan_text(&plan).is_empty());
        let times = Planned { seq: 128, threads: 1, dense_ms: 6.0, target_ms: Some(2.0), predicted_ms: 1.5 };
        let text = plan_text(&Plan { times: Some(times), ..plan });
        assert!(text.contains("4x1 90 %") && text.contains("predicted 1.500 ms (4.00 times as fast)"), "{text}");
    }
}
