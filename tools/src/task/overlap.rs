//! `--overlap`, as far as it can be checked before a text is read.

use lacuna::TextInput;
use lacuna_console::error::{Error, Result};

use crate::packed::Opened;

/// Refuses an overlap that leaves windows no step. `fixed` is what every window holds beside its part of a text, which is called `room`.
pub(crate) fn check_overlap(model: &Opened, asked: Option<usize>, fixed: TextInput<'_>, room: &str) -> Result<()> {
    let (Some(found), Some(tokenizer)) = (asked, model.tokenizer()) else { return Ok(()) };
    let free = tokenizer.max_length().saturating_sub(tokenizer.locate(fixed)?.ids.len());
    match found < free || free == 0 {
        true => Ok(()), // without room every line says so
        false => Err(Error::Argument {
            option: "--overlap",
            found: found.to_string(),
            expected: format!("less than {free}, {room}"),
        }),
    }
}

/// An error of the library about an overlap, in the words of the command. The record is the only one of its batch.
pub(super) fn in_words(error: &lacuna::Error) -> Option<String> {
    match error {
        lacuna::Error::HeadOption { option: "overlap", found, expected } => {
            let expected = expected.strip_suffix(" of input 0").unwrap_or(expected);
            Some(format!("--overlap: found {found}; expected {expected}"))
        }
        _ => None,
    }
}
