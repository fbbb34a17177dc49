//! The encoders that are read, and in what they differ from BERT.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The family of an encoder, by `model_type` of its `config.json`.
///
/// All are the same stack of layers: embeddings, then attention and feed-forward blocks with layer normalisation after each
/// residual. What differs is settled while a checkpoint is read, so that [`EncoderWeights`](crate::EncoderWeights) mean the same for all:
///
/// | family | positions | token types | before the layers | pooler |
/// | --- | --- | --- | --- | --- |
/// | BERT (MiniLM too) | from 0 | yes | | yes |
/// | DistilBERT | from 0 | no: one row of zeros | | no |
/// | RoBERTa, XLM-RoBERTa, CamemBERT | from the padding index + 1 | one, in practice | | yes |
/// | ELECTRA | from 0 | yes | projection, if `embedding_size` is not `hidden_size` | no |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// `bert`: BERT and models of its form, such as MiniLM.
    Bert,
    /// `distilbert`.
    DistilBert,
    /// `roberta`.
    Roberta,
    /// `xlm-roberta`: XLM-RoBERTa and models of its form, such as multilingual E5.
    XlmRoberta,
    /// `camembert`.
    Camembert,
    /// `electra`: the discriminator or the generator, without its head.
    Electra,
}

/// What is read, for errors.
pub(crate) const SUPPORTED: &str =
    "encoders of model_type \"bert\", \"distilbert\", \"roberta\", \"xlm-roberta\", \"camembert\", \"electra\"";

impl Architecture {
    /// Every family.
    pub const ALL: [Architecture; 6] = [
        Architecture::Bert,
        Architecture::DistilBert,
        Architecture::Roberta,
        Architecture::XlmRoberta,
        Architecture::Camembert,
        Architecture::Electra,
    ];

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Architecture::Bert => "BERT",
            Architecture::DistilBert => "DistilBERT",
            Architecture::Roberta => "RoBERTa",
            Architecture::XlmRoberta => "XLM-RoBERTa",
            Architecture::Camembert => "CamemBERT",
            Architecture::Electra => "ELECTRA",
        }
    }

    /// `model_type` in `config.json`.
    pub const fn model_type(self) -> &'static str {
        match self {
            Architecture::Bert => "bert",
            Architecture::DistilBert => "distilbert",
            Architecture::Roberta => "roberta",
            Architecture::XlmRoberta => "xlm-roberta",
            Architecture::Camembert => "camembert",
            Architecture::Electra => "electra",
        }
    }

    /// Whether checkpoints hold token type embeddings. The others are read as if there were one type, of zeros.
    pub const fn has_token_types(self) -> bool {
        !matches!(self, Architecture::DistilBert)
    }

    /// Whether checkpoints may hold a pooler over the first token, [`EncoderWeights::pooler`](crate::EncoderWeights::pooler).
    pub const fn has_pooler(self) -> bool {
        !matches!(self, Architecture::DistilBert | Architecture::Electra)
    }

    /// Whether the embedding tables may have other features than the layers.
    pub const fn projects_embeddings(self) -> bool {
        matches!(self, Architecture::Electra)
    }

    /// Whether rows of the position table up to that of the padding index belong to no token.
    pub(crate) const fn offsets_positions(self) -> bool {
        matches!(self, Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert)
    }

    /// The family of a `model_type`, or of class names such as `BertModel` when that is absent.
    pub(crate) fn find(model_type: Option<&str>, classes: &[String]) -> Option<Architecture> {
        Architecture::ALL.into_iter().find(|architecture| match model_type {
            Some(model_type) => model_type == architecture.model_type(),
            None => classes.iter().any(|class| architecture.is_class(class)),
        })
    }

    /// The class of a bare encoder, without a head.
    pub(crate) fn class_of_encoder(self) -> String {
        format!("{}Model", self.class_prefix())
    }

    /// The class of a model with a head: `BertForSequenceClassification` and the like.
    pub(crate) fn class_with(self, head: &str) -> String {
        format!("{}{head}", self.class_prefix())
    }

    /// What the names of the encoder's tensors begin with in a model with a head: `base_model_prefix` of `transformers`, and a dot.
    pub(crate) const fn prefix_beside_head(self) -> &'static str {
        match self {
            Architecture::Bert => "bert.",
            Architecture::DistilBert => "distilbert.",
            Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert => "roberta.",
            Architecture::Electra => "electra.",
        }
    }

    /// How the names of all classes of the family begin.
    const fn class_prefix(self) -> &'static str {
        match self {
            Architecture::Bert => "Bert",
            Architecture::DistilBert => "DistilBert",
            Architecture::Roberta => "Roberta",
            Architecture::XlmRoberta => "XLMRoberta",
            Architecture::Camembert => "Camembert",
            Architecture::Electra => "Electra",
        }
    }

    /// `BertModel`, `BertForMaskedLM`, ...; not `BertGenerationEncoder`, which is another model.
    fn is_class(self, class: &str) -> bool {
        class.strip_prefix(self.class_prefix()).is_some_and(|rest| rest == "Model" || rest.starts_with("For"))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_list_every_model_type() {
        for architecture in Architecture::ALL {
            assert!(SUPPORTED.contains(&format!("\"{}\"", architecture.model_type())), "{architecture}");
        }
    }

    #[test]
    fn families_are_found_by_type_and_by_class() {
        for architecture in Architecture::ALL {
            assert_eq!(Architecture::find(Some(architecture.model_type()), &[]), Some(architecture));
        }
        for (class, expected) in [
            ("BertModel", Some(Architecture::Bert)),
            ("DistilBertForMaskedLM", Some(Architecture::DistilBert)),
            ("XLMRobertaForSequenceClassification", Some(Architecture::XlmRoberta)),
            ("RobertaModel", Some(Architecture::Roberta)),
            ("CamembertForMaskedLM", Some(Architecture::Camembert)),
            ("ElectraForPreTraining", Some(Architecture::Electra)),
            ("RobertaPreLayerNormModel", None),
            ("XLMRobertaXLModel", None),
            ("BertGenerationEncoder", None),
            ("GPT2Model", None),
        ] {
            assert_eq!(Architecture::find(None, &[class.to_owned()]), expected, "{class}");
            assert_eq!(Architecture::find(Some("gpt2"), &[class.to_owned()]), None, "the type decides");
        }
    }
}
