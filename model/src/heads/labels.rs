//! What `config.json` says about a head: its class, its labels, and how logits become scores.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::HeadKind;
use crate::architecture::Architecture;
use crate::error::{Error, Result};
use crate::json::read_json;
use crate::reference::exp_minus_max;

/// Ends of class names, for errors.
pub const EXPECTED: &str = "ForSequenceClassification, ForTokenClassification, ForQuestionAnswering or ForMaskedLM";

/// How the logits of a sequence classification become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Problem {
    /// `softmax(logits)`: exactly one label is right. The default for models with several labels.
    SingleLabel,
    /// `1 / (1 + exp(-logit))` of each: any number of labels may be right. The default for models with one label.
    MultiLabel,
    /// The logits as they are: quantities.
    Regression,
}

impl Problem {
    /// Its name in `config.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Problem::SingleLabel => "single_label_classification",
            Problem::MultiLabel => "multi_label_classification",
            Problem::Regression => "regression",
        }
    }

    /// Logits to scores, in place.
    pub fn scores(self, logits: &mut [f32]) {
        match self {
            Problem::SingleLabel => softmax(logits),
            Problem::MultiLabel => logits.iter_mut().for_each(|x| *x = sigmoid(*x)),
            Problem::Regression => {}
        }
    }
}

/// `exp(x) / sum(exp(x))`, in place.
pub fn softmax(xs: &mut [f32]) {
    exp_minus_max(xs);
    let sum: f32 = xs.iter().sum();
    xs.iter_mut().for_each(|x| *x /= sum);
}

/// `1 / (1 + exp(-x))`.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// How a cross-encoder turns its logit into a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScoreFunction {
    /// `1 / (1 + exp(-logit))`. The default of cross-encoders.
    Sigmoid,
    /// The logit itself.
    Identity,
}

impl ScoreFunction {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            ScoreFunction::Sigmoid => "sigmoid",
            ScoreFunction::Identity => "identity",
        }
    }

    /// The score of a logit.
    pub fn score(self, logit: f32) -> f32 {
        match self {
            ScoreFunction::Sigmoid => sigmoid(logit),
            ScoreFunction::Identity => logit,
        }
    }

    /// The function of a Python path such as `torch.nn.modules.activation.Sigmoid`.
    fn from_path(path: &str) -> Option<ScoreFunction> {
        match path.strip_prefix("torch.nn.")?.rsplit('.').next()? {
            "Sigmoid" => Some(ScoreFunction::Sigmoid),
            "Identity" => Some(ScoreFunction::Identity),
            _ => None,
        }
    }
}

/// Which setting of `config.json` names a function for scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ScoreSetting {
    Newer,
    Older,
}

impl ScoreSetting {
    const fn name(self) -> &'static str {
        match self {
            ScoreSetting::Newer => "sentence_transformers.activation_fn",
            ScoreSetting::Older => "sbert_ce_default_activation_function",
        }
    }
}

/// The settings of sentence-transformers, in their own object.
#[derive(Deserialize)]
struct RawSentenceTransformers {
    activation_fn: Option<String>,
}

/// The fields that are read.
#[derive(Deserialize)]
struct Raw {
    sentence_transformers: Option<RawSentenceTransformers>,
    sbert_ce_default_activation_function: Option<String>,
    architectures: Option<Vec<String>>,
    id2label: Option<BTreeMap<String, String>>,
    problem_type: Option<String>,
}

/// What a head is, before its weights are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadConfig {
    /// What the head is for.
    pub kind: HeadKind,
    /// The class of the model.
    pub class: String,
    /// In the order of the outputs; empty where `config.json` names none.
    pub labels: Vec<String>,
    problem: Option<Problem>,
    /// Which setting names a function for the scores of a cross-encoder, and the name.
    score: Option<(ScoreSetting, String)>,
}

