//! The modules behind pooling.

use std::f32::consts::SQRT_2;

use super::exporter::Exporter;
use super::graph::{Value, float, int, ints};
use crate::pooling::{DenseModule, ModuleActivation, NormModule, SentenceModule};
use crate::transpose::transposed;

impl Exporter<'_> {
    /// The result `[batch, out]` of a module for vectors `[batch, in]`; `at` begins the names of its nodes and constants.
    pub(super) fn module(&mut self, at: &str, module: &SentenceModule, x: &Value) -> Value {
        match module {
            SentenceModule::Normalize => {
                let tiny = self.graph.scalar(f32::MIN_POSITIVE);
                let mut node = |name: &str, inputs: &[&Value], attributes| {
                    self.graph.node(format!("{at}/norm/{name}"), inputs, attributes)
                };
                let norm = node("ReduceL2", &[x], vec![ints("axes", &[1]), int("keepdims", 1)]);
                let norm = node("Max", &[&norm, &tiny], vec![]);
                node("Div", &[x, &norm], vec![])
            }
            SentenceModule::LayerNorm(NormModule { norm, epsilon }) => {
                let features = [norm.gamma.len()];
                let gamma = self.graph.floats(format!("{at}.norm.weight"), &features, &norm.gamma);
                let beta = self.graph.floats(format!("{at}.norm.bias"), &features, &norm.beta);
                let settings = vec![int("axis", -1), float("epsilon", *epsilon)];
                self.graph.node(format!("{at}/LayerNormalization"), &[x, &gamma, &beta], settings)
            }
            SentenceModule::Dense(DenseModule { linear, activation }) => {
                let (m, k) = (linear.outputs(), linear.inputs());
                let weight = transposed(m, k, &linear.weight.data);
                let weight = self.graph.floats(format!("{at}.linear.weight"), &[k, m], &weight);
                let bias = self.graph.floats(format!("{at}.linear.bias"), &[m], &linear.bias);
                let product = self.graph.node(format!("{at}/MatMul"), &[x, &weight], vec![]);
                let sum = self.graph.node(format!("{at}/Add"), &[&product, &bias], vec![]);
                self.module_activation(&format!("{at}/activation"), *activation, sum)
            }
        }
    }

    fn module_activation(&mut self, at: &str, activation: ModuleActivation, x: Value) -> Value {
        let graph = &mut self.graph;
        let (root, one, half) = (graph.scalar(SQRT_2), graph.scalar(1.0), graph.scalar(0.5));
        let mut node = |name: &str, inputs: &[&Value]| graph.node(format!("{at}/{name}"), inputs, vec![]);
        match activation {
            ModuleActivation::Identity => x,
            ModuleActivation::Tanh => node("Tanh", &[&x]),
            ModuleActivation::Sigmoid => node("Sigmoid", &[&x]),
            ModuleActivation::Relu => node("Relu", &[&x]),
            ModuleActivation::Silu => {
                let gate = node("Sigmoid", &[&x]);
                node("Mul", &[&x, &gate])
            }
            ModuleActivation::Gelu => {
                let scaled = node("Div", &[&x, &root]);
                let erf = node("Erf", &[&scaled]);
                let sum = node("Add", &[&erf, &one]);
                let product = node("Mul", &[&x, &sum]);
                node("Mul_1", &[&product, &half])
            }
        }
    }
}
