//! Loads as a page with two charts, throughput and latency over the rate: one file, no scripts.

use lacuna_console::table::plural;
use maud::{DOCTYPE, PreEscaped, html};
use plotters::prelude::*;

use super::report::Row;

/// Width and height of a chart in pixels.
const SIZE: (u32, u32) = (640, 320);

/// A line of a chart: its name, its colour, and its points.
struct Line {
    name: &'static str,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

/// The page. Rows without a rate are in its table alone.
pub(super) fn page(url: &str, rows: &[Row]) -> String {
    let line = |name, color, value: fn(&Row) -> f64| Line {
        name,
        color,
        points: rows.iter().filter_map(|row| Some((row.rate?, value(row)))).filter(|(_, y)| y.is_finite()).collect(),
    };
    let throughput =
        [line("served", BLUE, |row| row.served_per_s), line("asked for", BLACK, |row| row.rate.unwrap_or(0.0))];
    let latency = [
        line("p50", BLUE, |row| row.p50_ms),
        line("p90", MAGENTA, |row| row.p90_ms),
        line("p99", RED, |row| row.p99_ms),
    ];
    let title = format!("lacuna bench serve: {} on {url}", plural(rows.len(), "load"));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                style { "body{font-family:sans-serif;max-width:52em;margin:2em auto}table{border-collapse:collapse}td,th{padding:.2em 1em;text-align:right}" }
            }
            body {
                h1 { (title) }
                p { "An open loop: requests arrive as a Poisson process. Latencies count from the moment at which a request should have been sent." }
                h2 { "Served requests per second" }
                (PreEscaped(chart("served/s", &throughput)))
                h2 { "Latency of served requests" }
                (PreEscaped(chart("ms", &latency)))
                table {
                    tr { th { "requests/s" } th { "served/s" } th { "tokens/s" } th { "served" } th { "429" } th { "other" } th { "broken" } th { "p50 ms" } th { "p90" } th { "p99" } th { "max" } }
                    @for row in rows {
                        tr {
                            td { @match row.rate { Some(rate) => (rate), None => "closed" } }
                            td { (format!("{:.1}", row.served_per_s)) }
                            td { (format!("{:.0}", row.tokens_per_s)) }
                            td { (row.served) }
                            td { (row.overloaded) }
                            td { (row.refused) }
                            td { (row.broken) }
                            td { (format!("{:.3}", row.p50_ms)) }
                            td { (format!("{:.3}", row.p90_ms)) }
                            td { (format!("{:.3}", row.p99_ms)) }
                            td { (format!("{:.3}", row.max_ms)) }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

/// Lines over the rate, as SVG; empty with fewer than two rates.
fn chart(unit: &str, lines: &[Line]) -> String {
    let mut svg = String::new();
    // A chart that cannot be drawn is left out: the figures are in the table.
    if lines.iter().all(|line| line.points.len() < 2) || draw(unit, lines, &mut svg).is_err() {
        svg.clear();
    }
    svg
}

fn draw(unit: &str, lines: &[Line], svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (right, top) = points().fold((0.0, 0.0), |(x, y), point| (point.0.max(x), point.1.max(y)));
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..f64::max(right * 1.05, 1e-6), 0.0..f64::max(top * 1.05, 1e-6))?;
    chart.configure_mesh().x_desc("requests/s asked for").y_desc(unit).light_line_style(WHITE).draw()?;
    for Line { name, color, points } in lines {
        let mut points = points.clone();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let color = *color;
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, color.filled())))?;
        let drawn = chart.draw_series(std::iter::once(PathElement::new(points, color)))?;
        drawn.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rate: Option<f64>, p99_ms: f64) -> Row {
        Row { rate, p99_ms, ..Row::default() }
    }

    #[test]
    fn charts_are_drawn_for_two_rates_and_more() {
        let rows = [row(Some(100.0), 1.0), row(Some(200.0), 3.0), row(None, f64::NAN)];
        let text = page("http://a/<embed>", &rows);
        for expected in ["&lt;embed&gt;", "3 loads", "<td>closed</td>", "served/s", "p99"] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert_eq!(text.matches("<svg").count(), 2);
        assert_eq!(page("a", &rows[..1]).matches("<svg").count(), 0);
    }
}
