//! The tasks as JSON: what a line of the input and a line of the output hold, and what runs between them. One file per task.

mod answer;
mod classify;
mod embed;
mod fill;
mod other;
mod parse;
mod rank;
mod tag;
mod text;

pub use self::answer::{AnswerRecord, AnswerRow, AnswerTask, FoundAnswer};
pub use self::classify::{ClassifyRecord, ClassifyRow, ClassifyTask};
pub use self::embed::{EmbedPrompt, EmbedRecord, EmbedRow, EmbedTask};
pub use self::fill::{FillRow, FillTask};
pub use self::other::OtherFields;
pub use self::rank::{RankRecord, RankRow, RankTask, RankedPassage};
pub use self::tag::{TagRow, TagTask, TaggedEntity};
pub use self::text::TextRecord;
