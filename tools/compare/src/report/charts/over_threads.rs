//! Speed against the number of threads, relative to one thread.

use lacuna_console::stats::geometric_mean;

use super::super::super::row::{Report, Subject};
use lacuna_console::table::plural;

use super::super::groups::{Group, Kind, clean, in_order};
use super::chart::{Chart, distinct, engine_look};
use super::look::{Look, MOST};
use super::plot::{Axis, Line, Plot};

pub(super) fn charts(report: &Report) -> Vec<Chart> {
    Kind::ALL.into_iter().filter_map(|kind| chart(report, kind)).collect()
}

fn chart(report: &Report, kind: Kind) -> Option<Chart> {
    let groups = Group::all(report, kind);
    let counts = distinct(groups.iter().map(|group| group.threads as f64));
    if counts.len() < 2 || counts[0] != 1.0 {
        return None;
    }
    let subjects = subjects(&groups, counts.len());
    let rows = groups.iter().flat_map(|group| &group.rows);
    let line = |engine: &str| line(engine, &subjects, &counts);
    let mut lines: Vec<Line> = in_order(rows.map(|row| row.engine.as_str())).into_iter().filter_map(line).collect();
    if lines.is_empty() {
        return None;
    }
    let hidden = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    let ideal = Line { name: "ideal".into(), look: Look::ideal(), points: counts.iter().map(|&c| (c, c)).collect() };
    lines.push(ideal);
    let speeds: Vec<f64> = lines.iter().flat_map(|line| line.points.iter().map(|(_, speed)| *speed)).collect();
    let plot = Plot {
        x: Axis::at("threads asked for", &counts, false),
        y: Axis::linear("speed (times that of one thread)", speeds.into_iter()),
        lines,
    };
    let title = match kind {
        Kind::Product => "Speed by number of threads: products",
        Kind::Model => "Speed by number of threads: whole models",
    };
    let mut caption = format!(
        "Time on one thread over time on several, as geometric mean over the {} measured with {}; f32 dashed. An engine counts where it \
         agrees with every number of threads: an engine with fewer subjects says with how many.",
        plural(subjects.len(), "subject"),
        counts.iter().map(|count| count.to_string()).collect::<Vec<_>>().join(", ") + " threads",
    );
    if hidden > 0 {
        caption += &format!(" {} not drawn: {MOST} lines can be told apart.", plural(hidden, "engine"));
    }
    let uneven = groups.iter().flat_map(|group| &group.rows);
    let uneven = uneven.filter(|row| row.threads_used.is_some_and(|used| used != row.threads));
    let uneven = in_order(uneven.map(|row| row.engine.as_str()));
    if !uneven.is_empty() {
        let names = uneven.into_iter().map(clean).collect::<Vec<_>>().join(", ");
        caption += &format!(" Seen to use another number of threads than asked for: {names}.");
    }
    let svg = plot.draw(title);
    Some(Chart::new(title.to_owned(), caption, svg))
}

/// The subjects that were measured with every number of threads, in the order of the numbers.
fn subjects<'g, 'a>(groups: &'g [Group<'a>], counts: usize) -> Vec<Vec<&'g Group<'a>>> {
    let mut subjects: Vec<(&Subject, Vec<&Group<'a>>)> = Vec::new();
    for group in groups {
        match subjects.iter_mut().find(|(subject, _)| *subject == group.subject) {
            Some((_, of)) => of.push(group),
            None => subjects.push((group.subject, vec![group])),
        }
    }
    let mut whole: Vec<Vec<&Group<'a>>> =
        subjects.into_iter().map(|(_, of)| of).filter(|of| of.len() == counts).collect();
    whole.iter_mut().for_each(|of| of.sort_by_key(|group| group.threads));
    whole
}

fn line(engine: &str, subjects: &[Vec<&Group<'_>>], counts: &[f64]) -> Option<Line> {
    let times: Vec<Vec<f64>> = subjects
        .iter()
        .filter_map(|groups| groups.iter().map(|group| group.time(engine)).collect::<Option<Vec<f64>>>())
        .collect();
    let speed = |i: usize| geometric_mean(&times.iter().map(|times| times[0] / times[i]).collect::<Vec<f64>>());
    let points: Vec<(f64, f64)> =
        counts.iter().enumerate().filter_map(|(i, count)| Some((*count, speed(i)?))).collect();
    let name = match times.len() < subjects.len() {
        true => format!("{} ({} of {})", clean(engine), times.len(), subjects.len()),
        false => clean(engine),
    };
    (!points.is_empty()).then(|| Line { name, look: engine_look(engine), points })
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn an_engine_counts_where_it_agrees_with_every_number_of_threads() {
        let mut report = fixtures::threads();
        let wrong = report.rows.iter_mut().find(|row| row.engine == "onednn-int8" && row.threads == 4).unwrap();
        wrong.agrees = false;
        let groups = Group::all(&report, Kind::Product);
        let subjects = subjects(&groups, 4);
        assert_eq!(subjects.len(), 2);
        let counts = [1.0, 2.0, 4.0, 8.0];
        let lacuna = line("lacuna", &subjects, &counts).unwrap();
        assert_eq!((lacuna.name.as_str(), lacuna.points[0]), ("lacuna", (1.0, 1.0)));
        assert!((lacuna.points[3].1 - 1.0 / (0.03 + 0.97 / 8.0)).abs() < 1e-9);
        assert_eq!(line("onednn-int8", &subjects, &counts).unwrap().name, "onednn-int8 (1 of 2)");
        assert!(chart(&report, Kind::Product).unwrap().caption.contains("than asked for: rten-int8."));
    }
}
