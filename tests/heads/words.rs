//! Entities and answers are words: in text without blanks, and with every kind of tokenizer.

use std::path::Path;
use std::sync::Arc;

use lacuna::heads::Head;
use lacuna::tasks::{Aggregation, AnswerOptions, Entity, QuestionAnswerer, TagOptions, TokenClassifier};
use lacuna::{Model, TextInput};

use super::lookup::{Division, Lookup, Tokens, byte_level, bytes, unigram, wordpiece};

const DIVISIONS: [Division; 3] = [Division::Blanks, Division::Marks, Division::Nothing];

const PIECES: [&str; 27] = [
    "▁",
    "▁Ada",
    "▁Char",
    "les",
    "▁met",
    "▁in",
    "▁London",
    ".",
    ",",
    "'",
    "s",
    "▁St",
    "-",
    "Mo",
    "我",
    "住在",
    "北京",
    "。",
    "私",
    "は",
    "ロン",
    "ドン",
    "に",
    "ฉัน",
    "อยู่",
    "ที่",
    "กรุงเทพ",
];

fn open(dir: &Path) -> (Arc<Model>, Head) {
    let model = Model::open(dir).unwrap();
    let head = model.head().unwrap();
    (Arc::new(model), head)
}

fn tag(dir: &Path, text: &str, aggregation: Aggregation) -> Vec<Entity> {
    let (model, head) = open(dir);
    let options = TagOptions { aggregation, ..TagOptions::default() };
    TokenClassifier::new(model, head).unwrap().tag(&[text], &options).unwrap().remove(0)
}

/// Checks entities by their text, and that bytes and characters are those of the text.
fn expect(found: &[Entity], text: &str, expected: &[(&str, &str)], what: &str) {
    let spans: Vec<(&str, &str)> = found.iter().map(|e| (e.label.as_str(), &text[e.start..e.end])).collect();
    assert_eq!(spans, expected, "{what}: {text}");
    for entity in found {
        let part: String = text.chars().skip(entity.start_char).take(entity.end_char - entity.start_char).collect();
        assert_eq!(part, text[entity.start..entity.end], "{what}: {text}");
    }
}

fn sentencepiece(division: Division) -> Lookup {
    Lookup::new("xlm-roberta", unigram(&PIECES, division))
}

const NAMES: [(&str, &[&str]); 4] = [
    ("O", &[]),
    ("B-PER", &["▁Ada", "▁Char", "▁St"]),
    ("I-PER", &["les"]),
    ("B-LOC", &["▁London", "北京", "ロン", "กรุงเทพ"]),
];

#[test]
fn entities_of_sentencepiece_are_words() {
    for division in DIVISIONS {
        let dir = sentencepiece(division).tagger(&NAMES);
        for (text, expected) in [
            ("Ada met Charles in London.", &[("PER", "Ada"), ("PER", "Charles"), ("LOC", "London")][..]),
            ("  Ada,  Charles' London . ", &[("PER", "Ada"), ("PER", "Charles"), ("LOC", "London")]),
            ("Charles's St-Mo", &[("PER", "Charles"), ("PER", "St")]),
            ("我住在北京", &[("LOC", "北京")]),
            ("北京。 北京,London", &[("LOC", "北京"), ("LOC", "北京")]),
            ("私はロンドンに", &[("LOC", "ロンドン")]),
            ("ฉันอยู่ที่กรุงเทพ", &[("LOC", "กรุงเทพ")]),
            ("\u{3000}北京\u{3000}", &[("LOC", "北京")]),
            ("", &[]),
            (" . ", &[]),
        ] {
            for aggregation in [Aggregation::First, Aggregation::Max] {
                let found = tag(dir.path(), text, aggregation);
                expect(&found, text, expected, &format!("{division:?}, {aggregation}"));
            }
            // Without regard to words the second half of a word stays as its tokens say.
            let simple: Vec<_> = expected.iter().map(|e| if e.1 == "ロンドン" { (e.0, "ロン") } else { *e }).collect();
            expect(&tag(dir.path(), text, Aggregation::Simple), text, &simple, &format!("{division:?}, simple"));
        }
    }
}

