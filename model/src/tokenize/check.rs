//! What a `tokenizer.json` may not say, and what is changed in it.
//!
//! The library trusts the file in places, and panics later. It also has settings that make results random, or that no user of
//! this crate wants. All of that is settled here, before the library sees the file.

use serde_json::{Map, Value, json};

use super::options::{BertNormalization, TokenizerOptions, TruncationSide};

/// The longest word that WordPiece may look at, in characters: its work grows with the third power of it.
const LONGEST_WORD: u64 = 1000;
/// The longest piece of a Unigram model, in bytes: the work for each character of a text grows with it.
const LONGEST_PIECE: usize = 4096;

/// A checked file.
pub(super) struct Checked {
    /// What the library reads.
    pub(super) json: Value,
    /// Whether this differs from the file.
    pub(super) is_changed: bool,
    /// Which end of a long text is cut.
    pub(super) side: TruncationSide,
    /// What was changed that a user should know.
    pub(super) notes: Vec<String>,
}

/// Checks a file, and puts the settings of other files into it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(mut json: Value, options: &TokenizerOptions) -> Result<Checked, String> {
    let Some(file) = json.as_object_mut() else { return Err("found no JSON object; expected one".into()) };
    let mut notes = Vec::new();
    let mut is_changed = check_model(file.get_mut("model"), &mut notes)?;
    if let Some(processor) = file.get("post_processor") {
        check_processor(processor)?;
    }
    is_changed |= normalize_bert(file.get_mut("normalizer"), options.bert);
    if options.lower_case {
        lower_case(file);
        is_changed = true;
    }
    let stored = file.get("truncation").and_then(|truncation| truncation.get("direction")).and_then(Value::as_str);
    let stored = if stored == Some("Left") { TruncationSide::Left } else { TruncationSide::Right };
    let side = options.truncation_side.unwrap_or(stored);
    if side != stored {
        file.insert("truncation".into(), truncation(side, options.max_length));
        is_changed = true;
    }
    Ok(Checked { json, is_changed, side, notes })
}

fn truncation(side: TruncationSide, max_length: usize) -> Value {
    let direction = match side {
        TruncationSide::Left => "Left",
        TruncationSide::Right => "Right",
    };
    json!({ "direction": direction, "max_length": max_length, "strategy": "LongestFirst", "stride": 0 })
}

/// Whether the model was changed.
fn check_model(model: Option<&mut Value>, notes: &mut Vec<String>) -> Result<bool, String> {
    let model = model.and_then(Value::as_object_mut).ok_or("found no model; expected an object \"model\"")?;
    let vocab = model.get("vocab").ok_or("found a model without vocab; expected its vocabulary")?;
    let longest = vocab.as_array().into_iter().flatten().filter_map(|piece| piece.get(0)?.as_str().map(str::len)).max();
    if let Some(found) = longest.filter(|&bytes| bytes > LONGEST_PIECE) {
        return Err(format!("vocab: found a piece of {found} bytes; expected at most {LONGEST_PIECE}"));
    }
    if let Some(found) = model.get("max_input_chars_per_word").and_then(Value::as_u64).filter(|&n| n > LONGEST_WORD) {
        return Err(format!("max_input_chars_per_word: found {found}; expected at most {LONGEST_WORD}"));
    }
    // Merges are skipped at random: for training.
    let dropout = model.get("dropout").filter(|dropout| !dropout.is_null() && dropout.as_f64() != Some(0.0));
    let is_random = dropout.is_some();
    if let Some(dropout) = dropout {
        notes.push(format!("dropout {dropout} of the tokenizer was switched off: it makes results random"));
        model.insert("dropout".into(), Value::Null);
    }
    Ok(is_random)
}

