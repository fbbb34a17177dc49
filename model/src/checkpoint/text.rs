//! Text of files in messages.

use std::fmt::Display;

/// How many characters of such a file's own text go into a message.
const MAX_MESSAGE: usize = 400;

/// Text for one line of a message: names in a pickle may be of any length and hold anything.
pub(super) fn printable(text: &dyn Display) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().collect::<String>(),
        false => c.into(),
    };
    let text = text.to_string();
    let cut = if text.chars().nth(MAX_MESSAGE).is_some() { " ..." } else { "" };
    text.chars().take(MAX_MESSAGE).map(escaped).collect::<String>() + cut
}
