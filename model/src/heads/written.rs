//! What `config.json` says about a head, when it is written.

use serde_json::{Map, Value, json};

use super::config::HeadConfig;
use super::kind::HeadKind;
use super::labels::LabelSource;
use super::score::ScoreSetting;
use crate::architecture::Architecture;

impl HeadConfig {
    /// A sequence classification of single labels with these names.
    pub fn classification(architecture: Architecture, labels: Vec<String>) -> HeadConfig {
        let kind = HeadKind::SequenceClassification;
        HeadConfig::named(kind, architecture.class_with(kind.class()), labels, Some(super::Problem::SingleLabel))
    }

    /// The settings of a `config.json` from which the same is read, `outputs` being the rows of the last layer. `ties_words` says of a
    /// masked language model whether its last layer is the table of word embeddings.
    pub(crate) fn settings(&self, architecture: Architecture, outputs: usize, ties_words: bool) -> Map<String, Value> {
        let mut settings = Map::new();
        let mut set = |name: &str, value: Value| drop(settings.insert(name.to_owned(), value));
        if self.kind == HeadKind::MaskedLm {
            // The second head of a model as it was pre-trained is not read, and so not written.
            set("architectures", json!([architecture.class_with(self.kind.class())]));
            if !ties_words {
                set("tie_word_embeddings", false.into());
            }
            return settings;
        }
        set("architectures", json!([self.class]));
        if self.kind == HeadKind::QuestionAnswering {
            return settings;
        }
        match self.label_source() {
            LabelSource::Generated => set("num_labels", outputs.into()),
            _ => {
                let ids = self.labels.iter().enumerate();
                set("id2label", ids.clone().map(|(id, name)| (id.to_string(), Value::from(name.clone()))).collect());
                let turned: Map<String, Value> = ids.map(|(id, name)| (name.clone(), id.into())).collect();
                // Names that stand twice have no number.
                if turned.len() == self.labels.len() {
                    set("label2id", turned.into());
                }
            }
        }
        if let Some(problem) = self.named_problem() {
            set("problem_type", problem.name().into());
        }
        match self.score() {
            Some((ScoreSetting::Newer, name)) => set("sentence_transformers", json!({ "activation_fn": name })),
            Some((ScoreSetting::Older, name)) => set(ScoreSetting::Older.name(), name.into()),
            // In a file of its own.
            Some((ScoreSetting::Sentence, _)) | None => {}
        }
        settings
    }
}
