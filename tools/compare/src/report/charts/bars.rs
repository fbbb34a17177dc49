//! Horizontal bars of segments, with a legend at the right.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::look::{Area, Drawn, GRID, INK, Look, UNIT, WIDTH, canvas, cut, font, width, write};
use super::plot::{ENTRY, legend_width, text};

/// Pixels from one bar to the next, and of a bar.
const STEP: i32 = 46;
const BAR: i32 = 30;
/// Room for the colour beside an entry of the legend.
const SAMPLE: i32 = 24;
/// Names of bars are no wider.
const NAMES: i32 = 180;

/// What is drawn.
pub(super) struct Bars {
    /// What is measured, with its unit.
    pub(super) label: String,
    /// The unit alone, beside the sums.
    pub(super) unit: &'static str,
    /// Names of segments.
    pub(super) segments: Vec<String>,
    /// Names of bars, and the length of each segment.
    pub(super) bars: Vec<(String, Vec<f64>)>,
}

impl Bars {
    /// As SVG; `label` says what it shows.
    pub(super) fn draw(&self, label: &str) -> Drawn<String> {
        let bars = self.bars.len() as i32 * STEP + 14 + 52;
        canvas(label, bars.max(24 + ENTRY * self.segments.len() as i32), |area| self.draw_on(area))
    }

    fn draw_on(&self, area: &Area<'_>) -> Drawn {
        let sums: Vec<f64> = self.bars.iter().map(|(_, parts)| parts.iter().sum()).collect();
        let most = sums.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let legend = legend_width(self.segments.iter().map(String::as_str), SAMPLE);
        let names = self.bars.iter().map(|(name, _)| width(name)).max().unwrap_or(0).min(NAMES) + 16;
        let (left, _) = area.split_horizontally((WIDTH - legend) * UNIT);
        let height = self.bars.len() as i32 * STEP;
        let (left, _) = left.split_vertically((height + 14 + 52) * UNIT);
        let mut chart = ChartBuilder::on(&left)
            .margin_top(10 * UNIT)
            .margin_right(86 * UNIT)
            .margin_bottom(4 * UNIT)
            .x_label_area_size(48 * UNIT)
            .y_label_area_size(names * UNIT)
            .build_cartesian_2d(0.0..most, 0.0..self.bars.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .x_labels(6)
            .y_labels(0)
            .bold_line_style(GRID.stroke_width(UNIT as u32))
            .light_line_style(TRANSPARENT)
            .axis_style(INK.stroke_width(UNIT as u32))
            .set_all_tick_mark_size(5 * UNIT)
            .label_style(font(13.0))
            .axis_desc_style(font(14.0))
            .x_desc(self.label.as_str())
            .x_label_formatter(&|value| text(*value))
            .draw()?;
        for (i, (name, parts)) in self.bars.iter().enumerate() {
            let mut from = 0.0;
            for (segment, part) in parts.iter().enumerate() {
                let place = |value: f64| chart.backend_coord(&(value, (self.bars.len() - i) as f64 - 0.5));
                let ((x0, y), (x1, _)) = (place(from), place(from + part));
                from += part;
                // A gap sets neighbours apart where there is room for one.
                let gap = if x1 - x0 > 3 * UNIT { UNIT } else { 0 };
                let half = BAR / 2 * UNIT;
                let colour = Look::nth(segment).colour.filled();
                if x1 > x0 {
                    area.draw(&Rectangle::new([(x0, y - half), (x1 - gap, y + half)], colour))?;
                }
            }
            let (start, y) = chart.backend_coord(&(0.0, (self.bars.len() - i) as f64 - 0.5));
            let (end, _) = chart.backend_coord(&(sums[i], 0.0));
            write(area, &cut(name, NAMES), (start - 10 * UNIT, y), HPos::Right)?;
            write(area, &format!("{:.0} {}", sums[i], self.unit), (end + 8 * UNIT, y), HPos::Left)?;
        }
        for (i, segment) in self.segments.iter().enumerate() {
            let (x, y) = ((WIDTH - legend) * UNIT, (22 + ENTRY * i as i32) * UNIT);
            let r = 7 * UNIT;
            area.draw(&Rectangle::new([(x, y - r), (x + 2 * r, y + r)], Look::nth(i).colour.filled()))?;
            let name = cut(segment, legend - SAMPLE);
            write(area, &name, (x + SAMPLE * UNIT, y), HPos::Left)?;
        }
        Ok(())
    }
}
