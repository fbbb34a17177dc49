//! An encoder as a graph, in the spellings of exporters and optimisers.

use lacuna_model::{LayerNorm, LayerWeights, Linear, Model};

use crate::build::{Build, FUSED, Setting};
use crate::proto::DataType;

/// How layer normalisations are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormForm {
    /// LayerNormalization.
    Operator,
    /// ReduceMean, Sub, Pow, ...
    WrittenOut,
    /// SkipLayerNormalization, which adds the residual; the layer before it has no bias of its own.
    Skip,
}

/// How attention is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttentionForm {
    /// Keys by one Transpose.
    Plain,
    /// Keys by Reshape to three dimensions, Transpose and Reshape; queries and keys times the fourth root.
    ThroughThree,
    /// The same with the shape taken before the Transpose, and the softmax written out, as ONNX Runtime's optimiser leaves them.
    ThroughThreeOptimised,
    /// The same, but split between the wrong dimensions.
    ThroughThreeWrong,
    /// FusedMatMul with transB and alpha.
    FusedMatMul,
    /// com.microsoft Attention.
    Packed,
    /// com.microsoft MultiHeadAttention, with a bias of its own.
    MultiHead,
    /// com.microsoft MultiHeadAttention behind layers with biases.
    MultiHeadWithout,
    /// ONNX's own Attention of four dimensions.
    Onnx,
    /// ONNX's own Attention of three dimensions.
    OnnxThree,
    /// com.microsoft Attention of a decoder.
    Causal,
    /// A constant mask that is different from place to place.
    ConstantMask,
    /// A mask from Trilu.
    Triangle,
}

/// How the activation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActivationForm {
    WrittenOut,
    Gelu,
    FusedGelu,
    BiasGelu,
    FastGelu,
}

/// How the embeddings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmbeddingForm {
    Plain,
    /// EmbedLayerNormalization.
    Fused,
    /// The first row of the token types is added to all.
    OneType,
    /// No token types.
    NoTypes,
}

/// All of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) norm: NormForm,
    pub(crate) attention: AttentionForm,
    pub(crate) activation: ActivationForm,
    pub(crate) embeddings: EmbeddingForm,
    /// Linear layers as Gemm with transB between changes of shape.
    pub(crate) gemm: bool,
    pub(crate) epsilon: f32,
}

impl Form {
    pub(crate) const PLAIN: Form = Form {
        norm: NormForm::Operator,
        attention: AttentionForm::Plain,
        activation: ActivationForm::WrittenOut,
        embeddings: EmbeddingForm::Plain,
        gemm: false,
        epsilon: 1e-12,
    };
}

/// Adds the encoder to a graph and returns its last hidden states.
pub(crate) fn encoder(b: &mut Build, model: &Model, form: Form) -> String {
    let weights = model.weights();
    b.input("input_ids");
    b.input("attention_mask");
    if matches!(form.embeddings, EmbeddingForm::Plain | EmbeddingForm::Fused) {
        b.input("token_type_ids");
    }
    let mut parts = Parts { b, model, form, mask: String::new() };
    parts.mask = parts.mask();
    let mut x = parts.embeddings();
    for layer in &weights.layers {
        x = parts.layer(layer, x);
    }
    x
}

struct Parts<'a> {
    b: &'a mut Build,
    model: &'a Model,
    form: Form,
    mask: String,
}

