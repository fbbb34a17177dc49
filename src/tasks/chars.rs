//! From bytes to characters.

use std::ops::Range;

/// Counts the characters before a byte: Unicode scalar values, as Python counts. Bytes in ascending order cost one walk in all.
pub(super) struct Chars<'a> {
    text: &'a str,
    byte: usize,
    chars: usize,
}

impl<'a> Chars<'a> {
    pub(super) fn new(text: &'a str) -> Chars<'a> {
        Chars { text, byte: 0, chars: 0 }
    }

    /// The characters before a byte at which a character begins, or the text ends.
    pub(super) fn before(&mut self, byte: usize) -> usize {
        if byte < self.byte {
            (self.byte, self.chars) = (0, 0);
        }
        self.chars += self.text.get(self.byte..byte).map_or(0, |part| part.chars().count());
        self.byte = byte;
        self.chars
    }

    /// A range of bytes in characters.
    pub(super) fn of(&mut self, bytes: &Range<usize>) -> Range<usize> {
        self.before(bytes.start)..self.before(bytes.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_scalar_values() {
        let text = "Zoë 😀 e\u{301}北京";
        let mut chars = Chars::new(text);
        for (byte, expected) in [(0, 0), (4, 3), (5, 4), (9, 5), (13, 8), (text.len(), 10), (2, 2), (4, 3)] {
            assert_eq!(chars.before(byte), expected, "{byte}");
        }
        assert_eq!(chars.of(&(13..19)), 8..10);
    }
}