#[test]
fn entities_of_wordpiece_are_words() {
    let words = ["ada", "char", "##les", "met", ".", "我", "住", "在", "北", "京", "ฉน", "##กรง", "zoe", "'", "s"];
    let dir = Lookup::new("bert", wordpiece(&words, "[MASK]")).tagger(&[
        ("O", &[]),
        ("B-PER", &["ada", "char", "zoe"]),
        ("B-LOC", &["北", "##กรง"]),
        ("I-LOC", &["京"]),
    ]);
    for (text, expected) in [
        ("Ada met Charles.", &[("PER", "Ada"), ("PER", "Charles")][..]),
        ("我住在北京.", &[("LOC", "北京")]),
        ("ฉันกรุง", &[("LOC", "กรุง")]), // the normalizer drops the vowels above and below
        // An accent that the normalizer drops belongs to its letter.
        (
            "Zoe\u{308} met Zoe\u{308}'s Ada\u{301}",
            &[("PER", "Zoe\u{308}"), ("PER", "Zoe\u{308}"), ("PER", "Ada\u{301}")],
        ),
    ] {
        expect(&tag(dir.path(), text, Aggregation::First), text, expected, "WordPiece");
    }
}

#[test]
fn entities_of_byte_level_tokens_are_words_and_whole_characters() {
    let words = [" Ada", " met", "北京", " London"];
    let smile = bytes("😀");
    let symbols: Vec<String> = smile.chars().map(|c| c.to_string()).collect();
    for trim in [true, false] {
        let tokens = || byte_level(&words, "😀我住在.", trim);
        for (i, symbol) in symbols.iter().enumerate() {
            let labels: [(&str, &[&str]); 3] =
                [("O", &[]), ("B-LOC", &[&bytes("北京"), &bytes(" London"), &bytes(" Ada")]), ("B-EMO", &[symbol])];
            let dir = Lookup::new("roberta", tokens()).tagger(&labels);
            let text = "我住在北京 Ada 😀😀 London.";
            let (city, end) = (("LOC", "北京"), [("LOC", "Ada"), ("LOC", "London")]);
            let found = tag(dir.path(), text, Aggregation::Max);
            expect(
                &found,
                text,
                &[city, end[0], ("EMO", "😀"), ("EMO", "😀"), end[1]],
                &format!("byte {i}, trim {trim}"),
            );
            // By its first token: only the first byte says what the emoji is.
            let first = tag(dir.path(), text, Aggregation::First);
            let emoji = if i == 0 { &[("EMO", "😀"), ("EMO", "😀")][..] } else { &[] };
            let expected = [&[city, end[0]], emoji, &end[1..]].concat();
            for (found, what) in [(first, "first"), (tag(dir.path(), text, Aggregation::Simple), "simple")] {
                expect(&found, text, &expected, &format!("{what}, byte {i}, trim {trim}"));
            }
            for entity in tag(dir.path(), text, Aggregation::None) {
                assert!(text.is_char_boundary(entity.start) && text.is_char_boundary(entity.end), "{entity:?}");
                assert!(!text[entity.start..entity.end].contains(' '), "{entity:?}");
            }
        }
    }
}

/// Tokens that are only the mark of a word's beginning stand for no text, whatever their label.
#[test]
fn a_mark_alone_is_no_word() {
    for division in DIVISIONS {
        let dir = sentencepiece(division).tagger(&[("O", &[]), ("B-LOC", &["▁"]), ("B-PER", &["北京"])]);
        for text in ["北京", " 北京 北京"] {
            let expected = vec![("PER", "北京"); text.matches("北京").count()];
            for aggregation in Aggregation::ALL {
                let label = if aggregation == Aggregation::None { "B-PER" } else { "PER" };
                let expected: Vec<_> = expected.iter().map(|(_, text)| (label, *text)).collect();
                expect(&tag(dir.path(), text, aggregation), text, &expected, &format!("{division:?}, {aggregation}"));
            }
        }
    }
}

fn answer(dir: &Path, context: &str) -> String {
    let (model, head) = open(dir);
    let answerer = QuestionAnswerer::new(model, head).unwrap();
    let found = answerer.answer(&[TextInput::pair("Ada", context)], &AnswerOptions::default()).unwrap().remove(0);
    context[found[0].span.clone().unwrap()].to_owned()
}

#[test]
fn answers_are_words() {
    let starts = ["北京", "▁London", "ロン", "กรุงเทพ", "▁Char"];
    let ends = ["北京", "▁London", "ロン", "กรุงเทพ", "▁Char"];
    for division in DIVISIONS {
        let dir = sentencepiece(division).answerer(&starts, &ends);
        for (context, expected) in [
            ("Ada met Ada in London.", "London"),
            ("in  Charles's.", "Charles"),
            ("我住在北京。", "北京"),
            ("私はロンドンに", "ロンドン"),
            ("ฉันอยู่ที่กรุงเทพ", "กรุงเทพ"),
        ] {
            assert_eq!(answer(dir.path(), context), expected, "{division:?}: {context}");
        }
    }
    let smile = bytes("😀");
    let symbols: Vec<String> = smile.chars().map(|c| c.to_string()).collect();
    let middle = [symbols[1].as_str()];
    let dir = Lookup::new("roberta", byte_level(&[" Ada", " met"], "😀.", false)).answerer(&middle, &middle);
    assert_eq!(answer(dir.path(), "Ada met 😀."), "😀");
}

