//! What is shown in tables, whether they are printed or part of a page.

use std::collections::BTreeMap;

use lacuna_console::table::{number, percent};

use super::super::row::{Report, Row, Subject};
use super::groups::{Group, Kind, Standing, baselines, clean, in_order, sparsity, zeros};
use super::parts::Parts;
use super::verdict::{Summary, lacuna};

/// How many implementations of one engine are named.
const NAMED: usize = 3;

/// A table: headings, and rows in sections.
pub(super) struct Grid {
    pub(super) headings: Vec<Heading>,
    pub(super) sections: Vec<Section>,
}

pub(super) struct Heading {
    pub(super) text: String,
    /// Whether it heads text, which is aligned to the left.
    pub(super) is_text: bool,
}

/// Rows that belong together.
pub(super) struct Section {
    pub(super) title: Option<String>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// What is in one place of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) role: Role,
}

/// How a page shows a cell, in addition to its text.
#[derive(Debug, Clone, Default)]
pub(super) enum Role {
    #[default]
    Plain,
    /// An engine, and the kernel that it says it ran.
    Engine { is_lacuna: bool, implementation: String },
    /// A time, as a fraction of the longest in the section.
    Time(f64),
    /// How many times as long a dense engine takes.
    Ratio(f64),
    /// Something wrong.
    Wrong,
}

impl Grid {
    fn new(headings: impl IntoIterator<Item = (impl Into<String>, bool)>) -> Grid {
        let headings = headings.into_iter().map(|(text, is_text)| Heading { text: text.into(), is_text }).collect();
        Grid { headings, sections: Vec::new() }
    }

    fn untitled<const N: usize>(headings: [(&str, bool); N]) -> Grid {
        let mut grid = Grid::new(headings);
        grid.sections.push(Section { title: None, rows: Vec::new() });
        grid
    }