impl HeadConfig {
    /// Reads what a `config.json` says of the head.
    ///
    /// # Errors
    /// [`Error::NoHead`], [`Error::UnsupportedSetting`], [`Error::InvalidSetting`]; those of reading the file.
    pub fn from_file(path: &Path, architecture: Architecture) -> Result<HeadConfig> {
        let raw: Raw = read_json(path)?;
        let classes = raw.architectures.unwrap_or_default();
        let found = classes.iter().find_map(|class| Some((kind_of(class, architecture)?, class.clone())));
        let (kind, class) = found.ok_or_else(|| Error::NoHead {
            path: path.to_owned(),
            found: if classes.is_empty() { "none".into() } else { classes.join(", ") },
            expected: EXPECTED,
        })?;
        let problem = match raw.problem_type.as_deref() {
            None => None,
            Some("single_label_classification") => Some(Problem::SingleLabel),
            Some("multi_label_classification") => Some(Problem::MultiLabel),
            Some("regression") => Some(Problem::Regression),
            Some(other) => {
                return Err(Error::UnsupportedSetting {
                    path: path.to_owned(),
                    setting: "problem_type",
                    found: format!("{other:?}"),
                    supported: "\"single_label_classification\", \"multi_label_classification\", \"regression\"",
                });
            }
        };
        let newer = raw.sentence_transformers.and_then(|settings| settings.activation_fn);
        let newer = newer.map(|name| (ScoreSetting::Newer, name));
        let older = raw.sbert_ce_default_activation_function;
        let score = newer.or(older.map(|name| (ScoreSetting::Older, name)));
        Ok(HeadConfig { kind, class, labels: labels(path, raw.id2label.unwrap_or_default())?, problem, score })
    }

    /// The function of a cross-encoder's scores, as sentence-transformers wrote it into `config.json`.
    ///
    /// # Errors
    /// [`Error::UnsupportedSetting`] for another function than [`ScoreFunction`] has.
    pub fn score_function(&self, path: &Path) -> Result<ScoreFunction> {
        let Some((setting, name)) = &self.score else { return Ok(ScoreFunction::Sigmoid) };
        ScoreFunction::from_path(name).ok_or_else(|| Error::UnsupportedSetting {
            path: path.to_owned(),
            setting: setting.name(),
            found: format!("{name:?}"),
            supported: "Sigmoid and Identity of torch.nn",
        })
    }

    /// Names the outputs of a classification that have no names.
    pub(crate) fn name_labels(&mut self, outputs: usize) {
        if self.labels.is_empty() {
            self.labels = (0..outputs).map(|i| format!("LABEL_{i}")).collect();
        }
    }

    /// The same without names that `name_labels` would give.
    pub fn without_default_labels(&self) -> HeadConfig {
        let default = self.labels.iter().enumerate().all(|(i, label)| *label == format!("LABEL_{i}"));
        HeadConfig { labels: if default { Vec::new() } else { self.labels.clone() }, ..self.clone() }
    }

    /// How that many outputs become scores.
    pub fn problem(&self, outputs: usize) -> Problem {
        self.problem.unwrap_or(if outputs == 1 { Problem::MultiLabel } else { Problem::SingleLabel })
    }
}

fn kind_of(class: &str, architecture: Architecture) -> Option<HeadKind> {
    // BERT as it was pre-trained: a masked language model, and a second head.
    let is_pretraining = architecture == Architecture::Bert && class == "BertForPreTraining";
    let named = HeadKind::ALL.into_iter().find(|kind| class.ends_with(kind.class()));
    named.or(is_pretraining.then_some(HeadKind::MaskedLm))
}

/// The labels in the order of their numbers, which are 0, 1, 2, ...
fn labels(path: &Path, id2label: BTreeMap<String, String>) -> Result<Vec<String>> {
    let mut numbered = Vec::with_capacity(id2label.len());
    for (id, label) in &id2label {
        let number = id.parse::<usize>().ok().filter(|&number| number < id2label.len());
        numbered.push((number.ok_or_else(|| wrong_id(path, id, id2label.len()))?, label.clone()));
    }
    numbered.sort();
    match numbered.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(twice) => Err(wrong_id(path, &format!("{} twice", twice[0].0), id2label.len())),
        None => Ok(numbered.into_iter().map(|(_, label)| label).collect()),
    }
}

