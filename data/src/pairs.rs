//! Sentence pairs with gold scores.

use std::collections::HashSet;
use std::path::Path;

use lacuna_measure::stats::{cosine, pearson, spearman};

use crate::error::{Error, Result};
use crate::text::csv_error;
use crate::words::plural;

/// Sentence pairs with gold scores.
pub struct Pairs {
    /// Two sentences per pair, one after the other.
    pub sentences: Vec<String>,
    /// Of each pair.
    pub scores: Vec<f64>,
}

impl Pairs {
    /// Reads the file that an option names.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Row`] for a line that is no pair with a score; [`Error::Argument`] for fewer than two pairs or scores that are all
    /// equal.
    pub fn read(option: &'static str, path: &Path) -> Result<Pairs> {
        let (file, _) = lacuna_files::open(path).map_err(|error| Error::io(path, "open")(error.into()))?;
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file);
        let mut pairs = Pairs { sentences: Vec::new(), scores: Vec::new() };
        for row in reader.records() {
            let row = row.map_err(|error| csv_error(path, &error))?;
            let bad = |found, expected| Error::Row {
                path: path.to_owned(),
                line: row.position().map_or(0, csv::Position::line),
                found,
                expected,
            };
            let (Some(first), Some(second), Some(score), 3) = (row.get(0), row.get(1), row.get(2), row.len()) else {
                return Err(bad(plural(row.len(), "field"), "sentence1,sentence2,score"));
            };
            match score.trim().parse::<f64>() {
                Ok(score) if score.is_finite() => pairs.scores.push(score),
                // The first row of a file is where a heading stands.
                _ if pairs.scores.is_empty() => {
                    return Err(bad(format!("score {score:?}"), "a number; a heading is not read: leave it out"));
                }
                _ => return Err(bad(format!("score {score:?}"), "a number")),
            }
            pairs.sentences.extend([first.to_owned(), second.to_owned()]);
        }
        let wrong = |found: String, expected: &str| {
            let found = format!("{found} in {}", path.display());
            Err(Error::Argument { option, found, expected: expected.to_owned() })
        };
        match &pairs.scores[..] {
            [] | [_] => wrong(plural(pairs.scores.len(), "pair"), "at least 2"),
            [first, rest @ ..] if rest.iter().all(|score| score == first) => wrong(
                format!("the score {first} for all {} pairs", pairs.scores.len()),
                "scores that differ: equal ones have no ranks",
            ),
            _ => Ok(pairs),
        }
    }

    /// Takes the pairs out that others have too, in either order, and gives their number.
    pub fn remove(&mut self, others: &Pairs) -> usize {
        let pairs = others.sentences.as_chunks::<2>().0;
        let known: HashSet<[&str; 2]> = pairs.iter().flat_map(|[a, b]| [[&a[..], b], [&b[..], a]]).collect();
        let before = self.scores.len();
        let all = std::mem::take(&mut self.sentences).into_iter();
        let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
        all.enumerate().for_each(|(i, text)| if i % 2 == 0 { firsts.push(text) } else { seconds.push(text) });
        let scores = std::mem::take(&mut self.scores);
        for ((first, second), score) in firsts.into_iter().zip(seconds).zip(scores) {
            if !known.contains(&[&first[..], &second]) {
                self.sentences.extend([first, second]);
                self.scores.push(score);
            }
        }
        before - self.scores.len()
    }

    /// Rank correlation of the cosines of the pairs with their scores.
    pub fn spearman(&self, embeddings: &[Vec<f32>]) -> f64 {
        spearman(&cosines(embeddings), &self.scores)
    }

    /// Correlation of the cosines of the pairs with their scores.
    pub fn pearson(&self, embeddings: &[Vec<f32>]) -> f64 {
        pearson(&cosines(embeddings), &self.scores)
    }
}

/// Of two embeddings per pair, one after the other.
fn cosines(embeddings: &[Vec<f32>]) -> Vec<f64> {
    embeddings.chunks_exact(2).map(|pair| cosine(&pair[0], &pair[1])).collect()
}
