//! A report for the terminal.

use std::fmt::Write;

use lacuna_console::table::Table;

use super::super::row::Report;
use super::grids::{self, Grid};
use super::groups::{self, Group, Kind, clean};
use super::parts::Parts;
use super::verdict::{sentence, summaries};

/// Headings are broken into lines where a table would be wider than this many characters.
const WIDTH: usize = 160;

/// Everything in the report, as lines.
pub(crate) fn text(report: &Report) -> String {
    let mut out = String::new();
    let widest = report.machine.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in &report.machine {
        let _ = writeln!(out, "{:widest$}  {}", clean(name), clean(value)); // a string takes everything
    }
    for kind in Kind::ALL {
        let groups = Group::all(report, kind);
        if groups.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{}", render(&grids::measurements(kind, &groups)));
        list(&mut out, "", grids::legend(kind, &groups));
        list(&mut out, "\nnotes\n", grids::notes(&groups));
        let summaries = summaries(&groups);
        if !summaries.is_empty() {
            let _ = write!(out, "\n{}", render(&grids::summary(&summaries)));
        }
    }
    for parts in Parts::all(report) {
        let _ = write!(out, "\n{}\n{}", parts.title, render(&grids::parts(&parts)));
    }
    if !report.rows.is_empty() {
        let _ = write!(out, "\n{}", render(&grids::engines(report)));
    }
    let absent = report.absent.iter().map(groups::absent).map(|(engine, how)| format!("{engine}: {how}"));
    list(&mut out, "\nnot measured\n", absent.collect());
    list(&mut out, "\nmethod\n", report.method.iter().map(|line| clean(line)).collect());
    list(&mut out, "\n", vec![sentence(report)]);
    out
}

/// Remarks under a heading, if there are any, indented if the heading is text.
fn list(out: &mut String, heading: &str, lines: Vec<String>) {
    if !lines.is_empty() {
        *out += heading;
    }
    let indent = if heading.trim().is_empty() { "" } else { "  " };
    for line in lines {
        wrap(out, &line, indent);
    }
}

/// Words in lines of at most [`WIDTH`] characters, if no word is longer; lines after the first are indented further.
fn wrap(out: &mut String, text: &str, indent: &str) {
    let mut line = indent.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            *out += line.trim_end();
            *out += "\n";
            line = format!("{indent}  ");
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    *out += line.trim_end();
    *out += "\n";
}

/// The table, with the title of each section on a line above it.
fn render(grid: &Grid) -> String {
    let narrow = lines(grid, |text| text.to_owned());
    match narrow.0.iter().all(|line| line.chars().count() <= WIDTH) {
        true => narrow,
        false => lines(grid, broken),
    }
    .interleave(grid)
}

/// The lines of a table, and how many of them are headings.
struct Lines(Vec<String>, usize);

fn lines(grid: &Grid, heading: impl Fn(&str) -> String) -> Lines {
    let headings = grid
        .headings
        .iter()
        .map(|column| format!("{}{}", if column.is_text { "<" } else { "" }, heading(&column.text)));
    let headings: Vec<String> = headings.collect();
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for row in grid.sections.iter().flat_map(|section| &section.rows) {
        table.row(row.iter().map(|cell| cell.text.clone()));
    }
    let rows: usize = grid.sections.iter().map(|section| section.rows.len()).sum();
    let lines: Vec<String> = table.to_string().lines().map(str::to_owned).collect();
    let above = lines.len().saturating_sub(rows);
    Lines(lines, above)
}

impl Lines {
    fn interleave(self, grid: &Grid) -> String {
        let Lines(lines, above) = self;
        let mut lines = lines.into_iter();
        let mut out = String::new();
        lines.by_ref().take(above).for_each(|line| out += &format!("{line}\n"));
        for section in &grid.sections {
            if let Some(title) = &section.title {
                out += &format!("\n{title}\n");
            }
            lines.by_ref().take(section.rows.len()).for_each(|line| out += &format!("{line}\n"));
        }
        out
    }
}

