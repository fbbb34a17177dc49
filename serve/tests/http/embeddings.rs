//! Vectors, as text-embeddings-inference gives them, and that they do not depend on the batch.

use lacuna::tasks::cosine;
use serde_json::json;

use crate::support::{Running, embedder, floats, integers};

const TEXTS: [&str; 4] = ["a cat sat on the mat", "", "where is the dog", "the cat sat on the cat sat on the mat"];

#[test]
fn vectors_are_those_of_the_library_bit_for_bit() {
    let (model, encoder) = embedder();
    let running = Running::new(vec![model]);
    let expected = encoder.embed(&TEXTS).unwrap();
    for path in ["/embed", "/", "/models/tiny"] {
        let reply = running.post(path, &json!({ "inputs": TEXTS, "normalize": encoder.pooling().is_normalized() }));
        let found = reply.ok();
        for (found, expected) in found.as_array().unwrap().iter().zip(expected.iter()) {
            assert_eq!(&floats(found), expected, "{path}");
        }
        assert_eq!(found.as_array().unwrap().len(), TEXTS.len());
        assert_eq!(reply.header("x-compute-type"), Some("cpu"));
        let tokens: usize = TEXTS.iter().map(|text| encoder.tokenizer().unwrap().encode(text).unwrap().ids.len()).sum();
        assert_eq!(reply.header("x-compute-tokens"), Some(&tokens.to_string()[..]));
        let characters: usize = TEXTS.iter().map(|text| text.chars().count()).sum();
        assert_eq!(reply.header("x-compute-characters"), Some(&characters.to_string()[..]));
        for name in ["x-compute-time", "x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time"] {
            assert!(reply.header(name).is_some_and(|value| value.parse::<u64>().is_ok()), "{name}");
        }
    }
    // Many clients at once, whose texts share batches.
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (running, expected) = (&running, &expected);
            scope.spawn(move || {
                for round in 0..20 {
                    let n = (client + round) % TEXTS.len();
                    let found = running.post("/v1/embeddings", &json!({ "input": TEXTS[n] })).ok();
                    assert_eq!(floats(&found["data"][0]["embedding"]), expected[n]);
                }
            });
        }
    });
}

#[test]
fn normalize_and_dimensions_are_respected() {
    let (model, encoder) = embedder();
    let running = Running::new(vec![model]);
    let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    let own = encoder.embed(&[TEXTS[0]]).unwrap()[0].clone();
    let unit = floats(&running.post("/embed", &json!({ "inputs": TEXTS[0] })).ok()[0]);
    assert!((length(&unit) - 1.0).abs() < 1e-5 && cosine(&unit, &own) > 0.99999);
    let plain = floats(&running.post("/embed", &json!({ "inputs": TEXTS[0], "normalize": false })).ok()[0]);
    assert!(cosine(&plain, &own) > 0.99999);
    let short = floats(&running.post("/embed", &json!({ "inputs": TEXTS[0], "dimensions": 4 })).ok()[0]);
    assert!(short.len() == 4 && (length(&short) - 1.0).abs() < 1e-5);
    assert!(cosine(&short, &unit[..4]) > 0.99999);
}

#[test]
fn a_text_in_tokens_is_the_same_text() {
    let (model, _) = embedder();
    let running = Running::new(vec![model]);
    let tokens = running.post("/tokenize", &json!({ "inputs": [TEXTS[0]] })).ok();
    let tokens = tokens[0].as_array().unwrap();
    let ids: Vec<u32> = tokens.iter().map(|token| integers(&json!([token["id"]]))[0]).collect();
    let special: Vec<bool> = tokens.iter().map(|token| token["special"].as_bool().unwrap()).collect();
    assert!(special[0] && special[special.len() - 1] && !special[1]);
    assert!(tokens[0]["start"].is_null() && tokens[1]["start"] == 0);
    let by_text = running.post("/embed", &json!({ "inputs": TEXTS[0] })).ok();
    assert_eq!(running.post("/embed", &json!({ "inputs": [ids] })).ok(), by_text);
    let bare = running.post("/tokenize", &json!({ "inputs": TEXTS[0], "add_special_tokens": false })).ok();
    assert_eq!(bare[0].as_array().unwrap().len(), ids.len() - 2);
    let decoded = running.post("/decode", &json!({ "ids": ids })).ok();
    let with_special = running.post("/decode", &json!({ "ids": [ids], "skip_special_tokens": false })).ok();
    assert!(with_special[0].as_str().unwrap().len() > decoded[0].as_str().unwrap().len());
}

#[test]
fn states_have_a_row_for_every_token_and_similarities_a_value_for_every_sentence() {
    let (model, encoder) = embedder();
    let running = Running::new(vec![model]);
    let all = running.post("/embed_all", &json!({ "inputs": [TEXTS[0], TEXTS[1]] })).ok();
    let ids = TEXTS[..2].iter().map(|text| encoder.tokenizer().unwrap().encode(text).unwrap().ids);
    let ids: Vec<Vec<u32>> = ids.collect();
    let expected = encoder.hidden_states(&ids).unwrap();
    for (found, expected) in all.as_array().unwrap().iter().zip(&expected) {
        let rows: Vec<f32> = found.as_array().unwrap().iter().flat_map(floats).collect();
        assert_eq!(rows, expected.data);
    }
    let inputs = json!({ "source_sentence": TEXTS[0], "sentences": [TEXTS[0], TEXTS[2]] });
    for path in ["/similarity", "/models/tiny"] {
        let cosines = floats(&running.post(path, &json!({ "inputs": inputs })).ok());
        assert!(cosines.len() == 2 && (cosines[0] - 1.0).abs() < 1e-6 && cosines[1] < 1.0, "{cosines:?}");
    }
}

#[test]
fn long_texts_are_refused_or_truncated_as_the_request_says() {
    let (model, encoder) = embedder();
    let running = Running::new(vec![model]);
    let limit = encoder.tokenizer().unwrap().max_length();
    let long = "cat ".repeat(2 * limit);
    let reply = running.post("/embed", &json!({ "inputs": long }));
    assert_eq!((reply.status, &reply.json()["error_type"]), (413, &json!("Validation")), "{}", reply.text());
    let cut = running.post("/embed", &json!({ "inputs": long, "truncate": true, "normalize": false }));
    assert_eq!(cut.header("x-truncated-inputs"), Some("1"));
    assert_eq!(cut.header("x-compute-tokens"), Some(&limit.to_string()[..]));
    // The words at the other end are kept where the other end is cut.
    let words = format!("{}the dog", "cat ".repeat(2 * limit));
    let right = running.post("/embed", &json!({ "inputs": words, "truncate": true, "truncation_direction": "Right" }));
    let left = running.post("/embed", &json!({ "inputs": words, "truncate": true, "truncation_direction": "Left" }));
    assert_ne!(right.ok(), left.ok());
    assert_eq!(left.header("x-compute-tokens"), Some(&limit.to_string()[..]));
}
