//! The charts of a report: every chart that it has figures for.

mod bars;
mod look;
mod over_length;
mod over_sparsity;
mod over_threads;
mod plot;
mod where_time_goes;

use super::super::engine::EngineId;
use super::super::row::Report;
use super::groups::engine;
use look::{Dash, Drawn, Look};

/// A drawing with words around it.
pub(super) struct Chart {
    pub(super) title: String,
    /// How to read it, and what is not in it.
    pub(super) caption: String,
    /// Or why it could not be drawn.
    pub(super) svg: Result<String, String>,
}

impl Chart {
    fn new(title: String, caption: String, svg: Drawn<String>) -> Chart {
        Chart { title, caption, svg: svg.map_err(|error| error.to_string()) }
    }
}

/// Every chart that there are enough figures for.
pub(super) fn all(report: &Report) -> Vec<Chart> {
    let mut charts = over_sparsity::charts(report);
    charts.extend(over_length::charts(report));
    charts.extend(where_time_goes::charts(report));
    charts.extend(over_threads::charts(report));
    charts
}

/// How an engine looks in every chart of every report. Those that share a look never meet: one only computes products, the other only
/// models. f32 is dashed.
fn engine_look(name: &str) -> Look {
    use EngineId::*;
    let Some(id) = engine(name) else { return Look { dash: Dash::Dotted, ..Look::nth(8) } };
    let index = match id {
        Lacuna => 0,
        LacunaDense => 1,
        OneDnnInt8 | OnnxRuntimeQdq => 2,
        RtenInt8 => 3,
        LacunaIntrinsics | OnnxRuntimeDynamic => 4,
        LacunaF32 => 5,
        OneDnnF32 | OnnxRuntimeF32 => 6,
        RtenF32 => 7,
        GemmF32 | CandleF32 => 8,
    };
    Look { dash: if id.dtype() == "f32" { Dash::Dashed } else { Dash::Solid }, ..Look::nth(index) }
}

/// Values in order, each once.
fn distinct(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// At most `most` of the items, spread over all of them; and how many are left out.
fn spread<T>(items: Vec<T>, most: usize) -> (Vec<T>, usize) {
    let count = items.len();
    if count <= most {
        return (items, 0);
    }
    let chosen = |i: usize| (0..most).any(|j| j * (count - 1) / (most - 1).max(1) == i);
    (items.into_iter().enumerate().filter(|(i, _)| chosen(*i)).map(|(_, item)| item).collect(), count - most)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    fn titles(report: &Report) -> Vec<String> {
        all(report).into_iter().map(|chart| chart.title).collect()
    }

    #[test]
    fn charts_appear_where_there_are_figures_for_them() {
        let kernels = titles(&fixtures::kernels());
        assert_eq!(kernels, ["Speed-up over the fastest dense int8 engine"]);
        let models = titles(&fixtures::models());
        assert_eq!(
            models,
            [
                "Latency by sequence length: bert-base, 1 sequence, 90 % zeros, 1 thread",
                "Time of one layer: bert-base, 1 x 128 tokens, 90 % zeros, 1 thread",
            ]
        );
        let threads = titles(&fixtures::threads());
        assert_eq!(threads, ["Speed by number of threads: products"]);
        let mut one = fixtures::kernels();
        one.rows.truncate(7);
        assert!(all(&one).is_empty());
    }

    #[test]
    fn drawings_are_well_formed_and_say_what_they_show() {
        for report in [fixtures::everything(), fixtures::sweep(), fixtures::hostile()] {
            let charts = all(&report);
            assert!(!charts.is_empty());
            for chart in charts {
                let svg = chart.svg.unwrap();
                let document = roxmltree::Document::parse(&svg).unwrap();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert!(document.root_element().attribute("aria-label").is_some());
                assert!(document.descendants().filter(|node| node.has_tag_name("text")).count() > 5);
                assert!(!chart.caption.is_empty());
            }
        }
    }

    #[test]
    fn engines_that_meet_look_different() {
        let looks = |meets: fn(EngineId) -> bool| {
            let ids = EngineId::all().filter(move |id| meets(*id));
            let mut looks: Vec<String> = ids.map(|id| format!("{:?}", engine_look(id.name()).colour)).collect();
            let count = looks.len();
            looks.sort();
            looks.dedup();
            (count, looks.len())
        };
        assert_eq!(looks(EngineId::has_products), (9, 9));
        assert_eq!(looks(EngineId::has_models), (9, 9));
    }

    #[test]
    fn a_spread_keeps_both_ends() {
        assert_eq!(spread((0..18).collect(), 9).0, [0, 2, 4, 6, 8, 10, 12, 14, 17]);
        assert_eq!(spread(vec![1, 2], 9), (vec![1, 2], 0));
        assert_eq!(spread((0..10).collect::<Vec<_>>(), 9).1, 1);
        assert_eq!(spread((0..10).collect::<Vec<_>>(), 9).0.len(), 9);
    }
}
