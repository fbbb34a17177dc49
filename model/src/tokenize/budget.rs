//! Patterns of a tokenizer, with a bound on the work that one text may cost.
//!
//! Some regular expressions take time that grows much faster than the text. A search cannot be interrupted, so two bounds work together:
//! one search takes at most a million steps back, and between two searches the time since the text's start is compared with
//! [`TIME`]. The library's own patterns end silently at the first of these bounds, and leave the rest of the text in one piece. Here it is an error.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fancy_regex::{Regex, RegexBuilder};
use tokenizers::Offsets;
use tokenizers::pattern::Pattern;

/// The most time for one text.
pub(super) const TIME: Duration = Duration::from_secs(10);
/// The most steps back in one search.
const STEPS: usize = 1_000_000;
/// The longest pattern, in bytes.
const LONGEST: usize = 16 << 10;
/// Searches between two looks at the clock.
const SEARCHES: usize = 16;

thread_local! {
    /// When the time for the text of this thread ends.
    static END: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Calls `call` for one text, whose patterns have [`TIME`].
pub(super) fn within_budget<T>(call: impl FnOnce() -> T) -> T {
    within(TIME, call)
}

fn within<T>(time: Duration, call: impl FnOnce() -> T) -> T {
    let before = END.replace(Instant::now().checked_add(time));
    let result = call();
    END.set(before);
    result
}

/// A regular expression that stops.
#[derive(Clone)]
pub(super) struct BoundedRegex(Arc<Regex>);

impl BoundedRegex {
    /// Compiles a pattern.
    pub(super) fn new(pattern: &str) -> Result<BoundedRegex, String> {
        if pattern.len() > LONGEST {
            return Err(format!("found a pattern of {} bytes; expected at most {LONGEST}", pattern.len()));
        }
        let regex = RegexBuilder::new(pattern).backtrack_limit(STEPS).build();
        regex.map(|regex| BoundedRegex(Arc::new(regex))).map_err(|error| format!("pattern {pattern:?}: {error}"))
    }
}

impl fmt::Debug for BoundedRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_str())
    }
}

impl Pattern for &BoundedRegex {
    fn find_matches(&self, inside: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        if inside.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let (mut end, mut pieces) = (0, Vec::new());
        for (search, found) in self.0.find_iter(inside).enumerate() {
            let found = found.map_err(|error| format!("pattern {:?} is too expensive: {error}", self.0.as_str()))?;
            if end != found.start() {
                pieces.push(((end, found.start()), false));
            }
            pieces.push(((found.start(), found.end()), true));
            end = found.end();
            if search % SEARCHES == 0 && END.get().is_some_and(|end| Instant::now() > end) {
                return Err(format!("pattern {:?} took more than {} s", self.0.as_str(), TIME.as_secs()).into());
            }
        }
        if end != inside.len() {
            pieces.push(((end, inside.len()), false));
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::pre_tokenizers::split::Split;
    use tokenizers::utils::SysRegex;

    use super::*;

    #[test]
    fn pieces_are_those_of_the_library() {
        let gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
        for pattern in [gpt2, r"\s+", " {2,}", "", "x*", "(?=b)"] {
            let (here, library) = (BoundedRegex::new(pattern).unwrap(), SysRegex::new(pattern).unwrap());
            for text in ["", "a", "Hello there's 12  blanks   ", "xxbxb", "äöü 北京\n\n x"] {
                let found = (&here).find_matches(text).unwrap();
                assert_eq!(found, (&library).find_matches(text).unwrap(), "{pattern:?} in {text:?}");
            }
        }
        // Where the library takes the pattern, so does this.
        assert!(Split::new("a".to_owned(), tokenizers::SplitDelimiterBehavior::Isolated, false).is_ok());
    }

    #[test]
    fn too_many_steps_are_an_error() {
        // Every way to split the letters is tried before the last one is found to be missing.
        let expensive = BoundedRegex::new(r"(?:a|a)+(?!a)b|c(?<=c)").unwrap();
        let text = "a".repeat(64);
        let error = (&expensive).find_matches(&text).unwrap_err().to_string();
        assert!(error.contains("too expensive"), "{error}");
    }

    #[test]
    fn time_ends_between_searches() {
        let regex = BoundedRegex::new("a").unwrap();
        let text = "a".repeat(64);
        let error = within(Duration::ZERO, || {
            std::thread::sleep(Duration::from_millis(1));
            (&regex).find_matches(&text)
        });
        assert!(error.unwrap_err().to_string().contains("took more than"));
        assert_eq!((&regex).find_matches(&text).unwrap().len(), 64, "without a budget there is no end");
    }

    #[test]
    fn patterns_that_are_none() {
        for pattern in ["(", "a{", &"(".repeat(1000), &"a".repeat(LONGEST + 1)] {
            let _ = BoundedRegex::new(pattern); // no panic
        }
        assert!(BoundedRegex::new("(").is_err());
        assert!(BoundedRegex::new(&"a".repeat(LONGEST + 1)).is_err());
    }
}
