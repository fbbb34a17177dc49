//! Which entries of an input were read and answered.

use lacuna_console::input::{Content, Entry};
use xxhash_rust::xxh3::Xxh3;

/// A running hash of the entries that were read, and of those that are answered.
pub(super) struct Trace {
    /// Of the entries that are answered.
    hash: Xxh3,
    answered: u64,
    /// The entries of the batch that is running: line and hash.
    running: Vec<(u64, u128)>,
}

impl Trace {
    pub(super) fn new() -> Trace {
        Trace { hash: Xxh3::new(), answered: 0, running: Vec::new() }
    }

    /// An entry was read.
    pub(super) fn add(&mut self, entry: &Entry) {
        let mut hash = Xxh3::new();
        hash.update(&entry.line.to_le_bytes());
        let mut part = |kind: u8, bytes: &[u8]| {
            hash.update(&[kind]);
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        match &entry.content {
            Ok(Content::Texts(texts)) => texts.iter().for_each(|text| part(0, text.as_bytes())),
            Ok(Content::Json(line)) => part(1, line.as_bytes()),
            Err(defect) => part(2, defect.to_string().as_bytes()),
        }
        self.running.push((entry.line, hash.digest128()));
    }

    /// Entries that are not kept for resuming.
    pub(super) fn count(&mut self, entries: u64) {
        self.answered += entries;
    }

    /// All entries that were read are answered.
    pub(super) fn answer(&mut self) {
        self.answer_before(u64::MAX);
    }

    /// The entries before a line are answered, and the others will not be.
    pub(super) fn answer_before(&mut self, end: u64) {
        for (_, hash) in self.running.drain(..).take_while(|(line, _)| *line < end) {
            self.hash.update(&hash.to_le_bytes());
            self.answered += 1;
        }
    }

    /// Entries that are answered.
    pub(super) fn entries(&self) -> u64 {
        self.answered
    }

    /// The hash of the entries that are answered.
    pub(super) fn digest(&self) -> String {
        format!("{:032x}", self.hash.digest128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: u64, text: &str) -> Entry {
        Entry { line, content: Ok(Content::Texts(vec![text.to_owned()])) }
    }

    #[test]
    fn only_answered_entries_are_in_the_hash() {
        let (mut all, mut some) = (Trace::new(), Trace::new());
        for trace in [&mut all, &mut some] {
            trace.add(&entry(1, "a"));
            trace.answer();
            trace.add(&entry(2, "b"));
        }
        all.answer();
        some.add(&entry(4, "c"));
        some.add(&entry(5, "d"));
        some.answer_before(4);
        assert_eq!((some.entries(), some.digest()), (all.entries(), all.digest()));
        some.add(&entry(4, "c"));
        some.answer();
        assert_ne!((some.entries(), some.digest()), (all.entries(), all.digest()));
    }
}
