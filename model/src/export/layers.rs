//! The parts of an encoder as nodes.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};

use super::exporter::Exporter;
use super::graph::{Value, float, int, ints};
use crate::calibrated::CalibratedModel;
use crate::config::Activation;
use crate::matrix::Matrix;
use crate::proto::DataType;
use crate::weights::{EmbeddingWeights, LayerNorm, LayerWeights};

/// What all layers read, or the last of them.
pub(super) struct Shared {
    /// Added to attention scores, `[batch, 1, 1, sequence]`: 0 for tokens, the least f32 for padding.
    mask: Value,
    /// The shape `[batch, sequence, heads, head size]`.
    heads: Value,
    /// The shape `[batch, sequence, hidden]`.
    pub(super) states: Value,
}

impl Exporter<'_> {
    /// Makes the mask and the shapes.
    pub(super) fn shared(&mut self, ids: &Value, mask: &Value) -> Shared {
        let (hidden, heads) = (self.config.hidden_size as i64, self.config.heads as i64);
        let size = self.config.head_size() as i64;
        let graph = &mut self.graph;
        let (axis1, axis2) = (graph.whole(&[1]), graph.whole(&[2]));
        let (one, least) = (graph.scalar(1.0), graph.scalar(f32::MIN));
        let (heads, hidden) = (graph.whole(&[heads, size]), graph.whole(&[hidden]));
        let mut node = |name: &str, inputs: &[&Value], attributes| graph.node(name.to_owned(), inputs, attributes);
        let mask = node("attention_mask/Unsqueeze", &[mask, &axis1], vec![]);
        let mask = node("attention_mask/Unsqueeze_1", &[&mask, &axis2], vec![]);
        let mask = node("attention_mask/Cast", &[&mask], vec![int("to", DataType::Float as i64)]);
        let padding = node("attention_mask/Sub", &[&one, &mask], vec![]);
        let mask = node("attention_mask/Mul", &[&padding, &least], vec![]);
        let shape = node("shape/Shape", &[ids], vec![]);
        let heads = node("shape/heads/Concat", &[&shape, &heads], vec![int("axis", 0)]);
        let states = node("shape/states/Concat", &[&shape, &hidden], vec![int("axis", 0)]);
        Shared { mask, heads, states }
    }

    /// Word + type + position embedding, normalised and projected to the width of the layers, `[tokens, hidden]`. The position table is cut to the length of the sequences.
    /// Without token types, the one row of their table is added to every token, where the architecture has such a table.
    pub(super) fn embeddings(&mut self, tables: &EmbeddingWeights, ids: &Value, types: Option<&Value>) -> Value {
        let has_types = self.config.architecture.has_token_types();
        let graph = &mut self.graph;
        let mut table = |name: &str, table: &Matrix| {
            graph.floats(format!("embeddings.{name}_embeddings.weight"), &[table.rows, table.cols], &table.data)
        };
        let word = table("word", &tables.word);
        let position = table("position", &tables.position);
        let token_type = table("token_type", &tables.token_type);
        let zero = graph.whole(&[0]);
        let mut node =
            |name: &str, inputs: &[&Value], attributes| graph.node(format!("embeddings/{name}"), inputs, attributes);
        let word = node("word/Gather", &[&word, ids], vec![]);
        let token_type = match types {
            Some(types) => node("token_type/Gather", &[&token_type, types], vec![]),
            None => token_type,
        };
        let length = node("position/Shape", &[ids], vec![int("start", 1), int("end", 2)]);
        let position = node("position/Slice", &[&position, &zero, &length, &zero], vec![]);
        let mut sum = node("Add", &[&word, &position], vec![]);
        if types.is_some() || has_types {
            sum = node("Add_1", &[&sum, &token_type], vec![]);
        }
        let states = self.layer_norm("embeddings.LayerNorm", &sum, &tables.norm);
        let rows = self.graph.whole(&[-1, tables.norm.gamma.len() as i64]);
        let x = self.graph.node("embeddings/Reshape".to_owned(), &[&states, &rows], vec![]);
        let Some(projection) = &tables.projection else { return x };
        let input = self.linear_input("embeddings_project", &x, CalibratedModel::projection_quant);
        let codes = self.codes.and_then(|stored| stored.projection.as_ref());
        self.linear("embeddings_project", &input, projection, codes)
    }

    /// One encoder layer.
    pub(super) fn layer(&mut self, i: usize, weights: &LayerWeights, x: Value, shared: &Shared) -> Value {
        let at = format!("encoder.layer.{i}");
        let name = |part: &str| format!("{at}.{part}");
        let stored = self.codes.and_then(|stored| stored.layers.get(i));
        let codes = |linear: usize| stored.and_then(|stored| stored.linears[linear].as_ref());
        let input = self.linear_input(&name("attention.self"), &x, |model| Some(&model.quant().get(i)?.attn_in));
        let q = self.linear(&name("attention.self.query"), &input, &weights.q, codes(0));
        let k = self.linear(&name("attention.self.key"), &input, &weights.k, codes(1));
        let v = self.linear(&name("attention.self.value"), &input, &weights.v, codes(2));
        let attended = self.attention(&name("attention.self"), [&q, &k, &v], shared);
        let input =
            self.linear_input(&name("attention.output"), &attended, |model| Some(&model.quant().get(i)?.attn_out));
        let o = self.linear(&name("attention.output.dense"), &input, &weights.o, codes(3));
        let x = self.residual(&name("attention.output"), &o, &x, &weights.attention_norm);

        let input = self.linear_input(&name("intermediate"), &x, |model| Some(&model.quant().get(i)?.ffn_in));
        let up = self.linear(&name("intermediate.dense"), &input, &weights.up, codes(4));
        let inner = self.activation(&name("intermediate"), &up);
        let input = self.linear_input(&name("output"), &inner, |model| Some(&model.quant().get(i)?.gelu_out));
        let down = self.linear(&name("output.dense"), &input, &weights.down, codes(5));
        self.residual(&name("output"), &down, &x, &weights.output_norm)
    }

    /// `softmax(Q K^T / sqrt(d) + mask) V` per head.
    fn attention(&mut self, at: &str, [q, k, v]: [&Value; 3], shared: &Shared) -> Value {
        let (features, size) = (self.config.attention_features(), self.config.head_size());
        let graph = &mut self.graph;
        let merged = graph.whole(&[-1, features as i64]);
        let root = graph.scalar((size as f32).sqrt());
        let mut node =
            |name: &str, inputs: &[&Value], attributes| graph.node(format!("{at}/{name}"), inputs, attributes);
        let mut per_head = |name: &str, x: &Value, order: &[i64]| {
            let x = node(&format!("{name}/Reshape"), &[x, &shared.heads], vec![]);
            node(&format!("{name}/Transpose"), &[&x], vec![ints("perm", order)])
        };
        let q = per_head("query", q, &[0, 2, 1, 3]);
        let k = per_head("key", k, &[0, 2, 3, 1]);
        let v = per_head("value", v, &[0, 2, 1, 3]);
        let scores = node("MatMul", &[&q, &k], vec![]);
        let scores = node("Div", &[&scores, &root], vec![]);
        let scores = node("Add", &[&scores, &shared.mask], vec![]);
        let weights = node("Softmax", &[&scores], vec![int("axis", -1)]);
        let out = node("MatMul_1", &[&weights, &v], vec![]);
        let out = node("Transpose", &[&out], vec![ints("perm", &[0, 2, 1, 3])]);
        node("Reshape", &[&out, &merged], vec![])
    }

    /// The activation of the feed-forward block, in the form that runtimes know again.
    fn activation(&mut self, at: &str, x: &Value) -> Value {
        let graph = &mut self.graph;
        match self.config.activation {
            Activation::Gelu => {
                let (root, one, half) = (graph.scalar(SQRT_2), graph.scalar(1.0), graph.scalar(0.5));
                let mut node = |name: &str, inputs: &[&Value]| graph.node(format!("{at}/{name}"), inputs, vec![]);
                let scaled = node("Div", &[x, &root]);
                let erf = node("Erf", &[&scaled]);
                let sum = node("Add", &[&erf, &one]);
                let product = node("Mul", &[x, &sum]);
                node("Mul_1", &[&product, &half])
            }
            Activation::GeluTanh => {
                let (three, cubic) = (graph.scalar(3.0), graph.scalar(0.044715));
                let (root, one, half) =
                    (graph.scalar(FRAC_2_SQRT_PI * FRAC_1_SQRT_2), graph.scalar(1.0), graph.scalar(0.5));
                let mut node = |name: &str, inputs: &[&Value]| graph.node(format!("{at}/{name}"), inputs, vec![]);
                let cube = node("Pow", &[x, &three]);
                let cube = node("Mul", &[&cube, &cubic]);
                let sum = node("Add", &[x, &cube]);
                let scaled = node("Mul_1", &[&sum, &root]);
                let tanh = node("Tanh", &[&scaled]);
                let sum = node("Add_1", &[&tanh, &one]);
                let halved = node("Mul_2", &[x, &half]);
                node("Mul_3", &[&halved, &sum])
            }
            Activation::Relu => graph.node(format!("{at}/Relu"), &[x], vec![]),
        }
    }

    /// `norm(x + residual)`.
    fn residual(&mut self, at: &str, x: &Value, residual: &Value, norm: &LayerNorm) -> Value {
        let sum = self.graph.node(format!("{at}/Add"), &[x, residual], vec![]);
        self.layer_norm(&format!("{at}.LayerNorm"), &sum, norm)
    }

    fn layer_norm(&mut self, at: &str, x: &Value, norm: &LayerNorm) -> Value {
        let graph = &mut self.graph;
        let gamma = graph.floats(format!("{at}.weight"), &[norm.gamma.len()], &norm.gamma);
        let beta = graph.floats(format!("{at}.bias"), &[norm.beta.len()], &norm.beta);
        let settings = vec![int("axis", -1), float("epsilon", self.config.layer_norm_eps)];
        graph.node(format!("{at}/LayerNormalization"), &[x, &gamma, &beta], settings)
    }
}
