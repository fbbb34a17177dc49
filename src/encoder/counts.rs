//! Counting codes at the ends of their ranges while an encoder runs.
//!
//! A sample is counted: the first tiles of a session, and then one tile of sixteen. Tokens that only fill a tile are not counted. This is plain Rust
//! that reads what a step has written; the kernels do not know of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lacuna_kernels::attention::Sequence;
use lacuna_kernels::layout::{lane_position, padded, tiles};
use lacuna_kernels::{PanelLayout, TILE};

use crate::compile::StaticCodes;

/// Tiles that are all counted, from the first one on.
const FIRST: u64 = 16;
/// Afterwards one tile of so many is counted.
const STRIDE: u64 = 16;
/// Rows whose counts fit a byte.
const ROWS: usize = u8::MAX as usize;

/// What one user of an encoder has counted.
#[derive(Default)]
pub(super) struct Counts {
    /// Tiles that ran.
    tiles: AtomicU64,
    tensors: Box<[Count]>,
}

#[derive(Default)]
struct Count {
    codes: AtomicU64,
    saturated: AtomicU64,
}

impl Counts {
    /// For so many tensors.
    pub(super) fn new(tensors: usize) -> Counts {
        Counts { tiles: AtomicU64::new(0), tensors: (0..tensors).map(|_| Count::default()).collect() }
    }

    /// Begins a group of so many tokens.
    pub(super) fn group<'a>(&'a self, tokens: usize, sequences: &'a [Sequence]) -> Sample<'a> {
        let first = self.tiles.fetch_add(tiles(tokens) as u64, Relaxed);
        Sample { counts: self, first, sequences }
    }

    /// Codes that were counted of every tensor, and how many of them were at an end of the range.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = (u64, u64)> {
        self.tensors.iter().map(|count| (count.codes.load(Relaxed), count.saturated.load(Relaxed)))
    }
}

/// The counts of a group of sequences.
pub(super) struct Sample<'a> {
    counts: &'a Counts,
    /// Tiles that ran before.
    first: u64,
    sequences: &'a [Sequence],
}

impl Sample<'_> {
    /// Counts what a step has written into `panel`, whose first token is the `first` one of the group.
    pub(super) fn count(&self, tensor: usize, codes: &StaticCodes, panel: &[u8], first: usize) {
        let Some(count) = self.counts.tensors.get(tensor) else { return };
        let features = codes.place.features;
        for (i, tile) in panel.chunks_exact(padded(features) * TILE).enumerate() {
            let start = first + i * TILE;
            let index = self.first + (start / TILE) as u64;
            if index >= FIRST && !index.is_multiple_of(STRIDE) {
                continue;
            }
            let columns = self.columns(start);
            let ends = ends(codes);
            let per_column = match codes.layout {
                PanelLayout::Plain => plain(tile, features, ends),
                PanelLayout::Vnni => vnni(tile, features, ends),
            };
            let real = columns.iter().filter(|real| **real).count();
            let saturated: u64 = columns.iter().zip(per_column).filter(|(real, _)| **real).map(|(_, n)| n).sum();
            count.codes.fetch_add((real * features) as u64, Relaxed);
            count.saturated.fetch_add(saturated, Relaxed);
        }
    }

    /// Which columns of the tile that begins with the token `start` are tokens of a sequence.
    fn columns(&self, start: usize) -> [bool; TILE] {
        let mut columns = [false; TILE];
        let end = start + TILE;
        let from = self.sequences.partition_point(|sequence| sequence.start + sequence.len <= start);
        for sequence in self.sequences[from..].iter().take_while(|sequence| sequence.start < end) {
            let last = (sequence.start + sequence.len).min(end);
            columns[sequence.start.max(start) - start..last - start].fill(true);
        }
        columns
    }
}

/// The codes at the ends of a range; twice the same where only one end clips.
fn ends(codes: &StaticCodes) -> [u8; 2] {
    let (low, high) = codes.sign.range();
    let (low, high) = (low as u8, high as u8); // s8 in two's complement
    [if codes.clips_below { low } else { high }, high]
}

