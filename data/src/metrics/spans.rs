//! Tagging: a span counts if its beginning, its end and its label are those of a gold span, as seqeval counts.

use std::collections::HashSet;
use std::ops::Range;

use super::classes::{f1, ratio};

/// A span with its label. Its places are those of words or of bytes, the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) label: String,
    pub(crate) place: Range<usize>,
}

/// What was counted over all texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    gold: usize,
    predicted: usize,
    both: usize,
}

impl Spans {
    /// Adds a text. A span that is given twice counts once.
    pub(crate) fn add(&mut self, gold: &[Span], predicted: &[Span]) {
        let [gold, predicted]: [HashSet<&Span>; 2] = [gold, predicted].map(|spans| spans.iter().collect());
        self.gold += gold.len();
        self.predicted += predicted.len();
        self.both += gold.intersection(&predicted).count();
    }

    /// Fraction of predicted spans that are gold; 0 without predicted spans.
    pub(crate) fn precision(&self) -> f64 {
        ratio(self.both, self.predicted)
    }

    /// Fraction of gold spans that are predicted; 0 without gold spans.
    pub(crate) fn recall(&self) -> f64 {
        ratio(self.both, self.gold)
    }

    /// Of precision and recall; 0 without any span.
    pub(crate) fn f1(&self) -> f64 {
        f1(self.both, self.predicted, self.gold)
    }
}

/// The spans of the tags of words: pairs of a prefix and a name. `None` is a word outside.
///
/// The prefixes are B, I, E and S. A word begins a span if it is B or S, if the word before it is outside, E or S, or if that has another name. So
/// tags that break the scheme are read as seqeval reads them without its strict mode.
pub(crate) fn of_tags(tags: &[Option<(char, &str)>]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut before: Option<(char, &str)> = None;
    for (i, tag) in tags.iter().enumerate() {
        if let Some((prefix, name)) = *tag {
            let goes_on = !matches!(prefix, 'B' | 'S')
                && before.is_some_and(|(before, of)| !matches!(before, 'E' | 'S') && of == name);
            match spans.last_mut().filter(|_| goes_on) {
                Some(span) => span.place.end = i + 1,
                None => spans.push(Span { label: name.to_owned(), place: i..i + 1 }),
            }
        }
        before = *tag;
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(label: &str, place: Range<usize>) -> Span {
        Span { label: label.to_owned(), place }
    }

    fn all(spans: &Spans) -> [f64; 3] {
        [spans.precision(), spans.recall(), spans.f1()]
    }

    #[test]
    fn spans_by_hand() {
        let mut spans = Spans::default();
        // One of two is found; one with another end and one with another label are not.
        spans.add(&[span("PER", 0..2), span("LOC", 4..5)], &[span("PER", 0..2), span("LOC", 4..6), span("PER", 4..5)]);
        assert_eq!(all(&spans), [1.0 / 3.0, 0.5, 0.4]);
        // The same span of another text is another one.
        spans.add(&[], &[span("PER", 0..2)]);
        assert_eq!(all(&spans), [0.25, 0.5, 2.0 / 6.0]);
    }

    #[test]
    fn nothing_found_and_nothing_to_find_is_zero() {
        let mut spans = Spans::default();
        assert_eq!(all(&spans), [0.0; 3]);
        spans.add(&[], &[]);
        assert_eq!(all(&spans), [0.0; 3]);
        spans.add(&[span("PER", 0..1)], &[]);
        assert_eq!(all(&spans), [0.0; 3]);
    }

    #[test]
    fn a_span_counts_once() {
        let mut spans = Spans::default();
        spans.add(&[span("PER", 0..1), span("PER", 0..1)], &[span("PER", 0..1)]);
        assert_eq!(all(&spans), [1.0; 3]);
    }

    #[track_caller]
    fn read(tags: &str, expected: &[(&str, Range<usize>)]) {
        let tags: Vec<_> = tags
            .split(' ')
            .map(|tag| tag.split_once('-').map(|(prefix, name)| (prefix.chars().next().unwrap(), name)))
            .collect();
        let expected: Vec<Span> = expected.iter().map(|(label, place)| span(label, place.clone())).collect();
        assert_eq!(of_tags(&tags), expected, "{tags:?}");
    }

    #[test]
    fn tags_become_spans_as_seqeval_reads_them() {
        read("B-P I-P O B-L", &[("P", 0..2), ("L", 3..4)]);
        read("B-P B-P I-P", &[("P", 0..1), ("P", 1..3)]);
        // IOB1, and tags that break the scheme.
        read("I-P I-P O I-L", &[("P", 0..2), ("L", 3..4)]);
        read("B-P I-L I-L", &[("P", 0..1), ("L", 1..3)]);
        read("S-P S-P B-L I-L E-L", &[("P", 0..1), ("P", 1..2), ("L", 2..5)]);
        read("B-P E-P I-P", &[("P", 0..2), ("P", 2..3)]);
        read("S-P E-P", &[("P", 0..1), ("P", 1..2)]);
        read("O O", &[]);
    }
}
