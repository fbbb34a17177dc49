//! Long texts for which the library's own code takes very long, or gives up silently.

use super::library::Library;

/// Shorter texts cost little, whatever they are, in bytes.
const SHORT: usize = 64 << 10;
/// The most bytes that may be walked over for the added tokens of one text.
const STEPS: usize = 1 << 33;
/// The most blanks in a row: the pattern of byte-level tokenizers keeps a state for each, and ends its search silently at a million.
const BLANKS: usize = 500_000;

/// Checks a text before the library sees it.
///
/// # Errors
/// What it has too much of.
pub(super) fn check_text(tokenizer: &Library, text: &str) -> Result<(), String> {
    if text.len() <= SHORT {
        return Ok(());
    }
    // Around some added tokens the library looks for blanks or words, and for each it walks over the text from its start.
    let added = tokenizer.get_added_tokens_decoder();
    let walked = added.values().filter(|token| token.lstrip || token.single_word);
    let found: usize = walked.map(|token| text.matches(&*token.content).count()).sum();
    if found.saturating_mul(text.len()) > STEPS {
        let (bytes, most) = (text.len(), STEPS / text.len());
        return Err(format!(
            "found {found} added tokens in {bytes} bytes; expected at most {most} in a text of this length"
        ));
    }
    let mut blanks = 0;
    let is_long = text.chars().any(|c| {
        blanks = if c.is_whitespace() { blanks + 1 } else { 0 };
        blanks > BLANKS
    });
    match is_long {
        true => Err(format!("found more than {BLANKS} blanks in a row; expected fewer")),
        false => Ok(()),
    }
}
