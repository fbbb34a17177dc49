//! Which function the nodes between two linear layers compute: by computing it.
//!
//! There are many ways to write GELU. The nodes between two linear layers are a function of one number. Its values at some points
//! are compared with those of the known functions.

use std::collections::HashMap;

use super::chain::Pass;
use super::graph::Graph;
use super::node::{attribute, input, output};
use super::product::Product;
use crate::config::Activation;
use crate::error::{OnnxError, Result};
use crate::heads::DenseActivation;
use crate::reference::{activate, erf};

/// Places at which functions are compared: -8 to 8.
const PLACES: usize = 65;
/// Further places, on both sides of 0: functions that are cut off somewhere differ there.
const FAR: [f32; 9] = [9.0, 11.0, 14.0, 20.0, 40.0, 100.0, 500.0, 2000.0, 10000.0];
/// Largest difference, relative beyond 1: the two forms of GELU differ by 4.7e-4, constants in f16 by less than this.
const TOLERANCE: f32 = 1.5e-4;
/// Deepest nesting, and most nodes, of a function.
const MAX_NODES: usize = 64;

impl Graph {
    /// The function that makes a value from the output of a linear layer, and that layer.
    pub(super) fn function<'g>(&'g self, value: &'g str) -> Result<(DenseActivation, Product<'g>)> {
        let places = places();
        let (values, layer) = self.sampled(value, &places)?;
        let mut known: Vec<(DenseActivation, Vec<f32>)> = Activation::ALL
            .map(|activation| {
                let mut values = places.clone();
                activate(activation, &mut values);
                (DenseActivation::Feature(activation), values)
            })
            .to_vec();
        known.push((DenseActivation::Tanh, places.iter().map(|x| x.tanh()).collect()));
        match known.into_iter().find(|(_, expected)| agree(&values, expected)) {
            Some((function, _)) => Ok((function, layer)),
            None => Err(self.unknown_function(value, &values, "GELU in its erf or tanh form, ReLU or tanh").into()),
        }
    }

    /// The values of the function that makes a value from the output of a linear layer, and that layer.
    pub(super) fn sampled<'g>(&'g self, value: &'g str, places: &[f32]) -> Result<(Vec<f32>, Product<'g>)> {
        let mut walk = Walk { graph: self, places, known: HashMap::new(), layer: None, nodes: 0 };
        let values = walk.values(value)?;
        match walk.layer {
            Some(layer) => Ok((values, layer)),
            None => Err(self.stop(value, "an activation function of a linear layer").into()),
        }
    }

    pub(super) fn unknown_function(&self, value: &str, values: &[f32], expected: &str) -> OnnxError {
        let at = |x: usize| format!("f({}) = {}", place(x), values[x]);
        self.stop_with(value, format!("a function with {}, {}, {}", at(28), at(36), at(44)), expected)
    }
}

/// Places at which functions are compared.
pub(super) fn places() -> Vec<f32> {
    (0..PLACES).map(place).chain(FAR.into_iter().flat_map(|x| [x, -x])).collect()
}

fn place(i: usize) -> f32 {
    (i as f32 - 32.0) / 4.0
}

/// Whether two functions have the same values, but for rounding.
pub(super) fn agree(values: &[f32], expected: &[f32]) -> bool {
    values.iter().zip(expected).all(|(a, b)| (a - b).abs() <= TOLERANCE * b.abs().max(1.0))
}

struct Walk<'g, 'p> {
    graph: &'g Graph,
    places: &'p [f32],
    known: HashMap<&'g str, Vec<f32>>,
    layer: Option<Product<'g>>,
    nodes: usize,
}

impl<'g> Walk<'g, '_> {
    fn values(&mut self, value: &'g str) -> Result<Vec<f32>> {
        if let Some(values) = self.known.get(value) {
            return Ok(values.clone());
        }
        let values = self.computed(value)?;
        self.known.insert(value, values.clone());
        Ok(values)
    }

    fn computed(&mut self, value: &'g str) -> Result<Vec<f32>> {
        const EXPECTED: &str = "an activation function: operators on single numbers, of one linear layer";
        let graph = self.graph;
        if let Some(number) = graph.scalar(value) {
            return Ok(vec![number; self.places.len()]);
        }
        if let Some(product) = graph.product(value) {
            // The same layer may be read before and behind a change of shape.
            let same = self.layer.as_ref().is_none_or(|layer| output(layer.node) == output(product.node));
            if !same {
                return Err(graph.stop(value, EXPECTED).into());
            }
            self.layer = Some(product);
            return Ok(self.places.to_vec());
        }
        self.nodes += 1;
        let node = graph.maker(value).filter(|_| self.nodes <= MAX_NODES).ok_or_else(|| graph.stop(value, EXPECTED))?;
        let mut operand = |i| match input(node, i) {
            Some(name) => self.values(name),
            None => Err(graph.stop_with(value, format!("no input {i}"), EXPECTED).into()),
        };
        let unary = |xs: Vec<f32>, f: fn(f32) -> f32| Ok(xs.into_iter().map(f).collect());
        let binary = |xs: Vec<f32>, ys: Vec<f32>, f: fn(f32, f32) -> f32| {
            Ok(xs.into_iter().zip(ys).map(|(x, y)| f(x, y)).collect())
        };
        match &*node.op_type {
            "Add" => binary(operand(0)?, operand(1)?, |x, y| x + y),
            "Sub" => binary(operand(0)?, operand(1)?, |x, y| x - y),
            "Mul" => binary(operand(0)?, operand(1)?, |x, y| x * y),
            "Div" => binary(operand(0)?, operand(1)?, |x, y| x / y),
            "Pow" => binary(operand(0)?, operand(1)?, f32::powf),
            "Max" if node.input.len() == 2 => binary(operand(0)?, operand(1)?, f32::max),
            "Min" if node.input.len() == 2 => binary(operand(0)?, operand(1)?, f32::min),
            "Erf" => unary(operand(0)?, erf),
            "Tanh" => unary(operand(0)?, f32::tanh),
            "Sqrt" => unary(operand(0)?, f32::sqrt),
            "Exp" => unary(operand(0)?, f32::exp),
            "Neg" => unary(operand(0)?, |x| -x),
            "Sigmoid" => unary(operand(0)?, |x| 1.0 / (1.0 + (-x).exp())),
            "Relu" => unary(operand(0)?, |x| x.max(0.0)),
            "Gelu" => {
                let tanh = attribute(node, "approximate").and_then(|a| a.s.as_deref()) == Some(b"tanh");
                let mut xs = operand(0)?;
                activate(if tanh { Activation::GeluTanh } else { Activation::Gelu }, &mut xs);
                Ok(xs)
            }
            _ => match graph.pass(value) {
                Some((before, Pass::Same | Pass::Reshape(_) | Pass::Quantise(_))) => self.values(before),
                _ => Err(graph.stop(value, EXPECTED).into()),
            },
        }
    }
}
