//! What checkpoints call the tensors of heads, and their shapes.

use std::path::Path;

use super::encoder::Reader;
use super::names;
use super::tensor_set::Checkpoint;
use super::tensors::FoundTensor;
use crate::architecture::Architecture;
use crate::config::{Activation, EncoderConfig};
use crate::error::Result;
use crate::heads::{Dense, DenseActivation, HeadConfig, HeadKind, HeadWeights, Transform, ties_words, untied};
use crate::matrix::Matrix;
use crate::weights::Linear;

/// The layer of a token classification.
const TOKEN_OUT: &str = "classifier";
/// The layer of question answering.
const ANSWER_OUT: &str = "qa_outputs";

/// Names of the layers of a sequence classification.
struct FirstNames {
    dense: &'static str,
    out: &'static str,
}

/// Names of a masked language model's tensors.
struct VocabularyNames {
    dense: &'static str,
    norm: &'static str,
    /// Absent if it is the word embedding table, as usual.
    decoder: &'static str,
    /// The one that is needed, and another name of it.
    bias: [&'static str; 2],
}

impl Checkpoint {
    /// Reads the weights of a head. `word` is the word embedding table, which a masked language model may share unless the `config.json` at
    /// `path` forbids it.
    ///
    /// # Errors
    /// Those of reading tensors; [`Error::InvalidSetting`](crate::Error::InvalidSetting) for a layer that is not stored and not shared.
    pub(crate) fn head_weights(
        &self,
        config: &EncoderConfig,
        path: &Path,
        head: &HeadConfig,
        word: &Matrix,
    ) -> Result<HeadWeights> {
        let reader = Reader::of_head(self, config)?;
        match head.kind {
            HeadKind::SequenceClassification => reader.first(config, head),
            HeadKind::TokenClassification => reader.output(TOKEN_OUT, config, head).map(HeadWeights::Each),
            HeadKind::QuestionAnswering => reader.linear(ANSWER_OUT, 2, config.hidden_size).map(HeadWeights::Each),
            HeadKind::MaskedLm => reader.vocabulary(config, path, word),
        }
    }
}

impl Reader<'_> {
    fn first(&self, config: &EncoderConfig, head: &HeadConfig) -> Result<HeadWeights> {
        let FirstNames { dense, out } = FirstNames::of(config.architecture);
        let activation = match config.architecture {
            Architecture::DistilBert => DenseActivation::Feature(Activation::Relu),
            // Whatever the activation of the layers.
            Architecture::Electra => DenseActivation::Feature(Activation::Gelu),
            _ => DenseActivation::Tanh,
        };
        let linear = self.linear(dense, config.hidden_size, config.hidden_size)?;
        Ok(HeadWeights::First { dense: Dense { linear, activation }, out: self.output(out, config, head)? })
    }

    /// The layer that has a row per label: as many as `config.json` names, or as there are.
    fn output(&self, name: &str, config: &EncoderConfig, head: &HeadConfig) -> Result<Linear> {
        let stored = self.find(&[&format!("{name}.weight")])?.shape.first().copied().filter(|rows| *rows > 0);
        let rows = if head.labels.is_empty() { stored.unwrap_or(1) } else { head.labels.len() };
        self.linear(name, rows, config.hidden_size)
    }

    fn vocabulary(&self, config: &EncoderConfig, path: &Path, word: &Matrix) -> Result<HeadWeights> {
        let names = VocabularyNames::of(config.architecture);
        let features = config.embedding_features();
        let activation = match config.architecture {
            Architecture::Bert | Architecture::DistilBert => config.activation,
            _ => Activation::Gelu, // does not depend on the activation of the layers
        };
        let decoder = format!("{}.weight", names.decoder);
        let weight = match self.find(&[&decoder]) {
            Ok(_) => self.matrix(&decoder, config.vocab_size, features)?,
            Err(_) if ties_words(path)? => word.clone(),
            Err(_) => return Err(untied(path, &decoder)),
        };
        Ok(HeadWeights::Vocabulary {
            transform: Transform {
                linear: self.linear(names.dense, features, config.hidden_size)?,
                activation,
                norm: self.norm(names.norm, features)?,
                epsilon: config.layer_norm_eps,
            },
            decoder: Linear { weight, bias: self.vector(&names.bias, config.vocab_size)? },
        })
    }
}

