//! Label schemes, and texts that need several windows.

use std::sync::Arc;

use lacuna::errors::ModelError;
use lacuna::tasks::{Entity, LabelScheme, TagOptions, TokenClassifier};
use lacuna::{Error, Model};

use super::lookup::{Lookup, wordpiece};

const WORDS: [&str; 8] = ["ada", "king", "noel", "byron", "met", "in", "paris", "."];

fn tagger(labels: &[(&str, &[&str])]) -> (TokenClassifier, tempfile::TempDir) {
    let dir = Lookup::new("bert", wordpiece(&WORDS, "[MASK]")).tagger(labels);
    let model = Model::open(dir.path()).unwrap();
    let head = model.head().unwrap();
    (TokenClassifier::new(Arc::new(model), head).unwrap(), dir)
}

fn spans(found: &[Entity], text: &str) -> Vec<(String, String)> {
    found.iter().map(|e| (e.label.clone(), text[e.start..e.end].to_owned())).collect()
}

fn check(labels: &[(&str, &[&str])], scheme: Option<LabelScheme>, text: &str, expected: &[(&str, &str)]) {
    let options = TagOptions { scheme, ..TagOptions::default() };
    let found = tagger(labels).0.tag(&[text], &options).unwrap().remove(0);
    let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(spans(&found, text), expected, "{labels:?}");
}

#[test]
fn every_scheme_is_read() {
    let text = "Ada King Noel met Byron Byron in Paris.";
    let expected = [("PER", "Ada King Noel"), ("PER", "Byron"), ("PER", "Byron"), ("LOC", "Paris")];
    let bioes: [(&str, &[&str]); 8] = [
        ("O", &[]),
        ("B-PER", &["ada"]),
        ("I-PER", &["king"]),
        ("E-PER", &["noel"]),
        ("S-PER", &["byron"]),
        ("B-LOC", &[]),
        ("E-LOC", &[]),
        ("S-LOC", &["paris"]),
    ];
    check(&bioes, None, text, &expected);
    let rename = |from: &str| from.replace("E-", "L-").replace("S-", "U-");
    let bilou: Vec<(String, &[&str])> = bioes.iter().map(|(label, tokens)| (rename(label), *tokens)).collect();
    let bilou: Vec<(&str, &[&str])> = bilou.iter().map(|(label, tokens)| (label.as_str(), *tokens)).collect();
    check(&bilou, None, text, &expected);
    let bio: [(&str, &[&str]); 4] =
        [("O", &[]), ("B-PER", &["ada", "byron"]), ("I-PER", &["king", "noel"]), ("B-LOC", &["paris"])];
    check(&bio, None, text, &expected);
    // IOB1 begins with I, and has B only between neighbours of one name: here every Byron begins.
    let iob1: [(&str, &[&str]); 4] =
        [("O", &[]), ("I-PER", &["ada", "king", "noel"]), ("B-PER", &["byron"]), ("I-LOC", &["paris"])];
    check(&iob1, None, text, &expected);
    // IO cannot tell neighbours apart.
    let io: [(&str, &[&str]); 3] = [("O", &[]), ("PER", &["ada", "king", "noel", "byron"]), ("LOC", &["paris"])];
    check(&io, None, text, &[("PER", "Ada King Noel"), ("PER", "Byron Byron"), ("LOC", "Paris")]);
    // As asked for: the prefixes of BIO are names in IO, but for I-.
    check(&bio, Some(LabelScheme::Io), "Ada King met", &[("B-PER", "Ada"), ("PER", "King")]);
}

#[test]
fn a_scheme_that_the_labels_do_not_follow_is_refused() {
    let (tagger, _dir) = tagger(&[("O", &[]), ("PER", &["ada"]), ("LOC", &["paris"])]);
    for scheme in [LabelScheme::Bio, LabelScheme::Bioes, LabelScheme::Bilou] {
        let options = TagOptions { scheme: Some(scheme), ..TagOptions::default() };
        let error = tagger.tag(&["Ada"], &options).unwrap_err();
        assert!(matches!(error, Error::Model(ModelError::WrongHead { .. })), "{error}");
        assert!(error.to_string().contains(scheme.name()) && error.to_string().contains("O, PER, LOC"), "{error}");
    }
}

