//! What was read of a graph, compared with what the graph computes from sample tokens.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::embeddings::Index;
use super::graph::Graph;
use super::heads::Token;
use super::node::output;
use super::run::{Feed, Runner, Value, hides_nothing, is_even};
use super::sample::{InputKind, Sample};
use super::trace::{Read, Traced};
use crate::config::EncoderConfig;
use crate::error::{OnnxError, Result};
use crate::heads::{HeadConfig, HeadKind, HeadWeights, Problem};
use crate::matrix::Matrix;
use crate::pooling::{Pooling, PoolingMode};
use crate::proto::DataType;
use crate::reference::{Observer, Reference, Site, Tap, linear};
use crate::tokens::TypedIds;

/// Largest difference, relative to the largest value of a tensor. f32 sums of another order make 1e-5 at most.
const TOLERANCE: f32 = 5e-4;
/// The same for graphs with constants in f16 or bf16, such as the factor of attention scores.
const HALF_TOLERANCE: f32 = 1e-2;

impl Graph {
    /// What the inputs are: by their names, and where these say nothing by the tables that are looked up with them.
    fn input_kinds(&self, traced: &Traced<'_>, config: &EncoderConfig) -> HashMap<String, InputKind> {
        let mut kinds = HashMap::new();
        for table in &traced.embeddings.tables {
            let Some(input) = table.index.map(|index| self.direct(index)).filter(|index| self.is_input(index)) else {
                continue;
            };
            let kind = match self.kind(table, config) {
                Ok(Index::Word) => InputKind::Ids,
                Ok(Index::Position) => InputKind::Positions,
                Ok(Index::TokenType) => InputKind::Types,
                Err(_) => continue,
            };
            kinds.insert(input.to_owned(), kind);
        }
        for input in self.input_types() {
            let name = input.name.to_ascii_lowercase();
            let by_name = match () {
                () if name.contains("mask") => InputKind::Mask,
                () if name.contains("type") || name.contains("segment") => InputKind::Types,
                () if name.contains("position") => InputKind::Positions,
                () if name.contains("ids") => InputKind::Ids,
                () => InputKind::Mask,
            };
            kinds.entry(input.name.clone()).or_insert(by_name);
        }
        kinds
    }

    fn feed(&self, traced: &Traced<'_>, config: &EncoderConfig, sample: &Sample, looks_up: bool) -> Feed {
        let kinds = self.input_kinds(traced, config);
        sample.feed(self, |name| kinds.get(name).copied().unwrap_or(InputKind::Mask), looks_up)
    }

    /// How far two runs may differ.
    fn tolerance(&self) -> f32 {
        let is_half = |kind| matches!(kind, DataType::Float16 | DataType::Bfloat16);
        let constants = self.nodes().flat_map(|node| &node.attribute).filter_map(|attribute| attribute.t.as_ref());
        match self.initializers().iter().chain(constants).any(|tensor| is_half(tensor.data_type())) {
            true => HALF_TOLERANCE,
            false => TOLERANCE,
        }
    }

    /// Refuses values that differ from those of the weights that were read.
    fn compare(&self, name: &str, found: &[f32], expected: &[f32], what: &str) -> Result<(), OnnxError> {
        match difference(found, expected, self.tolerance()) {
            None => Ok(()),
            Some(found) => Err(self.stop_with(name, found, format!("{what}, as the weights that were read make it"))),
        }
    }
}

/// How two tensors differ, if they do.
fn difference(found: &[f32], expected: &[f32], tolerance: f32) -> Option<String> {
    if found.len() != expected.len() {
        return Some(format!("{} elements for the sample tokens, not {}", found.len(), expected.len()));
    }
    let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let most = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0f32, |most, x| if x.is_nan() { f32::INFINITY } else { most.max(x) });
    (most > tolerance * largest.max(1e-3)).then(|| format!("values that differ by {most} of {largest}"))
}

