//! The forward pass against the f32 reference of `lacuna-model`.

use lacuna_model::{Activation, EncoderConfig, Matrix, Model, Pooling, PoolingMode, Preset, seeded_ids};
use lacuna_train::encoder::{Encoder, Saved};
use lacuna_train::ops::Pool;
use lacuna_train::{Batch, Tiles};

fn tiny(activation: Activation) -> EncoderConfig {
    EncoderConfig {
        layers: 3,
        hidden_size: 36,
        heads: 3,
        intermediate_size: 70,
        vocab_size: 90,
        activation,
        ..Preset::BertMini.config()
    }
}

fn batches() -> Vec<Vec<Vec<u32>>> {
    let of = |lengths: &[usize]| -> Vec<Vec<u32>> {
        lengths.iter().zip(7..).flat_map(|(&length, seed)| seeded_ids(90, 1, length, seed)).collect()
    };
    vec![of(&[1]), of(&[63]), of(&[64]), of(&[65]), of(&[3, 1, 64, 20, 40, 130, 2]), of(&[17; 9])]
}

fn assert_close(found: &Matrix, expected: &Matrix) {
    let scale = expected.data.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    assert_eq!((found.rows, found.cols), (expected.rows, expected.cols));
    for (found, expected) in found.data.iter().zip(&expected.data) {
        assert!((found - expected).abs() <= 1e-4 * scale, "{found} is not {expected}");
    }
}

#[test]
fn hidden_states_and_embeddings_are_those_of_the_reference() {
    let electra = EncoderConfig { vocab_size: 90, layers: 2, ..Preset::ElectraSmall.config() };
    let fewer = [1, 2].map(|heads| tiny(Activation::Relu).with_heads(heads));
    let configs = Activation::ALL.map(tiny).into_iter().chain([electra]).chain(fewer);
    for config in configs {
        let model = Model::seeded(config.clone(), 3).unwrap();
        let encoder = Encoder::trained(&config, model.weights()).unwrap();
        let mut saved = Saved::default();
        for sequences in batches() {
            let batch = Batch::new(&config, &sequences).unwrap();
            encoder.forward(&batch, &mut saved).unwrap();
            let expected = model.reference().forward(&sequences).unwrap();
            let joined = expected.iter().flat_map(|m| m.data.iter().copied()).collect();
            let joined = Matrix::from_vec(batch.tokens(), config.hidden_size, joined).unwrap();
            assert_close(&saved.output().to_rows(), &joined);

            for mode in [PoolingMode::Mean, PoolingMode::Cls] {
                let pool = Pool::new(mode, true).unwrap();
                let found = pool.forward(&batch, saved.output()).unwrap().embeddings;
                let expected = model.reference().embed(&sequences, &Pooling::new(mode, true)).unwrap().concat();
                let expected = Matrix::from_vec(sequences.len(), config.hidden_size, expected).unwrap();
                assert_close(&found, &expected);
            }
        }
    }
}

#[test]
fn the_steps_of_a_layer_are_the_layer() {
    let config = tiny(Activation::Gelu);
    let encoder = Encoder::new(&config, Model::seeded(config.clone(), 3).unwrap().weights()).unwrap();
    for sequences in batches() {
        let batch = Batch::new(&config, &sequences).unwrap();
        let mut saved = Saved::default();
        encoder.forward(&batch, &mut saved).unwrap();
        let mut x: Tiles = encoder.embed(&batch).unwrap();
        for layer in 0..config.layers {
            let attended = encoder.attention_part(layer, &batch, &x).unwrap();
            let middle = encoder.finish_attention(layer, &x, &attended).unwrap();
            let inner = encoder.up(layer, &middle).unwrap();
            x = encoder.down(layer, &middle, &inner).unwrap();
            assert_eq!(x.data(), saved.hidden(layer).data());
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let config = tiny(Activation::Gelu);
    let encoder = Encoder::new(&config, Model::seeded(config.clone(), 3).unwrap().weights()).unwrap();
    for sequences in batches() {
        let batch = Batch::new(&config, &sequences).unwrap();
        let [one, two] = [1, 2].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut saved = Saved::default();
            pool.install(|| encoder.forward(&batch, &mut saved)).unwrap();
            saved.output().data().to_vec()
        });
        assert_eq!(one, two);
    }
}