/// All tensors of a head but for a decoder that is the word embedding table `word`, with their whole names in a checkpoint of the
/// architecture.
pub(crate) fn head_tensors<'a>(
    config: &EncoderConfig,
    kind: HeadKind,
    head: &'a HeadWeights,
    word: &Matrix,
) -> Vec<(String, FoundTensor<'a>)> {
    let mut list = Vec::new();
    match head {
        HeadWeights::First { dense, out } => {
            let names = FirstNames::of(config.architecture);
            let inside = if names.dense == names::POOLER { config.architecture.prefix_beside_head() } else { "" };
            add_linear(&mut list, &format!("{inside}{}", names.dense), &dense.linear);
            add_linear(&mut list, names.out, out);
        }
        HeadWeights::Each(out) => {
            let name = if kind == HeadKind::QuestionAnswering { ANSWER_OUT } else { TOKEN_OUT };
            add_linear(&mut list, name, out);
        }
        HeadWeights::Vocabulary { transform, decoder } => {
            let names = VocabularyNames::of(config.architecture);
            add_linear(&mut list, names.dense, &transform.linear);
            let [[gamma, _], [beta, _]] = [names::gamma(names.norm), names::beta(names.norm)];
            add_vector(&mut list, gamma, &transform.norm.gamma);
            add_vector(&mut list, beta, &transform.norm.beta);
            let [bias, _] = names.bias;
            add_vector(&mut list, bias.to_owned(), &decoder.bias);
            if decoder.weight != *word {
                add_matrix(&mut list, format!("{}.weight", names.decoder), &decoder.weight);
            }
        }
    }
    list
}

fn add_linear<'a>(list: &mut Vec<(String, FoundTensor<'a>)>, name: &str, linear: &'a Linear) {
    add_matrix(list, format!("{name}.weight"), &linear.weight);
    add_vector(list, format!("{name}.bias"), &linear.bias);
}

fn add_matrix<'a>(list: &mut Vec<(String, FoundTensor<'a>)>, name: String, matrix: &'a Matrix) {
    list.push((name, FoundTensor { shape: vec![matrix.rows, matrix.cols], values: (&matrix.data[..]).into() }));
}

fn add_vector<'a>(list: &mut Vec<(String, FoundTensor<'a>)>, name: String, values: &'a [f32]) {
    list.push((name, FoundTensor { shape: vec![values.len()], values: values.into() }));
}

impl FirstNames {
    fn of(architecture: Architecture) -> FirstNames {
        let (dense, out) = match architecture {
            Architecture::Bert => (names::POOLER, "classifier"),
            Architecture::DistilBert => ("pre_classifier", "classifier"),
            Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert | Architecture::Electra => {
                ("classifier.dense", "classifier.out_proj")
            }
        };
        FirstNames { dense, out }
    }
}

impl VocabularyNames {
    fn of(architecture: Architecture) -> VocabularyNames {
        match architecture {
            Architecture::Bert => VocabularyNames {
                dense: "cls.predictions.transform.dense",
                norm: "cls.predictions.transform.LayerNorm",
                decoder: "cls.predictions.decoder",
                bias: ["cls.predictions.bias", "cls.predictions.decoder.bias"],
            },
            Architecture::DistilBert => VocabularyNames {
                dense: "vocab_transform",
                norm: "vocab_layer_norm",
                decoder: "vocab_projector",
                bias: ["vocab_projector.bias"; 2],
            },
            Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert => VocabularyNames {
                dense: "lm_head.dense",
                norm: "lm_head.layer_norm",
                decoder: "lm_head.decoder",
                bias: ["lm_head.bias", "lm_head.decoder.bias"],
            },
            Architecture::Electra => VocabularyNames {
                dense: "generator_predictions.dense",
                norm: "generator_predictions.LayerNorm",
                decoder: "generator_lm_head",
                bias: ["generator_lm_head.bias"; 2],
            },
        }
    }
}
