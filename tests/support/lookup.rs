//! Tiny models whose right answers are known beforehand.
//!
//! The word embeddings are rows of a Hadamard matrix: entries +1 and -1, pairwise orthogonal. The linear layers are small noise, so that the
//! last hidden state of a token is nearly its own embedding. A head that is made of the same rows says what a test wants it to say of each
//! token. With `mix` every token sees the mean of all tokens, too. Tests of several crates include this file.

#![allow(dead_code)] // each includer uses a part

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Shape and values.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A tokenizer, and its tokens in the order of their ids.
pub(crate) struct Tokens {
    pub(crate) json: Value,
    pub(crate) tokens: Vec<String>,
}

impl Tokens {
    pub(crate) fn id(&self, token: &str) -> usize {
        self.tokens.iter().position(|found| found == token).unwrap_or_else(|| panic!("no token {token}"))
    }

    fn new(tokens: Vec<String>, lstrip: &[&str], special: usize, rest: Value) -> Tokens {
        let added: Vec<Value> = (0..tokens.len())
            .filter(|&id| id < special || lstrip.contains(&tokens[id].as_str()))
            .map(|id| {
                json!({"id": id, "content": tokens[id], "single_word": false, "lstrip": lstrip.contains(&tokens[id].as_str()),
                       "rstrip": false, "normalized": false, "special": true})
            })
            .collect();
        let mut json =
            json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null});
        json.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        Tokens { json, tokens }
    }
}

/// `first A last`, and `first A last B last`, with `last` twice in the middle where types are not told apart.
fn template(first: &str, last: &str, tokens: &[String], typed: bool) -> Value {
    let token = |token: &str, kind: u32| json!({"SpecialToken": {"id": token, "type_id": kind}});
    let of = |part: &str, kind: u32| json!({"Sequence": {"id": part, "type_id": kind}});
    let kind = u32::from(typed);
    let mut pair = vec![token(first, 0), of("A", 0), token(last, 0)];
    pair.extend((!typed).then(|| token(last, 0)));
    pair.extend([of("B", kind), token(last, kind)]);
    let special = [first, last].map(|token| {
        let id = tokens.iter().position(|found| found == token).unwrap();
        (token.to_owned(), json!({"id": token, "ids": [id], "tokens": [token]}))
    });
    json!({"type": "TemplateProcessing", "single": [token(first, 0), of("A", 0), token(last, 0)], "pair": pair,
           "special_tokens": special.into_iter().collect::<serde_json::Map<_, _>>()})
}

fn owned(tokens: &[&str]) -> Vec<String> {
    tokens.iter().map(|token| (*token).to_owned()).collect()
}

fn vocab(tokens: &[String]) -> Value {
    tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect::<serde_json::Map<_, _>>().into()
}