fn wrong_id(path: &Path, found: &str, labels: usize) -> Error {
    Error::InvalidSetting {
        path: path.to_owned(),
        setting: "id2label",
        found: format!("number {found}"),
        expected: format!("each of 0 to {} once, for {labels} labels", labels - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<HeadConfig> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        HeadConfig::from_file(&path, Architecture::Bert)
    }

    #[test]
    fn the_function_of_scores_is_what_sentence_transformers_wrote() {
        use ScoreFunction::{Identity, Sigmoid};
        let function = |settings: &str| {
            let json = format!("{{\"architectures\": [\"BertForSequenceClassification\"]{settings}}}");
            read(&json).unwrap().score_function(Path::new("config.json"))
        };
        let newer = |path: &str| {
            format!(", \"sentence_transformers\": {{\"activation_fn\": \"{path}\", \"version\": \"5.0\"}}")
        };
        let older = |path: &str| format!(", \"sbert_ce_default_activation_function\": \"{path}\"");
        let (sigmoid, identity) = ("torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity");
        for (settings, expected) in [
            (String::new(), Sigmoid),
            (", \"sentence_transformers\": {}".into(), Sigmoid),
            (newer(sigmoid), Sigmoid),
            (newer(identity), Identity),
            (older(identity), Identity),
            (older("torch.nn.Sigmoid"), Sigmoid),
            (newer(identity) + &older(sigmoid), Identity),
        ] {
            assert_eq!(function(&settings).unwrap(), expected, "{settings}");
        }
        for settings in [newer("torch.nn.modules.activation.Tanh"), older("my.own.Sigmoid"), newer("")] {
            let error = function(&settings).unwrap_err();
            assert!(matches!(error, Error::UnsupportedSetting { .. }), "{settings}");
            assert!(error.to_string().contains("Sigmoid and Identity"), "{error}");
        }
    }

    #[test]
    fn labels_are_in_the_order_of_their_numbers() {
        let labels: Vec<String> = (0..12).map(|i| format!("\"{i}\": \"l{i}\"")).collect();
        let json =
            format!("{{\"architectures\": [\"BertForTokenClassification\"], \"id2label\": {{{}}}}}", labels.join(", "));
        let config = read(&json).unwrap();
        assert_eq!(config.kind, HeadKind::TokenClassification);
        assert_eq!(config.labels, (0..12).map(|i| format!("l{i}")).collect::<Vec<_>>());
        for ids in ["\"0\": \"a\", \"2\": \"b\"", "\"1\": \"a\"", "\"x\": \"a\"", "\"0\": \"a\", \"00\": \"b\""] {
            let json = format!("{{\"architectures\": [\"BertForTokenClassification\"], \"id2label\": {{{ids}}}}}");
            assert!(matches!(read(&json), Err(Error::InvalidSetting { setting: "id2label", .. })), "{ids}");
        }
    }

    #[test]
    fn problems_follow_from_the_type_or_the_number_of_labels() {
        let of = |kind: &str| read(&format!("{{\"architectures\": [\"BertForSequenceClassification\"] {kind}}}"));
        let plain = of("").unwrap();
        assert_eq!((plain.problem(1), plain.problem(2)), (Problem::MultiLabel, Problem::SingleLabel));
        let multi = of(", \"problem_type\": \"multi_label_classification\"").unwrap();
        assert_eq!(multi.problem(3), Problem::MultiLabel);
        assert_eq!(of(", \"problem_type\": \"regression\"").unwrap().problem(1), Problem::Regression);
        let error = of(", \"problem_type\": \"ranking\"").unwrap_err();
        assert!(matches!(error, Error::UnsupportedSetting { setting: "problem_type", .. }), "{error}");
    }

    #[test]
    fn models_without_a_head_say_what_they_are() {
        for (json, expected) in [
            ("{\"architectures\": [\"BertModel\"]}", "BertModel"),
            ("{}", "none"),
            ("{\"architectures\": [\"BertForMultipleChoice\"]}", "BertForMultipleChoice"),
        ] {
            let error = read(json).unwrap_err();
            assert!(matches!(&error, Error::NoHead { found, .. } if found == expected), "{error}");
            assert!(error.to_string().contains("ForSequenceClassification"), "{error}");
        }
        assert_eq!(read("{\"architectures\": [\"BertForPreTraining\"]}").unwrap().kind, HeadKind::MaskedLm);
    }

    #[test]
    fn scores_are_probabilities() {
        let mut logits = [1000.0, 1000.0, -1000.0];
        Problem::SingleLabel.scores(&mut logits);
        assert_eq!(logits, [0.5, 0.5, 0.0]);
        let mut logits = [0.0, 200.0, -200.0];
        Problem::MultiLabel.scores(&mut logits);
        assert_eq!(logits, [0.5, 1.0, 0.0]);
    }
}
