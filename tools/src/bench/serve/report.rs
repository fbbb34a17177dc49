//! What a load showed, as a row.

use lacuna_console::stats::quantile;
use lacuna_console::table::Table;
use serde::Serialize;

use super::load::Outcome;

/// One load.
#[derive(Debug, Default, Serialize)]
pub(super) struct Row {
    /// Requests per second that were asked for; null for as many as the connections take.
    pub(super) rate: Option<f64>,
    /// Requests that were served (status 200), per second.
    pub(super) served_per_s: f64,
    pub(super) tokens_per_s: f64,
    /// Requests by what came of them.
    pub(super) served: usize,
    /// Status 429.
    pub(super) overloaded: usize,
    /// Any other status.
    pub(super) refused: usize,
    /// Without an answer.
    pub(super) broken: usize,
    /// Latencies of served requests.
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
}

impl Row {
    pub(super) fn new(rate: Option<f64>, outcome: &Outcome) -> Row {
        let count = |of: &dyn Fn(u16) -> bool| outcome.answered.iter().filter(|one| of(one.reply.status)).count();
        let served = outcome.answered.iter().filter(|one| one.reply.status == 200);
        let mut latencies: Vec<f64> = served.clone().map(|one| one.latency.as_secs_f64() * 1e3).collect();
        let mut at = |fraction: f64| quantile(&mut latencies, fraction);
        let seconds = outcome.took.as_secs_f64();
        Row {
            rate,
            served_per_s: count(&|status| status == 200) as f64 / seconds,
            tokens_per_s: served.map(|one| one.reply.tokens).sum::<usize>() as f64 / seconds,
            served: count(&|status| status == 200),
            overloaded: count(&|status| status == 429),
            refused: count(&|status| status != 200 && status != 429),
            broken: outcome.broken,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
        }
    }
}

/// Rows under headings.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "requests/s",
        "served/s",
        "tokens/s",
        "served",
        "429",
        "other",
        "broken",
        "p50 ms",
        "p90",
        "p99",
        "p99.9",
        "max",
    ]);
    for row in rows {
        let ms = |value: f64| format!("{value:.3}");
        table.row([
            row.rate.map_or_else(|| "closed".into(), |rate| format!("{rate}")),
            format!("{:.1}", row.served_per_s),
            format!("{:.0}", row.tokens_per_s),
            row.served.to_string(),
            row.overloaded.to_string(),
            row.refused.to_string(),
            row.broken.to_string(),
            ms(row.p50_ms),
            ms(row.p90_ms),
            ms(row.p99_ms),
            ms(row.p999_ms),
            ms(row.max_ms),
        ]);
    }
    table
}
