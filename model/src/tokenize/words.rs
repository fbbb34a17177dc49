//! Where the words of a text are, and which bytes of it each token stands for.
//!
//! Tokenizers say for each token which bytes it was made of, and which of the pre-tokenizer's words it belongs to. Both need correction
//! before a span of tokens is a span of words:
//!
//! | what tokenizers do | what is done here |
//! | --- | --- |
//! | a token holds the blank before or after it (Metaspace, byte-level BPE, masks with `lstrip`) | blanks at both ends are cut off |
//! | a token that is only the mark of a word's beginning (`▁`, `Ġ`) claims the first character | it has no bytes, and the word that follows |
//! | a normalizer drops an accent, and the token ends before it | the token ends after it |
//! | a "word" of the pre-tokenizer is a sentence: text without blanks, or a tokenizer without a pre-tokenizer | it is cut, see below |
//!
//! Two neighbouring tokens belong to one word if they share a character. Otherwise they belong to one word if all of this holds:
//!
//! * the pre-tokenizer puts them into one word,
//! * Unicode's rules for words (UAX #29) allow no break between them: these break at blanks, and between any two characters of Chinese,
//!   hiragana, Thai and other scripts that are written without blanks,
//! * the characters on both sides are letters or digits: a full stop, a hyphen or an apostrophe is a word of its own, as for BERT.

use tokenizers::Encoding;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::pieces::{TextInput, TokenOrigin};

/// Marks of a word's beginning: of sentencepiece, and of byte-level BPE.
const MARKS: [char; 2] = ['\u{2581}', '\u{120}'];

/// Where the tokens of an encoding come from; `None` for the special tokens that the tokenizer added. `is_blank` says of a token's id
/// whether the token, alone, stands for no text but blanks.
pub(super) fn origins(
    encoding: &Encoding,
    input: TextInput<'_>,
    is_blank: impl Fn(u32) -> bool,
) -> Vec<Option<TokenOrigin>> {
    let texts = [input.text, input.pair.unwrap_or_default()];
    let special = encoding.get_special_tokens_mask();
    let parts = encoding.get_sequence_ids();
    let mut origins: Vec<Option<TokenOrigin>> = (0..encoding.len())
        .map(|i| {
            let part = parts[i].unwrap_or(0).min(1);
            let is_mark = || {
                let token = encoding.get_tokens()[i].as_str();
                token.chars().all(|c| MARKS.contains(&c)) && is_blank(encoding.get_ids()[i])
            };
            (special[i] == 0).then(|| {
                let bytes = trimmed(texts[part], encoding.get_offsets()[i]);
                let bytes = if is_mark() && texts[part][bytes.clone()] != encoding.get_tokens()[i] {
                    bytes.start..bytes.start
                } else {
                    bytes
                };
                TokenOrigin { part, bytes, word: encoding.get_word_ids()[i] }
            })
        })
        .collect();
    for (part, text) in texts.into_iter().enumerate() {
        let mut of_part: Vec<&mut TokenOrigin> = origins.iter_mut().flatten().filter(|o| o.part == part).collect();
        close_graphemes(text, &mut of_part);
        number_words(text, &mut of_part);
    }
    origins
}

/// Bytes of whole characters, without white space at both ends.
fn trimmed(text: &str, (start, end): (usize, usize)) -> std::ops::Range<usize> {
    let start = text.floor_char_boundary(start);
    let end = text.ceil_char_boundary(end).max(start);
    let found = &text[start..end];
    let cut = found.trim_start();
    let start = end - cut.len();
    start..start + cut.trim_end().len()
}

/// Moves the ends of tokens behind accents that the normalizer dropped, if no other token stands for them.
fn close_graphemes(text: &str, tokens: &mut [&mut TokenOrigin]) {
    for i in 0..tokens.len() {
        let end = tokens[i].bytes.end;
        if tokens[i].bytes.is_empty() || end == text.len() {
            continue;
        }
        let mut cursor = GraphemeCursor::new(end, text.len(), true);
        if cursor.is_boundary(text, 0) != Ok(false) {
            continue;
        }
        let next = tokens[i + 1..].iter().find(|token| !token.bytes.is_empty()).map_or(text.len(), |t| t.bytes.start);
        if let Ok(Some(closed)) = cursor.next_boundary(text, 0) {
            tokens[i].bytes.end = closed.min(next).max(end);
        }
    }
}

