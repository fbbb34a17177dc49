//! Prompts of `config_sentence_transformers.json`.

use std::sync::Arc;

use lacuna::config::PromptChoice;
use lacuna::errors::ModelError;
use lacuna::tasks::Embedder;
use lacuna::{Error, Model};
use serde_json::{Value, json};

use super::{Folder, TEXTS, close, counted, encoders, mean, said, states};

/// A folder whose default prompt is "the big ".
fn folder(include_prompt: bool) -> Folder {
    let prompts = json!({
        "prompts": {"query": "the big ", "document": ""}, "default_prompt_name": "query", "similarity_fn_name": "cosine",
    });
    let pooling = json!({"pooling_mode": "mean", "include_prompt": include_prompt});
    Folder::new().with("config_sentence_transformers.json", &prompts).with("1_Pooling/config.json", &pooling)
}

fn prompted() -> Vec<String> {
    TEXTS.iter().map(|text| format!("the big {text}")).collect()
}

#[test]
fn the_default_prompt_is_put_before_every_text() {
    let folder = folder(true);
    let model = folder.open();
    let written = tempfile::tempdir().unwrap();
    model.write(written.path()).unwrap();
    let again = Model::open(written.path()).unwrap();
    assert_eq!((again.prompts(), again.similarity()), (model.prompts(), model.similarity()));
    let remarks = said(&model);
    let expected = "prompt: \"the big \" is put before every text (default_prompt_name: \"query\")";
    assert_eq!(counted(&remarks).get(expected), Some(&1), "{remarks:?}");
    assert_eq!(model.similarity().unwrap().name(), "cosine");
    for encoder in encoders(model) {
        let found = encoder.embed(&TEXTS).unwrap();
        let plain = encoder.embed_prompted(PromptChoice::None, &prompted()).unwrap();
        assert_eq!(found, plain);
        assert_eq!(encoder.embed_prompted(PromptChoice::Name("query"), &TEXTS).unwrap(), found);
        assert_eq!(encoder.embed_prompted(PromptChoice::Text("the big "), &TEXTS).unwrap(), found);
        let bare = encoder.embed_prompted(PromptChoice::Name("document"), &TEXTS).unwrap();
        assert_eq!(encoder.embed_prompted(PromptChoice::None, &TEXTS).unwrap(), bare);
        assert_ne!(bare, found);
        let error = encoder.embed_prompted(PromptChoice::Name("passage"), &TEXTS).unwrap_err();
        assert!(
            matches!(&error, Error::Model(ModelError::UnknownPrompt { found, .. }) if found == "passage"),
            "{error}"
        );
        let encoder = Arc::new(encoder);
        assert_eq!(encoder.session().embed(&TEXTS).unwrap(), found);
        assert_eq!(Embedder::new(encoder).embed(&TEXTS).unwrap().results, found.vectors);
    }
    let reference = Embedder::new(Arc::new(folder.open()));
    let (found, plain) =
        (reference.embed(&TEXTS).unwrap(), reference.embed_prompted(PromptChoice::None, &prompted()).unwrap());
    assert_eq!(found, plain);
}

/// The mean over what stands behind "[CLS] the big".
#[test]
fn a_prompt_may_be_left_out_of_pooling() {
    let folder = folder(false);
    let model = folder.open();
    let expected: Vec<Vec<f32>> = prompted()
        .iter()
        .map(|text| {
            let states = states(&model, text);
            mean(&(3..states.rows).map(|row| states.row(row)).collect::<Vec<_>>())
        })
        .collect();
    let whole: Vec<f32> = {
        let states = states(&model, TEXTS[0]);
        mean(&(0..states.rows).map(|row| states.row(row)).collect::<Vec<_>>())
    };
    let reference = Embedder::new(Arc::new(model.clone()));
    for (found, expected) in reference.embed(&TEXTS).unwrap().iter().zip(&expected) {
        close(found, expected, 1e-5);
    }
    let without = reference.embed_prompted(PromptChoice::None, &TEXTS[..1]).unwrap();
    close(&without[0], &whole, 1e-5);
    let [compiled, packed] = encoders(model);
    let found = compiled.embed(&TEXTS).unwrap();
    assert_eq!(packed.embed(&TEXTS).unwrap(), found, "to the bit");
    for (found, expected) in found.iter().zip(&expected) {
        close(found, expected, 0.15);
    }
}

#[test]
fn a_default_prompt_that_is_not_there_is_refused() {
    let with = |json: &Value| Folder::new().with("config_sentence_transformers.json", json);
    let error = with(&json!({"prompts": {"a": "b"}, "default_prompt_name": "query"})).error();
    assert!(matches!(error, ModelError::InvalidSetting { setting: "default_prompt_name", .. }), "{error}");
    let model: Model = with(&json!({"prompts": {}, "default_prompt_name": null, "later": 1})).open();
    assert!(said(&model).iter().any(|text| text.starts_with("later: 1 of config_sentence_transformers.json")));
}
