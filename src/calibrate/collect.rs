//! What calibration remembers of the tensors it has seen.

use std::sync::{Mutex, PoisonError};

use crate::oracle::{Observer, Site, Tap};

/// Statistics of one tensor over all calibration sentences.
#[derive(Debug, Clone, Default)]
pub(super) struct TapStats {
    /// Smallest value per feature.
    pub(super) min: Vec<f32>,
    /// Largest value per feature.
    pub(super) max: Vec<f32>,
    /// Sum per feature.
    sum: Vec<f64>,
    /// Number of rows seen.
    count: usize,
    /// Every `stride`-th row with its index, for searches that need values.
    sample: Vec<(usize, Vec<f32>)>,
}

impl TapStats {
    fn add(&mut self, values: &[f32], features: usize, first_row: usize, stride: usize) {
        if self.count == 0 {
            self.min = vec![f32::INFINITY; features];
            self.max = vec![f32::NEG_INFINITY; features];
            self.sum = vec![0.0; features];
        }
        for (i, row) in values.chunks_exact(features).enumerate() {
            for (k, &x) in row.iter().enumerate() {
                self.min[k] = self.min[k].min(x);
                self.max[k] = self.max[k].max(x);
                self.sum[k] += f64::from(x);
            }
            if (first_row + i).is_multiple_of(stride) {
                self.sample.push((first_row + i, row.to_vec()));
            }
        }
        self.count += values.len() / features;
    }

    /// Number of features.
    pub(super) fn features(&self) -> usize {
        self.min.len()
    }

    /// Mean per feature.
    pub(super) fn mean(&self) -> Vec<f32> {
        self.sum.iter().map(|s| (s / self.count.max(1) as f64) as f32).collect()
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

    /// The sampled rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f32]> + Clone {
        self.sample.iter().map(|(_, row)| row.as_slice())
    }
}

/// The observer of calibration: one [`TapStats`] per layer and tap.
pub(super) struct Collector {
    stats: Vec<Mutex<TapStats>>,
    stride: usize,
}

impl Collector {
    /// A collector that keeps about `max_rows` of `tokens` rows of every tensor.
    pub(super) fn new(layers: usize, tokens: usize, max_rows: usize) -> Self {
        let stats = (0..layers * Tap::ALL.len()).map(|_| Mutex::default()).collect();
        Self { stats, stride: tokens.div_ceil(max_rows.max(1)).max(1) }
    }

    /// The statistics in the order layer, tap. Sampled rows are in token order, whatever the order
    /// in which threads delivered them.
    pub(super) fn finish(self) -> Vec<Vec<TapStats>> {
        let mut stats = self.stats.into_iter().map(|stats| {
            let mut stats = stats.into_inner().unwrap_or_else(PoisonError::into_inner);
            stats.sample.sort_unstable_by_key(|(index, _)| *index);
            stats
        });
        let mut layers = Vec::new();
        loop {
            let layer: Vec<TapStats> = stats.by_ref().take(Tap::ALL.len()).collect();
            if layer.is_empty() {
                return layers;
            }
            layers.push(layer);
        }
    }
}

impl Observer for Collector {
    fn tensor(&self, site: Site, values: &mut [f32], features: usize) {
        let stats = &self.stats[site.layer * Tap::ALL.len() + site.tap as usize];
        let mut stats = stats.lock().unwrap_or_else(PoisonError::into_inner);
        stats.add(values, features, site.first_token, self.stride);
    }

    fn wants(&self, tap: Tap) -> bool {
        tap != Tap::Probabilities
    }
}
