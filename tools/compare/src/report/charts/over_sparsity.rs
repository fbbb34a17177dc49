//! Speed-up against the fraction of zeros, beside what skipping zeros could give at best.

use lacuna_console::stats::geometric_mean;

use super::super::super::row::{Report, Subject};
use lacuna_console::table::plural;

use super::super::groups::{Group, Kind, clean, sparsity};
use super::super::verdict::{Comparison, Verdict, fastest};
use super::chart::{Chart, distinct, spread};
use super::look::{Look, MOST};
use super::plot::{Axis, Line, Plot};

/// Steps of the theoretical line.
const STEPS: u32 = 48;

/// So many facts about a shape are always said.
const ALWAYS: usize = 2;

/// Sparsity and speed-up, from left to right.
type Points = Vec<(f64, f64)>;

/// One shape at several sparsities.
struct Shape {
    /// What tells it from others.
    name: String,
    /// The same without M x K, or without the model.
    family: String,
    points: Points,
}

/// One chart for products and one for models.
pub(super) fn charts(report: &Report) -> Vec<Chart> {
    Kind::ALL.into_iter().filter_map(|kind| chart(report, kind)).collect()
}

fn chart(report: &Report, kind: Kind) -> Option<Chart> {
    let groups = Group::all(report, kind);
    let verdict = Verdict::new(&groups);
    let all = shapes(&verdict.comparisons);
    let count = all.len();
    let (shapes, how) = fewer(all);
    if shapes.is_empty() {
        return None;
    }
    let sparsities = distinct(shapes.iter().flat_map(|shape| shape.points.iter().map(|(s, _)| *s)));
    let (from, to) = (*sparsities.first()?, *sparsities.last()?);
    let ideal: Vec<(f64, f64)> = (0..=STEPS)
        .map(|step| from + (to - from) * f64::from(step) / f64::from(STEPS))
        .map(|s| (s * 1e2, 1.0 / (1.0 - s)))
        .collect();
    let percents: Vec<f64> = sparsities.iter().map(|s| s * 1e2).collect();
    let ratios = shapes.iter().flat_map(|shape| shape.points.iter().map(|(_, ratio)| *ratio));
    let values: Vec<f64> = ratios.chain(ideal.iter().map(|(_, y)| *y)).chain([1.0]).collect();
    let lines = shapes.into_iter().enumerate().map(|(i, shape)| Line {
        name: shape.name,
        look: Look::nth(i),
        points: shape.points.into_iter().map(|(s, ratio)| (s * 1e2, ratio)).collect(),
    });
    let theory = Line { name: "1 / (1 - zeros)".into(), look: Look::ideal(), points: ideal };
    let plot = Plot {
        x: Axis::at("zeros (% of blocks)", &percents, false),
        y: Axis::log("speed-up (times, log scale)", values.iter().copied()),
        lines: lines.chain([theory]).collect(),
    };
    let title = format!(
        "Speed-up over the {}{}",
        verdict.yardstick.name(),
        if kind == Kind::Model { ", whole models" } else { "" }
    );
    let caption = format!(
        "Lacuna against whichever dense engine is the fastest on each subject (in the whole report {}); above 1, lacuna is faster. Dotted: the zeros cost \
         nothing, and the rest costs as much as in the dense engine. {}",
        fastest(&verdict.comparisons),
        how.unwrap_or_else(|| format!("{} at several fractions of zeros.", plural(count, "shape"))),
    );
    let svg = plot.draw(&title);
    Some(Chart::new(title, caption, svg))
}

/// The shapes that were compared at two sparsities or more, named by what tells them apart.
fn shapes(comparisons: &[Comparison<'_, '_>]) -> Vec<Shape> {
    let mut found: Vec<(Vec<String>, Points)> = Vec::new();
    for comparison in comparisons {
        let facts = facts(comparison.group);
        let point = (sparsity(comparison.group.subject), comparison.ratio);
        if !(0.0..1.0).contains(&point.0) {
            continue; // without weights there is nothing to speed up
        }
        match found.iter_mut().find(|(known, _)| *known == facts) {
            Some((_, points)) => points.push(point),
            None => found.push((facts, vec![point])),
        }
    }
    for (_, points) in &mut found {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.dedup_by_key(|point| point.0);
    }
    found.retain(|(_, points)| points.len() > 1);
    let varies = |i: usize| found.iter().any(|(facts, _)| facts[i] != found[0].0[i]);
    let join = |facts: &[String], from: usize| -> String {
        let parts = facts.iter().enumerate().skip(from).filter(|(i, _)| *i < ALWAYS || varies(*i));
        parts.map(|(_, fact)| fact.as_str()).collect::<Vec<_>>().join(", ")
    };
    let shape = |(facts, points): &(Vec<String>, Points)| Shape {
        name: join(facts, 0),
        family: join(facts, 1),
        points: points.clone(),
    };
    found.iter().map(shape).collect()
}