/// Checks the templates for special tokens, which the library takes as they are.
fn check_processor(processor: &Value) -> Result<(), String> {
    let parts = processor.get("processors").and_then(Value::as_array);
    if let Some(parts) = parts {
        return parts.iter().try_for_each(check_processor);
    }
    match processor.get("type").and_then(Value::as_str) {
        Some("TemplateProcessing") => {}
        _ => return Ok(()),
    }
    let tokens = processor.get("special_tokens").and_then(Value::as_object);
    let tokens = tokens.ok_or("post_processor: found no special_tokens; expected an object")?;
    for (name, token) in tokens {
        let length = |key| token.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        let (ids, texts) = (length("ids"), length("tokens"));
        if ids == 0 || ids != texts {
            return Err(format!(
                "post_processor: special token {name:?}: found {ids} ids and {texts} tokens; expected as many, and at least one"
            ));
        }
    }
    check_template(processor, tokens, "single", &["A"])?;
    check_template(processor, tokens, "pair", &["A", "B"])
}

/// A template must use each of `texts` once and no other, and special tokens that there are.
fn check_template(
    processor: &Value,
    tokens: &Map<String, Value>,
    template: &str,
    texts: &[&str],
) -> Result<(), String> {
    let pieces = processor.get(template).and_then(Value::as_array);
    let pieces = pieces.ok_or_else(|| format!("post_processor: found no template {template:?}; expected a list"))?;
    let id = |piece: &Value, kind: &str| Some(piece.get(kind)?.get("id")?.as_str()?.to_owned());
    let missing = pieces.iter().filter_map(|piece| id(piece, "SpecialToken")).find(|name| !tokens.contains_key(name));
    if let Some(missing) = missing {
        return Err(format!(
            "post_processor: template {template:?}: found {missing:?}, which special_tokens lacks; expected an entry for it there"
        ));
    }
    let mut found: Vec<String> = pieces.iter().filter_map(|piece| id(piece, "Sequence")).collect();
    found.sort();
    match found == texts {
        true => Ok(()),
        false => Err(format!(
            "post_processor: template {template:?}: found the texts {}; expected {} once",
            if found.is_empty() { "none".into() } else { found.join(", ") },
            texts.join(" and "),
        )),
    }
}

/// Puts settings into BERT's normalizers, as BERT's tokenizer in transformers does. Gives whether that changes one.
fn normalize_bert(normalizer: Option<&mut Value>, settings: BertNormalization) -> bool {
    let Some(normalizer) = normalizer.and_then(Value::as_object_mut) else { return false };
    if let Some(Value::Array(parts)) = normalizer.get_mut("normalizers") {
        let changed: Vec<bool> = parts.iter_mut().map(|part| normalize_bert(Some(part), settings)).collect();
        return changed.contains(&true);
    }
    if normalizer.get("type").and_then(Value::as_str) != Some("BertNormalizer") {
        return false;
    }
    let mut is_changed = false;
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|value| normalizer.get(key).unwrap_or(&Value::Null) != value) {
            normalizer.insert(key.into(), value);
            is_changed = true;
        }
    };
    set("lowercase", settings.lower_case.map(Value::from));
    set("strip_accents", settings.strip_accents.map(|strip| strip.map_or(Value::Null, Value::from)));
    set("handle_chinese_chars", settings.chinese_characters.map(Value::from));
    is_changed
}

