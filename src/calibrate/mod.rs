//! Calibration: which scales and zero points the activations get.
//!
//! The f32 model runs over some sentences; of every tensor that will be rounded, the range per
//! feature and a sample of rows are kept. From those, per tensor: a relative scale per feature
//! (smoothing), then the range of codes.

mod collect;
mod range;
mod smooth;

pub use range::RangeMethod;
pub use smooth::Smoothing;

use rayon::prelude::*;

use self::collect::{Collector, TapStats};
use crate::config::EncoderConfig;
use crate::error::{Error, Result};
use crate::oracle::{Oracle, Tap};
use crate::quantize::{ActivationQuant, LayerQuant, WEIGHT_MAX};
use crate::stored::{Stored, StoredLayer, TensorQuant};
use crate::tokens::TokenIds;
use crate::weights::{EncoderWeights, LayerWeights, Linear};

/// The code of zero of the queries, which are rounded symmetrically about it.
const QUERY_ZERO_POINT: u8 = 128;

/// How ranges are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationOptions {
    /// Where the range of the inputs of linear layers ends.
    pub range: RangeMethod,
    /// How scales are distributed over the features of an input.
    pub smoothing: Smoothing,
    /// Where the range of queries, keys and values ends.
    pub attention_range: RangeMethod,
    /// Factor on every range that belongs to one feature alone. A few thousand calibration tokens
    /// show the extremes of a whole tensor well, those of a single feature less so.
    pub headroom: f32,
    /// Least range of a feature, as a fraction of the root mean square of the tensor's ranges.
    pub floor: f32,
    /// Whether the mean error of rounded weights is put into the bias.
    pub bias_correction: bool,
    /// Rows of every tensor kept for searches.
    pub sample_rows: usize,
}

impl Default for CalibrationOptions {
    fn default() -> Self {
        Self {
            range: RangeMethod::MinMax,
            smoothing: Smoothing::Alpha(0.75),
            attention_range: RangeMethod::MinMax,
            headroom: 1.25,
            floor: 1.0,
            bias_correction: true,
            sample_rows: 256,
        }
    }
}

impl CalibrationOptions {
    fn validate(&self) -> Result<()> {
        let check = |option, found: f64, valid: bool, expected| match valid {
            true => Ok(()),
            false => Err(Error::CalibrationOption { option, found, expected }),
        };
        for range in [self.range, self.attention_range] {
            if let RangeMethod::Percentile(p) = range {
                check("percentile", p, p > 50.0 && p <= 100.0, "50 < percentile <= 100")?;
            }
        }
        if let Smoothing::Alpha(alpha) = self.smoothing {
            check("smoothing alpha", alpha.into(), (0.0..=1.0).contains(&alpha), "0 <= alpha <= 1")?;
        }
        check("headroom", self.headroom.into(), (1.0..=16.0).contains(&self.headroom), "1 <= headroom <= 16")?;
        check("floor", self.floor.into(), (0.0..=16.0).contains(&self.floor), "0 <= floor <= 16")?;
        check("sample_rows", self.sample_rows as f64, self.sample_rows > 0, "at least 1")
    }
}

/// The quantisation of every tensor between the kernels.
pub(crate) struct Calibration {
    /// Per layer.
    pub(crate) layers: Vec<LayerQuant>,
    /// Input of the embeddings' projection, if there is one.
    pub(crate) projection: Option<ActivationQuant>,
}

