//! What `config.json` says about a head: its class, its labels, and how logits become scores.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HeadKind;
use super::labels::{LabelSource, Labels, generated};
use super::problem::Problem;
use super::score::{ScoreFunction, ScoreSetting};
use crate::architecture::Architecture;
use crate::error::{Error, Result};
use crate::json::read_json;
use crate::settings::{Remark, RemarkScope};

/// Ends of class names, for errors.
pub const EXPECTED: &str = "ForSequenceClassification, ForTokenClassification, ForQuestionAnswering or ForMaskedLM";

/// The setting of [`ties_words`].
const TIE: &str = "tie_word_embeddings";

/// How many generated labels a remark lists.
const LISTED: usize = 3;

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
    id2label: Option<Value>,
    label2id: Option<Value>,
    num_labels: Option<Value>,
    problem_type: Option<String>,
}

/// The field that says where a masked language model's last layer is from.
#[derive(Deserialize)]
struct RawTie {
    tie_word_embeddings: Option<Value>,
}

/// Whether the last layer of a masked language model is the word embedding table: `tie_word_embeddings` of a `config.json`; yes if it is silent.
///
/// # Errors
/// [`Error::InvalidSetting`]; those of reading the file.
pub(crate) fn ties_words(path: &Path) -> Result<bool> {
    let raw: RawTie = read_json(path)?;
    match raw.tie_word_embeddings {
        None | Some(Value::Null) => Ok(true),
        Some(Value::Bool(ties)) => Ok(ties),
        Some(other) => Err(Error::InvalidSetting {
            path: path.to_owned(),
            setting: TIE,
            found: other.to_string(),
            expected: "true or false".into(),
        }),
    }
}

/// The error for a last layer that is neither stored nor the word embedding table.
pub(crate) fn untied(path: &Path, tensor: &str) -> Error {
    Error::InvalidSetting {
        path: path.to_owned(),
        setting: TIE,
        found: format!("false, and weights without {tensor}"),
        expected: "true, or this tensor: it is not the word embedding table then".into(),
    }
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
    /// Where the labels are from.
    #[serde(default)]
    label_source: LabelSource,
    /// Two settings about labels that contradict each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contradiction: Option<String>,
    problem: Option<Problem>,
    /// Which setting names a function for the scores of a cross-encoder, and the name.
    score: Option<(ScoreSetting, String)>,
}

impl HeadConfig {
    /// Reads what a `config.json` says of the head. `score` is the function that `config_sentence_transformers.json` names for scores.
    ///
    /// # Errors
    /// [`Error::NoHead`], [`Error::UnsupportedSetting`], [`Error::InvalidSetting`]; those of reading the file.
    pub(crate) fn from_file(path: &Path, architecture: Architecture, score: Option<&str>) -> Result<HeadConfig> {
        let raw: Raw = read_json(path)?;
        let classes = raw.architectures.unwrap_or_default();
        let found = classes.iter().find_map(|class| Some((kind_of(class, architecture)?, class.clone())));
        let (kind, class) = found.ok_or_else(|| Error::NoHead {
            path: path.to_owned(),
            found: if classes.is_empty() { "none".into() } else { classes.join(", ") },
            expected: EXPECTED,
        })?;
        let problem = raw.problem_type.as_deref().map(|name| {
            Problem::ALL.into_iter().find(|problem| problem.name() == name).ok_or_else(|| Error::UnsupportedSetting {
                path: path.to_owned(),
                setting: "problem_type",
                found: format!("{name:?}"),
                supported: Problem::NAMES,
            })
        });
        let newer = raw.sentence_transformers.and_then(|settings| settings.activation_fn);
        let named = [
            (ScoreSetting::Sentence, score.map(str::to_owned)),
            (ScoreSetting::Newer, newer),
            (ScoreSetting::Older, raw.sbert_ce_default_activation_function),
        ];
        let labels = match kind {
            HeadKind::SequenceClassification | HeadKind::TokenClassification => {
                Labels::read(path, raw.id2label.as_ref(), raw.label2id.as_ref(), raw.num_labels.as_ref())?
            }
            // Their outputs are positions and words, whatever the file says about labels.
            HeadKind::QuestionAnswering | HeadKind::MaskedLm => Labels::default(),
        };
        Ok(HeadConfig {
            kind,
            class,
            contradiction: labels.contradiction(raw.label2id.as_ref()),
            labels: labels.names,
            label_source: labels.source,
            problem: problem.transpose()?,
            score: named.into_iter().find_map(|(setting, name)| Some((setting, name?))),
        })
    }