/// The strategies of transformers' pipeline, computed here once more from the logits.
#[test]
fn strategies_are_those_of_the_pipeline() {
    let words = ["ada", "##lo", "##ve", "met", "char", "##les"];
    let tokens = || -> Tokens { wordpiece(&words, "[MASK]") };
    let labels: [(&str, &[&str]); 4] =
        [("O", &["met", "##lo"]), ("B-PER", &["ada", "##ve"]), ("I-PER", &["char"]), ("B-LOC", &["##les", "##ve"])];
    let dir = Lookup::new("bert", tokens()).tagger(&labels);
    let (model, head) = open(dir.path());
    let text = "Adalove Charles met Ada Charve Metles";
    let pieces = ["ada", "##lo", "##ve", "char", "##les", "met", "ada", "char", "##ve", "met", "##les"];
    let ids: Vec<u32> =
        [&["[CLS]"], &pieces[..], &["[SEP]"]].concat().iter().map(|piece| tokens().id(piece) as u32).collect();
    let states = model.reference().forward(&[ids]).unwrap().remove(0);
    let logits = head.logits(&states).unwrap();
    let scores: Vec<Vec<f64>> = (1..=pieces.len())
        .map(|row| {
            let exp: Vec<f64> = logits.row(row).iter().map(|x| f64::from(*x).exp()).collect();
            exp.iter().map(|x| x / exp.iter().sum::<f64>()).collect()
        })
        .collect();
    let best = |scores: &[f64]| (0..4).rev().max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
    let mut of_words: Vec<Vec<&Vec<f64>>> = Vec::new();
    for (piece, scores) in pieces.iter().zip(&scores) {
        match of_words.last_mut() {
            Some(word) if piece.starts_with("##") => word.push(scores),
            _ => of_words.push(vec![scores]),
        }
    }
    let mean = |word: &[&Vec<f64>]| -> Vec<f64> {
        (0..4).map(|k| word.iter().map(|scores| scores[k]).sum::<f64>() / word.len() as f64).collect()
    };
    let surest = |word: &[&Vec<f64>]| -> Vec<f64> {
        let top = |scores: &&Vec<f64>| scores[best(scores)];
        word.iter().rev().max_by(|a, b| top(a).total_cmp(&top(b))).unwrap().to_vec()
    };
    for aggregation in [Aggregation::First, Aggregation::Average, Aggregation::Max] {
        let chosen: Vec<Vec<f64>> = of_words
            .iter()
            .map(|word| match aggregation {
                Aggregation::First => word[0].clone(),
                Aggregation::Average => mean(word),
                _ => surest(word),
            })
            .collect();
        let mut expected: Vec<(String, usize, usize, Vec<f64>)> = Vec::new();
        let mut before: Option<&str> = None;
        let mut at = 0;
        for (word, scores) in text.split(' ').zip(&chosen) {
            let (label, score) = (labels[best(scores)].0, scores[best(scores)]);
            let name = label.strip_prefix("B-").or(label.strip_prefix("I-")).unwrap_or(label);
            match expected.last_mut() {
                Some(last) if before == Some(name) && name != "O" && !label.starts_with("B-") => {
                    last.2 = at + word.len();
                    last.3.push(score);
                }
                _ if name != "O" => expected.push((name.to_owned(), at, at + word.len(), vec![score])),
                _ => {}
            }
            before = Some(name);
            at += word.len() + 1;
        }
        let found = tag(dir.path(), text, aggregation);
        assert_eq!(found.len(), expected.len(), "{aggregation}: {found:?}");
        for (found, (label, start, end, scores)) in found.iter().zip(expected) {
            assert_eq!((&found.label, found.start, found.end), (&label, start, end), "{aggregation}");
            let score = scores.iter().sum::<f64>() / scores.len() as f64;
            assert!((f64::from(found.score) - score).abs() < 1e-5, "{aggregation}: {found:?}");
        }
    }
    let none = tag(dir.path(), "Adalove", Aggregation::None);
    assert_eq!(none[0].label, "B-PER", "whole labels, token for token");
    assert_eq!((none[0].start, none[0].end), (0, 3));
}
