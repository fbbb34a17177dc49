//! The time of one layer by kind of kernel, engines one below the other.

use super::super::super::row::Report;
use lacuna_console::table::plural;

use super::super::groups::clean;
use super::super::parts::Parts;
use super::bars::Bars;
use super::chart::{Chart, spread};
use super::look::MOST;

/// As many subjects are drawn.
const CHARTS: usize = 3;

pub(super) fn charts(report: &Report) -> Vec<Chart> {
    let mut all = Parts::all(report);
    all.retain(|parts| (0..parts.engines.len()).any(|column| parts.total(column) > 0.0));
    let (drawn, left_out) = spread(all, CHARTS);
    drawn.iter().map(|parts| chart(parts, left_out)).collect()
}

fn chart(parts: &Parts<'_>, left_out: usize) -> Chart {
    let (segments, together) = segments(parts);
    let bar = |(column, engine): (usize, &&str)| -> (String, Vec<f64>) {
        (clean(engine), segments.iter().map(|(_, times)| times[column]).collect())
    };
    let bars = Bars {
        label: "time per layer (us)".into(),
        unit: "us",
        bars: parts.engines.iter().enumerate().map(bar).collect(),
        segments: segments.iter().map(|(name, _)| name.clone()).collect(),
    };
    let title = format!("Time of one layer: {}", parts.title);
    let mut caption = "Time of the whole model by kind of kernel, over its number of layers; engines name kinds differently. Figures are in \
                       the table below."
        .to_owned();
    if together > 0 {
        caption += &format!(" The {together} kinds that take least are drawn together.");
    }
    if left_out > 0 {
        caption += &format!(" {} not drawn.", plural(left_out, "more subject"));
    }
    let svg = bars.draw(&title);
    Chart::new(title, caption, svg)
}

/// Kinds and their time in every engine, no more than can be told apart; and how many of them are in the last.
fn segments(parts: &Parts<'_>) -> (Vec<(String, Vec<f64>)>, usize) {
    let value = |time: &Option<f64>| time.filter(|us| *us > 0.0).unwrap_or(0.0);
    let all: Vec<(String, Vec<f64>)> =
        parts.kinds.iter().map(|(kind, times)| (kind.clone(), times.iter().map(value).collect())).collect();
    if all.len() <= MOST {
        return (all, 0);
    }
    // A kind matters by the largest share that it has in any engine.
    let share = |times: &[f64]| {
        times.iter().enumerate().map(|(column, us)| us / parts.total(column).max(f64::MIN_POSITIVE)).fold(0.0, f64::max)
    };
    let mut shares: Vec<f64> = all.iter().map(|(_, times)| share(times)).collect();
    shares.sort_by(|a, b| b.total_cmp(a));
    let least = shares[MOST - 2];
    let mut kept = Vec::new();
    let mut rest = (format!("{} other kinds", all.len() + 1 - MOST), vec![0.0; parts.engines.len()]);
    let together = all.len() + 1 - MOST;
    for (name, times) in all {
        if kept.len() < MOST - 1 && share(&times) >= least {
            kept.push((name, times));
        } else {
            rest.1.iter_mut().zip(times).for_each(|(sum, us)| *sum += us);
        }
    }
    kept.push(rest);
    (kept, together)
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    #[test]
    fn small_kinds_are_drawn_together_and_none_is_lost() {
        let report = fixtures::models();
        let all = Parts::all(&report);
        let parts = &all[0];
        let (segments, together) = segments(parts);
        assert_eq!((segments.len(), parts.kinds.len()), (MOST, 17));
        assert_eq!(together, 9);
        assert_eq!(segments.last().unwrap().0, "9 other kinds");
        for column in 0..parts.engines.len() {
            let sum: f64 = segments.iter().map(|(_, times)| times[column]).sum();
            assert!((sum - parts.total(column)).abs() < 1e-9);
        }
        assert!(segments.iter().any(|(name, _)| name == "MatMulInteger"));
    }
}