/// Every token has the logits of the window in which it is farthest from the nearer end; computed here once more.
#[test]
fn long_texts_are_read_in_windows() {
    let labels: [(&str, &[&str]); 4] =
        [("O", &[]), ("B-PER", &["ada", "byron"]), ("I-PER", &["king"]), ("B-LOC", &["paris"])];
    let lookup = Lookup { mix: 0.5, positions: 12, ..Lookup::new("bert", wordpiece(&WORDS, "[MASK]")) };
    let dir = lookup.tagger(&labels);
    let model = Arc::new(Model::open(dir.path()).unwrap());
    let head = model.head().unwrap();
    let tagger = TokenClassifier::new(model.clone(), head.clone()).unwrap();
    let words: Vec<&str> = (0..37).map(|i| WORDS[(i * i + i / 3) % 7]).collect();
    let text = words.join(" ");
    let room = 10;
    for overlap in [None, Some(0), Some(3), Some(9)] {
        let step = room - overlap.unwrap_or(5);
        let mut windows = Vec::new();
        let mut start = 0;
        loop {
            windows.push(start..(start + room).min(words.len()));
            if start + room >= words.len() {
                break;
            }
            start += step;
        }
        let logits: Vec<_> = windows
            .iter()
            .map(|window| {
                let mut ids = vec![2];
                ids.extend(words[window.clone()].iter().map(|word| lookup.tokens.id(word) as u32));
                ids.push(3);
                head.logits(&model.reference().forward(&[ids]).unwrap().remove(0)).unwrap()
            })
            .collect();
        let seen = |window: &std::ops::Range<usize>, token: usize| {
            let before = if window.start == 0 { 1000 } else { token - window.start };
            let after = if window.end == words.len() { 1000 } else { window.end - 1 - token };
            before.min(after)
        };
        let mut expected: Vec<(String, usize, Vec<f64>)> = Vec::new();
        let (mut at, mut before) = (0, "O");
        for (token, word) in words.iter().enumerate() {
            let holding = (0..windows.len()).filter(|&w| windows[w].contains(&token));
            let window = holding.rev().max_by_key(|&w| seen(&windows[w], token)).unwrap();
            let row = logits[window].row(1 + token - windows[window].start);
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            let best = (0..4).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
            let (label, score) = (labels[best].0, f64::from(row[best]).exp() / sum);
            let name = label.trim_start_matches("B-").trim_start_matches("I-");
            match expected.last_mut() {
                Some(last) if label.starts_with("I-") && before == name => last.2.push(score),
                _ if name != "O" => expected.push((name.to_owned(), at, vec![score])),
                _ => {}
            }
            before = name;
            at += word.len() + 1;
        }
        let options = TagOptions { overlap, ..TagOptions::default() };
        let found = tagger.tag(&[text.as_str(), "Ada"], &options).unwrap();
        assert_eq!(found[0].len(), expected.len(), "{overlap:?}");
        assert!(found[0].last().unwrap().start > 100, "the end of the text is read");
        for (found, (label, start, scores)) in found[0].iter().zip(expected) {
            assert_eq!((&found.label, found.start), (&label, start), "{overlap:?}");
            let score = scores.iter().sum::<f64>() / scores.len() as f64;
            assert!((f64::from(found.score) - score).abs() < 1e-5, "{overlap:?}: {found:?} is not {score}");
        }
        assert_eq!(found[1].len(), 1);
    }
    let options = TagOptions { overlap: Some(10), ..TagOptions::default() };
    let error = tagger.tag(&[text.as_str()], &options).unwrap_err();
    assert!(matches!(error, Error::HeadOption { option: "overlap", found: 10, .. }), "{error}");
    assert!(tagger.tag(&["Ada"], &options).is_ok(), "a text that fits has no windows");
}
