//! The texts that a model is pruned and trained on.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use lacuna::calibration::built_in_texts;
use lacuna::tokens::{SentenceTokenizer, TokenIds};
use lacuna_data::input::{Content, Input, InputOptions};
use lacuna_data::text::TEXT_BYTES;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Fewer texts than this are said to be few.
const FEW: usize = 5000;

/// What a file gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Used {
    /// The file, or what the texts are in words.
    pub from: String,
    /// Texts that no file before it had.
    pub texts: usize,
    /// Their tokens, special tokens included, after truncation.
    pub tokens: usize,
}

/// A text, or a pair of texts, as token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The ids.
    pub ids: Vec<u32>,
    /// The types of the tokens; none if all are 0.
    pub types: Option<Vec<u32>>,
}

impl TokenIds for Sequence {
    fn ids(&self) -> &[u32] {
        &self.ids
    }

    fn types(&self) -> Option<&[u32]> {
        self.types.as_deref()
    }
}

/// The texts of one file.
#[derive(Debug, Default)]
pub struct Source {
    /// The texts.
    pub sequences: Vec<Sequence>,
    /// The class of each; empty for texts without labels.
    pub labels: Vec<usize>,
    /// The gold scores of texts 2i and 2i + 1; empty for texts that are no pairs.
    pub scores: Vec<f32>,
}

/// Token ids of all texts, by where they came from; no text of `--data` twice.
pub struct Texts {
    /// One for each file.
    pub sources: Vec<Source>,
    /// What each of them gave.
    pub used: Vec<Used>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl Texts {
    /// The texts of `files`, and those of `gold` with what they are; the built-in ones without any.
    ///
    /// # Errors
    /// Those of reading; [`Error::Argument`] for a file without texts of its own.
    pub fn read(files: &[PathBuf], gold: Vec<(String, Source)>, tokenizer: &SentenceTokenizer) -> Result<Texts> {
        let mut found = Texts { sources: vec![], used: vec![], warnings: vec![] };
        let needs_no_data = !gold.is_empty();
        gold.into_iter().for_each(|(from, source)| found.add(from, source));
        let mut seen = HashSet::new();
        for path in files {
            let texts: Vec<String> = read(path)?.into_iter().filter(|text| seen.insert(text.clone())).collect();
            if texts.is_empty() {
                return Err(Error::Argument {
                    option: "`data`",
                    found: format!("no text in {} that no file before it has", path.display()),
                    expected: "at least 1".into(),
                });
            }
            found.add(path.display().to_string(), tokenized(&texts, tokenizer)?);
        }
        if files.is_empty() && needs_no_data {
            return Ok(found);
        }
        if files.is_empty() {
            found.add("the built-in calibration texts".into(), tokenized(&built_in_texts(), tokenizer)?);
            found.warnings.push(
                "`data` was not given: a few hundred built-in texts are used, which are too few to train on".into(),
            );
        } else if found.count() < FEW {
            let (count, holds) =
                (found.count(), if files.len() == 1 { "the file of `data` holds" } else { "the files of `data` hold" });
            let texts = if count == 1 { "1 text, which is".into() } else { format!("{count} texts, which are") };
            found.warnings.push(format!("{holds} {texts} few: expect to lose accuracy"));
        }
        Ok(found)
    }

    fn add(&mut self, from: String, source: Source) {
        let tokens = source.sequences.iter().map(|sequence| sequence.ids.len()).sum();
        self.used.push(Used { from, texts: source.sequences.len(), tokens });
        self.sources.push(source);
    }

    /// The number of texts.
    pub fn count(&self) -> usize {
        self.used.iter().map(|used| used.texts).sum()
    }

    /// Texts of about `tokens` tokens, as many of each source, spread evenly over it.
    pub fn sample(&self, tokens: usize) -> Vec<Sequence> {
        let share = tokens.div_ceil(self.sources.len().max(1));
        self.sources
            .iter()
            .zip(&self.used)
            .flat_map(|(source, used)| {
                let texts = &source.sequences;
                let wanted = (texts.len() * share).div_ceil(used.tokens.max(1)).clamp(1, texts.len().max(1));
                let place = move |i: usize| i * texts.len() / wanted;
                (0..wanted).filter_map(move |i| texts.get(place(i)).cloned())
            })
            .collect()
    }
}

/// Texts without labels.
fn tokenized(texts: &[String], tokenizer: &SentenceTokenizer) -> Result<Source> {
    let encoded = tokenizer.encode_batch(texts)?;
    let sequences = encoded.into_iter().map(|encoded| Sequence { ids: encoded.ids, types: None }).collect();
    Ok(Source { sequences, ..Source::default() })
}

/// All texts of a file that are not blank and no numbers.
fn read(path: &Path) -> Result<Vec<String>> {
    let options = InputOptions {
        path,
        kind: None,
        kind_option: "`data`",
        columns: &[],
        fields: &["text", "pair"],
        required: 1,
        text_bytes: TEXT_BYTES,
    };
    let mut input = Input::open(&options)?;
    input.begin()?;
    let mut texts = Vec::new();
    while let Some(entry) = input.next_entry()? {
        let found = match entry.content {
            Ok(Content::Texts(found)) => Ok(found),
            Ok(Content::Json(line)) => fields(&line),
            Err(defect) => Err(defect.to_string()),
        };
        let (path, line) = (input.name(), entry.line);
        let found = found.map_err(|reason| lacuna_data::Error::Line { path: path.to_owned(), line, reason })?;
        // A column beside the texts may hold scores or labels.
        texts.extend(found.into_iter().filter(|text| !text.trim().is_empty() && text.trim().parse::<f64>().is_err()));
    }
    Ok(texts)
}

/// The texts of an object.
fn fields(line: &str) -> Result<Vec<String>, String> {
    #[derive(serde::Deserialize)]
    struct Object {
        text: String,
        pair: Option<String>,
    }
    let wrong = |_| r#"found no text; expected {"text": "..."} or {"text": "...", "pair": "..."}"#.to_owned();
    let object: Object = serde_json::from_str(line).map_err(wrong)?;
    Ok([Some(object.text), object.pair].into_iter().flatten().collect())
}
