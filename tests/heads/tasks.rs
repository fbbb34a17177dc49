//! Tasks from records to rows, on every kind of backbone.

use std::sync::Arc;

use lacuna::errors::ModelError;
use lacuna::heads::HeadKind;
use lacuna::tasks::{
    Agreement, AnswerOptions, AnswerRecord, AnswerTask, Backbone, ClassifyRecord, ClassifyRow, ClassifyTask,
    EmbedRecord, EmbedTask, Embedder, FillTask, RankRecord, RankTask, Record, Row, SequenceClassifier, TagTask, Task,
    TaskModel, TextRecord,
};
use lacuna::{Cancel, Error, TextInput};
use serde_json::Value;

use super::{compile, load};

const TEXT: &str = "Zoë met Émile in Paris.";

/// The rows of a batch as JSON.
fn json<T: Task>(task: &T, model: &TaskModel, records: &[T::Record]) -> Vec<Value> {
    let rows = task.run(model, records).unwrap().rows;
    let of = |row: &T::Row| {
        let mut line = Vec::new();
        row.write_json(&mut line).unwrap();
        assert!(!line.contains(&b'\n'));
        serde_json::from_slice(&line).unwrap()
    };
    rows.iter().map(of).collect()
}

/// The int8 encoder and the f32 reference with the head of a fixture.
fn models(name: &str) -> [TaskModel; 2] {
    let (model, head) = load(name);
    let int8 = TaskModel::new(Arc::new(compile(name, model.clone()))).with_head(head);
    let reference = int8.on(Arc::new(model));
    [int8, reference]
}

/// One list holds classifiers on an encoder, on a session of it, and on the f32 reference.
#[test]
fn one_list_holds_all_backbones() {
    let (model, head) = load("bert-classify");
    let encoder = Arc::new(compile("bert-classify", model.clone()));
    let cancel = Cancel::new();
    let session = encoder.session().with_cancel(cancel.clone());
    let head = Arc::new(head);
    let backbones: [Arc<dyn Backbone>; 3] = [encoder, Arc::new(session), Arc::new(model)];
    let classifiers = backbones.map(|backbone| SequenceClassifier::new(backbone, head.clone()).unwrap());
    let inputs = [TextInput::new(TEXT), TextInput::pair("who", TEXT)];
    let found = classifiers.each_ref().map(|classifier| classifier.classify(&inputs).unwrap());
    assert_eq!(found[0], found[1]);
    for (int8, f32) in found[0].iter().flatten().zip(found[2].iter().flatten()) {
        assert!(int8.label != f32.label || (int8.score - f32.score).abs() < 0.15);
    }
    cancel.cancel();
    assert!(matches!(classifiers[1].classify(&inputs), Err(Error::Cancelled)));
    assert_eq!(classifiers[0].classify(&inputs).unwrap(), found[0]);
}

