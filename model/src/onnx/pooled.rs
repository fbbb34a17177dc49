//! The pooling that a graph has itself: from an output back to the last hidden states.
//!
//! ```text
//! embedding = Normalize(Dense(..(modes(states))))
//! ```
//!
//! What is behind the hidden states is followed to its last node, or refused with the node where that stops.

use super::activation::{agree, places};
use super::chain::Pass;
use super::graph::Graph;
use super::heads::Token;
use super::node::{attribute, input, number, shortened, whole};
use super::norm::Norm;
use super::product::Product;
use crate::config::EncoderConfig;
use crate::error::{OnnxError, Result};
use crate::pooling::{DenseModule, ModuleActivation, NormModule, PoolingMode, SentenceModule};
use crate::proto::NodeProto;

/// What is followed, for errors.
const POOLED: &str =
    "pooling of the last hidden states (mean, cls, max and others), then linear layers and normalisation";
/// Most modules behind the modes.
const MAX_MODULES: usize = 16;
/// The largest number that keeps a division from being one by zero.
const MAX_TINY: f32 = 1e-4;
/// Scores below this are no maximum of hidden states.
const LEAST: f32 = -1e3;

/// Whether a node changes only type or shape.
fn is_of_shape(node: &NodeProto) -> bool {
    matches!(&*node.op_type, "Cast" | "CastLike" | "Identity" | "Unsqueeze" | "Squeeze" | "Reshape" | "Expand")
}

/// The pooling of a graph, and the output that it makes.
pub(crate) struct OwnPooling {
    pub(super) output: String,
    pub(crate) modes: Vec<PoolingMode>,
    pub(crate) modules: Vec<SentenceModule>,
}

