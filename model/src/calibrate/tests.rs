//! Ranges and choices in cases whose answer is known.

use lacuna_pattern::ActivationBits;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::choose::{Chosen, Input};
use super::collect::{Collector, Halves, TapStats};
use super::measure::Reader;
use super::range::{affine_range, symmetric_scales};
use super::*;
use crate::error::CalibrationError;
use crate::matrix::Matrix;
use crate::precision::Precision;
use crate::reference::{Observer, Site, Tap};
use crate::weights::Linear;

/// Numbers from -1 to 1.
fn uniform(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect()
}

/// Sums of twelve of them, close to a normal distribution of deviation 2.
fn normal(count: usize, seed: u64) -> Vec<f32> {
    uniform(12 * count, seed).chunks_exact(12).map(|twelve| twelve.iter().sum()).collect()
}

/// The statistics of `[rows][features]` values, in sequences of 8 rows.
fn halves(values: &[f32], features: usize) -> Halves {
    let ids = vec![vec![0u32; 8]; values.len() / features / 8];
    let collector = Collector::new(1, &ids, usize::MAX);
    collector.tensor(Site { layer: 0, tap: Tap::AttentionInput, first_token: 0 }, &mut values.to_vec(), features);
    let mut layers = collector.finish().unwrap();
    layers.swap_remove(0).swap_remove(Tap::AttentionInput as usize)
}

/// The ends of the codes that a method gives, one scale for all features.
fn ends(values: &[f32], method: RangeMethod) -> (f32, f32) {
    let range = affine_range(&halves(values, 1).all(), &[1.0], &[1.0], method, ActivationBits::Eight);
    let zero = f32::from(range.zero_point);
    (-zero * range.step, (255.0 - zero) * range.step)
}

#[test]
fn kl_takes_all_of_a_uniform_distribution() {
    let values = uniform(65536, 1);
    let (low, high) = ends(&values, RangeMethod::Kl);
    assert!(low < -0.97 && high > 0.97, "{low} to {high}");
    let positive: Vec<f32> = values.iter().map(|x| 3.0 * (x + 1.0)).collect();
    let (low, high) = ends(&positive, RangeMethod::Kl);
    assert!(low.abs() < 1e-6 && high > 5.8, "{low} to {high}");
    let scales = symmetric_scales(&halves(&values, 1).all(), 1, 127.0, RangeMethod::Kl);
    assert!(scales[0] * 127.0 > 0.97, "{scales:?}");
}

#[test]
fn kl_cuts_off_what_is_far_out() {
    for distance in [30.0, 3000.0] {
        let mut values = normal(65536, 2);
        for (i, x) in values.iter_mut().enumerate().filter(|(i, _)| i % 4096 == 7) {
            *x = if i % 8192 == 7 { distance } else { -distance };
        }
        let all = ends(&values, RangeMethod::MinMax);
        assert!(all.0 <= -distance * 0.99 && all.1 >= distance * 0.99, "{all:?}");
        let (low, high) = ends(&values, RangeMethod::Kl);
        // Three deviations are kept, and not much more than the largest of the others.
        assert!((-14.0..-5.5).contains(&low) && (5.5..14.0).contains(&high), "{distance}: {low} to {high}");
        let limit = 127.0 * symmetric_scales(&halves(&values, 1).all(), 1, 127.0, RangeMethod::Kl)[0];
        assert!((5.5..14.0).contains(&limit), "{distance}: {limit}");
    }
}

#[test]
fn kl_of_one_side_cuts_that_side() {
    let mut values = normal(65536, 3);
    values.iter_mut().step_by(4096).for_each(|x| *x = 400.0);
    let least = values.iter().copied().fold(0.0, f32::min);
    let (low, high) = ends(&values, RangeMethod::Kl);
    assert!(low < -5.5 && low > 1.3 * least && high < 40.0 && high > 5.5, "{low} to {high}");
}