impl Traced<'_> {
    /// Compares masks, positions and token types with what they are for as many tokens as a sequence may have. The type that all tokens
    /// have, if the graph gives them one.
    pub(super) fn check_tokens(&self, graph: &Graph, config: &EncoderConfig) -> Result<Option<usize>> {
        let sample = Sample::long(graph, config);
        let masks = || self.layers.iter().flat_map(|layer| &layer.attention.masks);
        let of_mask = masks().flat_map(|mask| [Some(mask.value), mask.condition.map(|(condition, _)| condition)]);
        let indices = self.embeddings.tables.iter().filter_map(|table| table.index);
        let targets: Vec<&str> = of_mask.flatten().chain(indices).collect();
        let run = Runner::run(graph, graph.feed(self, config, &sample, false), &targets)?;
        let mut one_type = None;
        for table in &self.embeddings.tables {
            let Some(index) = table.index else { continue };
            let found = run.value(index)?;
            let dims = [sample.ids.len(), sample.length()];
            let found = match found.as_wholes().map(|wholes| (wholes.len() == 1, wholes.len())) {
                // One row for all tokens.
                Ok((true, _)) => found.reshaped(vec![]).map(|one| one.expanded(&dims)),
                Ok((_, n)) if n == sample.tokens() || n == sample.length() => Ok(found),
                Ok((_, n)) => Err(format!("indices of {n} rows for {} tokens", sample.tokens())),
                Err(found) => Err(found),
            };
            let found = found.map_err(|found| graph.stop_with(index, found, "an index of rows"))?;
            let found = found.as_wholes().unwrap_or_default();
            let (expected, what): (Vec<i64>, _) = match graph.kind(table, config)? {
                Index::Word => (Sample::flat(&sample.ids), "the tokens as they are given"),
                Index::Position => (
                    (0..sample.tokens()).map(|i| sample.position(i)).collect(),
                    "the positions of the tokens, in order",
                ),
                Index::TokenType => {
                    let first = found.first().copied().and_then(|first| usize::try_from(first).ok());
                    let is_one = found.iter().all(|at| Some(at) == found.first()) && config.type_vocab_size > 1;
                    if is_one && let Some(first) = first {
                        one_type = Some(first);
                        continue;
                    }
                    (Sample::flat(&sample.types), "the types of the tokens as they are given")
                }
            };
            if let Some((i, (found, expected))) =
                found.iter().zip(&expected).enumerate().find(|(_, (found, expected))| found != expected)
            {
                let found = format!("row {found} for token {i} of the sample, not {expected}");
                return Err(graph.stop_with(index, found, what).into());
            }
        }
        for mask in masks() {
            let refused = |value, found: String| {
                OnnxError::from(graph.stop_with(value, found, "a mask of padding, as encoders have it"))
            };
            if let Some((condition, stays_at_zero)) = mask.condition {
                let value = run.value(condition)?;
                let stays = |c: &i64| (*c == 0) == stays_at_zero;
                let all = value.as_wholes().map(|values| values.iter().all(stays));
                if !all.map_err(|found| refused(condition, found))? {
                    return Err(refused(condition, "a condition that hides tokens which are no padding".into()).into());
                }
                continue;
            }
            let value = run.value(mask.value)?;
            let is_counted = mask.fused && value.as_wholes().is_ok();
            let even = match is_counted {
                true => hides_nothing(&value, sample.length()).map(|()| true),
                false => is_even(&value),
            };
            if !even.map_err(|found| refused(mask.value, found))? {
                return Err(refused(mask.value, "a mask that tells tokens apart which are no padding".into()).into());
            }
        }
        Ok(one_type)
    }

    /// Compares hidden states, what is in the layers, and the outputs; gives what a reader should know.
    pub(super) fn check_encoder(&self, graph: &Graph, config: &EncoderConfig, read: &Read) -> Result<Vec<String>> {
        let sample = Sample::short(graph, config);
        let outputs = || graph.outputs().filter(|name| graph.is_tainted(name));
        let pooled = read.pooling.as_ref().map(|own| own.output.as_str());
        let poolers =
            || read.weights.pooler.iter().flat_map(|_| outputs().filter(|name| graph.is_pooler(name, self.states)));
        let every = || outputs().filter(|name| graph.is_every(name, self.states));
        let inside = self.layers.iter().enumerate().flat_map(|(i, layer)| {
            [
                (i, Tap::AttentionInput, layer.attention.linears[0].input),
                (i, Tap::AttentionOutput, layer.o.input),
                (i, Tap::FeedForwardInput, layer.up.input),
                (i, Tap::GeluOutput, layer.down.input),
            ]
        });
        let inside: Vec<(usize, Tap, &str)> = inside.collect();
        let mut targets: Vec<&str> = inside.iter().map(|(.., name)| *name).collect();
        targets.push(self.states);
        targets.extend(pooled.and_then(|name| graph.outputs().find(|output| *output == name)));
        targets.extend(poolers().chain(every()));
        let run = Runner::run(graph, graph.feed(self, config, &sample, true), &targets)?;
        let config = &EncoderConfig { layer_norm_eps: self.epsilon, ..config.clone() };
        let tokens: Vec<TypedIds<'_>> =
            sample.ids.iter().zip(&sample.types).map(|(ids, types)| TypedIds { ids, types }).collect();
        let taps = Taps::default();
        let states = Reference::new(config, &read.weights).forward_in_groups(&tokens, 1, &taps)?;
        let seen = taps.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let real = |name: &str| -> Result<Vec<f32>> {
            let value = run.value(name)?;
            Ok(value.real().map_err(|found| graph.stop_with(name, found, "floats"))?)
        };
        for (layer, tap, name) in inside {
            let expected = seen.get(&(layer, tap.name())).map(Vec::as_slice).unwrap_or_default();
            graph.compare(name, &real(name)?, expected, &format!("layer {layer}, {}", tap.name()))?;
        }
        let flat = |rows: &[Matrix]| rows.iter().flat_map(|m| m.data.iter().copied()).collect::<Vec<f32>>();
        let all = flat(&states);
        for name in std::iter::once(self.states).chain(every()) {
            graph.compare(name, &real(name)?, &all, "the last hidden states")?;
        }
        for name in poolers() {
            let Some(pooler) = &read.weights.pooler else { continue };
            let first = states.iter().map(|m| Matrix { rows: 1, cols: m.cols, data: m.row(0).to_vec() });
            let expected = first.flat_map(|first| linear(&first, pooler).data).map(f32::tanh).collect::<Vec<_>>();
            graph.compare(name, &real(name)?, &expected, "the pooler of the first token")?;
        }
        if let Some(own) = &read.pooling {
            let (modes, modules) = (own.modes.clone(), own.modules.clone());
            let pooling = Pooling { modes, modules, ..Pooling::new(PoolingMode::Mean, false) };
            let expected = states.iter().flat_map(|states| pooling.pool(states)).collect::<Vec<_>>();
            graph.compare(&own.output, &real(&own.output)?, &expected, "the pooled hidden states")?;
        }
        Ok(run.notes())
    }

    /// Compares the outputs of a head.
    pub(super) fn check_head(
        &self,
        graph: &Graph,
        config: &EncoderConfig,
        (head, weights, last): (&HeadConfig, &HeadWeights, &str),
    ) -> Result<()> {
        let sample = Sample::short(graph, config);
        let outputs: Vec<&str> =
            graph.outputs().filter(|name| graph.logits(name).is_some_and(|layer| output(layer.node) == last)).collect();
        let targets: Vec<&str> = outputs.iter().copied().chain([self.states]).collect();
        let run = Runner::run(graph, graph.feed(self, config, &sample, true), &targets)?;
        let real = |name: &str| -> Result<Vec<f32>> {
            let value: Value = run.value(name)?;
            Ok(value.real().map_err(|found| graph.stop_with(name, found, "floats"))?)
        };
        let (rows, cols) = (sample.length(), config.hidden_size);
        let states = real(self.states)?;
        let states = states.chunks(rows * cols).map(|data| Matrix { rows, cols, data: data.to_vec() });
        let logits: Vec<Matrix> = states.map(|states| weights.logits(&states)).collect();
        let width = logits.first().map_or(1, |logits| logits.cols.max(1));
        let logits: Vec<f32> = logits.into_iter().flat_map(|logits| logits.data).collect();
        let tolerance = graph.tolerance();
        let answers = head.kind == HeadKind::QuestionAnswering;
        let parts = outputs.iter().filter(|_| answers && outputs.len() > 1).count();
        for (i, &name) in outputs.iter().enumerate() {
            let found = real(name)?;
            let lower = name.to_ascii_lowercase();
            let column = match () {
                () if parts == 0 => None,
                () if lower.contains("start") => Some(0),
                () if lower.contains("end") => Some(1),
                () => Some(i),
            };
            let expected: Vec<f32> = match column {
                Some(column) => logits.iter().copied().skip(column).step_by(width).collect(),
                None => logits.clone(),
            };
            let Some(differs) = difference(&found, &expected, tolerance) else { continue };
            // Scores that the head makes of its logits itself.
            let is_scores = |problem: Problem| {
                let mut scores = expected.clone();
                scores.chunks_mut(width).for_each(|scores| problem.scores(scores));
                difference(&found, &scores, tolerance).is_none()
            };
            if column.is_none() && [Problem::SingleLabel, Problem::MultiLabel].into_iter().any(is_scores) {
                continue;
            }
            let expected = "the logits of the head, as the weights that were read make them";
            return Err(graph.stop_with(name, differs, expected).into());
        }
        Ok(())
    }
}

