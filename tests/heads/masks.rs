//! Masks of every tokenizer, in texts of any length.

use std::path::Path;
use std::sync::Arc;

use lacuna::tasks::{FilledMask, MaskFiller};
use lacuna::{Error, Model};

use super::lookup::{Division, Lookup, byte_level, bytes, unigram, wordpiece};

fn filler(dir: &Path) -> MaskFiller {
    let model = Model::open(dir).unwrap();
    let head = model.head().unwrap();
    MaskFiller::new(Arc::new(model), head).unwrap()
}

/// Checks the places of all masks, and the first candidate of each.
fn check(found: &[FilledMask], text: &str, mask: &str, token: &str, sequences: &[&str]) {
    assert_eq!(found.len(), sequences.len(), "{text}");
    let places: Vec<usize> = text.match_indices(mask).map(|(at, _)| at).collect();
    for ((found, place), sequence) in found.iter().zip(places).zip(sequences) {
        assert_eq!((found.start, found.end), (place, place + mask.len()), "{text}: no blank is counted in");
        assert_eq!(found.start_char, text[..place].chars().count(), "{text}");
        assert_eq!(found.end_char - found.start_char, mask.chars().count(), "{text}");
        let best = &found.candidates[0];
        assert_eq!((best.token.as_str(), best.sequence.as_str()), (token, *sequence), "{text}");
        assert!(found.candidates.windows(2).all(|pair| pair[0].logit >= pair[1].logit), "{text}");
    }
}

#[test]
fn masks_of_wordpiece() {
    for mask in ["[MASK]", "<mask>", "[Mask]", "<|MASK|>"] {
        let lookup = || Lookup::new("bert", wordpiece(&["ada", "met", "##s", "river", "北"], mask));
        let dir = lookup().filler(mask, "river");
        let filler = filler(dir.path());
        assert_eq!(filler.mask_token(), mask);
        let text = format!("Ada  {mask} 北{mask}. {mask}");
        let [a, b, c] = [
            format!("Ada  river 北{mask}. {mask}"),
            format!("Ada  {mask} 北river. {mask}"),
            format!("Ada  {mask} 北{mask}. river"),
        ];
        check(&filler.fill(&[&text], 3).unwrap()[0], &text, mask, "river", &[&a, &b, &c]);
        let dir = lookup().filler(mask, "##s");
        let text = format!("river {mask} met");
        check(&super::masks::filler(dir.path()).fill(&[&text], 3).unwrap()[0], &text, mask, "##s", &["rivers met"]);
    }
}

#[test]
fn masks_of_sentencepiece() {
    for division in [Division::Blanks, Division::Marks, Division::Nothing] {
        let lookup =
            || Lookup::new("xlm-roberta", unigram(&["▁", "▁ada", "▁met", "▁river", "s", "北京", "."], division));
        let text = "ada   <mask> met 北京<mask>.";
        let dir = lookup().filler("<mask>", "▁river");
        let found = filler(dir.path()).fill(&[text], 3).unwrap();
        check(&found[0], text, "<mask>", "river", &["ada   river met 北京<mask>.", "ada   <mask> met 北京 river."]);
        let dir = lookup().filler("<mask>", "s");
        let found = filler(dir.path()).fill(&[text], 3).unwrap();
        check(&found[0], text, "<mask>", "s", &["adas met 北京<mask>.", "ada   <mask> met 北京s."]);
    }
}

#[test]
fn masks_of_byte_level_tokens() {
    for trim in [true, false] {
        let lookup = || Lookup::new("roberta", byte_level(&[" ada", " met", " river"], "s.", trim));
        let text = "ada <mask> met <mask>.";
        let dir = lookup().filler("<mask>", &bytes(" river"));
        let found = filler(dir.path()).fill(&[text], 3).unwrap();
        check(&found[0], text, "<mask>", " river", &["ada river met <mask>.", "ada <mask> met river."]);
        let dir = lookup().filler("<mask>", "s");
        let found = filler(dir.path()).fill(&[text], 3).unwrap();
        check(&found[0], text, "<mask>", "s", &["adas met <mask>.", "ada <mask> mets."]);
    }
}

/// No mask is cut off: it is filled from the window that shows most around it.
#[test]
fn masks_of_long_texts_are_filled() {
    let lookup =
        Lookup { mix: 0.5, positions: 12, ..Lookup::new("bert", wordpiece(&["ada", "met", "river"], "[MASK]")) };
    let dir = lookup.filler("[MASK]", "river");
    let model = Arc::new(Model::open(dir.path()).unwrap());
    let head = model.head().unwrap();
    let filler = MaskFiller::new(model.clone(), head.clone()).unwrap();
    let words: Vec<&str> = (0..30).map(|i| ["ada", "met", "[MASK]", "met", "ada", "ada", "river"][i % 7]).collect();
    let text = words.join(" ");
    let found = filler.fill(&[text.as_str(), "[MASK]"], 3).unwrap();
    let places: Vec<usize> = (0..30).filter(|i| words[*i] == "[MASK]").collect();
    assert_eq!((found[0].len(), found[1].len()), (places.len(), 1));
    for (found, place) in found[0].iter().zip(places) {
        // Windows of 10 tokens that share 5.
        let windows = [0..10, 5..15, 10..20, 15..25, 20..30];
        let seen = |window: &std::ops::Range<usize>| {
            let before = if window.start == 0 { 1000 } else { place - window.start };
            let after = if window.end == 30 { 1000 } else { window.end - 1 - place };
            before.min(after)
        };
        let window = windows.iter().filter(|window| window.contains(&place)).rev().max_by_key(|w| seen(w)).unwrap();
        let mut ids = vec![2];
        ids.extend(words[window.clone()].iter().map(|word| lookup.tokens.id(word) as u32));
        ids.push(3);
        let states = model.reference().forward(&[ids]).unwrap().remove(0);
        let logits = head.logits(&states).unwrap();
        let row = logits.row(1 + place - window.start);
        for candidate in &found.candidates {
            assert!((candidate.logit - row[candidate.id as usize]).abs() < 1e-4, "{place}: {candidate:?}");
        }
        assert_eq!(&text[found.start..found.end], "[MASK]");
    }
}

#[test]
fn the_mask_of_another_model_is_named() {
    let dir = Lookup::new("xlm-roberta", unigram(&["▁ada"], Division::Blanks)).filler("<mask>", "▁ada");
    let error = filler(dir.path()).fill(&["a <mask>", "a [MASK]"], 1).unwrap_err();
    assert!(matches!(&error, Error::NoMask { input: 1, mask, .. } if mask == "<mask>"), "{error}");
    let message = error.to_string();
    assert!(message.contains("found [MASK], the mask of other models; expected <mask>"), "{message}");
}
