//! Logits and scores of every fixture.

use std::sync::Arc;

use lacuna::TextInput;
use lacuna::heads::{Head, HeadKind, Problem, ScoreFunction};
use lacuna::tasks::{
    Backbone, Classification, CrossEncoder, Entity, MaskFiller, SequenceClassifier, TagOptions, TokenClassifier,
};
use serde_json::Value;

use super::{compile, floats, integers, load, logits, rows, sequences};

/// Largest difference of a logit, of magnitude 3, between f32 here and f64 there.
const TOLERANCE: f32 = 1e-4;
/// The same of a probability.
const SCORE: f32 = 2e-5;

const MODELS: [(&str, HeadKind); 13] = [
    ("bert-classify", HeadKind::SequenceClassification),
    ("bert-rank", HeadKind::SequenceClassification),
    ("bert-tag", HeadKind::TokenClassification),
    ("bert-answer", HeadKind::QuestionAnswering),
    ("bert-fill", HeadKind::MaskedLm),
    ("distilbert-classify", HeadKind::SequenceClassification),
    ("distilbert-tag", HeadKind::TokenClassification),
    ("distilbert-fill", HeadKind::MaskedLm),
    ("roberta-classify", HeadKind::SequenceClassification),
    ("roberta-answer", HeadKind::QuestionAnswering),
    ("roberta-fill", HeadKind::MaskedLm),
    ("electra-classify", HeadKind::SequenceClassification),
    ("electra-fill", HeadKind::MaskedLm),
];

fn near(found: f32, expected: &Value, tolerance: f32, what: &str) {
    let expected = expected.as_f64().unwrap() as f32;
    assert!((found - expected).abs() < tolerance, "{what}: {found} is not {expected}");
}

fn inputs(rows: &[Value]) -> Vec<TextInput<'_>> {
    rows.iter().map(|row| TextInput { text: row["text"].as_str().unwrap(), pair: row["pair"].as_str() }).collect()
}

#[test]
fn heads_are_what_the_files_say() {
    for (name, kind) in MODELS {
        let (model, head) = load(name);
        assert_eq!(head.kind(), kind, "{name}");
        assert!(head.class().ends_with(kind.class()), "{name}");
        let labels: &[&str] = match name {
            "bert-classify" => &["bad", "so so", "good"],
            "bert-rank" => &["relevant"],
            "bert-tag" | "distilbert-tag" => &["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
            "distilbert-classify" => &["city", "animal", "film"],
            "roberta-classify" => &["LABEL_0", "LABEL_1"],
            "electra-classify" => &["no", "yes"],
            _ => &[],
        };
        assert_eq!(head.labels(), labels, "{name}");
        let is_multi = ["distilbert-classify", "bert-rank"].contains(&name);
        if kind == HeadKind::SequenceClassification {
            assert_eq!(head.problem(), if is_multi { Problem::MultiLabel } else { Problem::SingleLabel }, "{name}");
        }
        assert!(model.tokenizer().is_some(), "{name}");
    }
}

#[test]
fn logits_in_f32_agree_with_another_implementation() {
    for (name, _) in MODELS {
        let (model, head) = load(name);
        let sequences = sequences(name);
        let mut worst = 0.0f32;
        for (found, (_, _, expected)) in logits(&model, &head, &sequences).iter().zip(&sequences) {
            assert_eq!(found.data.len(), expected.len(), "{name}");
            worst = found.data.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
        }
        println!("{name}: {worst:.1e}");
        assert!(worst < TOLERANCE, "{name}: off by {worst}");
    }
}

/// Tiny models are coarse: what matters is that every logit is near, and that a clear choice stays the choice.
#[test]
fn logits_of_the_int8_encoder_are_close() {
    for (name, _) in MODELS {
        let (model, head) = load(name);
        let sequences = sequences(name);
        let encoder = compile(name, model);
        let (mut worst, mut difference, mut scale) = (0.0f32, 0.0f64, 0.0f64);
        for (found, (_, _, expected)) in logits(&encoder, &head, &sequences).iter().zip(&sequences) {
            for (found, expected) in found.data.chunks_exact(found.cols).zip(expected.chunks_exact(found.cols)) {
                let errors = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
                let error = errors.clone().fold(0.0, f32::max);
                worst = worst.max(error);
                difference += errors.map(|x| f64::from(x).powi(2)).sum::<f64>();
                scale += expected.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            }
        }
        let relative = (difference / scale).sqrt();
        println!("{name}: {:.1} % of the logits' size, worst {worst:.2}", 100.0 * relative);
        assert!(relative < 0.06, "{name}: {relative}");
    }
}

fn check_labels(name: &str, head: &Head, found: &[Classification], row: &Value, tolerance: f32) {
    let mut expected = floats(&row["logits"]);
    head.problem().scores(&mut expected);
    assert_eq!(found.len(), expected.len(), "{name}");
    assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score), "{name}: not sorted");
    for Classification { label, score, .. } in found {
        let at = head.labels().iter().position(|known| known == label).unwrap();
        assert!((score - expected[at]).abs() < tolerance, "{name}: {label} {score} is not {}", expected[at]);
    }
    let mut order: Vec<(f32, &String)> = expected.iter().copied().zip(head.labels()).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    if order[0].0 - order[1].0 > 2.0 * tolerance {
        assert_eq!(&found[0].label, order[0].1, "{name}");
    }
}

