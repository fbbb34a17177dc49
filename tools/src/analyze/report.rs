//! What is printed.

use std::fmt::Write as _;

use lacuna_compress::Used;
use lacuna_compress::times::Times;
use lacuna_console::table::Table;
use serde::Serialize;

use crate::times::times_table;

/// One matrix in blocks of one shape.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) layer: usize,
    pub(super) name: &'static str,
    /// Per sparsity: the squared error of the outputs over their energy; none where the sparsity was not reached.
    pub(super) errors: Vec<Option<f64>>,
}

/// All matrices in blocks of one shape.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Shape {
    pub(super) block: String,
    pub(super) rows: Vec<Row>,
    /// Per sparsity: the mean error over all matrices.
    pub(super) mean: Vec<Option<f64>>,
    /// Per sparsity: the median time of a sequence in milliseconds.
    pub(super) ms: Vec<f64>,
    /// Per sparsity: how many times faster than dense int8.
    pub(super) speedup: Vec<f64>,
    pub(super) seconds: f64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) texts: Vec<Used>,
    pub(super) calibration_tokens: usize,
    pub(super) sparsities: Vec<f64>,
    pub(super) seq: usize,
    pub(super) threads: usize,
    pub(super) tier: &'static str,
    /// The median time of a sequence in dense int8, in milliseconds.
    pub(super) dense_ms: f64,
    /// Times of the products alone.
    pub(super) kernels: Times,
    pub(super) shapes: Vec<Shape>,
}

impl Report {
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let headings: Vec<String> = self.sparsities.iter().map(|sparsity| format!("{:.0} %", sparsity * 1e2)).collect();
        let percent =
            |error: &Option<f64>| error.map_or_else(|| "-".to_owned(), |error| format!("{:.1} %", error * 1e2));
        for shape in &self.shapes {
            let _ = writeln!(
                out,
                "{}, blocks of {}: error of each matrix alone after refitting, by sparsity",
                self.model, shape.block
            );
            let all: Vec<&str> = ["<matrix"].into_iter().chain(headings.iter().map(String::as_str)).collect();
            let mut table = Table::new(&all);
            for row in &shape.rows {
                let name = format!("layer {} {}", row.layer, row.name);
                table.row([name].into_iter().chain(row.errors.iter().map(percent)));
            }
            table.row(["mean".to_owned()].into_iter().chain(shape.mean.iter().map(percent)));
            table.row(["ms".to_owned()].into_iter().chain(shape.ms.iter().map(|ms| format!("{ms:.3}"))));
            table.row(["times dense".to_owned()].into_iter().chain(shape.speedup.iter().map(|x| format!("{x:.2}"))));
            let _ = writeln!(out, "{table}");
        }
        let _ = writeln!(out, "{}\n{}", self.kernels.caption(), times_table(&self.kernels));
        let _ = writeln!(
            out,
            "time of a sequence of {} tokens on {} threads, tier {}; dense int8 takes {:.3} ms",
            self.seq, self.threads, self.tier, self.dense_ms
        );
        out
    }
}
