//! The models as a page with one chart: one file, no scripts.

use maud::{DOCTYPE, PreEscaped, html};
use plotters::prelude::*;

use super::points::{Pareto, Point, heading};

/// Width and height of the chart in pixels.
const SIZE: (u32, u32) = (760, 460);
/// Pixels between a point and its number.
const BESIDE: i32 = 7;

/// The page.
pub(super) fn page(found: &Pareto) -> String {
    let metric = heading(found.metric);
    let title = format!("{metric} against time: {}", plural(found.points.len()));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                style { "body{font-family:sans-serif;max-width:52em;margin:2em auto}table{border-collapse:collapse}td,th{padding:.2em 1em;text-align:right}td:nth-child(2),th:nth-child(2){text-align:left}tr.front{font-weight:bold}" }
            }
            body {
                h1 { (title) }
                p {
                    (metric) " on the " (found.records) " records of " (found.gold) ". Time of one sequence of " (found.seq)
                    " tokens in int8, as the model runs: median, on " (found.threads) " threads of " (found.cpu) " (" (found.tier)
                    "). Of the models on the line, none is beaten by another in both."
                }
                (PreEscaped(chart(found)))
                table {
                    tr { th { "" } th { "model" } th { (metric) } th { "ms" } th { "x as fast" } th { "million weights" } th { "zeros" } }
                    @for (number, point) in (1..).zip(&found.points) {
                        tr class=[point.on_front.then_some("front")] {
                            td { (number) }
                            td { (point.model) }
                            td { (format!("{:.4}", point.score)) }
                            td { (format!("{:.3}", point.milliseconds)) }
                            td { (format!("{:.2}", point.speed)) }
                            td { (format!("{:.2}", point.weights as f64 / 1e6)) }
                            td { (format!("{:.1} %", point.zeros * 1e2)) }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

fn plural(models: usize) -> String {
    lacuna_console::table::plural(models, "model")
}

/// Points with their numbers, and a line through those that no other beats, as SVG.
fn chart(found: &Pareto) -> String {
    let mut svg = String::new();
    // A chart that cannot be drawn is left out: the figures are in the table.
    if draw(found, &mut svg).is_err() {
        svg.clear();
    }
    svg
}

fn draw(found: &Pareto, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let points: Vec<&Point> =
        found.points.iter().filter(|point| point.score.is_finite() && point.milliseconds.is_finite()).collect();
    if points.is_empty() {
        return Ok(()); // axes without an end are never done
    }
    let (low, high) =
        points.iter().fold((f64::MAX, f64::MIN), |(low, high), point| (low.min(point.score), high.max(point.score)));
    let margin = ((high - low) * 0.1).max(1e-3);
    let longest = points.iter().fold(0.0, |most, point| point.milliseconds.max(most)) * 1.08;
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..longest.max(1e-6), low - margin..high + margin)?;
    let milliseconds = format!("ms for {} tokens", found.seq);
    chart.configure_mesh().x_desc(milliseconds).y_desc(heading(found.metric)).light_line_style(WHITE).draw()?;
    let mut front: Vec<(f64, f64)> =
        points.iter().filter(|point| point.on_front).map(|point| (point.milliseconds, point.score)).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    chart.draw_series(std::iter::once(PathElement::new(front, BLUE)))?;
    for (number, point) in (1..).zip(&found.points) {
        if !points.iter().any(|drawn| std::ptr::eq(*drawn, point)) {
            continue;
        }
        let at = (point.milliseconds, point.score);
        let style = if point.on_front { BLUE.filled() } else { BLACK.mix(0.4).filled() };
        let label = Text::new(number.to_string(), (BESIDE, -BESIDE), ("sans-serif", 15));
        chart.draw_series(std::iter::once(EmptyElement::at(at) + Circle::new((0, 0), 4, style) + label))?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::points::{mark_front, point};
    use super::*;

    #[test]
    fn all_models_are_on_the_page() {
        let mut points = vec![point("a <dense>", 0.87, 4.0), point("small", 0.85, 1.0), point("broken", f64::NAN, 2.0)];
        mark_front(&mut points);
        let found = Pareto {
            gold: "pairs.csv".into(),
            records: 1500,
            metric: "spearman",
            seq: 128,
            threads: 2,
            tier: "portable",
            cpu: "a CPU".into(),
            points,
        };
        let page = page(&found);
        for expected in ["<svg", "a &lt;dense&gt;", "small", "broken", "Spearman", "0.8700", "ms for 128 tokens"] {
            assert!(page.contains(expected), "{expected}");
        }
        assert_eq!(chart(&found).matches("<circle").count(), 2);
        let none = Pareto { points: vec![point("broken", f64::NAN, f64::NAN)], ..found };
        assert!(!chart(&none).contains("<circle"));
    }
}
