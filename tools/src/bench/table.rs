//! Measured products as rows of JSON, CSV, or a table.

use std::io;

use clap::ValueEnum;
use serde::Serialize;

use crate::error::Result;
use crate::output::{print, print_json, stdout};
use crate::table::{Table, bytes, number, percent};

/// One measured product. Serialised with exactly these names; figures that a failed check or a tier without generated code leaves
/// unknown are null.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) kernel: &'static str,
    pub(super) name: String,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) block: &'static str,
    pub(super) sparsity: f64,
    pub(super) threads: usize,
    pub(super) tier: &'static str,
    pub(super) median_us: Option<f64>,
    pub(super) gops_dense_equivalent: Option<f64>,
    pub(super) gops_nonzero: Option<f64>,
    pub(super) peak_gops: Option<f64>,
    pub(super) fraction_of_peak: Option<f64>,
    pub(super) code_bytes: usize,
    pub(super) emit_us: f64,
    pub(super) plan: String,
    /// Interquartile range over median.
    #[serde(skip)]
    pub(super) spread: Option<f64>,
    /// What the check against the reference found wrong.
    #[serde(skip)]
    pub(super) mismatch: Option<String>,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Csv,
    Json,
}

pub(super) fn print_rows(rows: &[Row], format: Format, heading: &str) -> Result<()> {
    match format {
        Format::Json => print_json(&rows),
        Format::Csv => stdout(|out| {
            let mut writer = csv::Writer::from_writer(out);
            rows.iter().try_for_each(|row| writer.serialize(row)).map_err(io::Error::from)?;
            writer.flush()
        }),
        Format::Table => print(format_args!("{heading}\n\n{}", table(rows))),
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "M",
        "K",
        "N",
        "sparsity",
        "us",
        "spread",
        "GOP/s dense",
        "GOP/s non-zero",
        "of peak",
        "code",
        "emit us",
        "<kernel",
    ]);
    for row in rows {
        let mut cells = vec![row.m.to_string(), row.k.to_string(), row.n.to_string()];
        cells.push(format!("{:.1} %", row.sparsity * 1e2));
        match row.mismatch {
            Some(_) => cells.push("MISMATCH".into()),
            None => cells.push(number(row.median_us, 2)),
        }
        cells.extend([
            percent(row.spread),
            number(row.gops_dense_equivalent, 0),
            number(row.gops_nonzero, 0),
            percent(row.fraction_of_peak),
            bytes(row.code_bytes),
            format!("{:.1}", row.emit_us),
            row.name.clone(),
        ]);
        table.row(cells);
    }
    table
}