/// Numbers the words of a text, as the head of this file defines them. A token without text has the word that follows it, if the
/// pre-tokenizer puts both into one, and then also its beginning; none otherwise.
fn number_words(text: &str, tokens: &mut [&mut TokenOrigin]) {
    let given: Vec<Option<u32>> = tokens.iter().map(|token| token.word).collect();
    let breaks: Vec<usize> = text.split_word_bound_indices().map(|(at, _)| at).collect();
    let mut last: Option<(usize, Option<u32>)> = None;
    let mut number = 0;
    for token in tokens.iter_mut().filter(|token| !token.bytes.is_empty()) {
        let (start, word) = (token.bytes.start, token.word);
        let end = match last {
            None => token.bytes.end,
            Some((end, before)) => {
                let is_one = start < end || (before == word && word.is_some() && joined(text, &breaks, end, start));
                number += u32::from(!is_one);
                end.max(token.bytes.end)
            }
        };
        last = Some((end, word));
        token.word = Some(number);
    }
    let mut next = None;
    for (token, given) in tokens.iter_mut().zip(given).rev() {
        if token.bytes.is_empty() {
            let following = next.filter(|(word, _, _)| given == *word);
            token.word = following.and_then(|(_, number, _)| number);
            if let Some((_, _, start)) = following {
                token.bytes = start..start;
            }
        } else {
            next = Some((given, token.word, token.bytes.start));
        }
    }
}

/// Whether a token that ends at `end` and one that starts at `start` may be parts of one word.
fn joined(text: &str, breaks: &[usize], end: usize, start: usize) -> bool {
    let next_break = breaks[breaks.partition_point(|at| *at < end)..].first();
    if next_break.is_some_and(|at| *at <= start) {
        return false;
    }
    // Inside of one visible character: a mark, or a part of an emoji.
    if GraphemeCursor::new(start, text.len(), true).is_boundary(text, 0) == Ok(false) {
        return true;
    }
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    is_letter(text[..end].graphemes(true).next_back().and_then(|g| g.chars().next()))
        && is_letter(text[start..].chars().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of tokens at these bytes, all of one word of the pre-tokenizer.
    fn words(text: &str, tokens: &[(usize, usize)]) -> Vec<Option<u32>> {
        let origin = |bytes: &(usize, usize)| TokenOrigin { part: 0, bytes: trimmed(text, *bytes), word: Some(0) };
        let mut origins: Vec<TokenOrigin> = tokens.iter().map(origin).collect();
        let mut all: Vec<&mut TokenOrigin> = origins.iter_mut().collect();
        close_graphemes(text, &mut all);
        number_words(text, &mut all);
        origins.into_iter().map(|origin| origin.word).collect()
    }

    #[test]
    fn words_end_at_blanks_at_marks_and_in_scripts_without_blanks() {
        let some = |words: &[u32]| words.iter().map(|word| Some(*word)).collect::<Vec<_>>();
        assert_eq!(words("London.", &[(0, 2), (2, 4), (4, 6), (6, 7)]), some(&[0, 0, 0, 1]));
        assert_eq!(words("北京市", &[(0, 6), (6, 9)]), some(&[0, 1]));
        assert_eq!(words("ロンに", &[(0, 3), (3, 6), (6, 9)]), some(&[0, 0, 1]), "katakana, then hiragana");
        assert_eq!(words("a'b-c", &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]), some(&[0, 1, 2, 3, 4]));
        assert_eq!(words("e\u{301}t", &[(0, 1), (3, 4)]), some(&[0, 0]), "an accent in between");
        assert_eq!(words("\u{1f600}", &[(0, 4), (0, 4), (1, 3)]), some(&[0, 0, 0]), "bytes of one character");
        assert_eq!(words("a b", &[(0, 1), (1, 2), (1, 3)]), some(&[0, 1, 1]), "a blank has the word that follows");
        assert_eq!(words("a ", &[(0, 1), (1, 2)]), [Some(0), None]);
    }

    #[test]
    fn bytes_are_whole_characters_without_blanks() {
        assert_eq!(trimmed(" ét ", (0, 5)), 1..4);
        assert_eq!(trimmed("é", (1, 2)), 0..2);
        assert_eq!(trimmed("a  ", (1, 3)), 3..3);
        assert_eq!(trimmed("a", (0, 9)), 0..1);
    }
}
