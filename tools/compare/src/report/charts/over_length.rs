//! Latency of whole models against the length of sequences, engine by engine.

use super::super::super::row::{Report, Subject};
use lacuna_console::table::plural;

use super::super::groups::{Group, Kind, clean, in_order, zeros};
use super::chart::{Chart, distinct, engine_look, spread};
use super::look::MOST;
use super::plot::{Axis, Line, Plot};

/// As many models, batches and sparsities are drawn.
const CHARTS: usize = 4;

/// One model in batches of one size, at several lengths.
struct Setting<'g, 'a> {
    name: String,
    groups: Vec<(f64, &'g Group<'a>)>,
}

pub(super) fn charts(report: &Report) -> Vec<Chart> {
    let groups = Group::all(report, Kind::Model);
    let mut settings: Vec<Setting<'_, '_>> = Vec::new();
    for group in &groups {
        let Subject::Model { model, batch, seq, sparsity } = group.subject else { continue };
        if *seq == 0 {
            continue; // a log scale has no place for it
        }
        let threads = plural(group.threads, "thread");
        let sequences = plural(*batch, "sequence");
        let name = format!("{}, {sequences}, {} zeros, {threads}", clean(model), zeros(*sparsity));
        let entry = (*seq as f64, group);
        match settings.iter_mut().find(|setting| setting.name == name) {
            Some(setting) => setting.groups.push(entry),
            None => settings.push(Setting { name, groups: vec![entry] }),
        }
    }
    let plots: Vec<(String, Plot, usize)> = settings.into_iter().filter_map(|setting| plot(setting)).collect();
    let (plots, left_out) = spread(plots, CHARTS);
    let draw = |(name, plot, hidden): (String, Plot, usize)| {
        let title = format!("Latency by sequence length: {name}");
        let mut caption = "Median time of one batch; lower is faster. Both axes in steps of equal ratio; f32 dashed. Engines are drawn \
                           where they agree, and at two lengths at least."
            .to_owned();
        if hidden > 0 {
            caption += &format!(" {} not drawn: {MOST} lines can be told apart.", plural(hidden, "slower engine"));
        }
        if left_out > 0 {
            caption += &format!(" {} of other models, batches or sparsities are not drawn.", plural(left_out, "chart"));
        }
        let svg = plot.draw(&title);
        Chart::new(title, caption, svg)
    };
    plots.into_iter().map(draw).collect()
}

/// The plot and its name, and how many engines are too many for it.
fn plot(mut setting: Setting<'_, '_>) -> Option<(String, Plot, usize)> {
    setting.groups.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rows = setting.groups.iter().flat_map(|(_, group)| &group.rows);
    let engines = in_order(rows.map(|row| row.engine.as_str()));
    let line = |engine: &str| {
        let points = setting.groups.iter().filter_map(|(seq, group)| Some((*seq, group.time(engine)? / 1e3)));
        Line { name: clean(engine), look: engine_look(engine), points: points.collect() }
    };
    let mut lines: Vec<Line> = engines.into_iter().map(line).filter(|line| line.points.len() > 1).collect();
    let time = |line: &Line| line.points.last().map_or(0.0, |(_, ms)| *ms);
    lines.sort_by(|a, b| time(a).total_cmp(&time(b)));
    let hidden = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    let lengths = distinct(lines.iter().flat_map(|line| line.points.iter().map(|(seq, _)| *seq)));
    if lengths.len() < 2 {
        return None;
    }
    let times: Vec<f64> = lines.iter().flat_map(|line| line.points.iter().map(|(_, ms)| *ms)).collect();
    let plot = Plot {
        x: Axis::at("sequence length (tokens, log scale)", &lengths, true),
        y: Axis::log("time of a batch (ms, log scale)", times.iter().copied()),
        lines,
    };
    Some((setting.name, plot, hidden))
}
