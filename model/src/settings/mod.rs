//! What the settings files beside a model say, and what is to be said about it.

mod length;
mod prompts;
mod remark;
mod sentence;
mod text;
mod tokenizer;
mod transformer;

pub use self::prompts::{Prompt, PromptChoice, Prompts};
pub use self::remark::{Remark, RemarkScope};
pub(crate) use self::sentence::FILE as SENTENCE_FILE;
pub use self::sentence::Similarity;
pub(crate) use self::sentence::{SentenceSettings, written as written_settings};
#[cfg(feature = "hub")]
pub(crate) use self::text::TOKENIZER_FILE;
pub(crate) use self::text::TextSettings;
#[cfg(feature = "hub")]
pub(crate) use self::transformer::TRANSFORMER_FILES;
