//! The backward pass against the automatic gradients of candle, in f64.

use candle_core::{D, DType, Device, Tensor, Var};
use lacuna_kernels::Block;
use lacuna_model::{
    Activation, EmbeddingWeights, EncoderConfig, LayerNorm, LayerWeights, Linear, Matrix, Model, PoolingMode, Preset,
    seeded_ids,
};
use lacuna_train::encoder::{Encoder, Saved, Scratch, Tensors, tensors, zeros_like};
use lacuna_train::mask::{Masks, masks_of};
use lacuna_train::ops::Pool;
use lacuna_train::{Batch, Result, Tiles};

fn config(activation: Activation) -> EncoderConfig {
    EncoderConfig {
        layers: 2,
        hidden_size: 24,
        heads: 3,
        intermediate_size: 40,
        vocab_size: 50,
        activation,
        ..Preset::BertMini.config()
    }
}

/// Weights of a loss that is linear in all hidden states and in the embeddings: `sum r x`.
fn random(rows: usize, cols: usize, seed: f32) -> Matrix {
    Matrix { rows, cols, data: (0..rows * cols).map(|i| (i as f32 * 1.7 + seed).sin()).collect() }
}

fn ours(
    config: &EncoderConfig,
    layers: &[LayerWeights],
    model: &Model,
    sequences: &[Vec<u32>],
) -> Result<(f64, Vec<LayerWeights>, EmbeddingWeights)> {
    let weights = lacuna_model::EncoderWeights { layers: layers.to_vec(), ..model.weights().clone() };
    let mut encoder = Encoder::trained(config, &weights)?;
    encoder.train_embeddings()?;
    let batch = Batch::new(config, sequences)?;
    let pool = Pool::new(PoolingMode::Mean, true)?;
    let (mut saved, mut gradients) = (Saved::default(), zeros_like(layers));
    encoder.forward(&batch, &mut saved)?;
    let pooled = pool.forward(&batch, saved.output())?;
    let mut loss = 0.0f64;
    let r = random(batch.sequences(), config.hidden_size, 0.5);
    loss += pooled.embeddings.data.iter().zip(&r.data).map(|(e, r)| f64::from(e * r)).sum::<f64>();
    for layer in 0..config.layers {
        let r = random(batch.tokens(), config.hidden_size, layer as f32);
        loss += saved.hidden(layer).to_rows().data.iter().zip(&r.data).map(|(x, r)| f64::from(x * r)).sum::<f64>();
    }
    let (mut scratch, mut of_embeddings) = (Scratch::default(), encoder.embeddings().zeros_like());
    encoder.backward(&batch, &saved, &mut scratch, &mut gradients, |layer, dx| {
        let seed = Tiles::from_rows(&random(batch.tokens(), config.hidden_size, layer as f32));
        dx.data_mut().iter_mut().zip(seed.data()).for_each(|(dx, r)| *dx += r);
        if layer + 1 == config.layers {
            pool.backward(&batch, &pooled, &r, dx)?
        }
        Ok(())
    })?;
    encoder.embeddings_backward(&batch, &saved, &mut scratch, &mut of_embeddings)?;
    Ok((loss, gradients, of_embeddings))
}

struct Candle {
    vars: Vec<Var>,
}

impl Candle {
    fn var(&mut self, data: &[f32], shape: &[usize]) -> Tensor {
        let tensor = Tensor::from_slice(data, shape, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
        self.vars.push(Var::from_tensor(&tensor).unwrap());
        self.vars[self.vars.len() - 1].as_tensor().clone()
    }
    fn embed(&mut self, batch: &Batch, weights: &EmbeddingWeights, eps: f64) -> Tensor {
        let positions: Vec<u32> = batch.positions().map(|place| place as u32).collect();
        let ids = [batch.ids(), &positions, batch.types()];
        let tables = [&weights.word, &weights.position, &weights.token_type];
        let rows = tables.into_iter().zip(ids).map(|(table, ids)| {
            let ids = Tensor::from_slice(ids, ids.len(), &Device::Cpu).unwrap();
            self.var(&table.data, &[table.rows, table.cols]).index_select(&ids, 0).unwrap()
        });
        let sum = rows.reduce(|a, b| (a + b).unwrap()).unwrap();
        let x = self.norm(&sum, &weights.norm, eps);
        // The projection is not trained.
        match &weights.projection {
            Some(linear) => Candle { vars: Vec::new() }.linear(&x, linear),
            None => x,
        }
    }
    fn linear(&mut self, x: &Tensor, linear: &Linear) -> Tensor {
        let w = self.var(&linear.weight.data, &[linear.outputs(), linear.inputs()]);
        let b = self.var(&linear.bias, &[linear.outputs()]);
        x.matmul(&w.t().unwrap()).unwrap().broadcast_add(&b).unwrap()
    }
    fn norm(&mut self, x: &Tensor, norm: &LayerNorm, eps: f64) -> Tensor {
        let (g, b) = (self.var(&norm.gamma, &[norm.gamma.len()]), self.var(&norm.beta, &[norm.beta.len()]));
        let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap()).unwrap();
        let var = (x.sqr().unwrap().mean_keepdim(D::Minus1).unwrap() + eps).unwrap();
        x.broadcast_div(&var.sqrt().unwrap()).unwrap().broadcast_mul(&g).unwrap().broadcast_add(&b).unwrap()
    }
}

