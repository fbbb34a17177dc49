//! Lines over two axes, with a legend at the right.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::look::{Area, Drawn, GRID, INK, Look, Place, UNIT, WIDTH, canvas, cut, font, width, write};

const HEIGHT: i32 = 440;
/// Pixels between entries of a legend.
pub(super) const ENTRY: i32 = 24;
/// Room for the sample beside an entry.
const SAMPLE: i32 = 44;
/// Legends are no wider.
const LEGEND: i32 = 300;

/// What is drawn.
pub(super) struct Plot {
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

/// Values along one side.
#[derive(Clone)]
pub(super) struct Axis {
    label: String,
    is_log: bool,
    ticks: Vec<f64>,
    from: f64,
    to: f64,
}

/// One series, from left to right.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) look: Look,
    pub(super) points: Vec<(f64, f64)>,
}

impl Axis {
    /// From a round number below to one above the values, all of them positive, in equal steps of ratio.
    pub(super) fn log(label: &str, values: impl Iterator<Item = f64> + Clone) -> Axis {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(f64::MIN_POSITIVE, f64::max);
        let round: Vec<f64> = (-12..13).flat_map(|e| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(e))).collect();
        let from = round.iter().copied().rfind(|v| *v <= least * 1.0001).unwrap_or(least);
        let to = round.iter().copied().find(|v| *v >= most * 0.9999 && *v > from).unwrap_or(most.max(from * 10.0));
        let within: Vec<f64> = round.into_iter().filter(|v| *v >= from && *v <= to).collect();
        let ticks = if within.len() <= 10 {
            within
        } else {
            within.into_iter().filter(|v| v.log10().fract().abs() < 1e-9).collect()
        };
        Axis { label: label.into(), is_log: true, ticks, from, to }
    }

    /// From zero to a round number above the values.
    pub(super) fn linear(label: &str, values: impl Iterator<Item = f64>) -> Axis {
        let most = values.fold(f64::MIN_POSITIVE, f64::max);
        let rough = most / 6.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0].map(|digit| digit * power).into_iter().find(|s| *s >= rough).unwrap_or(power * 10.0);
        let count = (most / step - 1e-9).ceil().max(1.0);
        let ticks = (0..=count as u32).map(|i| f64::from(i) * step).collect();
        Axis { label: label.into(), is_log: false, ticks, from: 0.0, to: count * step }
    }

    /// Over the values themselves, each a tick unless its neighbour is too near.
    pub(super) fn at(label: &str, values: &[f64], is_log: bool) -> Axis {
        let mut axis = Axis { label: label.into(), is_log, ticks: Vec::new(), from: 0.0, to: 1.0 };
        let (Some(first), Some(last)) = (values.first().copied(), values.last().copied()) else { return axis };
        let place = |value: f64| axis.place(value);
        let room = (place(last) - place(first)) * 0.055;
        let mut ticks = vec![first];
        for &value in values {
            let far = |other: f64| (place(value) - place(other)).abs() >= room;
            if ticks.last().is_some_and(|before| far(*before)) && (value == last || far(last)) {
                ticks.push(value);
            }
        }
        let margin = room * 0.6;
        let (from, to) = (place(first) - margin, place(last) + margin);
        (axis.from, axis.to) = if is_log { (10f64.powf(from), 10f64.powf(to)) } else { (from, to) };
        axis.ticks = ticks;
        axis
    }

    /// Where a value is, in equal steps.
    fn place(&self, value: f64) -> f64 {
        if self.is_log { value.log10() } else { value }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let (from, to) = (self.place(self.from), self.place(self.to));
        let fraction = (self.place(*value) - from) / (to - from);
        first + (f64::from(last - first) * fraction).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

/// A number to 9 digits, so that no sum of tenths shows.
pub(super) fn text(value: f64) -> String {
    let scale = 10f64.powi(9 - value.abs().max(1e-12).log10().ceil() as i32);
    format!("{}", (value * scale).round() / scale)
}

impl Plot {
    /// As SVG; `label` says what it shows.
    pub(super) fn draw(&self, label: &str) -> Drawn<String> {
        canvas(label, HEIGHT, |area| self.draw_on(area))
    }

    fn draw_on(&self, area: &Area<'_>) -> Drawn {
        let legend = legend_width(self.lines.iter().map(|line| line.name.as_str()), SAMPLE);
        let (left, _) = area.split_horizontally((WIDTH - legend) * UNIT);
        let mut chart = ChartBuilder::on(&left)
            .margin_top(14 * UNIT)
            .margin_right(20 * UNIT)
            .margin_bottom(4 * UNIT)
            .margin_left(4 * UNIT)
            .x_label_area_size(48 * UNIT)
            .y_label_area_size(66 * UNIT)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        chart
            .configure_mesh()
            .bold_line_style(GRID.stroke_width(UNIT as u32))
            .light_line_style(TRANSPARENT)
            .axis_style(INK.stroke_width(UNIT as u32))
            .set_all_tick_mark_size(5 * UNIT)
            .label_style(font(13.0))
            .axis_desc_style(font(14.0))
            .x_desc(self.x.label.as_str())
            .y_desc(self.y.label.as_str())
            .x_label_formatter(&|value| text(*value))
            .y_label_formatter(&|value| text(*value))
            .draw()?;
        let place = |point: &(f64, f64)| chart.backend_coord(point);
        for line in &self.lines {
            let points: Vec<Place> = line.points.iter().map(place).collect();
            line.look.line(area, &points)?;
            points.iter().try_for_each(|point| line.look.mark(area, *point))?;
        }
        self.draw_legend(area, WIDTH - legend)
    }

    /// Entries stand in the order in which the lines end, the highest first.
    fn draw_legend(&self, area: &Area<'_>, left: i32) -> Drawn {
        let end = |line: &&Line| line.points.last().map_or(0.0, |(_, y)| *y);
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort_by(|a, b| end(b).total_cmp(&end(a)));
        for (i, line) in lines.into_iter().enumerate() {
            let y = (26 + ENTRY * i as i32) * UNIT;
            line.look.line(area, &[(left * UNIT, y), ((left + 34) * UNIT, y)])?;
            line.look.mark(area, ((left + 17) * UNIT, y))?;
            let name = cut(&line.name, LEGEND - SAMPLE);
            write(area, &name, ((left + SAMPLE) * UNIT, y), HPos::Left)?;
        }
        Ok(())
    }
}

/// Pixels that a legend with these entries needs.
pub(super) fn legend_width<'a>(names: impl Iterator<Item = &'a str>, sample: i32) -> i32 {
    (names.map(width).max().unwrap_or(0) + sample + 8).min(LEGEND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        let axis = Axis::log("x", [0.84, 8.7].into_iter());
        assert_eq!((axis.from, axis.to), (0.5, 10.0));
        let texts: Vec<String> = axis.ticks.iter().map(|tick| text(*tick)).collect();
        assert_eq!(texts, ["0.5", "1", "2", "5", "10"]);
        let wide = Axis::log("x", [0.01, 9000.0].into_iter());
        assert_eq!(wide.ticks.len(), 7);
        let one = Axis::log("x", [1.0].into_iter());
        assert!(one.from < one.to);
        let linear = Axis::linear("x", [7.3].into_iter());
        assert_eq!((linear.to, linear.ticks.len()), (8.0, 5));
        assert_eq!(Axis::linear("x", [8.0].into_iter()).to, 8.0);
    }

    #[test]
    fn ticks_that_are_too_near_give_way_to_the_last() {
        let axis = Axis::at("x", &[50.0, 70.0, 89.0, 90.0], false);
        assert_eq!(axis.ticks, [50.0, 70.0, 90.0]);
        let axis = Axis::at("x", &[16.0, 32.0, 128.0, 384.0], true);
        assert_eq!(axis.ticks.len(), 4);
        assert!(axis.from < 16.0 && axis.to > 384.0);
    }
}
