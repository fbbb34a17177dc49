//! From the labels of tokens to the labels of words and entities.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::order::largest;
use super::scheme::{Place, Tag};

/// How the labels of tokens become the label of a word, as transformers' pipeline for token classification has it.
///
/// Scores are the softmax of each token's logits. An entity's score is the mean over its words (or tokens).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Aggregation {
    /// Nothing is put together: every token with its whole label, unless that is `O`.
    None,
    /// Tokens are put together without regard to words: an entity can end inside a word. Tokens that share a character have the label of
    /// the first.
    Simple,
    /// A word has the label of its first token. The default.
    #[default]
    First,
    /// A word has the label with the largest mean score over its tokens.
    Average,
    /// A word has the label of the token whose largest score is the largest.
    Max,
}

impl Aggregation {
    /// All of them.
    pub const ALL: [Aggregation; 5] =
        [Aggregation::None, Aggregation::Simple, Aggregation::First, Aggregation::Average, Aggregation::Max];

    /// Its name in options, as transformers has it.
    pub const fn name(self) -> &'static str {
        match self {
            Aggregation::None => "none",
            Aggregation::Simple => "simple",
            Aggregation::First => "first",
            Aggregation::Average => "average",
            Aggregation::Max => "max",
        }
    }

    /// Units with one label each: tokens or words.
    pub(super) fn units(self, tokens: &[Token]) -> Vec<Unit> {
        let one = |a: &Token, b: &Token| match self {
            Aggregation::None => false,
            Aggregation::Simple => b.bytes.start < a.bytes.end,
            _ => a.word.is_some() && a.word == b.word,
        };
        tokens.chunk_by(one).filter_map(|tokens| self.unit(tokens)).collect()
    }

    fn unit(self, tokens: &[Token]) -> Option<Unit> {
        let (first, last) = (tokens.first()?, tokens.last()?);
        let best = |token: &Token| largest(&token.scores);
        let (label, score) = match self {
            Aggregation::None | Aggregation::Simple | Aggregation::First => best(first),
            Aggregation::Max => {
                let scores: Vec<f32> = tokens.iter().map(|token| best(token).1).collect();
                best(&tokens[largest(&scores).0])
            }
            Aggregation::Average => {
                let mut means = vec![0.0_f32; first.scores.len()];
                for token in tokens {
                    means.iter_mut().zip(&token.scores).for_each(|(mean, score)| *mean += score / tokens.len() as f32);
                }
                largest(&means)
            }
        };
        let end = tokens.iter().map(|token| token.bytes.end).max().unwrap_or(last.bytes.end);
        Some(Unit { bytes: first.bytes.start..end, label, score })
    }
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Aggregation {
    type Err = String;

    fn from_str(name: &str) -> Result<Aggregation, String> {
        let found = Aggregation::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("found {name:?}; expected none, simple, first, average or max"))
    }
}

/// A token with the scores of all labels.
pub(super) struct Token {
    pub(super) bytes: Range<usize>,
    pub(super) word: Option<u32>,
    pub(super) scores: Vec<f32>,
}

/// A token or a word with its label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    pub(super) bytes: Range<usize>,
    pub(super) label: usize,
    pub(super) score: f32,
}