/// Puts lower case before the normalizer.
fn lower_case(file: &mut Map<String, Value>) {
    let lower = json!({ "type": "Lowercase" });
    let normalizer = match file.get("normalizer") {
        None | Some(Value::Null) => lower,
        Some(whole) => json!({ "type": "Sequence", "normalizers": [lower, whole] }),
    };
    file.insert("normalizer".into(), normalizer);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(template: Value) -> Value {
        json!({
            "version": "1.0",
            "model": { "type": "WordLevel", "vocab": { "a": 0, "[CLS]": 1 }, "unk_token": "a" },
            "post_processor": template,
        })
    }

    fn template() -> Value {
        let (a, b) =
            (json!({ "Sequence": { "id": "A", "type_id": 0 } }), json!({ "Sequence": { "id": "B", "type_id": 1 } }));
        let cls = json!({ "SpecialToken": { "id": "[CLS]", "type_id": 0 } });
        json!({
            "type": "TemplateProcessing", "single": [cls, a], "pair": [cls, a, b],
            "special_tokens": { "[CLS]": { "id": "[CLS]", "ids": [1], "tokens": ["[CLS]"] } },
        })
    }

    fn refused(json: Value) -> String {
        check(json, &TokenizerOptions::new(8)).err().expect("refused")
    }

    #[test]
    fn templates_are_what_the_library_expects() {
        assert!(check(file(template()), &TokenizerOptions::new(8)).is_ok_and(|checked| !checked.is_changed));
        let changed = |change: fn(&mut Value)| {
            let mut template = template();
            change(&mut template);
            // Inside a sequence too.
            assert_eq!(
                refused(file(json!({ "type": "Sequence", "processors": [template.clone()] }))),
                refused(file(template.clone()))
            );
            refused(file(template))
        };
        assert!(changed(|t| t["special_tokens"] = json!({})).contains("which special_tokens lacks"));
        assert!(changed(|t| t["special_tokens"] = json!(3)).contains("expected an object"));
        assert!(changed(|t| t["special_tokens"]["[CLS]"]["ids"] = json!([])).contains("0 ids and 1 tokens"));
        assert!(changed(|t| t["special_tokens"]["[CLS]"]["ids"] = json!([1, 2])).contains("2 ids and 1 tokens"));
        assert!(changed(|t| t["single"] = t["pair"].clone()).contains("found the texts A, B; expected A once"));
        assert!(changed(|t| t["pair"] = t["single"].clone()).contains("expected A and B once"));
        assert!(changed(|t| t["pair"] = Value::Null).contains("expected a list"));
    }

    #[test]
    fn work_that_grows_without_bound_is_refused() {
        let mut long = file(template());
        long["model"]["max_input_chars_per_word"] = json!(1_000_000);
        assert!(refused(long).contains("max_input_chars_per_word"));
        let mut piece = file(template());
        piece["model"]["vocab"] = json!([["a".repeat(5000), 0.0]]);
        assert!(refused(piece).contains("5000 bytes"));
        assert!(refused(json!([])).contains("JSON object"));
        assert!(refused(json!({})).contains("no model"));
    }

    #[test]
    fn dropout_is_switched_off_with_a_note() {
        for (dropout, noted) in [(json!(0.1), true), (json!(1), true), (json!(0.0), false), (Value::Null, false)] {
            let mut json = file(template());
            json["model"]["dropout"] = dropout.clone();
            let checked = check(json, &TokenizerOptions::new(8)).unwrap();
            assert_eq!((checked.notes.len() == 1, checked.is_changed), (noted, noted), "{dropout}");
            assert!(!noted || checked.json["model"]["dropout"].is_null());
        }
    }

    #[test]
    fn settings_of_other_files_are_put_in() {
        let mut json = file(template());
        json["normalizer"] = json!({ "type": "BertNormalizer", "lowercase": true, "strip_accents": true });
        let bert =
            BertNormalization { lower_case: Some(false), strip_accents: Some(None), chinese_characters: Some(false) };
        let options = TokenizerOptions {
            lower_case: true,
            bert,
            truncation_side: Some(TruncationSide::Left),
            ..TokenizerOptions::new(8)
        };
        let checked = check(json, &options).unwrap();
        let [lower, normalizer] = &checked.json["normalizer"]["normalizers"].as_array().unwrap()[..] else { panic!() };
        assert_eq!(lower["type"], "Lowercase");
        assert_eq!(normalizer["lowercase"], false);
        assert_eq!(normalizer["strip_accents"], Value::Null);
        assert_eq!(normalizer["handle_chinese_chars"], false);
        assert_eq!((checked.side, checked.is_changed), (TruncationSide::Left, true));
        // What was written is read again.
        let again = check(checked.json, &TokenizerOptions::new(8)).unwrap();
        assert_eq!((again.side, again.is_changed), (TruncationSide::Left, false));
    }
}
