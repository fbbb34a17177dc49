//! The curves of a run as a page: one file, no scripts.

use lacuna_compress::Summary;
use maud::{DOCTYPE, PreEscaped, html};
use plotters::prelude::*;

use super::log::{Curve, Curves};
use super::words::text;

/// Width and height of a chart in pixels.
const SIZE: (u32, u32) = (640, 300);

/// The page.
pub(super) fn page(summary: &Summary, curves: &Curves) -> String {
    let dev = summary.metric.map_or_else(String::new, |metric| format!("{} on the {}", metric.name(), metric.noun()));
    let charts = [
        ("Loss", &curves.loss, "what the student does differently from the teacher, per step"),
        (&dev[..], &curves.dev, "in f32, of the averaged weights"),
        ("Sparsity", &curves.sparsity, "the fraction of zeros in the linear layers, as gradual pruning raises it"),
        ("Learning rate", &curves.rate, ""),
        ("Gradient norm", &curves.norm, "before clipping"),
    ];
    let charts = charts.iter().filter(|(_, curve, _)| curve.len() > 1);
    let error = if summary.gradual.is_some() { "error after the first pruning" } else { "error after pruning" };
    let title = format!("lacuna compress: {}", summary.model);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                style { "body{font-family:sans-serif;max-width:44em;margin:2em auto}table{border-collapse:collapse}td,th{padding:.2em 1em;text-align:right}td:first-child,th:first-child{text-align:left}" }
            }
            body {
                h1 { (title) }
                pre { (text(summary)) }
                @for (name, curve, caption) in charts {
                    h2 { (name) }
                    @if !caption.is_empty() { p { (caption) } }
                    (PreEscaped(chart(curve)))
                }
                h2 { "Matrices" }
                table {
                    tr { th { "matrix" } th { "zeros" } th { (error) } }
                    @for matrix in &summary.matrices {
                        tr {
                            td { "layer " (matrix.layer) " " (matrix.name) }
                            td { (format!("{:.1} %", matrix.zeros * 1e2)) }
                            td { @match matrix.relative_error { Some(error) => (format!("{error:.4}")), None => "-" } }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

/// A line over the steps, as SVG.
fn chart(curve: &Curve) -> String {
    let mut svg = String::new();
    // A chart that cannot be drawn is left out: the figures are in the log.
    if draw(curve, &mut svg).is_err() {
        svg.clear();
    }
    svg
}

fn draw(curve: &Curve, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let (low, high) = curve.iter().fold((f64::MAX, f64::MIN), |(low, high), &(_, y)| (low.min(y), high.max(y)));
    let margin = ((high - low) * 0.05).max(1e-9);
    let last = curve.last().map_or(1.0, |&(x, _)| x).max(1.0);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last, low - margin..high + margin)?;
    chart.configure_mesh().x_desc("step").light_line_style(WHITE).draw()?;
    chart.draw_series(std::iter::once(PathElement::new(thinned(curve), BLUE)))?;
    area.present()?;
    Ok(())
}

/// At most about a thousand points: means of neighbours.
fn thinned(curve: &Curve) -> Vec<(f64, f64)> {
    let size = curve.len().div_ceil(1000).max(1);
    let mean = |points: &[(f64, f64)]| {
        let count = points.len() as f64;
        (points.iter().map(|p| p.0).sum::<f64>() / count, points.iter().map(|p| p.1).sum::<f64>() / count)
    };
    curve.chunks(size).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_drawn_and_long_curves_are_thinned() {
        let curve: Curve = (0..5000).map(|i| (f64::from(i), 1.0)).collect();
        assert_eq!(thinned(&curve).len(), 1000);
        assert!(chart(&curve).contains("<svg"));
    }
}