/// Runs the oracle over token ids and derives the quantisation of every layer.
pub(crate) fn calibrate<S: TokenIds>(
    config: &EncoderConfig,
    weights: &EncoderWeights,
    stored: Option<&Stored>,
    ids: &[S],
    options: &CalibrationOptions,
) -> Result<Calibration> {
    options.validate()?;
    let tokens = ids.iter().map(|tokens| tokens.ids().len()).sum();
    let collector = Collector::new(config.layers, tokens, options.sample_rows);
    Oracle::new(config, weights).forward_observed(ids, &collector)?;
    let stats = collector.finish();
    let projection = weights.embeddings.projection.as_ref().zip(stats.first());
    let projection = projection.map(|(projection, first)| {
        let codes = stored.is_some_and(|stored| stored.projection.is_some());
        input(
            &first[Tap::ProjectionInput as usize].widened(options.headroom, options.floor),
            &[projection],
            codes,
            stored.and_then(|stored| stored.projection_in),
            options,
        )
    });
    let none = StoredLayer::default();
    let layers = weights
        .layers
        .par_iter()
        .zip(stats)
        .enumerate()
        .map(|(i, (layer, stats))| {
            let stored = stored.and_then(|stored| stored.layers.get(i)).unwrap_or(&none);
            layer_quant(config.head_size(), layer, stored, &stats, options)
        })
        .collect();
    Ok(Calibration { layers, projection })
}

fn layer_quant(
    head_size: usize,
    weights: &LayerWeights,
    stored: &StoredLayer,
    stats: &[TapStats],
    options: &CalibrationOptions,
) -> LayerQuant {
    let of = |tap: Tap| &stats[tap as usize];
    let widened = |stats: &TapStats| stats.widened(options.headroom, options.floor);
    let activation = |tap: Tap, readers: &[&Linear], codes: &[usize], given: Option<TensorQuant>| {
        let codes = codes.iter().any(|&i| stored.linears[i].is_some());
        input(&widened(of(tap)), readers, codes, given, options)
    };
    let symmetric =
        |stats: &TapStats, features| range::symmetric_scales(stats, features, WEIGHT_MAX, options.attention_range);
    let (hidden, heads) = (weights.q.outputs(), weights.q.outputs() / head_size.max(1));
    let given = |scale: Option<f32>, n: usize| scale.map(|scale| vec![scale; n]);
    LayerQuant {
        attn_in: activation(Tap::AttentionInput, &[&weights.q, &weights.k, &weights.v], &[0, 1, 2], stored.attn_in),
        q_scale: given(stored.query.map(|q| q.scale), heads).unwrap_or_else(|| symmetric(of(Tap::Query), head_size)),
        q_zero_point: stored.query.map_or(QUERY_ZERO_POINT, |query| query.zero_point),
        k_scale: given(stored.key, heads).unwrap_or_else(|| symmetric(of(Tap::Key), head_size)),
        v_scale: given(stored.value, hidden).unwrap_or_else(|| symmetric(&widened(of(Tap::Value)), 1)),
        attn_out: activation(Tap::AttentionOutput, &[&weights.o], &[3], stored.attn_out),
        ffn_in: activation(Tap::FeedForwardInput, &[&weights.up], &[4], stored.ffn_in),
        gelu_out: activation(Tap::GeluOutput, &[&weights.down], &[5], stored.gelu_out),
    }
}

/// As the file says; else calibrated, with one scale for all features if a reader has codes: others would change them.
fn input(
    stats: &TapStats,
    readers: &[&Linear],
    codes: bool,
    given: Option<TensorQuant>,
    options: &CalibrationOptions,
) -> ActivationQuant {
    match (given, codes) {
        (Some(given), _) => given.spread(stats.features()),
        (None, false) => activation(stats, readers, options),
        (None, true) => {
            // As in `CalibrationOptions::per_tensor`: no smoothing hides what outliers cost.
            let range = if options.range == RangeMethod::MinMax { RangeMethod::Mse } else { options.range };
            activation(stats, readers, &CalibrationOptions { smoothing: Smoothing::None, range, ..*options })
        }
    }
}

/// The quantisation of the common input of some linear layers.
fn activation(stats: &TapStats, readers: &[&Linear], options: &CalibrationOptions) -> ActivationQuant {
    let mut quant = match options.smoothing {
        Smoothing::None => smooth::with_relative(stats, readers, vec![1.0; stats.features()], options.range),
        Smoothing::Alpha(alpha) => {
            let relative = smooth::relative_scales(stats, readers, alpha);
            smooth::with_relative(stats, readers, relative, options.range)
        }
        Smoothing::Search => smooth::search(stats, readers, options.range),
    };
    if !options.bias_correction {
        quant.mean.fill(0.0);
    }
    quant
}