/// Units that follow each other, and are one entity. `tags` are those of the labels.
pub(super) fn groups<'a>(units: &'a [Unit], tags: &[Tag]) -> Vec<&'a [Unit]> {
    let mut found = Vec::new();
    let mut open: Option<(usize, &str)> = None; // the first unit of an entity that may go on, and its name
    let mut close = |open: &mut Option<(usize, &str)>, end: usize| {
        found.extend(open.take().map(|(start, _)| &units[start..end]));
    };
    for (i, unit) in units.iter().enumerate() {
        let Some(Tag { place, name }) = tags.get(unit.label) else { continue };
        let goes_on = matches!(place, Place::Inside | Place::End) && open.is_some_and(|(_, before)| before == name);
        if !goes_on {
            close(&mut open, i);
            if *place != Place::Outside {
                open = Some((i, name));
            }
        }
        if matches!(place, Place::End | Place::Single) {
            close(&mut open, i + 1);
        }
    }
    close(&mut open, units.len());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::scheme::LabelScheme;

    fn token(bytes: Range<usize>, word: u32, scores: [f32; 3]) -> Token {
        Token { bytes, word: Some(word), scores: scores.to_vec() }
    }

    #[test]
    fn words_have_the_label_that_the_strategy_takes() {
        let tokens = [
            token(0..2, 0, [0.5, 0.3, 0.2]),
            token(2..4, 0, [0.1, 0.8, 0.1]),
            token(4..6, 0, [0.3, 0.1, 0.6]),
            token(7..9, 1, [0.2, 0.2, 0.6]),
        ];
        for (strategy, expected) in [
            (Aggregation::None, &[(0..2, 0, 0.5), (2..4, 1, 0.8), (4..6, 2, 0.6), (7..9, 2, 0.6)][..]),
            (Aggregation::Simple, &[(0..2, 0, 0.5), (2..4, 1, 0.8), (4..6, 2, 0.6), (7..9, 2, 0.6)]),
            (Aggregation::First, &[(0..6, 0, 0.5), (7..9, 2, 0.6)]),
            (Aggregation::Average, &[(0..6, 1, 0.4), (7..9, 2, 0.6)]),
            (Aggregation::Max, &[(0..6, 1, 0.8), (7..9, 2, 0.6)]),
        ] {
            let found = strategy.units(&tokens);
            assert_eq!(found.len(), expected.len(), "{strategy}");
            for (found, (bytes, label, score)) in found.iter().zip(expected) {
                assert_eq!((&found.bytes, found.label), (bytes, *label), "{strategy}");
                assert!((found.score - score).abs() < 1e-6, "{strategy}");
            }
            assert_eq!(strategy.name().parse(), Ok(strategy));
        }
        assert!("mean".parse::<Aggregation>().is_err());
    }

    /// Of an emoji of two tokens each stands for the whole emoji.
    #[test]
    fn tokens_of_one_character_stay_together() {
        let tokens = [token(0..4, 0, [0.1, 0.7, 0.2]), token(0..4, 0, [0.1, 0.2, 0.7])];
        let found = Aggregation::Simple.units(&tokens);
        assert_eq!(found, [Unit { bytes: 0..4, label: 1, score: 0.7 }]);
        assert_eq!(Aggregation::None.units(&tokens).len(), 2);
    }

    fn entities(labels: &[&str]) -> Vec<(String, usize, usize)> {
        let mut names: Vec<&str> = labels.to_vec();
        names.sort_unstable();
        names.dedup();
        let unit = |(i, label): (usize, &&str)| {
            let label = names.iter().position(|name| name == label).unwrap();
            Unit { bytes: i..i + 1, label, score: 1.0 }
        };
        let units: Vec<Unit> = labels.iter().enumerate().map(unit).collect();
        let tags = LabelScheme::of(&names).tags(&names);
        let of = |group: &[Unit]| {
            (tags[group[0].label].name.clone(), group[0].bytes.start, group[group.len() - 1].bytes.end)
        };
        groups(&units, &tags).into_iter().map(of).collect()
    }

    #[test]
    fn entities_begin_and_end_as_the_scheme_says() {
        let expect = |labels: &[&str], expected: &[(&str, usize, usize)]| {
            let expected: Vec<_> = expected.iter().map(|(name, a, b)| ((*name).to_owned(), *a, *b)).collect();
            assert_eq!(entities(labels), expected, "{labels:?}");
        };
        // IO
        expect(&["PER", "PER", "O", "PER", "LOC"], &[("PER", 0, 2), ("PER", 3, 4), ("LOC", 4, 5)]);
        // IOB1: B only between entities of one name. IOB2: B always.
        expect(
            &["I-PER", "I-PER", "B-PER", "O", "I-PER", "I-LOC"],
            &[("PER", 0, 2), ("PER", 2, 3), ("PER", 4, 5), ("LOC", 5, 6)],
        );
        expect(&["B-PER", "I-PER", "B-PER", "I-PER", "O"], &[("PER", 0, 2), ("PER", 2, 4)]);
        // BIOES, and what models make of it: an end without a beginning, a beginning without an end, I after an end.
        expect(
            &["B-PER", "I-PER", "E-PER", "S-PER", "S-LOC", "B-LOC", "E-LOC"],
            &[("PER", 0, 3), ("PER", 3, 4), ("LOC", 4, 5), ("LOC", 5, 7)],
        );
        expect(
            &[
                "E-PER", "I-PER", "O", "B-PER", "O", "B-LOC", "E-PER", "S-PER", "B-PER", "E-PER", "I-PER", "B-LOC",
                "E-LOC",
            ],
            &[
                ("PER", 0, 1),
                ("PER", 1, 2),
                ("PER", 3, 4),
                ("LOC", 5, 6),
                ("PER", 6, 7),
                ("PER", 7, 8),
                ("PER", 8, 10),
                ("PER", 10, 11),
                ("LOC", 11, 13),
            ],
        );
        // BILOU
        expect(
            &["U-LOC", "U-LOC", "B-PER", "I-PER", "L-PER", "B-LOC", "L-LOC"],
            &[("LOC", 0, 1), ("LOC", 1, 2), ("PER", 2, 5), ("LOC", 5, 7)],
        );
        expect(&[], &[]);
    }
}
