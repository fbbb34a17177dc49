//! Tokens with their positions in the text, as heads read them.

use std::ops::Range;

use tokenizers::Encoding;

use super::options::TruncationSide;
use crate::tokens::TokenIds;

/// One text or a pair of texts, for models with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextInput<'a> {
    /// The text, the question, or the query.
    pub text: &'a str,
    /// The second text of a pair: the context, or the passage.
    pub pair: Option<&'a str>,
}

impl<'a> TextInput<'a> {
    /// One text.
    pub fn new(text: &'a str) -> TextInput<'a> {
        TextInput { text, pair: None }
    }

    /// Two texts.
    pub fn pair(text: &'a str, pair: &'a str) -> TextInput<'a> {
        TextInput { text, pair: Some(pair) }
    }
}

impl<'a> From<&'a str> for TextInput<'a> {
    fn from(text: &'a str) -> Self {
        TextInput::new(text)
    }
}

impl<'a> From<&'a &str> for TextInput<'a> {
    fn from(text: &'a &str) -> Self {
        TextInput::new(text)
    }
}

impl<'a> From<&'a String> for TextInput<'a> {
    fn from(text: &'a String) -> Self {
        TextInput::new(text)
    }
}

impl<'a> From<(&'a str, &'a str)> for TextInput<'a> {
    fn from((text, pair): (&'a str, &'a str)) -> Self {
        TextInput::pair(text, pair)
    }
}

impl<'a, A: AsRef<str>, B: AsRef<str>> From<&'a (A, B)> for TextInput<'a> {
    fn from((text, pair): &'a (A, B)) -> Self {
        TextInput::pair(text.as_ref(), pair.as_ref())
    }
}

impl<'a> From<&TextInput<'a>> for TextInput<'a> {
    fn from(input: &TextInput<'a>) -> Self {
        *input
    }
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOrigin {
    /// 0: in [`TextInput::text`]; 1: in [`TextInput::pair`].
    pub part: usize,
    /// Bytes of that text: whole characters, without white space at both ends. Tokens that are only white space, or only the mark of a
    /// word's beginning, have none.
    pub bytes: Range<usize>,
    /// Which of the text's words: those of the pre-tokenizer, cut where Unicode's rules for words (UAX #29) break them, and at every
    /// character that is neither a letter nor a digit. In text without blanks each Chinese character, and each token of Thai, is a word
    /// unless a token holds several. Tokens that share a character share a word. A token without bytes has the word that
    /// follows it in the pre-tokenizer's word, or none.
    pub word: Option<u32>,
}

/// The tokens of a text or a pair of texts: ids, types, and where each comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizedText {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// Token types, one for each token. In a pair 0 for the first text and 1 for the second, unless the tokenizer gives others.
    pub types: Vec<u32>,
    /// As many; `None` for the special tokens that the tokenizer added.
    pub origins: Vec<Option<TokenOrigin>>,
    /// The number of tokens before truncation, when there were more than the limit.
    pub truncated_from: Option<usize>,
    /// Which end of a text is cut.
    side: TruncationSide,
}

impl TokenIds for TokenizedText {
    fn ids(&self) -> &[u32] {
        &self.ids
    }

    fn types(&self) -> Option<&[u32]> {
        Some(&self.types)
    }
}

impl TokenizedText {
    /// `origins` are those of the encoding's tokens.
    pub(super) fn new(encoding: &Encoding, origins: Vec<Option<TokenOrigin>>, side: TruncationSide) -> TokenizedText {
        TokenizedText {
            ids: encoding.get_ids().to_vec(),
            types: encoding.get_type_ids().to_vec(),
            origins,
            truncated_from: None,
            side,
        }
    }

    /// A sequence of one type that comes from no text.
    pub(crate) fn without_text(ids: Vec<u32>) -> TokenizedText {
        let (types, origins) = (vec![0; ids.len()], vec![None; ids.len()]);
        TokenizedText { ids, types, origins, truncated_from: None, side: TruncationSide::Right }
    }

    /// For models that have only one type. The types of the tokenizer are ignored.
    pub fn untyped(mut self) -> TokenizedText {
        self.types.fill(0);
        self
    }

    /// How many tokens come from a text.
    pub fn tokens_of(&self, part: usize) -> usize {
        self.origins.iter().flatten().filter(|origin| origin.part == part).count()
    }

