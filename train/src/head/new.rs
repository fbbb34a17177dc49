//! Heads that begin with random numbers.

use lacuna_model::heads::{Dense, DenseActivation, HeadWeights};
use lacuna_model::{Activation, Architecture, EncoderConfig, Linear, Matrix};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The deviation of random weights, as BERT's `initializer_range` has it.
const DEVIATION: f64 = 0.02;
/// Uniform numbers whose sum stands for a normal one.
const TERMS: usize = 12;

/// The head of a sequence classification that has learned nothing: random weights, biases of 0. `pooler` is the encoder's; a head of
/// BERT begins with it where there is one.
///
/// The weights are sums of twelve uniform numbers, scaled to a deviation of 0.02: nearly normal, and the same bits on every machine.
pub fn new_classification(config: &EncoderConfig, pooler: Option<&Linear>, labels: usize, seed: u64) -> HeadWeights {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let hidden = config.hidden_size;
    let activation = match config.architecture {
        Architecture::DistilBert => DenseActivation::Feature(Activation::Relu),
        Architecture::Electra => DenseActivation::Feature(Activation::Gelu),
        _ => DenseActivation::Tanh,
    };
    let own = pooler.filter(|pooler| {
        let is_square = (pooler.outputs(), pooler.inputs()) == (hidden, hidden);
        config.architecture == Architecture::Bert && is_square
    });
    let linear = own.cloned().unwrap_or_else(|| random(&mut rng, hidden, hidden));
    HeadWeights::First { dense: Dense { linear, activation }, out: random(&mut rng, labels, hidden) }
}

fn random(rng: &mut ChaCha8Rng, outputs: usize, inputs: usize) -> Linear {
    let mut weight = Matrix::zeros(outputs, inputs);
    for value in &mut weight.data {
        let sum: f64 = (0..TERMS).map(|_| rng.random::<f64>() - 0.5).sum();
        *value = (DEVIATION * sum) as f32;
    }
    Linear { weight, bias: vec![0.0; outputs] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lacuna_model::Preset;

    #[test]
    fn weights_have_the_deviation_and_depend_on_the_seed_alone() {
        let config = Preset::BertMini.config();
        let HeadWeights::First { dense, out } = new_classification(&config, None, 3, 1) else { panic!("no dense") };
        let data = &dense.linear.weight.data;
        let variance = data.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / data.len() as f64;
        assert!((variance.sqrt() - DEVIATION).abs() < 1e-3, "{variance}");
        assert_eq!((out.outputs(), out.inputs(), dense.activation), (3, 256, DenseActivation::Tanh));
        assert!(new_classification(&config, None, 3, 1) == HeadWeights::First { dense: dense.clone(), out });
        assert!(new_classification(&config, None, 3, 2) != new_classification(&config, None, 3, 1));
        let HeadWeights::First { dense: own, .. } = new_classification(&config, Some(&dense.linear), 2, 5) else {
            panic!("no dense")
        };
        assert_eq!(own.linear, dense.linear);
    }
}
