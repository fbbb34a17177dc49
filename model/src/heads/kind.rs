//! The kinds of heads.

use serde::{Deserialize, Serialize};

/// What a head is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HeadKind {
    /// `...ForSequenceClassification`: labels, or a score, for a text or a pair.
    SequenceClassification,
    /// `...ForTokenClassification`: a label for every token.
    TokenClassification,
    /// `...ForQuestionAnswering`: where in a context an answer starts and ends.
    QuestionAnswering,
    /// `...ForMaskedLM`, and `BertForPreTraining`: a vocabulary entry for every token.
    MaskedLm,
}

impl HeadKind {
    /// Every kind.
    pub const ALL: [HeadKind; 4] = [
        HeadKind::SequenceClassification,
        HeadKind::TokenClassification,
        HeadKind::QuestionAnswering,
        HeadKind::MaskedLm,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            HeadKind::SequenceClassification => "sequence classification",
            HeadKind::TokenClassification => "token classification",
            HeadKind::QuestionAnswering => "question answering",
            HeadKind::MaskedLm => "masked language model",
        }
    }

    /// How the class names of such models end.
    pub const fn class(self) -> &'static str {
        match self {
            HeadKind::SequenceClassification => "ForSequenceClassification",
            HeadKind::TokenClassification => "ForTokenClassification",
            HeadKind::QuestionAnswering => "ForQuestionAnswering",
            HeadKind::MaskedLm => "ForMaskedLM",
        }
    }
}
