//! From token ids to the quantisation of every tensor.

use lacuna_pattern::ActivationBits;
use rayon::prelude::*;

use super::choose::{Chosen, Input, Judged, kept};
use super::collect::{Collector, Halves, TapStats, is_held_out};
use super::measure::Reader;
use super::options::CalibrationOptions;
use super::report::{CalibrationReport, TensorReport, decibels};
use super::saturated::SaturatedShares;
use super::{measure, range};
use crate::codes::{FileCodes, LayerCodes, TensorQuant};
use crate::config::EncoderConfig;
use crate::error::{CalibrationError, Result};
use crate::pooling::Pooling;
use crate::precision::{LayerPrecision, Precision};
use crate::quantize::{ActivationQuant, LayerQuant, WEIGHT_MAX};
use crate::reference::{Reference, Tap, TapSet};
use crate::simulate::Simulation;
use crate::tokens::{TokenIds, TypedIds};
use crate::weights::{EncoderWeights, LINEAR_NAMES, LayerWeights};

/// The code of zero of the queries, which are rounded symmetrically about it.
const QUERY_ZERO_POINT: u8 = 128;
/// Into how many groups the sequences of a forward pass are split at least. Not the number of threads: products of other groups may
/// differ in their last bits.
const GROUPS: usize = 16;

/// The quantisation of every tensor between the kernels.
pub(crate) struct Quantisation {
    /// Per layer.
    pub(crate) layers: Vec<LayerQuant>,
    /// Per layer.
    pub(crate) precision: Vec<LayerPrecision>,
    /// Input of the embeddings' projection, if there is one.
    pub(crate) projection: Option<ActivationQuant>,
    /// Per layer, what of the calibration texts lies at the ends of the ranges.
    pub(crate) saturated: Vec<SaturatedShares>,
    /// If it was asked for, or something was measured.
    pub(crate) report: Option<CalibrationReport>,
}

/// Runs the f32 reference over token ids and derives the quantisation of every layer, or takes the given one. The result is the same on
/// any number of threads.
pub(crate) fn calibrate<S: TokenIds>(
    config: &EncoderConfig,
    weights: &EncoderWeights,
    pooling: &Pooling,
    codes: Option<&FileCodes>,
    ids: &[S],
    options: &CalibrationOptions,
    given: Option<Vec<LayerQuant>>,
) -> Result<Quantisation> {
    options.validate()?;
    if let Some(given) = &given {
        LayerQuant::check_all(given, config, options.activation_bits)?;
    }
    check_codes(codes, options.activation_bits)?;
    let collector = Collector::new(config.layers, ids, options.sample_rows);
    let states = Reference::new(config, weights).forward_in_groups(ids, GROUPS, &collector)?;
    let stats = collector.finish()?;
    let projection = weights.embeddings.projection.as_ref().zip(stats.first()).map(|(projection, first)| {
        let input = Input {
            layer: None,
            tap: Tap::ProjectionInput,
            halves: &first[Tap::ProjectionInput as usize],
            readers: vec![Reader {
                name: "projection",
                linear: projection,
                codes: codes.and_then(|codes| codes.projection.as_ref()),
            }],
            given: codes.and_then(|codes| codes.projection_in),
            has_precision: false,
        };
        input.choose(options)
    });
    let none = LayerCodes::default();
    let layers: Vec<LayerChoice> = weights
        .layers
        .par_iter()
        .zip(&stats)
        .enumerate()
        .map(|(i, (weights, stats))| {
            let codes = codes.and_then(|codes| codes.layers.get(i)).unwrap_or(&none);
            LayerChoice::new(i, config.head_size(), weights, codes, stats, options)
        })
        .collect();
    let precision: Vec<LayerPrecision> = layers.iter().map(LayerChoice::precision).collect();
    let judged = options.measures().then(|| {
        let quant: Vec<LayerQuant> = layers.iter().map(LayerChoice::judged).collect();
        let projection = projection.as_ref().and_then(|chosen| chosen.judged.as_ref()).map(|judged| &judged.quant);
        let simulation =
            Simulation { config, weights, pooling, quant: &quant, projection, precision: &precision, codes };
        let reference: Vec<Vec<f32>> = states.iter().map(|states| pooling.pool(states)).collect();
        held_out_cosines(&simulation, ids, &reference)
    });
    let report = judged.transpose()?.map(|cosines| {
        let rows = stats.first().map_or(0, |first| {
            let Halves { fit, held_out } = &first[Tap::AttentionInput as usize];
            if held_out.features() == 0 { fit.rows().len() } else { held_out.rows().len() }
        });
        let projection = projection.iter().filter_map(|chosen| Some(chosen.judged.as_ref()?.report.clone()));
        let mut tensors: Vec<TensorReport> = projection.chain(layers.iter().flat_map(LayerChoice::reports)).collect();
        tensors.sort_by(|a, b| b.relative_error.total_cmp(&a.relative_error));
        summary(ids, rows, options, cosines, tensors)
    });
    let layers = given.unwrap_or_else(|| layers.into_iter().map(LayerChoice::quant).collect());
    let shares = |(quant, stats): (&LayerQuant, &Vec<Halves>)| SaturatedShares::of(quant, config.head_size(), stats);
    let saturated = layers.par_iter().zip(&stats).map(shares).collect();
    Ok(Quantisation { layers, precision, projection: projection.map(|chosen| chosen.quant), saturated, report })
}

