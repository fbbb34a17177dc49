//! What users of a model should know about its settings.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that users of a model should know: a setting that was assumed because its files are silent, or a setting whose effect is easily
/// missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// What it matters for.
    pub scope: RemarkScope,
    /// `pooling: mean (assumed: no 1_Pooling)`.
    pub text: String,
}

/// What a remark matters for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemarkScope {
    /// Everything that is done with texts.
    Texts,
    /// Embeddings.
    Embeddings,
    /// What a head gives.
    Head,
}

impl Remark {
    /// A remark.
    pub fn new(scope: RemarkScope, text: impl Into<String>) -> Remark {
        Remark { scope, text: text.into() }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
