//! Measured shapes as rows of JSON, CSV, or a table.

use std::io;
use std::time::Duration;

use lacuna_console::error::Result;
use lacuna_console::output::{print, print_json, stdout};
use lacuna_console::stats::geometric_mean;
use lacuna_console::table::{Table, bytes, number, percent};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// One measured shape: fields in the order of JSON and CSV. Figures that a failed check or a tier without generated code leaves
/// unknown are null.
#[derive(Debug, Clone)]
pub(super) struct Row {
    fields: Vec<Field>,
    mismatch: Option<String>,
}

#[derive(Debug, Clone)]
struct Field {
    key: &'static str,
    value: Value,
    /// Whether another run measured the same thing only if this is equal.
    identity: bool,
    /// Heading and text in the table, if it is there.
    column: Option<(&'static str, String)>,
}

/// How a figure is written in the table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Decimals(usize),
    /// A fraction.
    Percent,
    /// A ratio, and the text if there is none.
    Ratio(&'static str),
}

impl Unit {
    fn text(self, value: Option<f64>) -> String {
        match (self, value) {
            (Unit::Decimals(decimals), value) => number(value, decimals),
            (Unit::Percent, value) => percent(value),
            (Unit::Ratio(_), Some(value)) => format!("{value:.2}"),
            (Unit::Ratio(none), None) => none.to_owned(),
        }
    }
}

impl Row {
    /// A row of a kernel's benchmark; `name` is the kernel's own.
    pub(super) fn new(kernel: &'static str, name: String) -> Row {
        let mut row = Row { fields: Vec::new(), mismatch: None };
        row.tag("kernel", None, kernel);
        row.fact("name", name);
        row
    }

    /// A dimension.
    pub(super) fn size(&mut self, key: &'static str, heading: &'static str, value: usize) {
        self.push(key, value.into(), true, Some((heading, value.to_string())));
    }

    /// Something else that makes the measurement what it is.
    pub(super) fn tag(&mut self, key: &'static str, heading: Option<&'static str>, value: &str) {
        self.push(key, value.into(), true, heading.map(|heading| (heading, value.to_owned())));
    }

    /// The fraction of zero blocks.
    pub(super) fn sparsity(&mut self, value: f64) {
        self.push("sparsity", value.into(), true, Some(("sparsity", percent(Some(value)))));
    }

    /// The number of threads and the state of the caches.
    pub(super) fn setting(&mut self, threads: usize, caches: &'static str) {
        self.push("threads", threads.into(), true, None);
        self.tag("caches", None, caches);
    }

    /// Something to know about it.
    pub(super) fn fact(&mut self, key: &'static str, value: impl Into<Value>) {
        self.push(key, value.into(), false, None);
    }

    /// Something that was measured or counted; without a heading it is not in the table.
    pub(super) fn figure(&mut self, key: &'static str, heading: Option<&'static str>, value: Option<f64>, unit: Unit) {
        let value = value.filter(|value| value.is_finite());
        let text = match (&self.mismatch, key) {
            (Some(_), "median_us") => "MISMATCH".to_owned(),
            _ => unit.text(value),
        };
        self.push(key, value.map_or(Value::Null, Value::from), false, heading.map(|heading| (heading, text)));
    }

    /// Something that was found out and is no number.
    pub(super) fn measured(&mut self, key: &'static str, heading: &'static str, value: Option<&str>) {
        self.push(key, value.into(), false, Some((heading, value.unwrap_or("-").to_owned())));
    }

    /// The generated code: its size, and how long it takes to emit.
    pub(super) fn code(&mut self, code_bytes: usize, emit: Duration) {
        self.push("code_bytes", code_bytes.into(), false, Some(("code", bytes(code_bytes))));
        self.figure("emit_us", Some("emit us"), Some(emit.as_secs_f64() * 1e6), Unit::Decimals(1));
    }

    /// What the check against the reference found wrong; to be said before figures are added.
    pub(super) fn set_mismatch(&mut self, mismatch: Option<String>) {
        let name = self.fields.iter().find(|field| field.key == "name").map_or(&Value::Null, |field| &field.value);
        self.mismatch = mismatch.map(|mismatch| format!("{}: {mismatch}", name.as_str().unwrap_or_default()));
    }

    /// The kernel and what is wrong with its results, if anything is.
    pub(super) fn mismatch(&self) -> Option<&str> {
        self.mismatch.as_deref()
    }

    /// The number of a field; nothing for null and for what is no number or not there.
    pub(super) fn number(&self, key: &str) -> Option<f64> {
        self.fields.iter().find(|field| field.key == key)?.value.as_f64()
    }

    /// Whether `earlier` has an equal value for everything that makes this measurement what it is.
    pub(super) fn is_same_measurement(&self, earlier: &Map<String, Value>) -> bool {
        let mut identity = self.fields.iter().filter(|field| field.identity);
        identity.all(|field| match (earlier.get(field.key), &field.value) {
            (Some(Value::Number(a)), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-9,
                _ => false,
            },
            (found, value) => found == Some(value),
        })
    }

    fn push(&mut self, key: &'static str, value: Value, identity: bool, column: Option<(&'static str, String)>) {
        self.fields.push(Field { key, value, identity, column });
    }