impl Parts<'_> {
    fn mask(&mut self) -> String {
        let (one, two) = (self.b.whole(&[1]), self.b.whole(&[2]));
        let mask = self.b.node("Unsqueeze", &["attention_mask", &one], &[]);
        let mask = self.b.node("Unsqueeze", &[&mask, &two], &[]);
        let mask = self.b.node("Cast", &[&mask], &[Setting::int("to", DataType::Float as i64)]);
        let (one, least) = (self.b.scalar(1.0), self.b.scalar(-10000.0));
        let padding = self.b.node("Sub", &[&one, &mask], &[]);
        self.b.node("Mul", &[&padding, &least], &[])
    }

    fn embeddings(&mut self) -> String {
        let tables = &*self.model.weights().embeddings;
        let hidden = self.model.config().hidden_size;
        let word = self.b.floats(&[tables.word.rows, hidden], &tables.word.data);
        let position = self.b.floats(&[tables.position.rows, hidden], &tables.position.data);
        let kinds = self.b.floats(&[tables.token_type.rows, hidden], &tables.token_type.data);
        if self.form.embeddings == EmbeddingForm::Fused {
            let (gamma, beta) = self.vectors(&tables.norm);
            let epsilon = Setting::float("epsilon", self.form.epsilon);
            let inputs = ["input_ids", "token_type_ids", &word, &position, &kinds, &gamma, &beta, "attention_mask"];
            let [x, count] = self.b.outputs(FUSED, "EmbedLayerNormalization", &inputs, &[epsilon]);
            self.mask = count;
            return x;
        }
        let word = self.b.node("Gather", &[&word, "input_ids"], &[]);
        let (zero, one) = (self.b.whole(&[0]), self.b.whole(&[1]));
        let places: Vec<i64> = (0..tables.position.rows as i64).collect();
        let bytes = places.iter().flat_map(|place| place.to_le_bytes()).collect();
        let places = self.b.raw(&[1, tables.position.rows], DataType::Int64, bytes);
        let shape = self.b.node("Shape", &["input_ids"], &[]);
        let length = self.b.index(1);
        let length = self.b.node("Gather", &[&shape, &length], &[]);
        let length = self.b.node("Unsqueeze", &[&length, &zero], &[]);
        let places = self.b.node("Slice", &[&places, &zero, &length, &one], &[]);
        let position = self.b.node("Gather", &[&position, &places], &[]);
        let mut sum = self.b.node("Add", &[&word, &position], &[]);
        match self.form.embeddings {
            EmbeddingForm::OneType => {
                let row = self.b.floats(&[hidden], tables.token_type.row(0));
                sum = self.b.node("Add", &[&sum, &row], &[]);
            }
            EmbeddingForm::NoTypes => {}
            _ => {
                let kinds = self.b.node("Gather", &[&kinds, "token_type_ids"], &[]);
                sum = self.b.node("Add", &[&kinds, &sum], &[]);
            }
        }
        self.norm(&sum, &tables.norm)
    }

    fn vectors(&mut self, norm: &LayerNorm) -> (String, String) {
        let features = norm.gamma.len();
        (self.b.floats(&[features], &norm.gamma), self.b.floats(&[features], &norm.beta))
    }

    fn norm(&mut self, x: &str, norm: &LayerNorm) -> String {
        let (gamma, beta) = self.vectors(norm);
        if self.form.norm != NormForm::WrittenOut {
            let settings = [Setting::float("epsilon", self.form.epsilon), Setting::int("axis", -1)];
            return self.b.node("LayerNormalization", &[x, &gamma, &beta], &settings);
        }
        let last = self.b.whole(&[-1]);
        let mean = self.b.node("ReduceMean", &[x, &last], &[]);
        let deviation = self.b.node("Sub", &[x, &mean], &[]);
        let two = self.b.scalar(2.0);
        let square = self.b.node("Pow", &[&deviation, &two], &[]);
        let variance = self.b.node("ReduceMean", &[&square, &last], &[]);
        let epsilon = self.b.scalar(self.form.epsilon);
        let sum = self.b.node("Add", &[&variance, &epsilon], &[]);
        let root = self.b.node("Sqrt", &[&sum], &[]);
        let normal = self.b.node("Div", &[&deviation, &root], &[]);
        let scaled = self.b.node("Mul", &[&normal, &gamma], &[]);
        self.b.node("Add", &[&scaled, &beta], &[])
    }

    /// `x W`, without bias.
    fn product(&mut self, x: &str, linear: &Linear) -> String {
        let weight = transposed(linear);
        let weight = self.b.floats(&[linear.inputs(), linear.outputs()], &weight);
        self.b.node("MatMul", &[x, &weight], &[])
    }

    fn linear(&mut self, x: &str, linear: &Linear) -> String {
        let bias = self.b.floats(&[linear.outputs()], &linear.bias);
        if !self.form.gemm {
            let product = self.product(x, linear);
            return self.b.node("Add", &[&product, &bias], &[]);
        }
        let weight = self.b.floats(&[linear.outputs(), linear.inputs()], &linear.weight.data);
        let flat = self.b.whole(&[-1, linear.inputs() as i64]);
        let rows = self.b.node("Reshape", &[x, &flat], &[]);
        let product = self.b.node("Gemm", &[&rows, &weight, &bias], &[Setting::int("transB", 1)]);
        let shape = self.b.node("Shape", &["input_ids"], &[]);
        let features = self.b.whole(&[linear.outputs() as i64]);
        let shape = self.b.node("Concat", &[&shape, &features], &[Setting::int("axis", 0)]);
        self.b.node("Reshape", &[&product, &shape], &[])
    }

    /// A linear layer, the residual and the normalisation of both.
    fn residual(&mut self, x: &str, linear: &Linear, residual: &str, norm: &LayerNorm) -> String {
        if self.form.norm != NormForm::Skip {
            let y = self.linear(x, linear);
            let sum = self.b.node("Add", &[&y, residual], &[]);
            return self.norm(&sum, norm);
        }
        let y = self.product(x, linear);
        let (gamma, beta) = self.vectors(norm);
        let bias = self.b.floats(&[linear.outputs()], &linear.bias);
        let epsilon = Setting::float("epsilon", self.form.epsilon);
        let inputs = [residual, &y, &gamma, &beta, &bias];
        self.b.node_of(FUSED, "SkipLayerNormalization", &inputs, &[epsilon])
    }

    fn layer(&mut self, layer: &LayerWeights, x: String) -> String {
        let context = self.attention(layer, &x);
        let x = self.residual(&context, &layer.o, &x, &layer.attention_norm);
        let inner = self.inner(&x, &layer.up);
        self.residual(&inner, &layer.down, &x, &layer.output_norm)
    }

    fn inner(&mut self, x: &str, up: &Linear) -> String {
        let bias = self.b.floats(&[up.outputs()], &up.bias);
        match self.form.activation {
            ActivationForm::BiasGelu | ActivationForm::FastGelu => {
                let operator = if self.form.activation == ActivationForm::BiasGelu { "BiasGelu" } else { "FastGelu" };
                let product = self.product(x, up);
                self.b.node_of(FUSED, operator, &[&product, &bias], &[])
            }
            ActivationForm::Gelu => {
                let h = self.linear(x, up);
                self.b.node("Gelu", &[&h], &[])
            }
            ActivationForm::FusedGelu => {
                let h = self.linear(x, up);
                self.b.node_of(FUSED, "Gelu", &[&h], &[])
            }
            ActivationForm::WrittenOut => {
                let h = self.linear(x, up);
                let (root, one, half) =
                    (self.b.scalar(std::f32::consts::SQRT_2), self.b.scalar(1.0), self.b.scalar(0.5));
                let scaled = self.b.node("Div", &[&h, &root], &[]);
                let erf = self.b.node("Erf", &[&scaled], &[]);
                let sum = self.b.node("Add", &[&erf, &one], &[]);
                let product = self.b.node("Mul", &[&h, &sum], &[]);
                self.b.node("Mul", &[&product, &half], &[])
            }
        }
    }

    fn attention(&mut self, layer: &LayerWeights, x: &str) -> String {
        let (heads, size) = (self.model.config().heads, self.model.config().head_size());
        let hidden = heads * size;
        let num_heads = Setting::int("num_heads", heads as i64);
        let mask = self.mask.clone();
        let linears = [&layer.q, &layer.k, &layer.v];
        match self.form.attention {
            AttentionForm::Packed | AttentionForm::Causal => {
                let columns: Vec<Vec<f32>> = linears.iter().map(|linear| transposed(linear)).collect();
                let rows = (0..hidden)
                    .flat_map(|row| columns.iter().flat_map(move |of| of[row * hidden..][..hidden].to_vec()));
                let weights = self.b.floats(&[hidden, 3 * hidden], &rows.collect::<Vec<_>>());
                let bias: Vec<f32> = linears.iter().flat_map(|linear| linear.bias.clone()).collect();
                let bias = self.b.floats(&[3 * hidden], &bias);
                let causal = Setting::int("unidirectional", i64::from(self.form.attention == AttentionForm::Causal));
                self.b.node_of(FUSED, "Attention", &[x, &weights, &bias, &mask], &[num_heads, causal])
            }
            AttentionForm::MultiHead => {
                let [q, k, v] = linears.map(|linear| self.product(x, linear));
                let bias: Vec<f32> = linears.iter().flat_map(|linear| linear.bias.clone()).collect();
                let bias = self.b.floats(&[3 * hidden], &bias);
                self.b.node_of(FUSED, "MultiHeadAttention", &[&q, &k, &v, &bias, "", &mask], &[num_heads])
            }
            AttentionForm::MultiHeadWithout => {
                let [q, k, v] = linears.map(|linear| self.linear(x, linear));
                self.b.node_of(FUSED, "MultiHeadAttention", &[&q, &k, &v, "", &mask], &[num_heads])
            }
            AttentionForm::OnnxThree => {
                let [q, k, v] = linears.map(|linear| self.linear(x, linear));
                let settings = ["q_num_heads", "kv_num_heads"].map(|name| Setting::int(name, heads as i64));
                self.b.node("Attention", &[&q, &k, &v, &mask], &settings)
            }
            _ => {
                let [q, k, v] = linears.map(|linear| {
                    let y = self.linear(x, linear);
                    self.per_head(&y)
                });
                let context = self.four(&q, &k, &v, size, &mask);
                let context = self.b.node("Transpose", &[&context], &[Setting::ints("perm", &[0, 2, 1, 3])]);
                let beside = self.b.whole(&[0, 0, hidden as i64]);
                self.b.node("Reshape", &[&context, &beside], &[])
            }
        }
    }

    /// `[batch, sequence, heads, size]`.
    fn per_head(&mut self, x: &str) -> String {
        let (heads, size) = (self.model.config().heads, self.model.config().head_size());
        let shape = self.b.whole(&[0, 0, heads as i64, size as i64]);
        self.b.node("Reshape", &[x, &shape], &[])
    }

    fn four(&mut self, q: &str, k: &str, v: &str, size: usize, mask: &str) -> String {
        let turned = |b: &mut Build, x: &str, order: &[i64]| b.node("Transpose", &[x], &[Setting::ints("perm", order)]);
        let (q, v) = (turned(self.b, q, &[0, 2, 1, 3]), turned(self.b, v, &[0, 2, 1, 3]));
        let root = (size as f32).sqrt();
        let scores = match self.form.attention {
            AttentionForm::FusedMatMul => {
                let k = turned(self.b, k, &[0, 2, 1, 3]);
                let settings = [Setting::float("alpha", 1.0 / root), Setting::int("transB", 1)];
                self.b.node_of(FUSED, "FusedMatMul", &[&q, &k], &settings)
            }
            AttentionForm::Onnx => {
                let k = turned(self.b, k, &[0, 2, 1, 3]);
                return self.b.node("Attention", &[&q, &k, &v, mask], &[Setting::float("scale", 1.0 / root)]);
            }
            AttentionForm::ThroughThree | AttentionForm::ThroughThreeOptimised | AttentionForm::ThroughThreeWrong => {
                let split = k;
                let k = turned(self.b, k, &[0, 2, 1, 3]);
                let k = self.exchanged(split, &k);
                let factor = self.b.scalar(root.sqrt().recip());
                let q = self.b.node("Mul", &[&q, &factor], &[]);
                let k = self.b.node("Mul", &[&k, &factor], &[]);
                self.b.node("MatMul", &[&q, &k], &[])
            }
            _ => {
                let k = turned(self.b, k, &[0, 2, 3, 1]);
                let scores = self.b.node("MatMul", &[&q, &k], &[]);
                let root = self.b.scalar(root);
                self.b.node("Div", &[&scores, &root], &[])
            }
        };
        let mask = match self.form.attention {
            AttentionForm::ConstantMask => self.b.floats(&[1, 1, 2, 2], &[0.0, -10000.0, 0.0, 0.0]),
            AttentionForm::Triangle => self.b.node("Trilu", &[mask], &[]),
            _ => mask.to_owned(),
        };
        let scores = self.b.node("Add", &[&scores, &mask], &[]);
        let weights = match self.form.attention {
            AttentionForm::ThroughThreeOptimised => self.softmax(&scores),
            _ => self.b.node("Softmax", &[&scores], &[Setting::int("axis", -1)]),
        };
        self.b.node("MatMul", &[&weights, &v], &[])
    }

    fn softmax(&mut self, x: &str) -> String {
        let last = self.b.whole(&[-1]);
        let most = self.b.node("ReduceMax", &[x, &last], &[]);
        let less = self.b.node("Sub", &[x, &most], &[]);
        let powers = self.b.node("Exp", &[&less], &[]);
        let sum = self.b.node("ReduceSum", &[&powers, &last], &[]);
        self.b.node("Div", &[&powers, &sum], &[])
    }

    /// The last two of four dimensions exchanged, by way of three.
    fn exchanged(&mut self, split: &str, k: &str) -> String {
        let shape = match self.form.attention {
            AttentionForm::ThroughThreeOptimised => {
                let (shape, order) = (self.b.node("Shape", &[split], &[]), self.b.whole(&[0, 2, 1, 3]));
                self.b.node("Gather", &[&shape, &order], &[])
            }
            _ => self.b.node("Shape", &[k], &[]),
        };
        let mut cut = |from: i64, to: i64| {
            let (from, to, axis) = (self.b.whole(&[from]), self.b.whole(&[to]), self.b.whole(&[0]));
            self.b.node("Slice", &[&shape, &from, &to, &axis], &[])
        };
        let (last, second, first) = (cut(-1, i64::MAX), cut(-2, -1), cut(0, -2));
        let wrong = self.form.attention == AttentionForm::ThroughThreeWrong;
        let (second, third) = if wrong { (cut(1, 2), second) } else { (second.clone(), second) };
        let axis = [Setting::int("axis", 0)];
        let free = self.b.whole(&[-1]);
        let flat = self.b.node("Concat", &[&free, &second, &last], &axis);
        let flat = self.b.node("Reshape", &[k, &flat], &[]);
        let flat = self.b.node("Transpose", &[&flat], &[Setting::ints("perm", &[0, 2, 1])]);
        let whole = self.b.node("Concat", &[&first, &last, &third], &axis);
        self.b.node("Reshape", &[&flat, &whole], &[])
    }
}

/// `[K][M]` of `[M][K]`.
pub(crate) fn transposed(linear: &Linear) -> Vec<f32> {
    let (m, k) = (linear.outputs(), linear.inputs());
    (0..m * k).map(|i| linear.weight.data[i % m * k + i / m]).collect()
}