#[test]
fn kl_of_few_values_is_min_max() {
    for values in [vec![0.0; 8], uniform(64, 4), vec![2.0; 8]] {
        assert_eq!(ends(&values, RangeMethod::Kl), ends(&values, RangeMethod::MinMax));
    }
    assert_eq!(ends(&vec![0.0; 65536], RangeMethod::Kl), ends(&[0.0; 8], RangeMethod::MinMax));
}

#[test]
fn statistics_do_not_depend_on_the_order_of_groups() {
    let (features, lengths) = (3, [4usize, 7, 1, 12, 5, 3, 9]);
    let ids: Vec<Vec<u32>> = lengths.iter().map(|&n| vec![0; n]).collect();
    let values = normal(lengths.iter().sum::<usize>() * features, 5);
    // Groups of whole sequences, delivered in these orders.
    let collect = |groups: &[std::ops::Range<usize>]| {
        let collector = Collector::new(1, &ids, 10);
        for group in groups {
            let token = |sequence: usize| lengths[..sequence].iter().sum::<usize>();
            let site = Site { layer: 0, tap: Tap::AttentionInput, first_token: token(group.start) };
            let rows = token(group.start) * features..token(group.end) * features;
            collector.tensor(site, &mut values[rows].to_vec(), features);
        }
        let halves = collector.finish().unwrap().swap_remove(0).swap_remove(0);
        let rows = |stats: &TapStats| stats.rows().map(<[f32]>::to_vec).collect::<Vec<_>>();
        let of = |stats: &TapStats| (stats.min.clone(), stats.max.clone(), stats.mean(), rows(stats));
        (of(&halves.fit), of(&halves.held_out), of(&halves.all()))
    };
    let whole = collect(std::slice::from_ref(&(0..7)));
    assert_eq!(collect(&[3..7, 0..2, 2..3]), whole);
    assert_eq!(collect(&[6..7, 5..6, 4..5, 3..4, 2..3, 1..2, 0..1]), whole);
    // Both halves, and means as they should be.
    let rows: Vec<&[f32]> = values.chunks(features).collect();
    for k in 0..features {
        let mean = rows.iter().map(|row| f64::from(row[k])).sum::<f64>() / rows.len() as f64;
        assert!((f64::from(whole.2.2[k]) - mean).abs() < 1e-6);
    }
    assert!(!whole.0.3.is_empty() && !whole.1.3.is_empty());
}

#[test]
fn infinite_activations_are_named() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let collector = Collector::new(3, &[vec![0u32; 2]], 10);
        let site = Site { layer: 2, tap: Tap::GeluOutput, first_token: 0 };
        collector.tensor(site, &mut [1.0, 2.0, bad, 4.0], 2);
        let error = collector.finish().unwrap_err();
        assert_eq!(error, CalibrationError::NotFinite { layer: 2, tensor: "gelu_out" });
    }
}

const FEATURES: usize = 16;

/// What an input of normally distributed features, changed by `change(row, feature, x)`, is given.
fn chosen(weights: Vec<f32>, options: &CalibrationOptions, change: impl Fn(usize, usize, f32) -> f32) -> Chosen {
    let values: Vec<f32> = normal(2048 * FEATURES, 6)
        .into_iter()
        .enumerate()
        .map(|(i, x)| change(i / FEATURES, i % FEATURES, x))
        .collect();
    let halves = halves(&values, FEATURES);
    let rows = weights.len() / FEATURES;
    let linear = Linear { weight: Matrix { rows, cols: FEATURES, data: weights }, bias: vec![0.0; rows] };
    let tap = Tap::AttentionInput;
    let readers = vec![Reader { name: "q", linear: &linear, codes: None }];
    Input { layer: Some(0), tap, halves: &halves, readers, given: None, has_precision: true }.choose(options)
}

fn measured() -> CalibrationOptions {
    CalibrationOptions { choice: Choice::Measured, sample_rows: 4096, ..CalibrationOptions::plain() }
}

fn report(chosen: &Chosen) -> &TensorReport {
    &chosen.judged.as_ref().unwrap().report
}