    fn columns(&self) -> impl Iterator<Item = &(&'static str, String)> {
        self.fields.iter().filter_map(|field| field.column.as_ref())
    }

    fn name(&self) -> &str {
        self.fields.iter().find(|field| field.key == "name").and_then(|field| field.value.as_str()).unwrap_or_default()
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|field| (field.key, &field.value)))
    }
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Table,
    Csv,
    Json,
}

pub(super) fn print_rows(rows: &[Row], format: Format, heading: &str) -> Result<()> {
    match format {
        Format::Json => print_json(&rows),
        Format::Csv => stdout(|out| write_csv(rows, out)),
        Format::Table => print(format_args!("{heading}\n\n{}{}", table(rows), summary(rows))),
    }
}

fn write_csv(rows: &[Row], out: &mut dyn io::Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    if let Some(row) = rows.first() {
        writer.write_record(row.fields.iter().map(|field| field.key))?;
    }
    for row in rows {
        writer.write_record(row.fields.iter().map(|field| match &field.value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            value => value.to_string(),
        }))?;
    }
    writer.flush()
}

fn table(rows: &[Row]) -> Table {
    let mut headings: Vec<&str> =
        rows.first().into_iter().flat_map(Row::columns).map(|(heading, _)| *heading).collect();
    headings.push("<kernel");
    let mut table = Table::new(&headings);
    for row in rows {
        table.row(row.columns().map(|(_, text)| text.clone()).chain([row.name().to_owned()]));
    }
    table
}

/// What the rows of a set have in common, in a line for each figure that can be averaged.
fn summary(rows: &[Row]) -> String {
    let mut lines = String::new();
    if rows.len() < 2 {
        return lines;
    }
    let figures = |key: &str| -> Vec<f64> { rows.iter().filter_map(|row| row.number(key)).collect() };
    for key in ["fraction_of_peak", "fraction_of_bound", "fraction_of_limit"] {
        let fractions = figures(key);
        let least = fractions.iter().copied().reduce(f64::min);
        if let Some((least, row)) = least.and_then(|l| Some((l, rows.iter().find(|row| row.number(key) == Some(l))?))) {
            let mean = percent(geometric_mean(&fractions));
            let worst = percent(Some(least));
            let what = key.replace('_', " ");
            lines += &format!("{what}: geometric mean {mean}, worst {worst} ({})\n", row.shape());
        }
    }
    for (key, what) in [("ratio_to_intrinsics", "intrinsics"), ("ratio_to_baseline", "baseline")] {
        let ratios = figures(key);
        if let Some(mean) = geometric_mean(&ratios) {
            let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            lines += &format!("time of {what} over this: geometric mean {mean:.3}, least {least:.2}\n");
        }
    }
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

impl Row {
    /// The columns that say what was measured: `M 768, K 768, N 128, sparsity 90.0 %`.
    fn shape(&self) -> String {
        let identity = self.fields.iter().filter(|field| field.identity).filter_map(|field| field.column.as_ref());
        identity.map(|(heading, text)| format!("{heading} {text}")).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(m: usize, sparsity: f64, us: f64, fraction: f64) -> Row {
        let mut row = Row::new("spmm", format!("spmm-m{m}"));
        row.size("m", "M", m);
        row.sparsity(sparsity);
        row.setting(1, "hot");
        row.figure("median_us", Some("us"), Some(us), Unit::Decimals(2));
        row.figure("fraction_of_peak", Some("of peak"), Some(fraction), Unit::Percent);
        row
    }

    #[test]
    fn a_row_of_another_run_is_found_by_what_it_measured() {
        let json = |row: &Row| serde_json::to_value(row).unwrap().as_object().unwrap().clone();
        let now = row(8, 0.9, 1.0, 0.5);
        assert!(now.is_same_measurement(&json(&row(8, 0.9, 7.0, 0.1))));
        assert!(!now.is_same_measurement(&json(&row(9, 0.9, 1.0, 0.5))));
        assert!(!now.is_same_measurement(&json(&row(8, 0.8, 1.0, 0.5))));
        assert!(!now.is_same_measurement(&Map::new()));
        let mut cold = now.clone();
        cold.fields.retain(|field| field.key != "caches");
        cold.tag("caches", None, "cold");
        assert!(!now.is_same_measurement(&json(&cold)));
    }

    #[test]
    fn a_summary_names_the_worst() {
        let rows = [row(8, 0.9, 1.0, 0.4), row(16, 0.5, 1.0, 0.9)];
        assert_eq!(summary(&rows), "\nfraction of peak: geometric mean 60.0 %, worst 40.0 % (M 8, sparsity 90.0 %)\n");
        assert_eq!(summary(&rows[..1]), "");
    }

    #[test]
    fn unknown_figures_are_null_and_dashes() {
        let mut row = row(8, 0.5, 1.0, f64::NAN);
        row.set_mismatch(Some("wrong".into()));
        row.figure("median_us", Some("us"), None, Unit::Decimals(2));
        assert_eq!(row.mismatch(), Some("spmm-m8: wrong"));
        let texts: Vec<&str> = row.columns().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["8", "50.0 %", "1.00", "-", "MISMATCH"]);
        assert!(row.number("fraction_of_peak").is_none());
        assert_eq!(Unit::Ratio("no match").text(None), "no match");
    }
}