    /// A head that no file is known of.
    pub(super) fn named(kind: HeadKind, class: String, labels: Vec<String>, problem: Option<Problem>) -> HeadConfig {
        let label_source = LabelSource::Id2Label;
        HeadConfig { kind, class, labels, label_source, contradiction: None, problem, score: None }
    }

    /// The kind of problem that `config.json` names.
    pub(super) fn named_problem(&self) -> Option<Problem> {
        self.problem
    }

    /// The function of scores that the files name, and which setting does.
    pub(super) fn score(&self) -> Option<(ScoreSetting, &str)> {
        self.score.as_ref().map(|(setting, name)| (*setting, &name[..]))
    }

    /// The function of a cross-encoder's scores, as sentence-transformers wrote it beside the model.
    ///
    /// # Errors
    /// [`Error::UnsupportedSetting`] for another function than [`ScoreFunction`] has.
    pub fn score_function(&self, path: &Path) -> Result<ScoreFunction> {
        let Some((setting, name)) = &self.score else { return Ok(ScoreFunction::Sigmoid) };
        let path = match setting {
            ScoreSetting::Sentence => path.with_file_name("config_sentence_transformers.json"),
            ScoreSetting::Newer | ScoreSetting::Older => path.to_owned(),
        };
        ScoreFunction::from_path(name).ok_or_else(|| Error::UnsupportedSetting {
            path,
            setting: setting.name(),
            found: format!("{name:?}"),
            supported: "Sigmoid and Identity of torch.nn",
        })
    }

    /// Where the labels are from.
    pub fn label_source(&self) -> LabelSource {
        self.label_source
    }

    /// Whether the files name no function for the scores of a cross-encoder.
    pub(crate) fn assumes_score_function(&self) -> bool {
        self.score.is_none()
    }

    /// Whether `config.json` names no kind of problem.
    pub fn assumes_problem(&self) -> bool {
        self.problem.is_none()
    }

    /// Names the outputs of a classification that have no names.
    pub(crate) fn name_labels(&mut self, outputs: usize) {
        if self.labels.is_empty() {
            self.labels = (0..outputs).map(generated).collect();
            self.label_source = LabelSource::Generated;
        }
    }

    /// The same without names that `name_labels` would give.
    pub fn without_default_labels(&self) -> HeadConfig {
        let is_default = self.label_source == LabelSource::Generated;
        HeadConfig { labels: if is_default { Vec::new() } else { self.labels.clone() }, ..self.clone() }
    }

    /// How that many outputs become scores.
    pub fn problem(&self, outputs: usize) -> Problem {
        Problem::of(self.problem, outputs)
    }

    /// What users should know about the names of the outputs.
    pub(crate) fn label_remarks(&self) -> Vec<Remark> {
        let listed = || {
            let more = if self.labels.len() > LISTED { ", ..." } else { "" };
            self.labels.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ") + more
        };
        let assumed = match self.label_source {
            LabelSource::Id2Label => None,
            LabelSource::Incomplete => Some("id2label has no names for some of them"),
            LabelSource::Label2Id => Some("label2id, because there is no id2label"),
            LabelSource::Generated => Some("no id2label"),
        };
        let assumed = assumed.map(|why| format!("labels: {} (assumed: {why})", listed()));
        let contradiction = self.contradiction.as_ref().map(|found| format!("labels: {found}; id2label is followed"));
        assumed.into_iter().chain(contradiction).map(|text| Remark::new(RemarkScope::Head, text)).collect()
    }
}