/// Refuses codes of activations that a file has and that have other bits than the options want.
fn check_codes(codes: Option<&FileCodes>, bits: ActivationBits) -> Result<()> {
    let Some(codes) = codes.filter(|_| bits != ActivationBits::Eight) else { return Ok(()) };
    let layers = codes.layers.iter().enumerate().flat_map(|(layer, codes)| {
        [
            (Some(layer), Tap::AttentionInput, codes.attn_in),
            (Some(layer), Tap::AttentionOutput, codes.attn_out),
            (Some(layer), Tap::FeedForwardInput, codes.ffn_in),
            (Some(layer), Tap::GeluOutput, codes.gelu_out),
        ]
    });
    let mut all = std::iter::once((None, Tap::ProjectionInput, codes.projection_in)).chain(layers);
    match all.find(|(.., given)| given.is_some()) {
        Some((layer, tap, _)) => {
            let found = ActivationBits::Eight;
            Err(CalibrationError::FileCodes { layer, tensor: tap.name(), found, expected: bits }.into())
        }
        None => Ok(()),
    }
}

/// Mean and least cosine between the simulated and the f32 embeddings of what was held out.
fn held_out_cosines<S: TokenIds>(simulation: &Simulation<'_>, ids: &[S], reference: &[Vec<f32>]) -> Result<(f64, f64)> {
    let zeros = vec![0; ids.iter().map(|tokens| tokens.ids().len()).max().unwrap_or(0)];
    let held_out: Vec<usize> = (0..ids.len()).filter(|&i| is_held_out(i) || ids.len() == 1).collect();
    let typed = |&i: &usize| {
        let tokens = ids[i].ids();
        TypedIds { ids: tokens, types: ids[i].types().unwrap_or(&zeros[..tokens.len()]) }
    };
    let typed: Vec<TypedIds<'_>> = held_out.iter().map(typed).collect();
    let embeddings = simulation.embed_in_groups(&typed, TapSet::ALL, true, GROUPS)?;
    let cosines: Vec<f64> = held_out.iter().zip(&embeddings).map(|(&i, a)| cosine(a, &reference[i])).collect();
    let mean = cosines.iter().sum::<f64>() / cosines.len().max(1) as f64;
    Ok((mean, cosines.into_iter().fold(1.0, f64::min)))
}

fn summary<S: TokenIds>(
    ids: &[S],
    rows: usize,
    options: &CalibrationOptions,
    (cosine_mean, cosine_min): (f64, f64),
    tensors: Vec<TensorReport>,
) -> CalibrationReport {
    let mut lengths: Vec<usize> = ids.iter().map(|tokens| tokens.ids().len()).collect();
    lengths.sort_unstable();
    let at = |i: usize| lengths.get(i).copied().unwrap_or(0);
    CalibrationReport {
        sequences: ids.len(),
        held_out: (0..ids.len()).filter(|&i| is_held_out(i)).count(),
        tokens: lengths.iter().sum(),
        lengths: [at(0), at(ids.len() / 2), at(ids.len().saturating_sub(1))],
        rows,
        choice: options.choice,
        activation_bits: options.activation_bits,
        keep_below_db: options.keep.map(|keep| keep.below_db),
        cosine_mean,
        cosine_min,
        tensors,
    }
}

/// In f64; 1 of two vectors of zeros.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum() };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    match (norms > 0.0, a == b) {
        (true, _) => dot(a, b) / norms,
        (false, equal) => f64::from(u8::from(equal)),
    }
}

/// What an encoder layer gets.
struct LayerChoice {
    attn_in: Chosen,
    attn_out: Chosen,
    ffn_in: Chosen,
    gelu_out: Chosen,
    q: Operand,
    q_zero_point: u8,
    k: Operand,
    v: Operand,
}

/// Scales of an operand of attention.
struct Operand {
    scale: Vec<f32>,
    /// Fitted on the half that is not held out, and what that costs on the other.
    judged: Option<(Vec<f32>, TensorReport)>,
}