/// Per column, how many of the features have a code at an end.
fn plain(tile: &[u8], features: usize, ends: [u8; 2]) -> [u64; TILE] {
    let lanes = lanes::<TILE>(&tile[..features * TILE], ends);
    std::array::from_fn(|column| u64::from(lanes[lane_position(column)]))
}

fn vnni(tile: &[u8], features: usize, ends: [u8; 2]) -> [u64; TILE] {
    const GROUP: usize = 4 * TILE;
    let whole = features / 4 * GROUP;
    let lanes = lanes::<GROUP>(&tile[..whole], ends);
    let mut columns: [u64; TILE] =
        std::array::from_fn(|column| lanes[4 * column..4 * column + 4].iter().map(|lane| u64::from(*lane)).sum());
    // The last group of four features may have fewer.
    for (column, codes) in tile[whole..].chunks_exact(4).enumerate().take(TILE) {
        columns[column] += codes[..features % 4].iter().filter(|code| ends.contains(code)).count() as u64;
    }
    columns
}

/// Per place in a row of N bytes, in how many of the rows it holds an end.
fn lanes<const N: usize>(rows: &[u8], [low, high]: [u8; 2]) -> [u32; N] {
    let mut sums = [0u32; N];
    for rows in rows.chunks(ROWS * N) {
        let mut counts = [0u8; N];
        for row in rows.chunks_exact(N) {
            counts.iter_mut().zip(row).for_each(|(count, code)| *count += u8::from((*code == low) | (*code == high)));
        }
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += u32::from(count));
    }
    sums
}

#[cfg(test)]
mod tests {
    use lacuna_kernels::Sign;

    use super::*;
    use crate::compile::{Format, Place, Tensor};

    fn codes(layout: PanelLayout, sign: Sign, clips_below: bool, features: usize) -> StaticCodes {
        let place = Place { tensor: Tensor::Inner, format: Format::Bytes, features };
        StaticCodes { place, layout, sign, clips_below, layer: Some(0), name: "gelu_out" }
    }

    /// Against a loop over features and tokens, in either layout, with features that fill no group of four and many rows.
    #[test]
    fn counts_are_those_of_a_loop_over_tokens() {
        let sequences = [Sequence { start: 0, len: 5 }, Sequence { start: 8, len: 60 }, Sequence { start: 68, len: 1 }];
        for (layout, features) in [PanelLayout::Plain, PanelLayout::Vnni].into_iter().flat_map(|l| [(l, 7), (l, 600)]) {
            for (sign, clips_below) in
                [(Sign::Unsigned, true), (Sign::Unsigned, false), (Sign::Unsigned7, true), (Sign::Signed, true)]
            {
                let codes = codes(layout, sign, clips_below, features);
                let panel: Vec<u8> = (0..2 * padded(features) * TILE).map(|i| (i * i / 7 % 256) as u8).collect();
                let tokens = sequences.iter().flat_map(|s| s.start..s.start + s.len);
                let at = |token, feature| panel[layout.index(features, feature, token)];
                let expected = tokens
                    .flat_map(|token| (0..features).map(move |f| at(token, f)))
                    .filter(|c| ends(&codes).contains(c));
                let counts = Counts::new(1);
                let sample = counts.group(69, &sequences);
                let (first, second) = panel.split_at(padded(features) * TILE);
                sample.count(0, &codes, first, 0);
                sample.count(0, &codes, second, TILE);
                assert_eq!(counts.all().next(), Some((66 * features as u64, expected.count() as u64)), "{codes:?}");
            }
        }
    }

    #[test]
    fn the_first_tiles_are_counted_and_then_one_of_sixteen() {
        let counts = Counts::new(1);
        let codes = codes(PanelLayout::Plain, Sign::Unsigned, true, 4);
        let sequences = [Sequence { start: 0, len: 80 * TILE }];
        counts.group(80 * TILE, &sequences).count(0, &codes, &vec![255; 4 * 80 * TILE], 0);
        let tiles = 16 + 4; // 16, 32, 48 and 64
        assert_eq!(counts.all().next(), Some((tiles * 4 * TILE as u64, tiles * 4 * TILE as u64)));
    }
}