/// A module as nodes.
enum Module<'g> {
    Normalize,
    Norm(Norm<'g>),
    Dense(ModuleActivation, Product<'g>),
}

impl Graph {
    /// The pooling that makes an output.
    pub(super) fn pooling_of(&self, name: &str, states: &str, config: &EncoderConfig) -> Result<OwnPooling> {
        let (mut value, mut found) = (name, Vec::new());
        let modes = loop {
            if let Some(modes) = self.modes(value, states)? {
                break modes;
            }
            if self.token(value, states) == Some(Token::Every) {
                return Err(self.stop_with(value, "the hidden states of every token", POOLED).into());
            }
            if found.len() > MAX_MODULES {
                let found = format!("more than {MAX_MODULES} modules behind pooling");
                return Err(self.stop_with(value, found, "a few").into());
            }
            if let Some(before) = self.normalised(value) {
                found.push(Module::Normalize);
                value = before;
            } else if let Some(norm) = self.norm(value) {
                value = norm.input;
                found.push(Module::Norm(norm));
            } else if let Some(product) = self.product(value) {
                value = product.input;
                found.push(Module::Dense(ModuleActivation::Identity, product));
            } else if let Some((before, Pass::Same | Pass::Reshape(_) | Pass::Quantise(_))) = self.pass(value) {
                value = before;
            } else {
                let (activation, product) = self.module_function(value).map_err(|_| self.not_pooled(value, name))?;
                value = product.input;
                found.push(Module::Dense(activation, product));
            }
        };
        let mut features = config.hidden_size * modes.len();
        let mut modules = Vec::new();
        for module in found.into_iter().rev() {
            modules.push(match module {
                Module::Normalize => SentenceModule::Normalize,
                Module::Norm(norm) => SentenceModule::LayerNorm(NormModule {
                    norm: self.load_norm(&norm, "a layer normalisation behind pooling", features)?,
                    epsilon: norm.epsilon,
                }),
                Module::Dense(activation, product) => {
                    let size = (self.rows(&product)?, features);
                    features = size.0;
                    let linear = self.load(&product, "a linear layer behind pooling", size)?.linear;
                    SentenceModule::Dense(DenseModule { linear, activation })
                }
            });
        }
        Ok(OwnPooling { output: name.to_owned(), modes, modules })
    }

    /// The function of a Dense module behind pooling, and its linear layer.
    fn module_function<'g>(&'g self, value: &'g str) -> Result<(ModuleActivation, Product<'g>)> {
        let places = places();
        let (values, layer) = self.sampled(value, &places)?;
        let known = ModuleActivation::ALL.into_iter().find(|activation| {
            let mut expected = places.clone();
            activation.apply(&mut expected);
            agree(&values, &expected)
        });
        match known {
            Some(function) => Ok((function, layer)),
            None => {
                let expected = "identity, tanh, sigmoid, ReLU, GELU or SiLU of a linear layer";
                Err(self.unknown_function(value, &values, expected).into())
            }
        }
    }

    fn not_pooled(&self, value: &str, output: &str) -> OnnxError {
        self.stop(value, format!("{POOLED}, for the output {:?}", shortened(output)))
    }

    /// The modes whose joined results a value is.
    fn modes(&self, value: &str, states: &str) -> Result<Option<Vec<PoolingMode>>, OnnxError> {
        let node = self.maker(value).filter(|node| node.op_type == "Concat" && self.is_tainted(value));
        let Some(node) = node else { return Ok(self.mode(value, states).map(|mode| vec![mode])) };
        if !matches!(whole(node, "axis"), Some(-1 | 1)) || node.input.len() > PoolingMode::ALL.len() {
            return Err(self.stop_with(value, "values joined in another way", "pooled vectors, feature by feature"));
        }
        let mode = |part| self.mode(part, states).ok_or_else(|| self.stop(part, POOLED));
        node.input.iter().map(|part| mode(part)).collect::<Result<Vec<_>, _>>().map(Some)
    }

    fn mode(&self, value: &str, states: &str) -> Option<PoolingMode> {
        if self.token(value, states) == Some(Token::First) {
            return Some(PoolingMode::Cls);
        }
        let value = self.bare(value);
        let node = self.maker(value)?;
        match &*node.op_type {
            "Div" => {
                let (sum, (count, root)) = (input(node, 0)?, self.count(input(node, 1)?)?);
                if self.is_mask(count) {
                    let mode = if root { PoolingMode::MeanSqrtLen } else { PoolingMode::Mean };
                    return self.is_sum(sum, states, |weight| self.is_mask(weight)).then_some(mode);
                }
                let is_weighted =
                    !root && self.is_place(count) && self.is_sum(sum, states, |weight| self.is_place(weight));
                is_weighted.then_some(PoolingMode::WeightedMean)
            }
            "ReduceSum" => self.is_sum(value, states, |weight| self.is_last(weight)).then_some(PoolingMode::LastToken),
            // Without padding, which this project never has, the mean over all places is that over the tokens.
            "ReduceMean" if self.is_over_tokens(node) => {
                (self.token(input(node, 0)?, states) == Some(Token::Every)).then_some(PoolingMode::Mean)
            }
            "ReduceMax" if self.is_over_tokens(node) => {
                let kept = self.without_padding(input(node, 0)?)?;
                (self.token(kept, states) == Some(Token::Every)).then_some(PoolingMode::Max)
            }
            _ => None,
        }
    }

    /// A value before casts and changes of shape.
    fn bare<'g>(&'g self, mut value: &'g str) -> &'g str {
        while let Some((before, Pass::Same | Pass::Reshape(_) | Pass::Quantise(_))) = self.pass(value) {
            value = before;
        }
        value
    }

    /// Whether a value is the sum over tokens of hidden states times weights of that kind.
    fn is_sum(&self, value: &str, states: &str, is_weight: impl Fn(&str) -> bool) -> bool {
        let sum = self.maker(self.bare(value)).filter(|node| node.op_type == "ReduceSum" && self.is_over_tokens(node));
        let product = sum.and_then(|sum| self.maker(self.bare(input(sum, 0)?))).filter(|node| node.op_type == "Mul");
        let Some((a, b)) = product.and_then(|node| input(node, 0).zip(input(node, 1))) else { return false };
        let fits = |x, weight| self.token(x, states) == Some(Token::Every) && is_weight(weight);
        fits(a, b) || fits(b, a)
    }

    /// What is summed over the tokens, before what keeps the sum from being 0; and whether its square root is taken.
    fn count<'g>(&'g self, mut value: &'g str) -> Option<(&'g str, bool)> {
        let mut root = false;
        loop {
            let node = self.maker(value)?;
            value = match &*node.op_type {
                "ReduceSum" => return self.is_over_tokens(node).then(|| Some((input(node, 0)?, root)))?,
                "Sqrt" if !root => {
                    root = true;
                    input(node, 0)?
                }
                "Clip" | "Max" | "Add" => self.bounded_below(node, 1.0)?,
                _ if is_of_shape(node) => input(node, 0)?,
                _ => return None,
            };
        }
    }

    /// A value that does not depend on hidden states, before changes of type and shape.
    fn plain<'g>(&'g self, mut value: &'g str) -> &'g str {
        while let Some(before) = self.maker(value).filter(|node| is_of_shape(node)).and_then(|node| input(node, 0)) {
            value = before;
        }
        value
    }

    /// Whether a value is the input attention_mask but for type and shape.
    fn is_mask(&self, value: &str) -> bool {
        let value = self.plain(value);
        self.is_input(value) && value.to_ascii_lowercase().contains("mask")
    }

    /// Whether a value is 1, 2, 3, ... for tokens, and 0 for padding.
    fn is_place(&self, value: &str) -> bool {
        let product = self.maker(self.plain(value)).filter(|node| node.op_type == "Mul");
        let Some((a, b)) = product.and_then(|node| input(node, 0).zip(input(node, 1))) else { return false };
        let counts = |value: &str| {
            let node = self.maker(self.plain(value));
            node.is_some_and(|node| match &*node.op_type {
                "CumSum" => input(node, 0).is_some_and(|mask| self.is_mask(mask)),
                "Range" => [0, 2].iter().all(|&i| input(node, i).and_then(|one| self.scalar(one)) == Some(1.0)),
                _ => false,
            })
        };
        (counts(a) && self.is_mask(b)) || (counts(b) && self.is_mask(a))
    }

    /// Whether a value is 1 for the last token and 0 elsewhere: the mask less the mask of the next place.
    fn is_last(&self, value: &str) -> bool {
        let is = |value: &str, operator: &str| self.maker(self.plain(value)).filter(|node| node.op_type == operator);
        let Some(sub) = is(value, "Sub") else { return false };
        let Some((mask, next)) = input(sub, 0).zip(input(sub, 1)) else { return false };
        let Some(next) = is(next, "Concat").filter(|node| whole(node, "axis") == Some(1)) else { return false };
        let [rest, none] = &next.input[..] else { return false };
        let from_one = is(rest, "Slice").is_some_and(|slice| {
            let is_one = |i| input(slice, i).and_then(|one| self.scalar(one)) == Some(1.0);
            is_one(1) && is_one(3) && input(slice, 0).is_some_and(|mask| self.is_mask(mask))
        });
        let is_zero = is(none, "Sub").is_some_and(|node| input(node, 0) == input(node, 1));
        self.is_mask(mask) && from_one && is_zero
    }

    /// What a maximum is taken of, before padding is given a very small value.
    fn without_padding<'g>(&'g self, value: &'g str) -> Option<&'g str> {
        let Some(node) = self.maker(value) else { return Some(value) };
        let is_least = |value: &str| self.scalar(value).is_some_and(|least| least <= LEAST);
        match &*node.op_type {
            "Where" => {
                let (condition, a, b) = (input(node, 0)?, input(node, 1)?, input(node, 2)?);
                (!self.is_tainted(condition) && self.is_of_padding(condition)).then_some(())?;
                match (is_least(a), is_least(b)) {
                    (true, false) => Some(b),
                    (false, true) => Some(a),
                    _ => None,
                }
            }
            _ => Some(value),
        }
    }

    /// Whether a reduction is over the tokens `[batch, sequence, features]`.
    fn is_over_tokens(&self, node: &NodeProto) -> bool {
        self.axes(node).is_some_and(|axes| matches!(axes[..], [1 | -2]))
    }

    fn axes(&self, node: &NodeProto) -> Option<Vec<i64>> {
        match attribute(node, "axes") {
            Some(axes) => Some(axes.ints.clone()),
            None => self.wholes(input(node, 1)?),
        }
    }

    /// The value that a node keeps above a number of at most `most`.
    fn bounded_below<'g>(&'g self, node: &'g NodeProto, most: f32) -> Option<&'g str> {
        let (a, b) = (input(node, 0)?, input(node, 1));
        let is_low = |bound: f32| (0.0..=most).contains(&bound);
        match (&*node.op_type, b) {
            ("Clip", None) => {
                let least = number(node, "min");
                (least.is_none_or(is_low) && number(node, "max").is_none()).then_some(a)
            }
            ("Clip", Some(least)) => (is_low(self.scalar(least)?) && input(node, 2).is_none()).then_some(a),
            (operator, Some(b)) => {
                let most = if operator == "Add" { MAX_TINY } else { most };
                match (self.scalar(a), self.scalar(b)) {
                    (None, Some(least)) => (0.0..=most).contains(&least).then_some(a),
                    (Some(least), None) => (0.0..=most).contains(&least).then_some(b),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// What a value is the normalised form of.
    fn normalised<'g>(&'g self, value: &'g str) -> Option<&'g str> {
        let node = self.maker(value)?;
        let x = input(node, 0)?;
        if node.op_type == "LpNormalization" {
            let fits = whole(node, "p").unwrap_or(2) == 2 && matches!(whole(node, "axis").unwrap_or(-1), -1 | 1);
            return fits.then_some(x);
        }
        (node.op_type == "Div").then_some(())?;
        let mut norm = input(node, 1)?;
        loop {
            let node = self.maker(norm)?;
            norm = match &*node.op_type {
                "Clip" | "Max" | "Add" => self.bounded_below(node, MAX_TINY)?,
                "Expand" | "Cast" | "CastLike" | "Identity" | "Unsqueeze" | "Reshape" => input(node, 0)?,
                "ReduceL2" => return (self.is_over_features(node) && self.same_value(input(node, 0)?, x)).then_some(x),
                "Sqrt" => return self.is_sum_of_squares(input(node, 0)?, x).then_some(x),
                "Pow" if self.scalar(input(node, 1)?) == Some(0.5) => {
                    return self.is_sum_of_squares(input(node, 0)?, x).then_some(x);
                }
                _ => return None,
            };
        }
    }

    fn is_over_features(&self, node: &NodeProto) -> bool {
        self.axes(node).is_some_and(|axes| matches!(axes[..], [-1 | 1]))
    }

    fn is_sum_of_squares(&self, value: &str, x: &str) -> bool {
        let sum = self.maker(value).filter(|node| node.op_type == "ReduceSum" && self.is_over_features(node));
        let Some(square) = sum.and_then(|sum| self.maker(self.bare(input(sum, 0)?))) else { return false };
        let (Some(a), b) = (input(square, 0), input(square, 1)) else { return false };
        // |x|^2 is x^2.
        let is_x = |value: &str| {
            let before = self.maker(value).filter(|node| node.op_type == "Abs").and_then(|node| input(node, 0));
            self.same_value(before.unwrap_or(value), x)
        };
        match (&*square.op_type, b) {
            ("Mul", Some(b)) => is_x(a) && is_x(b),
            ("Pow", Some(power)) => is_x(a) && self.scalar(power) == Some(2.0),
            _ => false,
        }
    }

    fn same_value(&self, a: &str, b: &str) -> bool {
        a == b || self.bare(a) == self.bare(b)
    }
}
