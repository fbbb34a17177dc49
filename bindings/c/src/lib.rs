//! Lacuna for C and C++. The header `include/lacuna.h` is made of this crate, and `include/lacuna.hpp` wraps it for C++.
//!
//! Every function checks its pointers for NULL, reads options through their size, catches panics, and reports errors as a [`LacunaStatus`] with a text.
//! What a pointer points to is the promise of the caller.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod answer;
mod args;
mod call;
mod cancel;
mod classify;
mod embed;
mod encoder;
mod fill;
mod forked;
mod log;
mod rank;
mod status;
mod strings;
mod tag;
mod threads;

pub use crate::answer::{
    LacunaAnswer, LacunaAnswerOptions, LacunaAnswers, lacuna_answer, lacuna_answers_free, lacuna_answers_get,
};
pub use crate::args::{LacunaText, lacuna_text};
pub use crate::call::LacunaCallOptions;
pub use crate::cancel::{LacunaCancel, lacuna_cancel_free, lacuna_cancel_new, lacuna_cancel_reset, lacuna_cancel_stop};
pub use crate::classify::lacuna_classify;
pub use crate::embed::{
    LACUNA_PROMPT_DEFAULT, LACUNA_PROMPT_NAME, LACUNA_PROMPT_NONE, LACUNA_PROMPT_TEXT, LacunaEmbedOptions, lacuna_embed,
};
pub use crate::encoder::{
    LacunaEncoder, LacunaOpenOptions, lacuna_encoder_features, lacuna_encoder_free, lacuna_encoder_label,
    lacuna_encoder_labels, lacuna_encoder_max_tokens, lacuna_encoder_open, lacuna_encoder_report,
};
pub use crate::fill::{
    LacunaFillOptions, LacunaFilling, LacunaFillings, lacuna_fill, lacuna_fillings_free, lacuna_fillings_get,
};
pub use crate::log::{LACUNA_LOG_ERROR, LACUNA_LOG_INFO, LACUNA_LOG_WARNING, LacunaLog, lacuna_set_log};
pub use crate::rank::{LacunaRanked, lacuna_rank};
pub use crate::status::{LacunaStatus, lacuna_last_error, lacuna_status_name, lacuna_version};
pub use crate::tag::{
    LacunaEntities, LacunaEntity, LacunaTagOptions, lacuna_entities_free, lacuna_entities_get, lacuna_tag,
};