impl LayerChoice {
    fn new(
        layer: usize,
        head_size: usize,
        weights: &LayerWeights,
        codes: &LayerCodes,
        stats: &[Halves],
        options: &CalibrationOptions,
    ) -> LayerChoice {
        let linears = weights.linears();
        let input = |tap: Tap, readers: std::ops::Range<usize>, given: Option<TensorQuant>| {
            let reader =
                |i: usize| Reader { name: LINEAR_NAMES[i], linear: linears[i], codes: codes.linears[i].as_ref() };
            Input {
                layer: Some(layer),
                tap,
                halves: &stats[tap as usize],
                readers: readers.map(reader).collect(),
                given,
                has_precision: tap != Tap::AttentionOutput,
            }
        };
        let inputs = [
            input(Tap::AttentionInput, 0..3, codes.attn_in),
            input(Tap::AttentionOutput, 3..4, codes.attn_out),
            input(Tap::FeedForwardInput, 4..5, codes.ffn_in),
            input(Tap::GeluOutput, 5..6, codes.gelu_out),
        ];
        let ((attn_in, attn_out), (ffn_in, gelu_out)) = rayon::join(
            || rayon::join(|| inputs[0].choose(options), || inputs[1].choose(options)),
            || rayon::join(|| inputs[2].choose(options), || inputs[3].choose(options)),
        );
        let operand = |tap: Tap, features, given: Option<f32>| {
            Operand::new(layer, tap, features, given, &stats[tap as usize], options)
        };
        LayerChoice {
            attn_in,
            attn_out,
            ffn_in,
            gelu_out,
            q: operand(Tap::Query, head_size, codes.query.map(|query| query.scale)),
            q_zero_point: codes.query.map_or(QUERY_ZERO_POINT, |query| query.zero_point),
            k: operand(Tap::Key, head_size, codes.key),
            v: operand(Tap::Value, 1, codes.value),
        }
    }

    fn precision(&self) -> LayerPrecision {
        LayerPrecision {
            attn_in: self.attn_in.precision,
            ffn_in: self.ffn_in.precision,
            gelu_out: self.gelu_out.precision,
        }
    }

    /// Fitted on all sequences.
    fn quant(self) -> LayerQuant {
        LayerQuant {
            attn_in: self.attn_in.quant,
            q_scale: self.q.scale,
            q_zero_point: self.q_zero_point,
            k_scale: self.k.scale,
            v_scale: self.v.scale,
            attn_out: self.attn_out.quant,
            ffn_in: self.ffn_in.quant,
            gelu_out: self.gelu_out.quant,
        }
    }

    /// Fitted without what was held out.
    fn judged(&self) -> LayerQuant {
        let input = |chosen: &Chosen| chosen.judged.as_ref().map_or(&chosen.quant, |judged| &judged.quant).clone();
        let operand = |operand: &Operand| operand.judged.as_ref().map_or(&operand.scale, |(scale, _)| scale).clone();
        LayerQuant {
            attn_in: input(&self.attn_in),
            q_scale: operand(&self.q),
            q_zero_point: self.q_zero_point,
            k_scale: operand(&self.k),
            v_scale: operand(&self.v),
            attn_out: input(&self.attn_out),
            ffn_in: input(&self.ffn_in),
            gelu_out: input(&self.gelu_out),
        }
    }

    fn reports(&self) -> Vec<TensorReport> {
        let inputs = [&self.attn_in, &self.attn_out, &self.ffn_in, &self.gelu_out];
        let inputs = inputs.into_iter().filter_map(|chosen| chosen.judged.as_ref()).map(|Judged { report, .. }| report);
        let operands = [&self.q, &self.k, &self.v].into_iter().filter_map(|operand| operand.judged.as_ref());
        inputs.chain(operands.map(|(_, report)| report)).cloned().collect()
    }
}

impl Operand {
    /// Scales of `features` neighbouring features each; that of the file for all, if it has one. Values, which have one each, get headroom.
    fn new(
        layer: usize,
        tap: Tap,
        features: usize,
        given: Option<f32>,
        halves: &Halves,
        options: &CalibrationOptions,
    ) -> Operand {
        let scales = |stats: &TapStats| match (given, tap) {
            (Some(scale), _) => vec![scale; stats.features() / features.max(1)],
            (None, Tap::Value) => range::symmetric_scales(
                &stats.widened(options.headroom, options.floor),
                features,
                WEIGHT_MAX,
                options.attention_range,
            ),
            (None, _) => range::symmetric_scales(stats, features, WEIGHT_MAX, options.attention_range),
        };
        let judged = options.measures().then(|| {
            let fitted = scales(&halves.fit);
            let held_out = if halves.held_out.features() == 0 { &halves.fit } else { &halves.held_out };
            let (relative_error, clipped) = measure::symmetric_error(held_out, &fitted, features, WEIGHT_MAX);
            let reason = options.keep.and_then(|keep| kept(keep, &[(Precision::Static, relative_error)]).1);
            let report = TensorReport {
                layer: Some(layer),
                tensor: tap.name(),
                readers: vec!["attention"],
                given: given.is_some(),
                range: options.attention_range,
                smoothing: None,
                snr_db: decibels(relative_error),
                relative_error,
                clipped,
                precision: Precision::Static,
                reason,
                precisions: Vec::new(),
                candidates: Vec::new(),
            };
            (fitted, report)
        });
        Operand { scale: scales(&halves.all()), judged }
    }
}