fn check_classifier(name: &str, backbone: Arc<dyn Backbone>, tolerance: f32) {
    let head = load(name).1;
    let rows = rows(name);
    let classifier = SequenceClassifier::new(backbone, head.clone()).unwrap();
    let found = classifier.classify(&inputs(&rows)).unwrap();
    assert_eq!(found.len(), rows.len());
    for (found, row) in found.iter().zip(&rows) {
        check_labels(name, &head, found, row, tolerance);
    }
    let cut: Vec<usize> = found.truncated.iter().map(|cut| cut.sentence).collect();
    let full = rows.iter().enumerate().filter(|(_, row)| integers(&row["ids"]).len() == 40).map(|(i, _)| i);
    assert_eq!(cut, full.collect::<Vec<_>>(), "{name}: what was cut");
    assert!(cut.len() >= 2 && found.truncated.iter().all(|cut| cut.limit == 40 && cut.tokens > 40), "{name}");
}

#[test]
fn texts_and_pairs_get_their_labels() {
    for name in ["bert-classify", "distilbert-classify", "roberta-classify", "electra-classify"] {
        let (model, _) = load(name);
        check_classifier(name, Arc::new(model.clone()), SCORE);
        check_classifier(name, Arc::new(compile(name, model)), 0.15);
    }
}

/// Tokens of texts and pairs, cut where they are too long, are those of the other implementation.
#[test]
fn tokens_are_those_of_another_implementation() {
    for (name, _) in MODELS {
        let (model, _) = load(name);
        let tokenizer = model.tokenizer().unwrap();
        for row in rows(name).iter().filter(|row| row["windows"].is_null()) {
            let input = inputs(std::slice::from_ref(row))[0];
            let found = tokenizer.locate(input).unwrap();
            if found.ids.len() <= 40 {
                assert_eq!(found.ids, integers(&row["ids"]), "{name}: {input:?}");
            }
            if input.pair.is_none() {
                assert_eq!(tokenizer.encode(input.text).unwrap().ids, integers(&row["ids"]), "{name}: {input:?}");
            }
        }
    }
}

#[test]
fn passages_are_scored_and_ranked() {
    let rows = rows("bert-rank");
    let passages: Vec<&str> = rows.iter().map(|row| row["pair"].as_str().unwrap()).collect();
    let query = rows[0]["text"].as_str().unwrap();
    let (model, head) = load("bert-rank");
    let ranker = CrossEncoder::new(Arc::new(model.clone()), head.clone()).unwrap();
    let ranked = ranker.rank(query, &passages).unwrap();
    assert!(ranked.windows(2).all(|pair| pair[0].score > pair[1].score));
    let raw = ranker.with_score_function(ScoreFunction::Identity).rank(query, &passages).unwrap();
    for (ranked, raw) in ranked.iter().zip(raw.iter()) {
        assert_eq!(ranked.index, raw.index);
        near(raw.score, &rows[raw.index]["logits"][0], TOLERANCE, "bert-rank");
        assert!((ranked.score - 1.0 / (1.0 + (-raw.score).exp())).abs() < 1e-6);
    }
    assert_eq!(raw.truncated.iter().map(|cut| cut.sentence).collect::<Vec<_>>(), [3]);

    let int8 = CrossEncoder::new(Arc::new(compile("bert-rank", model)), head).unwrap();
    for found in int8.rank(query, &passages).unwrap().iter() {
        let logit = rows[found.index]["logits"][0].as_f64().unwrap();
        assert!((f64::from(found.score) - 1.0 / (1.0 + (-logit).exp())).abs() < 0.1);
    }
}

