//! What is drawn of a report: whatever it has the figures for.

mod bars;
mod chart;
mod engines;
mod look;
mod over_length;
mod over_sparsity;
mod over_threads;
mod plot;
mod selection;
mod where_time_goes;

use super::super::row::Report;

pub(super) use chart::Chart;

/// Every chart that there are enough figures for.
pub(super) fn all(report: &Report) -> Vec<Chart> {
    let mut charts = over_sparsity::charts(report);
    charts.extend(over_length::charts(report));
    charts.extend(where_time_goes::charts(report));
    charts.extend(over_threads::charts(report));
    charts
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
}
