//! Pooling: from hidden states to embeddings, whatever the padding.

use super::exporter::Exporter;
use super::graph::{Value, int, ints};
use crate::pooling::{Pooling, PoolingMode};
use crate::proto::DataType;

impl Exporter<'_> {
    /// The embeddings `[batch, hidden]` of hidden states `[batch, sequence, hidden]`. Only tokens whose mask is 1 count; with
    /// [`PoolingMode::Cls`], the first of a row is taken, so padding must be on the right.
    pub(super) fn pool(&mut self, pooling: &Pooling, x: &Value, mask: &Value) -> Value {
        let graph = &mut self.graph;
        let (axis1, axis2) = (graph.whole(&[1]), graph.whole(&[2]));
        let (zero, tiny) = (graph.whole(&[0]), graph.scalar(f32::MIN_POSITIVE));
        let (one, least) = (graph.scalar(1.0), graph.scalar(f32::MIN));
        let mut node =
            |name: &str, inputs: &[&Value], attributes| graph.node(format!("pooling/{name}"), inputs, attributes);
        let flat = || int("keepdims", 0);
        let pooled = match pooling.mode {
            PoolingMode::Cls => {
                let first = node("Slice", &[x, &zero, &axis1, &axis1], vec![]);
                node("Squeeze", &[&first, &axis1], vec![])
            }
            PoolingMode::Mean => {
                let mask = node("Unsqueeze", &[mask, &axis2], vec![]);
                let mask = node("Cast", &[&mask], vec![int("to", DataType::Float as i64)]);
                let kept = node("Mul", &[x, &mask], vec![]);
                let sum = node("ReduceSum", &[&kept, &axis1], vec![flat()]);
                let count = node("count/ReduceSum", &[&mask, &axis1], vec![flat()]);
                let count = node("count/Max", &[&count, &one], vec![]);
                node("Div", &[&sum, &count], vec![])
            }
            PoolingMode::Max => {
                let mask = node("Unsqueeze", &[mask, &axis2], vec![]);
                let mask = node("Cast", &[&mask], vec![int("to", DataType::Bool as i64)]);
                let kept = node("Where", &[&mask, x, &least], vec![]);
                node("ReduceMax", &[&kept], vec![ints("axes", &[1]), flat()])
            }
        };
        if !pooling.normalize {
            return pooled;
        }
        let norm = node("norm/ReduceL2", &[&pooled], vec![ints("axes", &[1]), int("keepdims", 1)]);
        let norm = node("norm/Max", &[&norm, &tiny], vec![]);
        node("norm/Div", &[&pooled, &norm], vec![])
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
    use crate::pooling::PoolingSource;
    use crate::proto::{ModelProto, OperatorSetIdProto};
    use crate::seeded::Preset;

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
        exporter.graph.output(pooled, "pooled", DataType::Float, &[Dim::BATCH, Dim::Fixed(FEATURES)]);
        OnnxModel::from_proto(ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
            graph: Some(exporter.graph.finish("pool")),
            ..ModelProto::default()
        })
        .unwrap()
    }

    #[test]
    fn every_mode_pools_as_the_model_does_and_ignores_padding() {
        let lengths = [1usize, 6, 3, 2];
        let value = |i: usize| ((i * 37) % 101) as f32 / 10.0 - 7.0; // most negative, so that padding would show in a maximum
        let mut states: Vec<f32> = (0..lengths.len() * SEQUENCE * FEATURES).map(value).collect();
        states[..FEATURES].fill(0.0); // a vector without a direction
        for mode in [PoolingMode::Mean, PoolingMode::Cls, PoolingMode::Max] {
            for normalize in [false, true] {
                let pooling = Pooling { mode, normalize, source: PoolingSource::Default };
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
                for ((rows, n), found) in sequences.zip(pooled.to_vec().chunks_exact(FEATURES)) {
                    let data = rows[..n * FEATURES].to_vec();
                    let expected = pooling.pool(&Matrix { rows: n, cols: FEATURES, data });
                    for (a, b) in found.iter().zip(&expected) {
                        assert!((a - b).abs() <= 1e-6 * b.abs(), "{pooling:?}, {n} tokens: {found:?}, {expected:?}");
                    }
                }
            }
        }
    }
}
