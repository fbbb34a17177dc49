//! Measured times as a table.

use lacuna_compress::times::Times;
use lacuna_console::table::Table;

/// For people: microseconds of the linear layers of one encoder layer.
pub(crate) fn times_table(times: &Times) -> Table {
    let mut table =
        Table::new(&["<blocks", "zeros", "q, k, v us", "o us", "up us", "down us", "all us", "times dense"]);
    let dense: f64 = times.dense_us.iter().sum();
    let mut row = |block: String, sparsity: f64, us: &[f64; 4]| {
        let all: f64 = us.iter().sum();
        let figures = us.iter().chain([&all]).map(|us| format!("{us:.1}")).chain([format!("{:.2}", dense / all)]);
        table.row([block, format!("{:.0} %", sparsity * 1e2)].into_iter().chain(figures));
    };
    row("dense".into(), 0.0, &times.dense_us);
    times.rows.iter().for_each(|r| row(r.block.to_string(), r.sparsity, &r.us));
    table
}