#[test]
fn the_choice_smooths_where_one_feature_is_large_and_hardly_read() {
    let weights: Vec<f32> = uniform(8 * FEATURES, 7)
        .into_iter()
        .enumerate()
        .map(|(i, w)| if i % FEATURES == 3 { w * 1e-3 } else { w })
        .collect();
    let chosen = chosen(weights, &measured(), |_, k, x| if k == 3 { 300.0 * x } else { x });
    let report = report(&chosen);
    assert!(matches!(report.smoothing, Some(Smoothing::Alpha(_))), "{report:?}");
    assert_eq!(report.candidates.len(), 25);
    assert_eq!((report.candidates[0].range, report.candidates[0].smoothing), (RangeMethod::MinMax, Smoothing::None));
    let least = report.candidates.iter().map(|c| c.relative_error).fold(f64::INFINITY, f64::min);
    assert_eq!(report.relative_error, least);
    assert!(least < 0.2 * report.candidates[0].relative_error, "{report:?}");
}

#[test]
fn the_choice_clips_what_was_seen_once() {
    // A single value 100 deviations out, in the half that is fitted: steps 25 times as wide would pay for nothing.
    let outlier = |row: usize, k: usize, x: f32| if (row, k) == (5, 3) { 200.0 } else { x };
    let chosen = chosen(uniform(8 * FEATURES, 8), &measured(), outlier);
    let report = report(&chosen);
    assert_ne!(report.range, RangeMethod::MinMax, "{report:?}");
    assert!(report.clipped > 0.0 && report.clipped < 0.01, "{report:?}");
    assert!(report.relative_error < 0.2 * report.candidates[0].relative_error, "{report:?}");
}

#[test]
fn the_choice_stays_where_nothing_is_clearly_better() {
    let options = measured();
    let ones: Vec<f32> = (0..8 * FEATURES).map(|i| if (i * 7) % 5 < 2 { 1.0 } else { -1.0 }).collect();
    let flat = uniform(2048 * FEATURES, 9);
    let chosen = chosen(ones, &options, |row, k, _| flat[row * FEATURES + k]);
    assert_eq!((report(&chosen).range, report(&chosen).smoothing), (options.range, Some(options.smoothing)));
}

#[test]
fn what_is_kept_has_the_cheapest_precision_that_suffices() {
    let weights = || uniform(8 * FEATURES, 10);
    // Rows of very different size: one scale for all is bad, one per row is good.
    let rows = |row: usize, _: usize, x: f32| if row.is_multiple_of(16) { 40.0 * x } else { x };
    let with = |below: f64| {
        let keep = Some(Keep::below(below));
        chosen(weights(), &CalibrationOptions { keep, ..CalibrationOptions::plain() }, rows)
    };
    let all = with(0.0);
    let db = |precision| {
        let found = report(&all).precisions.iter().find(|of| of.precision == precision);
        found.unwrap().snr_db
    };
    let [fixed, dynamic, half] =
        [Precision::Static, Precision::Dynamic, Precision::Bf16].map(|precision| db(precision).unwrap());
    assert!(db(Precision::F32).is_none() && fixed < dynamic && dynamic < half, "{fixed} {dynamic} {half}");
    assert_eq!((all.precision, &report(&all).reason), (Precision::Static, &None));
    for (below, expected) in [
        (fixed - 0.01, Precision::Static),
        (fixed + 0.01, Precision::Dynamic),
        (dynamic + 0.01, Precision::Bf16),
        (half + 0.01, Precision::F32),
    ] {
        let kept = with(below);
        assert_eq!(kept.precision, expected, "{below}");
        assert_eq!(report(&kept).precision, expected);
        assert_eq!(report(&kept).reason.is_some(), expected != Precision::Static);
        assert_eq!(kept.quant, all.quant);
    }
    assert!(report(&with(fixed + 0.01)).reason.as_ref().unwrap().starts_with("static "));
}
