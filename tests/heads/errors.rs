//! Heads that are not there, or are others than a task needs, and inputs that cannot be.

use std::sync::Arc;

use lacuna::errors::ModelError;
use lacuna::heads::HeadKind;
use lacuna::tasks::{CrossEncoder, MaskFiller, QuestionAnswerer, SequenceClassifier, TokenClassifier};
use lacuna::weights::Matrix;
use lacuna::{Error, Model, Preset, TextInput};

use super::load;

/// Makes a task of a fixture.
type Task = fn(&str) -> lacuna::Result<()>;

#[test]
fn a_task_wants_its_own_head() {
    let tasks: [(HeadKind, Task); 5] = [
        (HeadKind::SequenceClassification, |name| {
            SequenceClassifier::new(Arc::new(load(name).0), load(name).1).map(drop)
        }),
        (HeadKind::SequenceClassification, |name| CrossEncoder::new(Arc::new(load(name).0), load(name).1).map(drop)),
        (HeadKind::TokenClassification, |name| TokenClassifier::new(Arc::new(load(name).0), load(name).1).map(drop)),
        (HeadKind::QuestionAnswering, |name| QuestionAnswerer::new(Arc::new(load(name).0), load(name).1).map(drop)),
        (HeadKind::MaskedLm, |name| MaskFiller::new(Arc::new(load(name).0), load(name).1).map(drop)),
    ];
    for name in ["bert-rank", "bert-tag", "bert-answer", "bert-fill"] {
        let kind = load(name).1.kind();
        for (expected, task) in tasks {
            match task(name) {
                Ok(()) => assert_eq!(kind, expected, "{name}"),
                Err(error) => {
                    assert_ne!(kind, expected, "{name}: {error}");
                    assert!(matches!(error, Error::Model(ModelError::WrongHead { .. })), "{error}");
                    let message = error.to_string();
                    assert!(message.contains(kind.class()) && message.contains(expected.class()), "{message}");
                    assert!(message.contains("config.json"), "{message}");
                }
            }
        }
    }
    let (model, head) = load("bert-classify");
    let error = CrossEncoder::new(Arc::new(model), head).unwrap_err();
    assert!(error.to_string().contains("with 3 labels") && error.to_string().contains("one label, or two"), "{error}");
}

#[test]
fn models_without_a_head_have_none() {
    let error = Model::seeded(Preset::BertMini, 1).unwrap().head().unwrap_err();
    assert!(matches!(error, ModelError::NoHead { .. }), "{error}");
    for (name, class) in [("bert", "BertModel"), ("electra", "ElectraForPreTraining")] {
        let folder = super::folder("..").join(name);
        let error = Model::open(folder).unwrap().head().unwrap_err();
        assert!(matches!(&error, ModelError::NoHead { found, .. } if found == class), "{error}");
    }
}

/// The models of the other fixtures that have heads, under older names too.
#[test]
fn heads_of_other_checkpoints_are_read() {
    for (name, kind) in [
        ("bert-old", HeadKind::MaskedLm),
        ("distilbert", HeadKind::MaskedLm),
        ("roberta", HeadKind::MaskedLm),
        ("camembert", HeadKind::SequenceClassification),
    ] {
        let model = Model::open(super::folder("..").join(name)).unwrap();
        let head = model.head().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(head.kind(), kind, "{name}");
        let states = model.reference().forward(&[[3u32, 4, 5]]).unwrap().remove(0);
        let logits = head.logits(&states).unwrap();
        let shape = match kind {
            HeadKind::MaskedLm => (3, model.config().vocab_size),
            _ => (1, 2),
        };
        assert_eq!((logits.rows, logits.cols), shape, "{name}");
    }
}

#[test]
fn states_of_another_shape_are_refused() {
    for name in ["bert-classify", "bert-tag", "bert-fill"] {
        let head = load(name).1;
        for states in [Matrix::zeros(3, 31), Matrix::zeros(0, 32), Matrix { rows: 2, cols: 32, data: vec![0.0; 63] }] {
            assert!(matches!(head.logits(&states), Err(ModelError::HeadInput { expected: 32, .. })), "{name}");
        }
        assert!(head.logits(&Matrix::zeros(1, 32)).is_ok());
    }
}

#[test]
fn inputs_that_cannot_be_are_refused() {
    let (model, head) = load("bert-fill");
    let filler = MaskFiller::new(Arc::new(model), head).unwrap();
    assert_eq!(filler.mask_token(), "[MASK]");
    let error = filler.fill(&["a [MASK]", "a <mask>"], 3).unwrap_err();
    assert!(matches!(&error, Error::NoMask { input: 1, mask, .. } if mask == "[MASK]"), "{error}");
    assert!(matches!(filler.fill(&["a [MASK]"], 0), Err(Error::HeadOption { option: "top_k", .. })));
    assert!(matches!(filler.fill(&[""; 0], 1), Err(Error::Model(ModelError::EmptyBatch))));
    // A mask beyond the limit is filled, too.
    let found = filler.fill(&[format!("{} [MASK]", "cat ".repeat(50))], 1).unwrap();
    assert_eq!((found[0].len(), found[0][0].start), (1, 201));

    let (model, head) = load("bert-classify");
    let classifier = SequenceClassifier::new(Arc::new(model), head).unwrap();
    assert!(matches!(classifier.classify(&[]), Err(Error::Model(ModelError::EmptyBatch))));
    assert_eq!(classifier.classify(&[TextInput::new("a cat"); 3]).unwrap().len(), 3);
}