/// What makes a shape: what families share comes after the first.
fn facts(group: &Group<'_>) -> Vec<String> {
    let threads = plural(group.threads, "thread");
    match group.subject {
        Subject::Product { m, k, n, block, output, .. } => {
            vec![format!("{m} x {k}"), format!("N = {n}"), clean(block), clean(output), threads]
        }
        Subject::Model { model, batch, seq, .. } => vec![clean(model), format!("{batch} x {seq}"), threads],
    }
}

/// No more shapes than can be told apart, and how that came about.
fn fewer(shapes: Vec<Shape>) -> (Vec<Shape>, Option<String>) {
    if shapes.len() <= MOST {
        return (shapes, None);
    }
    let count = shapes.len();
    let sparsities = distinct(shapes.iter().flat_map(|shape| shape.points.iter().map(|(s, _)| *s)));
    let is_whole = |shape: &Shape| shape.points.len() == sparsities.len();
    if !shapes.iter().any(is_whole) {
        let (shapes, left_out) = spread(shapes, MOST);
        return (shapes, Some(format!("{left_out} of {count} shapes are not drawn: {MOST} lines can be told apart.")));
    }
    let mut families: Vec<(String, Vec<Shape>)> = Vec::new();
    for shape in shapes.into_iter().filter(is_whole) {
        match families.iter_mut().find(|(family, _)| *family == shape.family) {
            Some((_, members)) => members.push(shape),
            None => families.push((shape.family.clone(), vec![shape])),
        }
    }
    let whole: usize = families.iter().map(|(_, members)| members.len()).sum();
    let mean = |(family, members): (String, Vec<Shape>)| {
        let ratios = |i: usize| members.iter().map(|shape| shape.points[i].1).collect::<Vec<f64>>();
        let points = sparsities.iter().enumerate().filter_map(|(i, s)| Some((*s, geometric_mean(&ratios(i))?)));
        Shape { name: format!("{family} (of {})", members.len()), points: points.collect(), family }
    };
    let (means, left_out) = spread(families.into_iter().map(mean).collect(), MOST);
    let mut how = format!(
        "{count} shapes are too many lines: each line is the geometric mean over the shapes that were compared at all {} fractions of zeros, \
         {whole} of {count}.",
        sparsities.len()
    );
    if left_out > 0 {
        how += &format!(" {left_out} more lines are not drawn.");
    }
    (means, Some(how))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::*;

    fn shapes_of(report: &Report) -> Vec<Shape> {
        let groups = Group::all(report, Kind::Product);
        shapes(&Verdict::new(&groups).comparisons)
    }

    #[test]
    fn a_line_is_a_shape() {
        let shapes = shapes_of(&fixtures::kernels());
        let names: Vec<&str> = shapes.iter().map(|shape| shape.name.as_str()).collect();
        // 256 x 256 agrees at one sparsity only.
        assert_eq!(names, ["768 x 768, N = 128", "768 x 3072, N = 128", "768 x 768, N = 384"]);
        let sparsities: Vec<f64> = shapes[0].points.iter().map(|(s, _)| *s).collect();
        assert_eq!(sparsities, [0.5, 0.7, 0.8, 0.9]);
    }

    #[test]
    fn many_shapes_become_means_and_the_caption_says_so() {
        let mut report = fixtures::sweep();
        let (means, how) = fewer(shapes_of(&report));
        let names: Vec<&str> = means.iter().map(|shape| shape.name.as_str()).collect();
        assert_eq!(names, ["N = 32 (of 6)", "N = 128 (of 6)", "N = 384 (of 6)"]);
        assert!(how.unwrap().contains("18 of 18"));
        report.rows.iter_mut().take(4).for_each(|row| row.agrees = false);
        let (means, how) = fewer(shapes_of(&report));
        assert!(means.iter().any(|shape| shape.name == "N = 32 (of 5)"));
        assert!(how.unwrap().contains("17 of 18"));
    }
    #[test]
    fn without_a_shape_at_every_sparsity_some_shapes_are_drawn() {
        let mut shapes = shapes_of(&fixtures::sweep());
        for (i, shape) in shapes.iter_mut().enumerate() {
            shape.points.remove(i % 2);
        }
        let (drawn, how) = fewer(shapes);
        assert_eq!(drawn.len(), MOST);
        assert!(how.unwrap().starts_with("9 of 18 shapes are not drawn"));
    }
}