    fn push(&mut self, row: Vec<Cell>) {
        if let Some(section) = self.sections.last_mut() {
            section.rows.push(row);
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell { text, role: Role::Plain }
    }
}

/// Every row, subject by subject.
pub(super) fn measurements(kind: Kind, groups: &[Group<'_>]) -> Grid {
    let baselines = baselines(groups);
    let (unit, rate) = match kind {
        Kind::Product => ("us", "GOP/s"),
        Kind::Model => ("ms", "seq/s"),
    };
    let text = [("engine", true), ("dtype", true)].map(|(name, is_text)| (name.to_owned(), is_text));
    let numbers = ["threads", unit, "spread", rate].map(|name| (name.to_owned(), false));
    let ratios = baselines.iter().map(|baseline| (format!("x {}", clean(baseline)), false));
    let checks = [("error".to_owned(), false), ("agrees".to_owned(), true)];
    let mut grid = Grid::new(text.into_iter().chain(numbers).chain(ratios).chain(checks));
    for group in groups {
        let longest = group.rows.iter().filter_map(|row| group.time(&row.engine)).fold(0.0, f64::max);
        let rows = group.rows.iter().map(|row| measurement(kind, group, row, &baselines, longest)).collect();
        grid.sections.push(Section { title: Some(group.title()), rows });
    }
    grid
}

fn measurement(kind: Kind, group: &Group<'_>, row: &Row, baselines: &[&str], longest: f64) -> Vec<Cell> {
    let standing = Standing::of(row);
    let shown = |figure: Option<f64>| figure.filter(|value| standing == Standing::Agrees && value.is_finite());
    let (time, rate) = match kind {
        Kind::Product => (number(shown(row.median_us), 2), number(shown(row.gops_dense_equivalent), 0)),
        Kind::Model => {
            let rate = shown(row.sequences_per_s);
            (number(shown(row.median_us).map(|us| us / 1e3), 3), number(rate, if rate < Some(100.0) { 1 } else { 0 }))
        }
    };
    let time = match shown(row.median_us) {
        Some(us) if longest > 0.0 => Cell { text: time, role: Role::Time((us / longest).clamp(0.0, 1.0)) },
        _ => time.into(),
    };
    let threads = match row.threads_used {
        Some(used) if used != row.threads => format!("{used}/{}", row.threads),
        _ => row.threads.to_string(),
    };
    let mut cells = vec![
        engine_cell(&row.engine, &row.implementation),
        clean(&row.dtype).into(),
        threads.into(),
        time,
        percent(shown(row.spread)).into(),
        rate.into(),
    ];
    cells.extend(baselines.iter().map(|baseline| ratio_cell(group.ratio(row, baseline))));
    cells.push(error_text(kind, row.error).into());
    let role = if standing == Standing::Disagrees { Role::Wrong } else { Role::Plain };
    cells.push(Cell { text: standing.name().to_owned(), role });
    cells
}

fn engine_cell(engine: &str, implementation: &str) -> Cell {
    let role = Role::Engine { is_lacuna: engine == lacuna(), implementation: clean(implementation) };
    Cell { text: clean(engine), role }
}

fn ratio_cell(ratio: Option<f64>) -> Cell {
    Cell { text: number(ratio, 2), role: ratio.map_or(Role::Plain, Role::Ratio) }
}

fn error_text(kind: Kind, error: Option<f64>) -> String {
    match (kind, error) {
        (Kind::Model, Some(error)) => format!("{error:.1e}"),
        (_, error) => number(error, 2),
    }
}

/// Lacuna against each dense engine.
pub(super) fn summary(summaries: &[Summary<'_, '_>]) -> Grid {
    let mut grid = Grid::untitled([
        ("lacuna over", true),
        ("geometric mean", false),
        ("least", false),
        ("on", true),
        ("most", false),
        ("on", true),
        ("subjects", false),
        ("not faster on", false),
    ]);
    for summary in summaries {
        grid.push(vec![
            clean(summary.baseline).into(),
            ratio_cell(Some(summary.mean)),
            ratio_cell(Some(summary.least.0)),
            short_title(summary.least.1).into(),
            ratio_cell(Some(summary.most.0)),
            short_title(summary.most.1).into(),
            summary.count.to_string().into(),
            summary.slower.to_string().into(),
        ]);
    }
    grid
}

/// Without what rarely differs.
fn short_title(group: &Group<'_>) -> String {
    let sparsity = zeros(sparsity(group.subject));
    let threads = if group.threads == 1 { String::new() } else { format!(", {} threads", group.threads) };
    match group.subject {
        Subject::Product { m, k, n, .. } => format!("{m} x {k}, N = {n}, {sparsity}{threads}"),
        Subject::Model { batch, seq, model, .. } => format!("{} {batch} x {seq}, {sparsity}{threads}", clean(model)),
    }
}

/// Versions and implementations, engine by engine.
pub(super) fn engines(report: &Report) -> Grid {
    let mut grid = Grid::untitled([("engine", true), ("version", true), ("dtype", true), ("implementation", true)]);
    for engine in in_order(report.rows.iter().map(|row| row.engine.as_str())) {
        let mut kinds: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for row in report.rows.iter().filter(|row| row.engine == engine) {
            let names = kinds.entry((clean(&row.version), clean(&row.dtype))).or_default();
            let name = clean(&row.implementation);
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        for ((version, dtype), mut names) in kinds {
            let more = names.len().saturating_sub(NAMED);
            names.truncate(NAMED);
            if more > 0 {
                names.push(format!("and {more} more, all of them in --json and --csv"));
            }
            let mut first = vec![clean(engine).into(), version.into(), dtype.into()];
            for name in if names.is_empty() { vec!["-".to_owned()] } else { names } {
                let mut cells = std::mem::replace(&mut first, vec![Cell::default(), Cell::default(), Cell::default()]);
                cells.push(name.into());
                grid.push(cells);
            }
        }
    }
    grid
}

/// Microseconds per layer, kind by kind, engines side by side.
pub(super) fn parts(parts: &Parts<'_>) -> Grid {
    let engines = parts.engines.iter().map(|engine| (clean(engine), false));
    let mut grid = Grid::new([("us per layer".to_owned(), true)].into_iter().chain(engines));
    grid.sections.push(Section { title: None, rows: Vec::new() });
    let row = |name: &str, times: &mut dyn Iterator<Item = Option<f64>>| -> Vec<Cell> {
        [name.to_owned().into()].into_iter().chain(times.map(|us| number(us, 1).into())).collect()
    };
    for (kind, times) in &parts.kinds {
        grid.push(row(kind, &mut times.iter().copied()));
    }
    grid.push(row("together", &mut (0..parts.engines.len()).map(|column| Some(parts.total(column)))));
    grid
}

/// What the columns of [`measurements`] mean.
pub(super) fn legend(kind: Kind, groups: &[Group<'_>]) -> Vec<String> {
    let mut lines = vec![
"x ENGINE: how many times as long the dense ENGINE takes, as the median over samples taken in turn; above 1, the engine of \
         the row is faster; no figure where one of the two disagrees or was not measured"
            .to_owned(),
    ];
    lines.push(match kind {
        Kind::Product => {
            "GOP/s count all weights, zeros too; error: largest distance from the exact result, in steps of the 8-bit \
                          output"
                .to_owned()
        }
        Kind::Model => "error: 1 - the least cosine to the embeddings of the f32 reference".to_owned(),
    });
    let rows = || groups.iter().flat_map(|group| &group.rows);
    if rows().any(|row| row.threads_used.is_some_and(|used| used != row.threads)) {
        lines.push("threads: seen computing/asked for, where they differ".to_owned());
    }
    if rows().any(|row| Standing::of(row) == Standing::Disagrees) {
        lines.push("DISAGREES: the result is beyond the bound; its time is not shown and it wins nothing".to_owned());
    }
    lines
}

/// What readers should know about rows: each remark once, with the subject or the number of subjects that it is about.
pub(super) fn notes(groups: &[Group<'_>]) -> Vec<String> {
    let mut notes: Vec<(&str, &str, Vec<&Group<'_>>)> = Vec::new();
    for group in groups {
        for row in &group.rows {
            let Some(note) = row.note.as_deref().filter(|note| !note.trim().is_empty()) else { continue };
            match notes.iter_mut().find(|(engine, text, _)| *engine == row.engine && *text == note) {
                Some((_, _, on)) => on.push(group),
                None => notes.push((&row.engine, note, vec![group])),
            }
        }
    }
    let line = |(engine, note, on): (&str, &str, Vec<&Group<'_>>)| match on.as_slice() {
        _ if on.len() == groups.len() => format!("{}: {}", clean(engine), clean(note)),
        [group] => format!("{}, {}: {}", clean(engine), group.title(), clean(note)),
        _ => format!("{}, {} of {} subjects: {}", clean(engine), on.len(), groups.len(), clean(note)),
    };
    notes.into_iter().map(line).collect()
}
