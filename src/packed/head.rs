//! Heads to and from the sections of a file.

use lacuna_model::{Activation, EncoderConfig, LayerNorm, Linear, Matrix, plural};
use serde::{Deserialize, Serialize};

use crate::compile::{Tables, WORD};
use crate::container::{PackedError, PackedFile, Sections};
use crate::heads::{Dense, DenseActivation, Head, HeadConfig, HeadKind, HeadWeights, Transform};

/// How a head is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct HeadEntry {
    pub(super) config: HeadConfig,
    weights: WeightsEntry,
}

/// What the sections `head.dense`, `head.norm` and `head.out` mean.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "lowercase")]
enum WeightsEntry {
    First { activation: DenseActivation, outputs: usize },
    Each { outputs: usize },
    Vocabulary { activation: Activation, epsilon: f32, decoder: Decoder },
}

/// Where a masked language model's decoder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decoder {
    /// It is the word embedding table.
    Tied,
    /// In a section of its own.
    Own,
}

const DENSE: &str = "head.dense";
const OUT: &str = "head.out";
const NORM: &str = "head.norm";

impl HeadEntry {
    /// Whether a section is one of a head, which is read when the head is asked for.
    pub(super) fn owns(section: &str) -> bool {
        [DENSE, OUT, NORM].iter().any(|part| section.strip_prefix(part).is_some_and(|rest| rest.starts_with('.')))
    }

    pub(super) fn save<'a>(head: &'a Head, tables: &Tables, sections: &mut Sections<'a>) -> HeadEntry {
        let weights = match head.weights() {
            HeadWeights::First { dense, out } => {
                save_linear(DENSE, &dense.linear, sections);
                save_linear(OUT, out, sections);
                WeightsEntry::First { activation: dense.activation, outputs: out.outputs() }
            }
            HeadWeights::Each(out) => {
                save_linear(OUT, out, sections);
                WeightsEntry::Each { outputs: out.outputs() }
            }
            HeadWeights::Vocabulary { transform, decoder } => {
                save_linear(DENSE, &transform.linear, sections);
                sections.add(format!("{NORM}.gamma"), &transform.norm.gamma);
                sections.add(format!("{NORM}.beta"), &transform.norm.beta);
                sections.add(format!("{OUT}.bias"), &decoder.bias);
                let tied = decoder.weight.data == tables.word[..];
                if !tied {
                    sections.add(format!("{OUT}.weight"), &decoder.weight.data);
                }
                WeightsEntry::Vocabulary {
                    activation: transform.activation,
                    epsilon: transform.epsilon,
                    decoder: if tied { Decoder::Tied } else { Decoder::Own },
                }
            }
        };
        HeadEntry { config: head.config().without_default_labels(), weights }
    }

    /// The head, copied out of the mapping.
    pub(super) fn load(&self, file: &PackedFile, config: &EncoderConfig) -> Result<Head, PackedError> {
        let (hidden, features) = (config.hidden_size, config.embedding_features());
        let weights = match self.weights {
            WeightsEntry::First { activation, outputs } => HeadWeights::First {
                dense: Dense { linear: load_linear(file, DENSE, hidden, hidden)?, activation },
                out: load_linear(file, OUT, outputs, hidden)?,
            },
            WeightsEntry::Each { outputs } => HeadWeights::Each(load_linear(file, OUT, outputs, hidden)?),
            WeightsEntry::Vocabulary { activation, epsilon, decoder } => HeadWeights::Vocabulary {
                transform: Transform {
                    linear: load_linear(file, DENSE, features, hidden)?,
                    activation,
                    norm: LayerNorm {
                        gamma: file.elements(&format!("{NORM}.gamma"), features)?,
                        beta: file.elements(&format!("{NORM}.beta"), features)?,
                    },
                    epsilon,
                },
                decoder: Linear {
                    weight: match decoder {
                        Decoder::Tied => load_matrix(file, WORD, config.vocab_size, features)?,
                        Decoder::Own => load_matrix(file, &format!("{OUT}.weight"), config.vocab_size, features)?,
                    },
                    bias: file.elements(&format!("{OUT}.bias"), config.vocab_size)?,
                },
            },
        };
        let form = match weights {
            HeadWeights::First { .. } => &[HeadKind::SequenceClassification][..],
            HeadWeights::Each(_) => &[HeadKind::TokenClassification, HeadKind::QuestionAnswering],
            HeadWeights::Vocabulary { .. } => &[HeadKind::MaskedLm],
        };
        let (outputs, labels) = (weights.outputs(), self.config.labels.len());
        let spans = self.config.kind == HeadKind::QuestionAnswering;
        let classifies = matches!(self.config.kind, HeadKind::SequenceClassification | HeadKind::TokenClassification);
        if !form.contains(&self.config.kind)
            || outputs == 0
            || spans && outputs != 2
            || classifies && ![0, outputs].contains(&labels)
        {
            let (labels, outputs) = (plural(labels, "label"), plural(outputs, "output"));
            let found = format!("{} with {labels} and {outputs}", self.config.class);
            return Err(file.content_error(
                "head",
                found,
                "weights as that class has, and a label for each output or none".into(),
            ));
        }
        Ok(Head::new(file.path(), self.config.clone(), weights))
    }
}

fn save_linear<'a>(name: &str, linear: &'a Linear, sections: &mut Sections<'a>) {
    sections.add(format!("{name}.weight"), &linear.weight.data);
    sections.add(format!("{name}.bias"), &linear.bias);
}

fn load_linear(file: &PackedFile, name: &str, rows: usize, cols: usize) -> Result<Linear, PackedError> {
    Ok(Linear {
        weight: load_matrix(file, &format!("{name}.weight"), rows, cols)?,
        bias: file.elements(&format!("{name}.bias"), rows)?,
    })
}

fn load_matrix(file: &PackedFile, name: &str, rows: usize, cols: usize) -> Result<Matrix, PackedError> {
    Ok(Matrix { rows, cols, data: file.elements(name, rows.saturating_mul(cols))? })
}
