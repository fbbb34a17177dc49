//! What calibration remembers of the tensors it has seen.
//!
//! Sequences fall into two halves, so that what is fitted on one can be judged on the other. Nothing depends on the order in which
//! threads deliver tensors: sums are taken within a sequence in f64 and over sequences in fixed point, which is associative.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::CalibrationError;
use crate::reference::{Observer, Site, Tap};
use crate::tokens::TokenIds;

/// Bits after the point of sums over sequences; 68 are before it.
const SUM_FRACTION: i32 = 60;

/// Statistics of one tensor over some calibration sequences.
#[derive(Debug, Clone, Default)]
pub(super) struct TapStats {
    /// Smallest value per feature.
    pub(super) min: Vec<f32>,
    /// Largest value per feature.
    pub(super) max: Vec<f32>,
    /// Sum per feature, in units of 2^-[`SUM_FRACTION`].
    sum: Vec<i128>,
    /// Number of rows seen.
    count: usize,
    /// Every `stride`-th row with its index, for searches that need values.
    sample: Vec<(usize, Arc<[f32]>)>,
    /// Whether a value was infinite or no number.
    broken: bool,
}

impl TapStats {
    /// Adds the rows of one sequence, whose tokens are the `first`-th and later ones of its half.
    fn add(&mut self, values: &[f32], features: usize, place: &Place, stride: usize) {
        if self.count == 0 {
            self.min = vec![f32::INFINITY; features];
            self.max = vec![f32::NEG_INFINITY; features];
            self.sum = vec![0; features];
        }
        let mut sum = vec![0.0f64; features];
        for (i, row) in values.chunks_exact(features).enumerate() {
            for (k, &x) in row.iter().enumerate() {
                self.min[k] = self.min[k].min(x);
                self.max[k] = self.max[k].max(x);
                sum[k] += f64::from(x);
            }
            if (place.first_of_half + i).is_multiple_of(stride) {
                self.sample.push((place.first + i, row.into()));
            }
        }
        for (total, sum) in self.sum.iter_mut().zip(sum) {
            self.broken |= !sum.is_finite();
            *total = total.saturating_add((sum * 2.0f64.powi(SUM_FRACTION)) as i128);
        }
        self.count += values.len() / features;
    }

    /// Statistics of the rows of both.
    pub(super) fn merged(&self, other: &TapStats) -> TapStats {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other.clone() } else { self.clone() };
        }
        let both = |f: fn(f32, f32) -> f32, a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect();
        let mut sample: Vec<_> = self.sample.iter().chain(&other.sample).cloned().collect();
        sample.sort_unstable_by_key(|(index, _)| *index);
        TapStats {
            min: both(f32::min, &self.min, &other.min),
            max: both(f32::max, &self.max, &other.max),
            sum: self.sum.iter().zip(&other.sum).map(|(a, b)| a.saturating_add(*b)).collect(),
            count: self.count + other.count,
            sample,
            broken: self.broken || other.broken,
        }
    }

    /// Number of features.
    pub(super) fn features(&self) -> usize {
        self.min.len()
    }

    /// Mean per feature.
    pub(super) fn mean(&self) -> Vec<f32> {
        let unit = 2.0f64.powi(-SUM_FRACTION) / self.count.max(1) as f64;
        self.sum.iter().map(|&s| (s as f64 * unit) as f32).collect()
    }

    /// Middle of the range per feature.
    pub(super) fn center(&self) -> Vec<f32> {
        self.min.iter().zip(&self.max).map(|(lo, hi)| 0.5 * (lo + hi)).collect()
    }

    /// The same statistics with the range of every feature widened by a factor about its middle,
    /// and to at least `floor` times the root mean square of all ranges, but never beyond the
    /// extremes of the whole tensor: GELU, for one, has a least value that all features share.
    pub(super) fn widened(&self, headroom: f32, floor: f32) -> Self {
        let half: Vec<f32> = self.min.iter().zip(&self.max).map(|(lo, hi)| 0.5 * (hi - lo)).collect();
        let mean_square = half.iter().map(|h| h * h).sum::<f32>() / half.len().max(1) as f32;
        let least = floor * mean_square.sqrt();
        let low = self.min.iter().copied().fold(f32::INFINITY, f32::min);
        let high = self.max.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let center = self.center();
        let end = |sign: f32| {
            let ends = center.iter().zip(&half);
            ends.map(|(c, h)| (c + sign * (h * headroom).max(least)).max(low).min(high)).collect()
        };
        Self { min: end(-1.0), max: end(1.0), ..self.clone() }
    }

    /// The sampled rows, in the order of the tokens.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> + Clone {
        self.sample.iter().map(|(_, row)| &**row)
    }
}

