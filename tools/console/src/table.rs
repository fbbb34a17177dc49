//! Aligned tables without borders.

use std::fmt;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table as Inner};
pub use lacuna_data::words::{bytes, plural};

/// A large count: `12 weights`, `1.50 M weights`.
pub fn millions(count: usize, noun: &str) -> String {
    match count {
        100_000.. => format!("{:.2} M {noun}s", count as f64 / 1e6),
        _ => plural(count, noun),
    }
}

/// A table whose first columns are text and whose other columns are numbers.
pub struct Table(Inner);

impl Table {
    /// A table with these headings. Those that begin with `<` head text, aligned to the left; the others numbers.
    pub fn new(headings: &[&str]) -> Table {
        let mut table = Inner::new();
        table.load_style(NOTHING);
        table.set_header(headings.iter().map(|heading| heading.trim_start_matches('<')));
        for (i, heading) in headings.iter().enumerate() {
            if let Some(column) = table.column_mut(i) {
                column.set_padding((if i == 0 { 0 } else { 1 }, 1));
                if !heading.starts_with('<') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Table(table)
    }

    /// Adds a row: a text per heading.
    pub fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        self.0.add_row(cells.into_iter().collect::<Vec<String>>());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lines().try_for_each(|line| writeln!(f, "{}", line.trim_end()))
    }
}

/// A number with `decimals`, or `-` if there is none.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

/// A fraction in percent, or `-` if there is none.
pub fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.1} %", value * 1e2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right_and_lines_end_with_text() {
        let mut table = Table::new(&["<name", "n"]);
        table.row(["a".into(), "1".into()]);
        table.row(["long".into(), "100".into()]);
        assert_eq!(table.to_string(), "name    n\na       1\nlong  100\n");
    }

    #[test]
    fn counts_have_their_noun() {
        assert_eq!(
            (millions(1, "weight"), millions(1_500_000, "weight")),
            ("1 weight".into(), "1.50 M weights".into())
        );
    }
}
