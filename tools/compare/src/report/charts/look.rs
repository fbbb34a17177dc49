//! Colours, markers and dashes, and what every chart draws with them.

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Units of a drawing per pixel of the page at its full width: plotters places everything on whole units.
pub(super) const UNIT: i32 = 4;

/// Width of a chart, in pixels.
pub(super) const WIDTH: i32 = 900;

/// Text, axes. The style sheet of the page gives every colour here another value on a dark screen.
pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// What is no measurement.
pub(super) const IDEAL: RGBColor = RGBColor(0x6b, 0x6b, 0x6b);

/// Okabe and Ito's colours, which the colour-blind can tell apart, the light ones darkened for a white page; and a grey.
const SERIES: [RGBColor; 9] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x8f, 0x68),
    RGBColor(0xb8, 0x5a, 0x92),
    RGBColor(0xb9, 0x7f, 0x00),
    RGBColor(0x3d, 0x9c, 0xd6),
    RGBColor(0x7a, 0x3b, 0x1d),
    RGBColor(0x5b, 0x4b, 0xb5),
    RGBColor(0x8a, 0x8a, 0x8a),
];

/// The largest number of lines or segments that a reader can tell apart.
pub(super) const MOST: usize = SERIES.len();

/// How a series is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) colour: RGBColor,
    pub(super) marker: Option<Marker>,
    pub(super) dash: Dash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Up,
    Diamond,
    Down,
    Cross,
    Ring,
    Plus,
    Box,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dash {
    Solid,
    Dashed,
    Dotted,
}

const MARKERS: [Marker; 9] = [
    Marker::Circle,
    Marker::Square,
    Marker::Up,
    Marker::Diamond,
    Marker::Down,
    Marker::Cross,
    Marker::Ring,
    Marker::Plus,
    Marker::Box,
];

/// A point of a drawing, in its units.
pub(super) type Place = (i32, i32);
/// A drawing of any kind goes wrong in the same way.
pub(super) type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<std::io::Error>>;
/// A part of a drawing, placed by [`Place`].
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Look {
    /// The look of one of many.
    pub(super) fn nth(index: usize) -> Look {
        let marker = MARKERS[index % MARKERS.len()];
        Look { colour: SERIES[index % SERIES.len()], marker: Some(marker), dash: Dash::Solid }
    }

    /// What would be if nothing were lost.
    pub(super) fn ideal() -> Look {
        Look { colour: IDEAL, marker: None, dash: Dash::Dotted }
    }

    pub(super) fn line(self, area: &Area<'_>, points: &[Place]) -> Drawn {
        let style = self.colour.stroke_width((2 * UNIT) as u32);
        let dashed = |on: i32, off: i32| DashedPathElement::new(points.to_vec(), on * UNIT, off * UNIT, style);
        match self.dash {
            Dash::Solid => area.draw(&PathElement::new(points.to_vec(), style)),
            Dash::Dashed => area.draw(&dashed(8, 4)),
            Dash::Dotted => area.draw(&dashed(2, 4)),
        }
    }

    pub(super) fn mark(self, area: &Area<'_>, (x, y): Place) -> Drawn {
        let Some(marker) = self.marker else { return Ok(()) };
        let r = 5 * UNIT;
        let (fill, stroke) = (self.colour.filled(), self.colour.stroke_width((2 * UNIT) as u32));
        let polygon =
            |points: &[Place]| Polygon::new(points.iter().map(|&(dx, dy)| (x + dx, y + dy)).collect::<Vec<_>>(), fill);
        let path = |points: &[Place]| {
            PathElement::new(points.iter().map(|&(dx, dy)| (x + dx, y + dy)).collect::<Vec<_>>(), stroke)
        };
        let s = r * 9 / 10;
        match marker {
            Marker::Circle => area.draw(&Circle::new((x, y), r, fill)),
            Marker::Ring => area.draw(&Circle::new((x, y), r, stroke)),
            Marker::Square => area.draw(&polygon(&[(-s, -s), (s, -s), (s, s), (-s, s)])),
            Marker::Box => area.draw(&path(&[(-s, -s), (s, -s), (s, s), (-s, s), (-s, -s)])),
            Marker::Up => area.draw(&polygon(&[(0, -r * 6 / 5), (r * 11 / 10, r * 4 / 5), (-r * 11 / 10, r * 4 / 5)])),
            Marker::Down => {
                area.draw(&polygon(&[(0, r * 6 / 5), (r * 11 / 10, -r * 4 / 5), (-r * 11 / 10, -r * 4 / 5)]))
            }
            Marker::Diamond => {
                area.draw(&polygon(&[(0, -r * 4 / 3), (r * 11 / 10, 0), (0, r * 4 / 3), (-r * 11 / 10, 0)]))
            }
            Marker::Cross => {
                area.draw(&path(&[(-s, -s), (s, s)]))?;
                area.draw(&path(&[(-s, s), (s, -s)]))
            }
            Marker::Plus => {
                area.draw(&path(&[(-r, 0), (r, 0)]))?;
                area.draw(&path(&[(0, -r), (0, r)]))
            }
        }
    }
}

/// Text of a size in pixels; plotters asks for a box that is 1.24 times as high.
pub(super) fn font<'a>(pixels: f64) -> TextStyle<'a> {
    TextStyle::from(("sans-serif", pixels * 1.24 * f64::from(UNIT)).into_font()).color(&INK)
}

/// Writes on the middle of a line at `place`, to its right, or to its left.
pub(super) fn write(area: &Area<'_>, text: &str, place: Place, to: HPos) -> Drawn {
    area.draw(&Text::new(text.to_owned(), place, font(13.0).pos(Pos::new(to, VPos::Center))))
}

/// Pixels of a letter in a wide sans-serif font: which font a page is shown in is not known.
const LETTER: f64 = 7.9;

/// How wide text is at most, nearly, in pixels.
pub(super) fn width(text: &str) -> i32 {
    (text.chars().count() as f64 * LETTER) as i32
}

/// Text of at most so many pixels; what is cut off is marked.
pub(super) fn cut(text: &str, pixels: i32) -> String {
    if width(text) <= pixels {
        return text.to_owned();
    }
    let most = (f64::from(pixels) / LETTER) as usize;
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A drawing of `height` pixels, made by `draw`; a picture for the ear as well.
pub(super) fn canvas(label: &str, height: i32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Drawn<String> {
    let mut svg = String::new();
    let size = ((WIDTH * UNIT) as u32, (height * UNIT) as u32);
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    draw(&area)?;
    area.present()?;
    drop(area);
    // The page decides how large the drawing is shown.
    let sizes = format!(r#"width="{}" height="{}" "#, size.0, size.1);
    let said = format!(r#"role="img" aria-label="{}" "#, escaped(label));
    Ok(svg.replacen(&sizes, &said, 1))
}

fn escaped(text: &str) -> String {
    maud::html! { (text) }.into_string()
}