fn activation(kind: Activation, x: &Tensor) -> Tensor {
    match kind {
        Activation::Gelu => x.gelu_erf().unwrap(),
        Activation::GeluTanh => x.gelu().unwrap(),
        Activation::Relu => x.relu().unwrap(),
    }
}

/// Gradients by candle in f64, in the order of `tensors`.
fn theirs(config: &EncoderConfig, model: &Model, sequences: &[Vec<u32>]) -> (f64, Vec<Vec<f64>>) {
    let batch = Batch::new(config, sequences).unwrap();
    let wide =
        |m: &Matrix| Tensor::from_slice(&m.data, (m.rows, m.cols), &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    let (heads, size, eps) = (config.heads, config.head_size(), f64::from(config.layer_norm_eps));
    let (mut candle, mut embeddings) = (Candle { vars: Vec::new() }, Candle { vars: Vec::new() });
    let mut x = embeddings.embed(&batch, &model.weights().embeddings, eps);
    let mut loss = Tensor::zeros((), DType::F64, &Device::Cpu).unwrap();
    for (layer, weights) in model.weights().layers.iter().enumerate() {
        let [q, k, v] = [&weights.q, &weights.k, &weights.v].map(|linear| candle.linear(&x, linear));
        let mut parts = Vec::new();
        for range in batch.ranges() {
            let split = |t: &Tensor| {
                t.narrow(0, range.start, range.len())
                    .unwrap()
                    .reshape((range.len(), heads, size))
                    .unwrap()
                    .transpose(0, 1)
                    .unwrap()
                    .contiguous()
                    .unwrap()
            };
            let (q, k, v) = (split(&q), split(&k), split(&v));
            let scores =
                (q.matmul(&k.transpose(1, 2).unwrap().contiguous().unwrap()).unwrap() / (size as f64).sqrt()).unwrap();
            let exp = scores.broadcast_sub(&scores.max_keepdim(D::Minus1).unwrap().detach()).unwrap().exp().unwrap();
            let p = exp.broadcast_div(&exp.sum_keepdim(D::Minus1).unwrap()).unwrap();
            parts.push(p.matmul(&v).unwrap().transpose(0, 1).unwrap().reshape((range.len(), heads * size)).unwrap());
        }
        let attended = Tensor::cat(&parts, 0).unwrap();
        let o = candle.linear(&attended, &weights.o);
        // Variables in the order of `tensors`: the linear layers first.
        let norm_vars = candle.vars.len();
        let mut norm = Candle { vars: Vec::new() };
        let middle = norm.norm(&(&x + o).unwrap(), &weights.attention_norm, eps);
        let inner = activation(config.activation, &candle.linear(&middle, &weights.up));
        let down = candle.linear(&inner, &weights.down);
        assert_eq!(candle.vars.len(), norm_vars + 4);
        candle.vars.append(&mut norm.vars);
        x = candle.norm(&(middle + down).unwrap(), &weights.output_norm, eps);
        let r = wide(&random(batch.tokens(), config.hidden_size, layer as f32));
        loss = (loss + (&x * r).unwrap().sum_all().unwrap()).unwrap();
    }
    let r = random(batch.sequences(), config.hidden_size, 0.5);
    for (i, range) in batch.ranges().iter().enumerate() {
        let p = x.narrow(0, range.start, range.len()).unwrap().mean(0).unwrap();
        let e = p.broadcast_div(&p.sqr().unwrap().sum_all().unwrap().sqrt().unwrap()).unwrap();
        let r = wide(&Matrix { rows: 1, cols: r.cols, data: r.row(i).to_vec() }).reshape(r.cols).unwrap();
        loss = (loss + (e * r).unwrap().sum_all().unwrap()).unwrap();
    }
    let store = loss.backward().unwrap();
    let gradient = |var: &Var| match store.get(var) {
        Some(gradient) => gradient.flatten_all().unwrap().to_vec1().unwrap(),
        None => vec![0.0; var.elem_count()],
    };
    (loss.to_scalar().unwrap(), candle.vars.iter().chain(&embeddings.vars).map(gradient).collect())
}

#[test]
fn gradients_are_those_of_candle() {
    // The last one has fewer heads of the same size, 16 features for 24.
    let fewer = config(Activation::Relu).with_heads(2);
    for config in Activation::ALL.map(config).into_iter().chain([fewer]) {
        let kind = config.activation;
        let model = Model::seeded(config.clone(), 5).unwrap();
        let sequences: Vec<Vec<u32>> =
            [5, 1, 70, 16, 33].iter().zip(1..).flat_map(|(&n, seed)| seeded_ids(50, 1, n, seed)).collect();
        let (loss, gradients, of_embeddings) = ours(&config, &model.weights().layers, &model, &sequences).unwrap();
        let (expected_loss, expected) = theirs(&config, &model, &sequences);
        assert!((loss - expected_loss).abs() < 1e-3 * expected_loss.abs().max(1.0), "{kind}: {loss} {expected_loss}");
        let found = [tensors(&gradients), of_embeddings.tensors()].concat();
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.len(), expected.len());
            let size = expected.iter().fold(0.0f64, |max, x| max.max(x.abs())).max(1.0);
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < 2e-4 * size,
                    "{kind} tensor {i}: {found} is not {expected} ({size})"
                );
            }
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit_of_a_gradient() {
    let config = config(Activation::Gelu);
    let model = Model::seeded(config.clone(), 5).unwrap();
    let sequences = seeded_ids(50, 9, 23, 4);
    let [one, two] = [1, 2].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| ours(&config, &model.weights().layers, &model, &sequences)).unwrap()
    });
    assert_eq!(one, two);
}

