//! Sample tokens for a graph.

use std::collections::HashMap;

use super::graph::Graph;
use super::run::{Feed, Value};
use super::tensor::is_float;
use crate::config::EncoderConfig;
use crate::proto::{DimensionValue, ValueInfoProto};

/// Sequences and tokens of a sample that is computed with numbers. No size of a model is likely to be one of these.
const SHORT: [usize; 2] = [3, 7];
/// Of a sample without numbers.
const LONG: [usize; 2] = [1, 512];

/// Sequences of one length, without padding.
pub(super) struct Sample {
    pub(super) ids: Vec<Vec<u32>>,
    pub(super) types: Vec<Vec<u32>>,
    /// The position of the first token.
    first: usize,
}

impl Sample {
    /// A few tokens.
    pub(super) fn short(graph: &Graph, config: &EncoderConfig) -> Sample {
        Sample::of(graph, config, SHORT)
    }

    /// As many tokens as a sequence may have, up to a bound.
    pub(super) fn long(graph: &Graph, config: &EncoderConfig) -> Sample {
        Sample::of(graph, config, LONG)
    }

    fn of(graph: &Graph, config: &EncoderConfig, [sequences, tokens]: [usize; 2]) -> Sample {
        let fixed = |axis: usize| graph.input_types().find_map(|input| fixed_size(input, axis));
        let (sequences, tokens) = (fixed(0).unwrap_or(sequences), fixed(1).unwrap_or(tokens.min(config.max_position)));
        let padding = config.position_offset.saturating_sub(1);
        let count = config.vocab_size.saturating_sub(1).max(1);
        // All over the vocabulary, each token followed by others than before.
        let id = |i: usize| match 1 + (i.wrapping_mul(i).wrapping_mul(7919).wrapping_add(i * 104_729 + 3)) % count {
            id if id == padding && padding + 1 < config.vocab_size => padding + 1,
            id => id.min(config.vocab_size.saturating_sub(1)),
        };
        let types = config.type_vocab_size.max(1);
        let row = |of: &dyn Fn(usize) -> usize, sequence: usize| {
            (0..tokens).map(|i| u32::try_from(of(sequence * tokens + i)).unwrap_or(0)).collect::<Vec<u32>>()
        };
        Sample {
            ids: (0..sequences).map(|i| row(&id, i)).collect(),
            types: (0..sequences).map(|i| row(&|i| (i + i / 2) % types, i)).collect(),
            first: config.position_offset,
        }
    }

    pub(super) fn tokens(&self) -> usize {
        self.ids.iter().map(Vec::len).sum()
    }

    pub(super) fn length(&self) -> usize {
        self.ids.first().map_or(0, Vec::len)
    }

    /// The position of a token of every sequence, as the tables of the file count them.
    pub(super) fn position(&self, i: usize) -> i64 {
        (self.first + i % self.length().max(1)) as i64
    }

    /// Numbers of all tokens.
    pub(super) fn flat(of: &[Vec<u32>]) -> Vec<i64> {
        of.iter().flatten().map(|&id| id.into()).collect()
    }

    /// What the inputs of a graph are given. `kind` says what an input is.
    pub(super) fn feed(&self, graph: &Graph, kind: impl Fn(&str) -> InputKind, looks_up: bool) -> Feed {
        let dims = [self.ids.len(), self.length()];
        let value = |input: &ValueInfoProto| {
            let n = self.tokens();
            let numbers = match kind(&input.name) {
                InputKind::Ids => Sample::flat(&self.ids),
                InputKind::Types => Sample::flat(&self.types),
                InputKind::Positions => (0..n).map(|i| self.position(i)).collect(),
                InputKind::Mask => vec![1; n],
            };
            // Positions may have one row for all sequences.
            let rows = fixed_size(input, 0).filter(|&rows| rows < dims[0]).unwrap_or(dims[0]);
            let (dims, numbers) = (vec![rows, dims[1]], numbers.into_iter().take(rows * dims[1]).collect::<Vec<_>>());
            let kind = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).map_or(0, |t| t.elem_type);
            let value = match is_float(kind.into()) {
                true => Value::floats(dims, numbers.into_iter().map(|x| x as f32).collect()),
                false => Value::wholes(dims, numbers),
            };
            (input.name.clone(), value)
        };
        let inputs: HashMap<String, Value> = graph.input_types().map(value).collect();
        Feed { inputs, tokens: self.tokens(), looks_up }
    }
}

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputKind {
    Ids,
    Types,
    Positions,
    Mask,
}

/// The size that the file gives an input along an axis.
fn fixed_size(input: &ValueInfoProto, axis: usize) -> Option<usize> {
    let shape = input.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
    match (shape.dim.len(), shape.dim.get(axis)?.value.as_ref()?) {
        (2, DimensionValue::Size(size)) => usize::try_from(*size).ok().filter(|&size| size > 0),
        _ => None,
    }
}