/// One tensor's statistics over either half of the sequences.
#[derive(Debug, Clone, Default)]
pub(super) struct Halves {
    /// Of the half that candidates are fitted on.
    pub(super) fit: TapStats,
    /// Of the half that they are judged on; empty if there is one sequence only.
    pub(super) held_out: TapStats,
}

impl Halves {
    /// Of all sequences.
    pub(super) fn all(&self) -> TapStats {
        self.fit.merged(&self.held_out)
    }
}

/// Whether a sequence is one of those that candidates are judged on: the Thue-Morse sequence, which has no period. Texts that come in
/// turns, queries and passages say, are in both halves.
pub(super) fn is_held_out(sequence: usize) -> bool {
    sequence.count_ones() % 2 == 1
}

/// Where the tokens of a sequence are.
struct Place {
    held_out: bool,
    /// Index of its first token among all.
    first: usize,
    /// The same among those of its half.
    first_of_half: usize,
}

/// The observer of calibration: statistics of both halves per layer and tap.
pub(super) struct Collector {
    stats: Vec<Mutex<Halves>>,
    places: Vec<Place>,
    /// Of either half.
    stride: [usize; 2],
}

impl Collector {
    /// A collector that keeps about `max_rows` rows of every tensor, as many of either half.
    pub(super) fn new<S: TokenIds>(layers: usize, ids: &[S], max_rows: usize) -> Self {
        let mut places = Vec::with_capacity(ids.len());
        let (mut first, mut of_half) = (0, [0; 2]);
        for (i, tokens) in ids.iter().enumerate() {
            let held_out = is_held_out(i);
            places.push(Place { held_out, first, first_of_half: of_half[usize::from(held_out)] });
            first += tokens.ids().len();
            of_half[usize::from(held_out)] += tokens.ids().len();
        }
        let stats = (0..layers * Tap::ALL.len()).map(|_| Mutex::default()).collect();
        Self { stats, places, stride: of_half.map(|tokens| tokens.div_ceil(max_rows.div_ceil(2)).max(1)) }
    }

    /// The statistics in the order layer, tap.
    ///
    /// # Errors
    /// [`CalibrationError::NotFinite`] naming the first tensor with an infinite value or none.
    pub(super) fn finish(self) -> Result<Vec<Vec<Halves>>, CalibrationError> {
        let mut stats = Vec::with_capacity(self.stats.len());
        for (i, halves) in self.stats.into_iter().enumerate() {
            let mut halves = halves.into_inner().unwrap_or_else(PoisonError::into_inner);
            for half in [&mut halves.fit, &mut halves.held_out] {
                half.sample.sort_unstable_by_key(|(index, _)| *index);
                if half.broken {
                    let (layer, tap) = (i / Tap::ALL.len(), Tap::ALL[i % Tap::ALL.len()]);
                    return Err(CalibrationError::NotFinite { layer, tensor: tap.name() });
                }
            }
            stats.push(halves);
        }
        let mut stats = stats.into_iter();
        let mut layers = Vec::new();
        loop {
            let layer: Vec<Halves> = stats.by_ref().take(Tap::ALL.len()).collect();
            if layer.is_empty() {
                return Ok(layers);
            }
            layers.push(layer);
        }
    }
}

impl Observer for Collector {
    fn tensor(&self, site: Site, values: &mut [f32], features: usize) {
        let rows = values.len() / features.max(1);
        let end = site.first_token + rows;
        let from = self.places.partition_point(|place| place.first < site.first_token);
        let halves = &self.stats[site.layer * Tap::ALL.len() + site.tap as usize];
        let mut halves = halves.lock().unwrap_or_else(PoisonError::into_inner);
        for (i, place) in self.places.iter().enumerate().skip(from).take_while(|(_, place)| place.first < end) {
            let next = self.places.get(i + 1).map_or(end, |next| next.first.min(end));
            let rows = (place.first - site.first_token) * features..(next - site.first_token) * features;
            let stride = self.stride[usize::from(place.held_out)];
            let half = if place.held_out { &mut halves.held_out } else { &mut halves.fit };
            half.add(&values[rows], features, place, stride);
        }
    }

    fn wants(&self, tap: Tap) -> bool {
        tap != Tap::Probabilities
    }
}
