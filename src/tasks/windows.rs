//! Overlapping windows of texts that are longer than the model's limit.

use std::ops::Range;

use lacuna_model::TokenizedText;

use crate::error::{Error, Result};

/// Tokens that two windows share, if the room allows it.
const OVERLAP: usize = 128;

/// Windows of at most `room` tokens, which together hold all of `tokens`; two neighbours share `overlap` tokens.
///
/// `overlap` is less than `room`.
pub(super) fn split(tokens: usize, room: usize, overlap: usize) -> Vec<Range<usize>> {
    if tokens <= room {
        return std::iter::once(0..tokens).collect();
    }
    let step = room - overlap;
    let windows = (tokens - overlap).div_ceil(step);
    (0..windows).map(|window| window * step..tokens.min(window * step + room)).collect()
}

/// The overlap of windows with `room` tokens: the one that was asked for, or else the smaller of 128 and half of the room.
///
/// # Errors
/// [`Error::HeadOption`] for an overlap that leaves no step; `of` says what the room is.
pub(super) fn overlap(asked: Option<usize>, room: usize, of: impl FnOnce() -> String) -> Result<usize> {
    match asked {
        Some(found) if found >= room => {
            Err(Error::HeadOption { option: "overlap", found, expected: format!("less than {room}, {}", of()) })
        }
        Some(found) => Ok(found),
        None => Ok(OVERLAP.min(room / 2)),
    }
}

/// For every token the window that shows most of what stands around it: the one in which the token is farthest from the nearer end.
/// Where the text begins or ends, the window ends nothing. Of equals it is the first.
fn best(windows: &[Range<usize>], tokens: usize) -> Vec<usize> {
    let seen = |window: usize, token: usize| {
        let window = windows.get(window).filter(|window| window.contains(&token))?;
        let before = if window.start == 0 { usize::MAX } else { token - window.start };
        let after = if window.end == tokens { usize::MAX } else { window.end - 1 - token };
        Some(before.min(after))
    };
    let mut window = 0;
    let of_token = |token| {
        while seen(window + 1, token) > seen(window, token) {
            window += 1;
        }
        window
    };
    (0..tokens).map(of_token).collect()
}

/// A text in windows.
pub(super) struct Windowed {
    /// The tokens of the text in each window, counted without special tokens.
    pub(super) ranges: Vec<Range<usize>>,
    /// The same with special tokens.
    pub(super) windows: Vec<TokenizedText>,
    /// For every token of the text the window that shows most around it.
    pub(super) best: Vec<usize>,
}

/// Cuts one text into windows that fit the model's limit.
///
/// # Errors
/// [`Error::HeadOption`].
pub(super) fn of_text(tokens: &TokenizedText, limit: usize, asked: Option<usize>) -> Result<Windowed> {
    let count = tokens.tokens_of(0);
    let room = limit.saturating_sub(tokens.ids.len() - count).max(1);
    let overlap =
        if count <= room { 0 } else { overlap(asked, room, || "the tokens of text that fit the model".into())? };
    let ranges = split(count, room, overlap);
    let windows = ranges.iter().map(|range| tokens.select(|_, i| range.contains(&i))).collect();
    let best = best(&ranges, count);
    Ok(Windowed { ranges, windows, best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_every_token_and_overlap() {
        for (tokens, room, overlap) in [(0, 4, 1), (4, 4, 3), (5, 4, 0), (5, 4, 3), (100, 7, 3), (9, 4, 2)] {
            let found = split(tokens, room, overlap);
            assert_eq!((found[0].start, found[found.len() - 1].end), (0, tokens));
            assert!(found.iter().all(|window| window.len() <= room));
            assert!(found.windows(2).all(|pair| pair[0].end - pair[1].start == overlap), "{found:?}");
        }
    }

    #[test]
    fn a_token_is_read_where_most_stands_around_it() {
        assert_eq!(best(&split(10, 6, 4), 10), [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]); // 0..6, 2..8, 4..10
        assert_eq!(best(&split(3, 6, 2), 3), [0, 0, 0]);
        // The same by looking at every window.
        for (tokens, room, overlap) in [(100, 7, 3), (100, 9, 8), (50, 4, 0), (37, 10, 5)] {
            let windows = split(tokens, room, overlap);
            for (token, found) in best(&windows, tokens).into_iter().enumerate() {
                let seen = |window: &Range<usize>| {
                    let start = if window.start == 0 { -1000 } else { window.start as i64 };
                    let end = if window.end == tokens { 1000 } else { window.end as i64 - 1 };
                    (token as i64 - start).min(end - token as i64)
                };
                let most = windows.iter().map(seen).max();
                assert_eq!(Some(found), windows.iter().position(|window| Some(seen(window)) == most), "{token}");
            }
        }
    }
}