impl Graph {
    /// A value before changes of type and shape.
    fn direct<'g>(&'g self, mut value: &'g str) -> &'g str {
        while let Some(node) = self.maker(value) {
            match (&*node.op_type, node.input.first()) {
                ("Cast" | "Identity" | "Reshape" | "Squeeze" | "Unsqueeze", Some(before)) => value = before,
                _ => break,
            }
        }
        value
    }

    /// Whether a value is the last hidden states, of every token.
    fn is_every(&self, value: &str, states: &str) -> bool {
        self.token(value, states) == Some(Token::Every)
    }
}

/// What the reference computes inside layers, by layer and place.
#[derive(Default)]
struct Taps(Mutex<HashMap<(usize, &'static str), Vec<f32>>>);

impl Observer for Taps {
    fn tensor(&self, site: Site, values: &mut [f32], features: usize) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = seen.entry((site.layer, site.tap.name())).or_default();
        let (from, to) = (site.first_token * features, site.first_token * features + values.len());
        all.resize(all.len().max(to), 0.0);
        all[from..to].copy_from_slice(values);
    }

    fn wants(&self, tap: Tap) -> bool {
        matches!(tap, Tap::AttentionInput | Tap::AttentionOutput | Tap::FeedForwardInput | Tap::GeluOutput)
    }
}