/// Tasks of the same records are values that can be chosen at run time.
#[test]
fn tasks_are_objects() {
    let [int8, reference] = models("bert-classify");
    let tasks: [Box<dyn Task<Record = ClassifyRecord, Row = ClassifyRow, Agreement = Agreement>>; 2] =
        [Box::new(ClassifyTask { top_k: Some(1) }), Box::new(ClassifyTask::default())];
    for (task, labels) in tasks.iter().zip([1, 3]) {
        assert_eq!((task.name(), task.head_kind()), ("classify", Some(HeadKind::SequenceClassification)));
        let records = [task.parse(r#"{"text": "The cat sat.", "pair": "On a mat."}"#).unwrap()];
        let rows = task.run(&int8, &records).unwrap().rows;
        assert_eq!((rows.len(), rows[0].labels.len(), rows[0].pair.as_deref()), (1, labels, Some("On a mat.")));
        let agreement = task.agreement(&rows, &task.run(&reference, &records).unwrap().rows);
        assert_eq!((agreement.decisions, agreement.share), (1, agreement.equal as f64));
        assert!(agreement.largest_difference < 0.2);
    }
}

#[test]
fn rows_are_json_with_bytes_of_the_text() {
    let part = |text: &str, span: &Value| {
        let at = |key: &str| usize::try_from(span[key].as_u64().unwrap()).unwrap();
        text[at("start")..at("end")].to_owned()
    };
    for model in models("bert-tag") {
        let found = json(&TagTask::default(), &model, &[TextRecord::new(TEXT), TextRecord::new("")]);
        assert_eq!((&found[0]["text"], &found[1]["entities"]), (&TEXT.into(), &Value::Array(vec![])));
        let entities = found[0]["entities"].as_array().unwrap();
        assert!(!entities.is_empty() && entities.iter().all(|entity| entity["text"] == part(TEXT, entity)));
    }
    for model in models("roberta-answer") {
        let task = AnswerTask { options: AnswerOptions { top_k: 3, allow_none: true, ..AnswerOptions::default() } };
        let record = AnswerRecord::new("Who met Émile?", TEXT);
        let found = json(&task, &model, &[record]);
        let answers = found[0]["answers"].as_array().unwrap();
        assert!(answers.len() == 3 && found[0]["question"] == "Who met Émile?");
        for answer in answers.iter().filter(|answer| !answer["answer"].is_null()) {
            assert_eq!(answer["answer"], part(TEXT, answer));
        }
    }
    for model in models("bert-fill") {
        let text = "Zoë met [MASK] in [MASK].";
        let found = json(&FillTask::default(), &model, &[TextRecord::new(text)]);
        let masks = found[0]["masks"].as_array().unwrap();
        assert!(masks.len() == 2 && masks.iter().all(|mask| part(text, mask) == "[MASK]"));
        assert!(masks.iter().all(|mask| mask["candidates"].as_array().unwrap().len() == 5));
    }
    for model in models("bert-rank") {
        let passages = ["rain".to_owned(), TEXT.to_owned(), "cat ".repeat(60)];
        let record = |query: &str, passages: &[String]| RankRecord::new(query, passages.to_vec());
        let records = [record("nothing", &[]), record("who", &passages)];
        let found = json(&RankTask::default(), &model, &records);
        assert_eq!(found[0]["ranking"], Value::Array(vec![]));
        for place in found[1]["ranking"].as_array().unwrap() {
            assert_eq!(place["passage"], passages[usize::try_from(place["index"].as_u64().unwrap()).unwrap()]);
        }
        let truncated = RankTask::default().run(&model, &records).unwrap().truncated;
        assert_eq!((truncated.len(), truncated[0].limit), (1, 40));
        assert_eq!(truncated[0].place, [("query", 1), ("passage", 2)]);
    }
}

/// An embedder gives what its encoder gives, and the reference is near.
#[test]
fn embeddings_are_those_of_the_encoder() {
    let (model, _) = load("bert-tag");
    let encoder = Arc::new(compile("bert-tag", model.clone()));
    let texts = [TEXT, "", &"cat ".repeat(60)];
    let expected = encoder.embed(&texts).unwrap();
    let found = Embedder::new(encoder.clone()).embed(&texts).unwrap();
    assert_eq!((&found.results, &found.truncated), (&expected.vectors, &expected.truncated));
    assert_eq!(Embedder::new(Arc::new(encoder.session())).embed(&texts).unwrap(), found);

    let records: Vec<EmbedRecord> =
        vec![EmbedRecord::parse(r#"{"id": 7, "text": "the cat"}"#).unwrap(), EmbedRecord::new(TEXT)];
    let int8 = TaskModel::new(encoder);
    let rows = EmbedTask::default().run(&int8, &records).unwrap().rows;
    let lines = json(&EmbedTask::default(), &int8, &records);
    assert_eq!((&lines[0]["id"], &lines[0]["text"], &lines[1]["text"]), (&7.into(), &"the cat".into(), &TEXT.into()));
    assert_eq!(super::floats(&lines[1]["embedding"]), rows[1].embedding);
    let reference = EmbedTask::default().run(&int8.on(Arc::new(model)), &records).unwrap().rows;
    let cosines = EmbedTask::default().agreement(&rows, &reference);
    assert!(cosines.min > 0.95 && cosines.min <= cosines.mean, "{cosines}");
}

#[test]
fn a_task_model_needs_the_head_of_the_task() {
    let (model, head) = load("bert-tag");
    let bare = TaskModel::new(Arc::new(model));
    let records = [ClassifyRecord::new(TEXT)];
    let error = ClassifyTask::default().run(&bare, &records).unwrap_err();
    assert!(
        matches!(error, Error::Model(ModelError::NoHead { .. }))
            && error.to_string().contains("ForSequenceClassification"),
        "{error}"
    );
    let other = bare.with_head(head);
    assert_eq!(other.head().unwrap().kind(), HeadKind::TokenClassification);
    assert!(matches!(ClassifyTask::default().run(&other, &records), Err(Error::Model(ModelError::WrongHead { .. }))));
    assert!(matches!(TagTask::default().run(&other, &[]), Err(Error::Model(ModelError::EmptyBatch))));
    assert!(EmbedTask::default().run(&other, &[EmbedRecord::new(TEXT)]).is_ok());
}