/// BERT's tokenizer over words and pieces with `##`.
pub(crate) fn wordpiece(words: &[&str], mask: &str) -> Tokens {
    let tokens = owned(&[&["[PAD]", "[UNK]", "[CLS]", "[SEP]", mask], words].concat());
    let rest = json!({
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": template("[CLS]", "[SEP]", &tokens, true),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                  "vocab": vocab(&tokens)}});
    Tokens::new(tokens, &[], 5, rest)
}

/// How a sentencepiece tokenizer is divided into words before its model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Division {
    /// At blanks, then with the mark: as the hub's XLM-RoBERTa.
    Blanks,
    /// With the mark, one word from mark to mark.
    Marks,
    /// With the mark, the text is one word.
    Nothing,
}

/// XLM-RoBERTa's tokenizer over pieces; `▁` marks the beginning of a word.
pub(crate) fn unigram(pieces: &[&str], division: Division) -> Tokens {
    let tokens = owned(&[&["<s>", "<pad>", "</s>", "<unk>"], pieces, &["<mask>"]].concat());
    let score = |token: &String| json!([token, if token.starts_with('<') { 0.0 } else { -1.0 }]);
    let split = division != Division::Nothing;
    let marks = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": split});
    let before = match division {
        Division::Blanks => json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, marks]}),
        _ => marks.clone(),
    };
    let rest = json!({
        "pre_tokenizer": before, "post_processor": template("<s>", "</s>", &tokens, false), "decoder": marks,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": tokens.iter().map(score).collect::<Vec<_>>(), "byte_fallback": false}});
    Tokens::new(tokens, &["<mask>"], 4, rest)
}

/// How byte-level BPE writes a byte.
fn symbol(byte: u8) -> char {
    let prints = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let hidden = (0..byte).filter(|&before| !prints(before)).count() as u32;
    if prints(byte) { char::from(byte) } else { char::from_u32(256 + hidden).unwrap() }
}

/// The token of a text in byte-level BPE.
pub(crate) fn bytes(text: &str) -> String {
    text.bytes().map(symbol).collect()
}

/// RoBERTa's tokenizer: the bytes of `words`, and each word built from its left. Words begin with a blank, as `" Ada"`.
pub(crate) fn byte_level(words: &[&str], loose: &str, trim: bool) -> Tokens {
    let mut tokens = owned(&["<s>", "<pad>", "</s>", "<unk>", "<mask>"]);
    let all = words.concat() + loose;
    let mut single: Vec<u8> = all.bytes().collect();
    single.sort_unstable();
    single.dedup();
    tokens.extend(single.into_iter().map(|byte| symbol(byte).to_string()));
    let mut merges = Vec::new();
    for word in words {
        let symbols: Vec<char> = bytes(word).chars().collect();
        let mut left = symbols[0].to_string();
        for right in &symbols[1..] {
            let merged = format!("{left}{right}");
            if !tokens.contains(&merged) {
                merges.push(json!([left, right.to_string()]));
                tokens.push(merged.clone());
            }
            left = merged;
        }
    }
    let kind = |name: &str| json!({"type": name, "add_prefix_space": true, "trim_offsets": trim, "use_regex": true});
    let mut post = kind("RobertaProcessing");
    post["sep"] = json!(["</s>", 2]);
    post["cls"] = json!(["<s>", 0]);
    let rest = json!({
        "pre_tokenizer": kind("ByteLevel"), "post_processor": post, "decoder": kind("ByteLevel"),
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": false, "byte_fallback": false, "vocab": vocab(&tokens), "merges": merges}});
    Tokens::new(tokens, &["<mask>"], 5, rest)
}

/// A tiny model before its head is there.
pub(crate) struct Lookup {
    pub(crate) tokens: Tokens,
    pub(crate) model_type: &'static str,
    pub(crate) positions: usize,
    pub(crate) hidden: usize,
    /// How much of the mean of all tokens each token sees.
    pub(crate) mix: f32,
}

impl Lookup {
    pub(crate) fn new(model_type: &'static str, tokens: Tokens) -> Lookup {
        let hidden = (tokens.tokens.len() + 1).next_power_of_two().max(32);
        Lookup { tokens, model_type, positions: 40, hidden, mix: 0.0 }
    }

    /// The embedding of a token: a row of a Hadamard matrix, not the constant one.
    pub(crate) fn row(&self, id: usize) -> Vec<f32> {
        (0..self.hidden).map(|k| if ((id + 1) & k).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }).collect()
    }

    /// A linear layer whose output n is `strength` for the tokens of group n, and 0 for the others.
    pub(crate) fn groups(&self, groups: &[&[&str]], strength: f32) -> (Vec<usize>, Vec<f32>) {
        let mut weight = Vec::new();
        for tokens in groups {
            let mut row = vec![0.0; self.hidden];
            for token in *tokens {
                let embedding = self.row(self.tokens.id(token));
                row.iter_mut().zip(embedding).for_each(|(w, e)| *w += e * strength / self.hidden as f32);
            }
            weight.extend(row);
        }
        (vec![groups.len(), self.hidden], weight)
    }

    fn is_roberta(&self) -> bool {
        self.model_type != "bert"
    }

    /// The tensors of the encoder, under its prefix.
    pub(crate) fn encoder(&self) -> Tensors {
        let (h, mut seed) = (self.hidden, 1u32);
        let mut noise = |count: usize, scale: f32| -> Vec<f32> {
            let mut next = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
            };
            (0..count).map(|_| scale * next()).collect()
        };
        let prefix = if self.is_roberta() { "roberta." } else { "bert." };
        let offset = if self.is_roberta() { 2 } else { 0 };
        let types = if self.is_roberta() { 1 } else { 2 };
        let mut all = Tensors::new();
        let mut add = |name: &str, shape: &[usize], values: Vec<f32>| {
            all.insert(format!("{prefix}{name}"), (shape.to_vec(), values));
        };
        let words: Vec<f32> = (0..self.tokens.tokens.len()).flat_map(|id| self.row(id)).collect();
        add("embeddings.word_embeddings.weight", &[self.tokens.tokens.len(), h], words);
        add(
            "embeddings.position_embeddings.weight",
            &[self.positions + offset, h],
            noise((self.positions + offset) * h, 0.02),
        );
        add("embeddings.token_type_embeddings.weight", &[types, h], noise(types * h, 0.002));
        let at = "encoder.layer.0.";
        for norm in
            ["embeddings.LayerNorm", "encoder.layer.0.attention.output.LayerNorm", "encoder.layer.0.output.LayerNorm"]
        {
            add(&format!("{norm}.weight"), &[h], vec![1.0; h]);
            add(&format!("{norm}.bias"), &[h], vec![0.0; h]);
        }
        for linear in [
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
        ] {
            let mut weight = noise(h * h, 0.02 / (h as f32).sqrt());
            let diagonal = match linear {
                "attention.self.value" => self.mix,
                "attention.output.dense" if self.mix > 0.0 => 1.0,
                _ => 0.0,
            };
            (0..h).for_each(|i| weight[i * h + i] += diagonal);
            add(&format!("{at}{linear}.weight"), &[h, h], weight);
            add(&format!("{at}{linear}.bias"), &[h], noise(h, 0.002));
        }
        all
    }

    /// A model folder. `config` has further settings.
    pub(crate) fn folder(&self, class: &str, head: Tensors, config: Value) -> TempDir {
        let dir = TempDir::new().unwrap();
        let offset = if self.is_roberta() { 2 } else { 0 };
        let mut settings = json!({
            "architectures": [class], "model_type": self.model_type, "vocab_size": self.tokens.tokens.len(),
            "max_position_embeddings": self.positions + offset, "type_vocab_size": if self.is_roberta() { 1 } else { 2 },
            "hidden_size": self.hidden, "intermediate_size": self.hidden, "num_hidden_layers": 1, "num_attention_heads": 2,
            "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": offset.min(1)});
        settings.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let mut tensors = self.encoder();
        tensors.extend(head);
        write(dir.path(), &tensors);
        std::fs::write(dir.path().join("config.json"), settings.to_string()).unwrap();
        std::fs::write(dir.path().join("tokenizer.json"), self.tokens.json.to_string()).unwrap();
        dir
    }

    /// A token classification: the label of each token; the first label is for all others.
    pub(crate) fn tagger(&self, labels: &[(&str, &[&str])]) -> TempDir {
        let groups: Vec<&[&str]> = labels.iter().map(|(_, tokens)| *tokens).collect();
        let mut bias = vec![0.0; labels.len()];
        bias[0] = 6.0;
        let head = Tensors::from([
            ("classifier.weight".into(), self.groups(&groups, 12.0)),
            ("classifier.bias".into(), (vec![labels.len()], bias)),
        ]);
        let names: serde_json::Map<_, _> =
            labels.iter().enumerate().map(|(i, (label, _))| (i.to_string(), json!(label))).collect();
        self.folder(&self.class("ForTokenClassification"), head, json!({"id2label": names}))
    }

    /// A question answering: the tokens at which answers begin and end.
    pub(crate) fn answerer(&self, starts: &[&str], ends: &[&str]) -> TempDir {
        let head = Tensors::from([
            ("qa_outputs.weight".into(), self.groups(&[starts, ends], 12.0)),
            ("qa_outputs.bias".into(), (vec![2], vec![0.0; 2])),
        ]);
        self.folder(&self.class("ForQuestionAnswering"), head, json!({}))
    }

    /// A masked language model that says `target` at every `mask`.
    pub(crate) fn filler(&self, mask: &str, target: &str) -> TempDir {
        let (mask, target, h) = (self.row(self.tokens.id(mask)), self.row(self.tokens.id(target)), self.hidden);
        let weight: Vec<f32> = target.iter().flat_map(|t| mask.iter().map(move |m| 2.0 * t * m / h as f32)).collect();
        let [dense, norm, bias] = match self.is_roberta() {
            true => ["lm_head.dense", "lm_head.layer_norm", "lm_head.bias"],
            false => ["cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"],
        };
        let count = self.tokens.tokens.len();
        let head = Tensors::from([
            (format!("{dense}.weight"), (vec![h, h], weight)),
            (format!("{dense}.bias"), (vec![h], vec![0.0; h])),
            (format!("{norm}.weight"), (vec![h], vec![1.0; h])),
            (format!("{norm}.bias"), (vec![h], vec![0.0; h])),
            (bias.to_owned(), (vec![count], vec![0.0; count])),
        ]);
        self.folder(&self.class("ForMaskedLM"), head, json!({}))
    }

    /// A classification of BERT's kind. Output n is `outputs[n].0` times a quantity that grows with the share of `token` in the text,
    /// plus `outputs[n].1`. Needs `mix`.
    pub(crate) fn grader(&self, token: &str, outputs: &[(f32, f32)], config: Value) -> TempDir {
        let h = self.hidden;
        let mut dense = vec![0.0; h * h];
        dense[..h].copy_from_slice(&self.groups(&[&[token]], 1.5).1);
        let mut weight = vec![0.0; outputs.len() * h];
        outputs.iter().enumerate().for_each(|(n, (factor, _))| weight[n * h] = *factor);
        let head = Tensors::from([
            ("bert.pooler.dense.weight".into(), (vec![h, h], dense)),
            ("bert.pooler.dense.bias".into(), (vec![h], vec![0.0; h])),
            ("classifier.weight".into(), (vec![outputs.len(), h], weight)),
            ("classifier.bias".into(), (vec![outputs.len()], outputs.iter().map(|(_, bias)| *bias).collect())),
        ]);
        self.folder(&self.class("ForSequenceClassification"), head, config)
    }

    fn class(&self, end: &str) -> String {
        let name = match self.model_type {
            "bert" => "Bert",
            "roberta" => "Roberta",
            "xlm-roberta" => "XLMRoberta",
            other => panic!("no model type {other}"),
        };
        format!("{name}{end}")
    }
}

fn write(dir: &Path, tensors: &Tensors) {
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|(_, values)| values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, (shape, _)), bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::write(dir.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}