fn kind_of(class: &str, architecture: Architecture) -> Option<HeadKind> {
    // BERT as it was pre-trained: a masked language model, and a second head.
    let is_pretraining = architecture == Architecture::Bert && class == "BertForPreTraining";
    let named = HeadKind::ALL.into_iter().find(|kind| class.ends_with(kind.class()));
    named.or(is_pretraining.then_some(HeadKind::MaskedLm))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(json: &str, score: Option<&str>) -> Result<HeadConfig> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        HeadConfig::from_file(&path, Architecture::Bert, score)
    }

    fn read(json: &str) -> Result<HeadConfig> {
        read_with(json, None)
    }

    #[test]
    fn the_function_of_scores_is_what_sentence_transformers_wrote() {
        use ScoreFunction::{Identity, Sigmoid};
        let function = |settings: &str, sentence: Option<&str>| {
            let json = format!("{{\"architectures\": [\"BertForSequenceClassification\"]{settings}}}");
            read_with(&json, sentence).unwrap().score_function(Path::new("config.json"))
        };
        let newer = |path: &str| {
            format!(", \"sentence_transformers\": {{\"activation_fn\": \"{path}\", \"version\": \"5.0\"}}")
        };
        let older = |path: &str| format!(", \"sbert_ce_default_activation_function\": \"{path}\"");
        let (sigmoid, identity) = ("torch.nn.modules.activation.Sigmoid", "torch.nn.modules.linear.Identity");
        for (settings, sentence, expected) in [
            (String::new(), None, Sigmoid),
            (", \"sentence_transformers\": {}".into(), None, Sigmoid),
            (newer(sigmoid), None, Sigmoid),
            (newer(identity), None, Identity),
            (older(identity), None, Identity),
            (older("torch.nn.Sigmoid"), None, Sigmoid),
            (newer(identity) + &older(sigmoid), None, Identity),
            (String::new(), Some(identity), Identity),
            (newer(identity) + &older(identity), Some(sigmoid), Sigmoid),
        ] {
            assert_eq!(function(&settings, sentence).unwrap(), expected, "{settings}");
        }
        for (settings, sentence) in [
            (newer("torch.nn.modules.activation.Tanh"), None),
            (older("my.own.Sigmoid"), None),
            (newer(""), None),
            (newer(identity), Some("my.own.Identity")),
        ] {
            let error = function(&settings, sentence).unwrap_err();
            assert!(matches!(error, Error::UnsupportedSetting { .. }), "{settings}");
            assert!(error.to_string().contains("Sigmoid and Identity"), "{error}");
        }
    }

    #[test]
    fn problems_follow_from_the_type_or_the_number_of_labels() {
        let of = |kind: &str| read(&format!("{{\"architectures\": [\"BertForSequenceClassification\"] {kind}}}"));
        let plain = of("").unwrap();
        assert_eq!((plain.problem(1), plain.problem(2)), (Problem::MultiLabel, Problem::SingleLabel));
        assert!(plain.assumes_problem());
        let multi = of(", \"problem_type\": \"multi_label_classification\"").unwrap();
        assert_eq!(multi.problem(3), Problem::MultiLabel);
        assert_eq!(of(", \"problem_type\": \"regression\"").unwrap().problem(1), Problem::Regression);
        assert!(of(", \"problem_type\": null").unwrap().assumes_problem());
        let error = of(", \"problem_type\": \"ranking\"").unwrap_err();
        assert!(matches!(error, Error::UnsupportedSetting { setting: "problem_type", .. }), "{error}");
    }

    #[test]
    fn what_is_assumed_about_labels_is_said() {
        let said = |settings: &str| {
            let json = format!("{{\"architectures\": [\"BertForSequenceClassification\"], {settings}}}");
            let mut config = read(&json).unwrap();
            config.name_labels(2);
            config.label_remarks().into_iter().map(|remark| remark.text).collect::<Vec<_>>()
        };
        assert_eq!(said("\"id2label\": {\"0\": \"LABEL_0\", \"1\": \"LABEL_1\"}"), [""; 0]);
        assert_eq!(said("\"id2label\": null"), ["labels: LABEL_0, LABEL_1 (assumed: no id2label)"]);
        assert_eq!(said("\"num_labels\": 4"), ["labels: LABEL_0, LABEL_1, LABEL_2, ... (assumed: no id2label)"]);
        let both = said("\"id2label\": {\"0\": \"a\", \"1\": \"b\"}, \"label2id\": {\"a\": 1, \"b\": 0}");
        assert_eq!(both, ["labels: \"a\" is number 0 in id2label and 1 in label2id; id2label is followed"]);
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
}
