//! Names of tensors: with and without prefixes, old and new, and what is missing or damaged.

use lacuna::config::Architecture;
use lacuna::errors::{ModelError, WeightError};
use lacuna_model::seeded_weights;

use super::checkpoint::{Tensors, config_json, load, tensors, tiny};

const PREFIXES: [&str; 6] = ["", "bert.", "roberta.", "distilbert.", "electra.", "model."];

fn renamed(tensors: &Tensors, rename: impl Fn(&str) -> String) -> Tensors {
    tensors.iter().map(|(name, tensor)| (rename(name), tensor.clone())).collect()
}

#[test]
fn weights_survive_the_round_trip_under_every_prefix() {
    for architecture in Architecture::ALL {
        let config = tiny(architecture);
        let weights = seeded_weights(&config, 1);
        let plain = tensors(&config, &weights);
        for prefix in PREFIXES {
            let mut named = renamed(&plain, |name| format!("{prefix}{name}"));
            for extra in
                ["cls.predictions.bias", "classifier.out_proj.weight", "lm_head.decoder.weight", "decoder.bias"]
            {
                named.insert(extra.to_owned(), (vec![3], vec![1.0; 3]));
            }
            let model = load(&config_json(&config), &named).unwrap_or_else(|error| panic!("{architecture}: {error}"));
            assert_eq!(model.config(), &config, "{architecture}");
            assert_eq!(model.weights(), &weights, "{architecture} with {prefix:?}");
        }
        let old = renamed(&plain, |name| {
            let is_norm = name.contains("LayerNorm") || name.contains("layer_norm");
            let old = || name.replace(".weight", ".gamma").replace(".bias", ".beta");
            if is_norm { old() } else { name.to_owned() }
        });
        assert_ne!(old, plain);
        assert_eq!(load(&config_json(&config), &old).unwrap().weights(), &weights, "{architecture}, gamma and beta");
    }
}

/// Every tensor is needed, and its absence is reported by its name; a pooler may be absent, but not half of it.
#[test]
fn missing_tensors_are_named() {
    for architecture in Architecture::ALL {
        let config = tiny(architecture);
        let all = tensors(&config, &seeded_weights(&config, 2));
        for name in all.keys() {
            let mut fewer = all.clone();
            fewer.remove(name);
            match load(&config_json(&config), &fewer) {
                Err(ModelError::Weights(WeightError::MissingTensor { tensor, alternatives, .. })) => {
                    assert_eq!(&tensor, name, "{architecture}");
                    let others = format!("bert.{name} and the like: any prefix that all tensors have");
                    assert!(alternatives.ends_with(&others), "{alternatives}");
                }
                other => panic!("{architecture} without {name}: {other:?}"),
            }
        }
        let without = all.iter().filter(|(name, _)| !name.starts_with("pooler.")).map(|(n, t)| (n.clone(), t.clone()));
        assert_eq!(load(&config_json(&config), &without.collect()).unwrap().weights().pooler, None, "{architecture}");
    }
}

#[test]
fn wrong_shapes_and_nan_are_named() {
    for architecture in Architecture::ALL {
        let config = tiny(architecture);
        let all = tensors(&config, &seeded_weights(&config, 3));
        for name in all.keys() {
            let mut wrong = all.clone();
            wrong.insert(name.clone(), (vec![7], vec![0.0; 7]));
            let error = load(&config_json(&config), &wrong).unwrap_err();
            assert!(
                matches!(&error, ModelError::Weights(WeightError::TensorShape { tensor, .. }) if tensor == name),
                "{architecture}: {error}"
            );
            let mut wrong = all.clone();
            wrong.get_mut(name).unwrap().1[1] = f32::NAN;
            let error = load(&config_json(&config), &wrong).unwrap_err();
            let found = matches!(&error, ModelError::Weights(WeightError::NonFiniteWeights { tensor, first_index: 1, .. }) if tensor == name);
            assert!(found, "{architecture}: {error}");
        }
    }
}