/// A heading on several lines: `x onnxruntime-qdq` as `x onnx`, `runtime`, `qdq`.
fn broken(heading: &str) -> String {
    match heading.starts_with("x ") {
        true => heading.replace("onnxruntime", "onnx-runtime").replace('-', "\n"),
        false => heading.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn columns_are_aligned_below_the_subject() {
        let text = text(&fixtures::kernels());
        let lines: Vec<&str> = text.lines().collect();
        let title = lines.iter().position(|line| line.starts_with("768 x 768, N = 128")).unwrap();
        assert_eq!(lines[title], "768 x 768, N = 128, 4x1 blocks, 50 % zeros, u8 output, 1 thread");
        assert_eq!(lines[title - 1], "");
        assert!(lines[title + 1].starts_with("lacuna  ") && lines[title + 4].starts_with("onednn-int8  "));
        let heading = lines.iter().find(|line| line.starts_with("engine ")).unwrap();
        let end = heading.find("GOP/s").unwrap() + "GOP/s".len();
        let last = |line: &str| line.as_bytes()[end - 1].is_ascii_digit() && line.as_bytes()[end] == b' ';
        assert!(lines[title + 1..title + 8].iter().all(|line| last(line)), "{text}");
    }

    #[test]
    fn lines_are_no_wider_than_a_wide_terminal() {
        for report in [fixtures::kernels(), fixtures::models(), fixtures::threads(), fixtures::sweep()] {
            for kind in Kind::ALL {
                let groups = Group::all(&report, kind);
                let table = render(&grids::measurements(kind, &groups));
                assert!(table.lines().all(|line| line.chars().count() <= WIDTH), "{table}");
            }
            let long = text(&report).lines().filter(|line| line.chars().count() > WIDTH).count();
            assert_eq!(long, 0);
        }
    }

    #[test]
    fn what_disagrees_shows_neither_time_nor_ratio() {
        let text = text(&fixtures::kernels());
        let wrong: Vec<&str> = text.lines().filter(|line| line.ends_with("DISAGREES")).collect();
        assert_eq!(wrong.len(), 2);
        for line in wrong {
            let cells: Vec<&str> = line.split_whitespace().collect();
            // Engine, type, threads, then nothing up to the error.
            assert!(cells[3..cells.len() - 2].iter().all(|cell| *cell == "-"), "{line}");
        }
        let from = text.find("256 x 256, N = 16, 4x1 blocks, 90 %").unwrap();
        assert!(text[from..].lines().nth(1).unwrap().starts_with("lacuna "));
    }

    #[test]
    fn notes_are_said_once_and_absent_engines_with_how_to_get_them() {
        let text = text(&fixtures::kernels());
        assert_eq!(text.matches("multiplies f32; the result is quantised outside").count(), 1);
        assert!(text.contains("gemm-f32, 12 of 14 subjects: multiplies f32"));
        assert!(text.contains("lacuna, 256 x 256, N = 16, 4x1 blocks, 90 % zeros, u8 output, 1 thread: the largest"));
        assert!(text.contains("\n  candle-f32: this command was built without it; build with --features candle\n"));
    }

    #[test]
    fn threads_that_differ_are_shown_and_explained() {
        let text = text(&fixtures::models());
        let line = text.lines().find(|line| line.starts_with("rten-f32 ")).unwrap();
        assert!(line.contains(" 2/1 "), "{line}");
        assert!(text.contains("threads: seen computing/asked for"));
        assert!(!super::text(&fixtures::sweep()).contains("threads: seen"));
    }

    #[test]
    fn terminals_get_no_control_characters() {
        assert!(text(&fixtures::hostile()).chars().all(|c| c == '\n' || !c.is_control()));
    }

    #[test]
    fn an_empty_report_says_so() {
        let mut report = fixtures::sweep();
        report.rows.clear();
        assert!(text(&report).ends_with("\nNothing was measured.\n"));
    }
}