/// Of two labels the second's probability; raw, what the sigmoid makes that probability of.
#[test]
fn two_labels_rank_by_the_second() {
    let (model, head) = load("electra-classify");
    let model = Arc::new(model);
    let pairs = [TextInput::pair("Who met?", "Zoë met Émile."), TextInput::pair("Who met?", "The cat sat.")];
    let labels = SequenceClassifier::new(model.clone(), head.clone()).unwrap().classify(&pairs).unwrap();
    let ranker = CrossEncoder::new(model, head).unwrap();
    let scores = ranker.scores(&pairs).unwrap();
    let raw = ranker.with_score_function(ScoreFunction::Identity).scores(&pairs).unwrap();
    for i in 0..2 {
        let yes = labels[i].iter().find(|label| label.label == "yes").unwrap().score;
        assert!((scores[i] - yes).abs() < 1e-6);
        assert!((scores[i] - 1.0 / (1.0 + (-raw[i]).exp())).abs() < 1e-6);
    }
}

fn tag(name: &str, backbone: Arc<dyn Backbone>) -> Vec<Vec<Entity>> {
    let rows = rows(name);
    let texts: Vec<&str> = rows.iter().map(|row| row["text"].as_str().unwrap()).collect();
    let tagger = TokenClassifier::new(backbone, load(name).1).unwrap();
    // The last text is over the limit: the other implementation cut it, and it is read in windows here.
    tagger.tag(&texts[..4], &TagOptions::default()).unwrap()
}

#[test]
fn entities_are_those_of_another_implementation() {
    for name in ["bert-tag", "distilbert-tag"] {
        let (model, _) = load(name);
        for (found, row) in tag(name, Arc::new(model)).iter().zip(rows(name)) {
            let expected = row["entities"].as_array().unwrap();
            assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert_eq!(found.label, expected["label"].as_str().unwrap(), "{name}");
                assert_eq!((found.start as u64, found.end as u64), span(expected), "{name}");
                near(found.score, &expected["score"], SCORE, name);
            }
        }
    }
}

/// Most bytes of every text have the same label in int8: random models are rarely sure.
#[test]
fn entities_of_the_int8_encoder_are_mostly_the_same() {
    for name in ["bert-tag", "distilbert-tag"] {
        let (model, _) = load(name);
        let (mut same, mut all) = (0, 0);
        for (found, row) in tag(name, Arc::new(compile(name, model))).iter().zip(rows(name)) {
            let expected = row["entities"].as_array().unwrap();
            for byte in 0..row["text"].as_str().unwrap().len() as u64 {
                let found = found.iter().find(|e| (e.start as u64..e.end as u64).contains(&byte));
                let expected = expected.iter().find(|e| (span(e).0..span(e).1).contains(&byte));
                same += u32::from(found.map(|e| e.label.as_str()) == expected.map(|e| e["label"].as_str().unwrap()));
                all += 1;
            }
        }
        println!("{name}: {same} of {all} bytes");
        assert!(f64::from(same) > 0.85 * f64::from(all), "{name}: {same} of {all}");
    }
}

fn span(value: &Value) -> (u64, u64) {
    (value["start"].as_u64().unwrap(), value["end"].as_u64().unwrap())
}

fn check_masks(name: &str, backbone: Arc<dyn Backbone>, tolerance: f32) {
    let rows = rows(name);
    let texts: Vec<&str> = rows.iter().map(|row| row["text"].as_str().unwrap()).collect();
    let filler = MaskFiller::new(backbone, load(name).1).unwrap();
    let all = filler.fill(&texts, 1000).unwrap();
    let best = filler.fill(&texts, 4).unwrap();
    for ((row, all), best) in rows.iter().zip(all.iter()).zip(best.iter()) {
        let expected = row["masks"].as_array().unwrap();
        assert_eq!((all.len(), best.len()), (expected.len(), expected.len()), "{name}");
        for ((all, best), expected) in all.iter().zip(best).zip(expected) {
            assert_eq!((all.start as u64, all.end as u64), span(expected), "{name}");
            assert_eq!(best.candidates, all.candidates[..4], "{name}");
            assert!((all.candidates.iter().map(|c| c.score).sum::<f32>() - 1.0).abs() < 1e-5);
            for (i, expected) in expected["candidates"].as_array().unwrap().iter().enumerate() {
                let found =
                    all.candidates.iter().find(|c| u64::from(c.id) == expected["id"].as_u64().unwrap()).unwrap();
                assert_eq!(found.token, expected["token"].as_str().unwrap(), "{name}");
                near(found.score, &expected["score"], tolerance, name);
                if tolerance == SCORE {
                    assert_eq!(found, &best.candidates[i], "{name}");
                }
            }
        }
    }
}

#[test]
fn masks_are_filled_as_by_another_implementation() {
    for name in ["bert-fill", "distilbert-fill", "roberta-fill", "electra-fill"] {
        let (model, _) = load(name);
        check_masks(name, Arc::new(model.clone()), SCORE);
        check_masks(name, Arc::new(compile(name, model)), 0.1);
    }
}