    /// The special tokens, and of the tokens of part `p` those that `keep(p, index)` keeps.
    pub fn select(&self, keep: impl Fn(usize, usize) -> bool) -> TokenizedText {
        let mut seen = [0; 2];
        let kept: Vec<bool> = self
            .origins
            .iter()
            .map(|origin| {
                let Some(seen) = origin.as_ref().and_then(|origin| seen.get_mut(origin.part)) else { return true };
                *seen += 1;
                keep(origin.as_ref().map_or(0, |origin| origin.part), *seen - 1)
            })
            .collect();
        TokenizedText {
            ids: kept_of(&self.ids, &kept),
            types: kept_of(&self.types, &kept),
            origins: kept_of(&self.origins, &kept),
            truncated_from: self.truncated_from,
            side: self.side,
        }
    }

    /// Truncates to `limit` tokens: first at the end of the longer text, until both are equally long, and then at the end of both. A tokenizer
    /// with [`TruncationSide::Left`] truncates at the start of both in the same way.
    pub fn cut(self, limit: usize) -> TokenizedText {
        let found = self.ids.len();
        if found <= limit {
            return self;
        }
        let lengths = [self.tokens_of(0), self.tokens_of(1)];
        let room = limit.saturating_sub(found - lengths[0] - lengths[1]);
        let short = usize::from(lengths[1] < lengths[0]);
        let mut kept = lengths;
        kept[short] = lengths[short].min(room / 2);
        kept[1 - short] = room - kept[short];
        let first = match self.side {
            TruncationSide::Right => [0, 0],
            TruncationSide::Left => [lengths[0] - kept[0], lengths[1] - kept[1]],
        };
        let selected = self.select(|part, index| (first[part]..first[part] + kept[part]).contains(&index));
        TokenizedText { truncated_from: Some(found), ..selected }
    }
}

fn kept_of<T: Clone>(values: &[T], kept: &[bool]) -> Vec<T> {
    values.iter().zip(kept).filter(|(_, kept)| **kept).map(|(value, _)| value.clone()).collect()
}

#[cfg(test)]
mod tests {
    use tokenizers::models::wordlevel::WordLevel;
    use tokenizers::pre_tokenizers::whitespace::Whitespace;
    use tokenizers::processors::bert::BertProcessing;
    use tokenizers::{Tokenizer, TruncationDirection, TruncationParams};

    use super::*;
    use crate::tokenize::words::origins;

    fn tokenizer() -> Tokenizer {
        let words = ["[UNK]", "[CLS]", "[SEP]", "a", "b"].iter().zip(0..).map(|(word, id)| ((*word).to_owned(), id));
        let model = WordLevel::builder().vocab(words.collect()).unk_token("[UNK]".into()).build().unwrap();
        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(Whitespace {}));
        tokenizer.with_post_processor(Some(BertProcessing::new(("[SEP]".into(), 2), ("[CLS]".into(), 1))));
        tokenizer
    }

    /// Pairs of every length are cut as the tokenizer library cuts them.
    #[test]
    fn pairs_are_cut_longest_first() {
        let whole = tokenizer();
        let sides =
            [(TruncationSide::Right, TruncationDirection::Right), (TruncationSide::Left, TruncationDirection::Left)];
        for (limit, (side, direction)) in [3, 4, 5, 8, 9].into_iter().flat_map(|limit| sides.map(|side| (limit, side)))
        {
            let mut library = tokenizer();
            let params = TruncationParams { max_length: limit, direction, ..TruncationParams::default() };
            library.with_truncation(Some(params)).unwrap();
            for (first, second) in (0..9).flat_map(|first| (0..9).map(move |second| (first, second))) {
                let pair = ("a ".repeat(first), "b ".repeat(second));
                let expected = library.encode(pair.clone(), true).unwrap();
                let encoding = whole.encode(pair.clone(), true).unwrap();
                let origins = origins(&encoding, TextInput::from(&pair), |_| false);
                let found = TokenizedText::new(&encoding, origins, side).cut(limit);
                assert_eq!(found.ids, expected.get_ids(), "{first} and {second} to {limit}");
                assert_eq!(found.types, expected.get_type_ids(), "{first} and {second} to {limit}");
                let origins: Vec<_> = expected.get_offsets().iter().map(|&(start, end)| start..end).collect();
                let bytes = found.origins.iter().map(|origin| origin.as_ref().map_or(0..0, |o| o.bytes.clone()));
                assert_eq!(bytes.collect::<Vec<_>>(), origins, "{first} and {second} to {limit}");
                let len = first + second + 3;
                assert_eq!(found.truncated_from, (len > limit).then_some(len));
            }
        }
    }
}