/// A sparse student against the same weights in the dense engine: gradients of kept weights agree, and so do hidden states.
#[test]
fn sparse_products_give_what_dense_ones_give() {
    let config = EncoderConfig { hidden_size: 48, ..config(Activation::Gelu) };
    let sequences: Vec<Vec<u32>> =
        [5, 1, 70, 16].iter().zip(1..).flat_map(|(&n, seed)| seeded_ids(50, 1, n, seed)).collect();
    let batch = Batch::new(&config, &sequences).unwrap();
    for block in [Block::B4x1, Block::B16x1, Block::B1x4, Block::Unstructured] {
        let model = Model::seeded(config.clone(), 5).unwrap().prune(block, 0.8).unwrap();
        let masks = masks_of(&model.weights().layers).unwrap();
        let run = |masks: &Masks| {
            let mut encoder = Encoder::trained(&config, model.weights()).unwrap();
            encoder.set_masks(masks).unwrap();
            let (mut saved, mut gradients) = (Saved::default(), zeros_like(encoder.layers()));
            encoder.forward(&batch, &mut saved).unwrap();
            let seed = |_, dx: &mut Tiles| {
                let r = Tiles::from_rows(&random(batch.tokens(), 48, 0.3));
                dx.data_mut().iter_mut().zip(r.data()).for_each(|(dx, r)| *dx += r);
                Ok(())
            };
            encoder.backward(&batch, &saved, &mut Scratch::default(), &mut gradients, seed).unwrap();
            lacuna_train::mask::apply(&model_masks(&model), &mut gradients);
            (saved.output().to_rows(), gradients)
        };
        let ((states, sparse), (expected_states, dense)) = (run(&masks), run(&Masks::new()));
        let near = |a: &[f32], b: &[f32]| {
            let size = b.iter().fold(1.0f32, |max, x| max.max(x.abs()));
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * size), "{block}");
        };
        near(&states.data, &expected_states.data);
        tensors(&sparse).into_iter().zip(tensors(&dense)).for_each(|(a, b)| near(a, b));
    }
}

#[test]
fn masks_from_the_start_are_masks_set_later() {
    let config = config(Activation::Gelu);
    let model = Model::seeded(config.clone(), 5).unwrap();
    let masks = model_masks(&model.clone().prune(Block::B4x1, 0.7).unwrap());
    let mut later = Encoder::trained(&config, model.weights()).unwrap();
    later.set_masks(&masks).unwrap();
    let start = Encoder::masked(&config, model.weights(), masks.clone()).unwrap();
    let batch = Batch::new(&config, &seeded_ids(50, 3, 9, 4)).unwrap();
    let output = |encoder: &Encoder| {
        let mut saved = Saved::default();
        encoder.forward(&batch, &mut saved).unwrap();
        saved.output().data().to_vec()
    };
    assert!(start.layers() == later.layers() && start.masks() == later.masks() && output(&start) == output(&later));
    assert!(Encoder::masked(&config, model.weights(), masks[..1].to_vec()).is_err());
}

fn model_masks(model: &Model) -> Masks {
    masks_of(&model.weights().layers).unwrap()
}
