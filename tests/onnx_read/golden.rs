//! Results: the f32 reference in f32, heads, and the compiled encoder.

use lacuna::Compile;

use super::*;

/// Largest difference of hidden states, of magnitude 1, between f32 here and in ONNX Runtime. Measured: up to 3e-6.
const TOLERANCE: f32 = 1e-4;
/// Least cosine between embeddings in int8 here and there.
const LEAST_COSINE: f64 = 0.99;

#[test]
fn floats_agree_with_onnx_runtime() {
    for name in FLOAT {
        let (model, sequences) = (load(name), Golden::of(name).sequences());
        assert_eq!(sequences.len(), 3, "{name}");
        assert!(model.codes().is_none() && model.notes().is_empty(), "{name} has no codes: {:?}", model.notes());
        for (sequence, states) in sequences.iter().zip(hidden(&model, &sequences)) {
            let difference = difference(&states.data, &sequence.states);
            println!("{name}: {} tokens, {difference:e}", sequence.ids.len());
            assert!(difference < TOLERANCE, "{name}: {difference}");
        }
    }
}

#[test]
fn heads_agree_with_onnx_runtime() {
    for name in FLOAT
        .into_iter()
        .filter(|name| !matches!(*name, "bert" | "bert-f16" | "bert-sdpa" | "distilbert" | "roberta" | "electra"))
    {
        let model = load(name);
        let head = model.head().unwrap_or_else(|error| panic!("{name}: {error}"));
        let sequences = Golden::of(name).sequences();
        for (sequence, states) in sequences.iter().zip(hidden(&model, &sequences)) {
            let logits = head.logits(&states).unwrap();
            let difference = difference(&logits.data, sequence.logits.as_ref().unwrap());
            println!("{name}: {difference:e}");
            assert!(difference < TOLERANCE, "{name}: {difference}");
        }
    }
}

#[test]
fn poolers_are_read() {
    for (name, expected) in [
        ("bert", true),
        ("roberta", true),
        ("bert-classify", true),
        ("bert-answer", false),
        ("distilbert", false),
        ("roberta-classify", false),
    ] {
        assert_eq!(load(name).weights().pooler.is_some(), expected, "{name}");
    }
}

#[test]
fn int8_agrees_with_onnx_runtime() {
    for name in QUANTISED {
        let (model, sequences) = (load(name), Golden::of(name).sequences());
        let features = model.config().hidden_size;
        println!("{name}: {:#?}", model.notes());
        let calibrated = calibrated(model);
        for tier in tiers() {
            let encoder = calibrated.compiler().tier(tier).compile().unwrap();
            let tokens: Vec<TypedIds<'_>> = sequences.iter().map(Sequence::tokens).collect();
            for (sequence, states) in sequences.iter().zip(encoder.hidden_states(&tokens).unwrap()) {
                let cosine = cosine(&mean(&states.data, features), &mean(&sequence.states, features));
                println!("{name}, {tier}: {} tokens, {cosine}", sequence.ids.len());
                assert!(cosine > LEAST_COSINE, "{name}, {tier}: {cosine}");
            }
        }
    }
}
