//! Pooling: from hidden states to embeddings, whatever the padding.

use super::exporter::Exporter;
use super::graph::{Value, int, ints};
use crate::pooling::{Pooling, PoolingMode};
use crate::proto::DataType;

/// What several modes share: the mask in the forms that they need.
struct Masks {
    /// `[batch, sequence]`, s64.
    whole: Value,
    /// `[batch, sequence]`, f32.
    float: Value,
    /// `[batch, sequence, 1]`, f32.
    weights: Value,
    /// The number of tokens `[batch, 1]`, f32, at least 1.
    count: Value,
}

impl Exporter<'_> {
    /// The embeddings `[batch, features]` of hidden states `[batch, sequence, hidden]`. Only tokens whose mask is 1 count. Padding must be
    /// on the right: the first token of a row is taken as the first of its text, and tokens are counted from there.
    pub(super) fn pool(&mut self, pooling: &Pooling, x: &Value, mask: &Value) -> Value {
        let masks = self.masks(mask);
        let modes = pooling.modes.iter().enumerate();
        let pooled: Vec<Value> =
            modes.map(|(i, mode)| self.pool_mode(&format!("pooling/{}{i}", mode.name()), *mode, x, &masks)).collect();
        let pooled = match &pooled[..] {
            [only] => only.clone(),
            all => {
                let parts: Vec<&Value> = all.iter().collect();
                self.graph.node("pooling/Concat".to_owned(), &parts, vec![int("axis", 1)])
            }
        };
        let modules = pooling.modules.iter().enumerate();
        modules.fold(pooled, |x, (i, module)| self.module(&format!("module.{i}"), module, &x))
    }

    fn masks(&mut self, mask: &Value) -> Masks {
        let graph = &mut self.graph;
        let (axis1, axis2, one) = (graph.whole(&[1]), graph.whole(&[2]), graph.scalar(1.0));
        let mut node =
            |name: &str, inputs: &[&Value], attributes| graph.node(format!("pooling/mask/{name}"), inputs, attributes);
        let float = node("Cast", &[mask], vec![int("to", DataType::Float as i64)]);
        let weights = node("Unsqueeze", &[&float, &axis2], vec![]);
        let count = node("ReduceSum", &[&float, &axis1], vec![int("keepdims", 1)]);
        let count = node("Max", &[&count, &one], vec![]);
        Masks { whole: mask.clone(), float, weights, count }
    }

    fn pool_mode(&mut self, at: &str, mode: PoolingMode, x: &Value, masks: &Masks) -> Value {
        let graph = &mut self.graph;
        let (axis1, axis2) = (graph.whole(&[1]), graph.whole(&[2]));
        let (zero, least) = (graph.whole(&[0]), graph.scalar(f32::MIN));
        let end = graph.whole(&[i64::MAX]);
        let mut node =
            |name: &str, inputs: &[&Value], attributes| graph.node(format!("{at}/{name}"), inputs, attributes);
        let flat = || int("keepdims", 0);
        match mode {
            PoolingMode::Cls => {
                let first = node("Slice", &[x, &zero, &axis1, &axis1], vec![]);
                node("Squeeze", &[&first, &axis1], vec![])
            }
            PoolingMode::Mean | PoolingMode::MeanSqrtLen => {
                let kept = node("Mul", &[x, &masks.weights], vec![]);
                let sum = node("ReduceSum", &[&kept, &axis1], vec![flat()]);
                match mode {
                    PoolingMode::Mean => node("Div", &[&sum, &masks.count], vec![]),
                    _ => {
                        let root = node("Sqrt", &[&masks.count], vec![]);
                        node("Div", &[&sum, &root], vec![])
                    }
                }
            }
            PoolingMode::Max => {
                let kept = node("Cast", &[&masks.weights], vec![int("to", DataType::Bool as i64)]);
                let kept = node("Where", &[&kept, x, &least], vec![]);
                node("ReduceMax", &[&kept], vec![ints("axes", &[1]), flat()])
            }
            PoolingMode::WeightedMean => {
                // 1, 2, 3, ... for tokens.
                let axis =
                    graph.constant("constant.axis.1".to_owned(), DataType::Int64, &[], || 1i64.to_le_bytes().to_vec());
                let mut node =
                    |name: &str, inputs: &[&Value], attributes| graph.node(format!("{at}/{name}"), inputs, attributes);
                let place = node("CumSum", &[&masks.float, &axis], vec![]);
                let place = node("Mul", &[&place, &masks.float], vec![]);
                let total = node("ReduceSum", &[&place, &axis1], vec![int("keepdims", 1)]);
                let place = node("Unsqueeze", &[&place, &axis2], vec![]);
                let kept = node("Mul_1", &[x, &place], vec![]);
                let sum = node("ReduceSum_1", &[&kept, &axis1], vec![flat()]);
                node("Div", &[&sum, &total], vec![])
            }
            PoolingMode::LastToken => {
                // The mask less the mask of the next place is 1 at the last token only.
                let rest = node("Slice", &[&masks.whole, &axis1, &end, &axis1], vec![]);
                let first = node("Slice_1", &[&masks.whole, &zero, &axis1, &axis1], vec![]);
                let none = node("Sub", &[&first, &first], vec![]);
                let next = node("Concat", &[&rest, &none], vec![int("axis", 1)]);
                let last = node("Sub_1", &[&masks.whole, &next], vec![]);
                let last = node("Cast", &[&last], vec![int("to", DataType::Float as i64)]);
                let last = node("Unsqueeze", &[&last, &axis2], vec![]);
                let kept = node("Mul", &[x, &last], vec![]);
                node("ReduceSum", &[&kept, &axis1], vec![flat()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rten_tensor::Tensor;
    use rten_tensor::prelude::*;

    use super::super::exporter::Arithmetic;
    use super::super::file::OnnxModel;
    use super::super::graph::{Dim, Graph};
    use super::*;
    use crate::matrix::Matrix;
    use crate::pooling::{DenseModule, LAYER_NORM_EPSILON, ModuleActivation, NormModule, SentenceModule};
    use crate::proto::{ModelProto, OperatorSetIdProto};
    use crate::seeded::Preset;
    use crate::weights::{LayerNorm, Linear};

    const FEATURES: usize = 5;
    const SEQUENCE: usize = 6;

    /// A graph that pools its input.
    fn graph(pooling: &Pooling) -> OnnxModel {
        let config = Preset::BertMini.config();
        let mut exporter =
            Exporter { graph: Graph::default(), config: &config, arithmetic: Arithmetic::Float, codes: None };
        let dims = [Dim::BATCH, Dim::SEQUENCE, Dim::Fixed(FEATURES)];
        let x = exporter.graph.input("x", DataType::Float, &dims);
        let mask = exporter.graph.input("mask", DataType::Int64, &[Dim::BATCH, Dim::SEQUENCE]);
        let pooled = exporter.pool(pooling, &x, &mask);
        exporter.graph.output(pooled, "pooled", DataType::Float, &[Dim::BATCH, Dim::Fixed(pooling.features(FEATURES))]);
        OnnxModel::from_proto(ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
            graph: Some(exporter.graph.finish("pool")),
            ..ModelProto::default()
        })
        .unwrap()
    }

    /// Two modes, a layer normalisation, a Dense module, and a normalisation.
    fn projected(activation: ModuleActivation) -> Pooling {
        let features = 2 * FEATURES;
        let value = |i: usize| ((i * 29) % 53) as f32 / 60.0 - 0.4;
        let linear = Linear {
            weight: Matrix { rows: 3, cols: features, data: (0..3 * features).map(value).collect() },
            bias: vec![0.5, -0.25, 1.0],
        };
        let norm =
            LayerNorm { gamma: (1..=features).map(value).collect(), beta: (7..features + 7).map(value).collect() };
        let modules = vec![
            SentenceModule::LayerNorm(NormModule { norm, epsilon: LAYER_NORM_EPSILON }),
            SentenceModule::Dense(DenseModule { linear, activation }),
            SentenceModule::Normalize,
        ];
        Pooling { modes: vec![PoolingMode::Cls, PoolingMode::Mean], modules, ..Pooling::new(PoolingMode::Mean, false) }
    }

    #[test]
    fn every_mode_pools_as_the_model_does_and_ignores_padding() {
        let lengths = [1usize, 6, 3, 2];
        let value = |i: usize| ((i * 37) % 101) as f32 / 10.0 - 7.0; // most negative, so that padding would show in a maximum
        let mut states: Vec<f32> = (0..lengths.len() * SEQUENCE * FEATURES).map(value).collect();
        states[..FEATURES].fill(0.0); // a vector without a direction
        let mut all: Vec<Pooling> =
            PoolingMode::ALL.iter().flat_map(|mode| [false, true].map(|norm| Pooling::new(*mode, norm))).collect();
        all.push(Pooling { modes: PoolingMode::ALL.to_vec(), ..Pooling::new(PoolingMode::Mean, true) });
        all.extend(ModuleActivation::ALL.map(projected));
        {
            for pooling in all {
                let model = rten::Model::load(graph(&pooling).to_bytes()).unwrap();
                let mask =
                    lengths.iter().flat_map(|&n| (0..SEQUENCE).map(move |i| i32::from(i < n))).collect::<Vec<_>>();
                let x = Tensor::from_data(&[lengths.len(), SEQUENCE, FEATURES], states.clone());
                let mask = Tensor::from_data(&[lengths.len(), SEQUENCE], mask);
                let id = |name| model.node_id(name).unwrap();
                let [pooled] =
                    model.run_n(vec![(id("x"), x.into()), (id("mask"), mask.into())], [id("pooled")], None).unwrap();
                let pooled: Tensor<f32> = pooled.try_into().unwrap();
                let sequences = states.chunks_exact(SEQUENCE * FEATURES).zip(lengths);
                for ((rows, n), found) in sequences.zip(pooled.to_vec().chunks_exact(pooling.features(FEATURES))) {
                    let data = rows[..n * FEATURES].to_vec();
                    let expected = pooling.pool(&Matrix { rows: n, cols: FEATURES, data });
                    for (a, b) in found.iter().zip(&expected) {
                        assert!(
                            (a - b).abs() <= 1e-6 * b.abs().max(0.1),
                            "{pooling:?}, {n} tokens: {found:?}, {expected:?}"
                        );
                    }
                }
            }
        }
    }
}
