//! Batches of texts, drawn from several sources.

use std::ops::Range;

use lacuna_model::TokenIds;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::check_size;
use crate::{Error, Result};

/// Batches that are drawn together, before their order is shuffled.
const BATCHES: usize = 16;

/// Tokenised texts, and how often they are drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Source {
    /// Token ids of each text, special tokens included.
    pub texts: Vec<Vec<u32>>,
    /// Token types of each text; empty if all are 0.
    pub types: Vec<Vec<u32>>,
    /// The class of each text; empty if the texts have no labels.
    pub labels: Vec<usize>,
    /// The gold scores of pairs: of texts 2i and 2i + 1, which are drawn together. Empty if the texts are no pairs.
    pub scores: Vec<f32>,
    /// The weight of the source: of all texts, the share `weight / sum of weights` is drawn from it.
    pub weight: f64,
}

impl Source {
    /// What is drawn at once: texts, or pairs.
    fn units(&self) -> u32 {
        (if self.scores.is_empty() { self.texts.len() } else { self.scores.len() }) as u32
    }

    /// The texts of a unit.
    fn texts_of(&self, unit: u32) -> Range<usize> {
        let unit = unit as usize;
        if self.scores.is_empty() { unit..unit + 1 } else { 2 * unit..2 * unit + 2 }
    }
}

/// A text of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn<'a> {
    /// Token ids.
    pub ids: &'a [u32],
    /// Token types; `None` if all are 0.
    pub types: Option<&'a [u32]>,
    /// The class, if the text has a label.
    pub label: Option<usize>,
    /// The gold score of this text and the next one of the batch, if they are a pair.
    pub score: Option<f32>,
}

impl TokenIds for Drawn<'_> {
    fn ids(&self) -> &[u32] {
        self.ids
    }

    fn types(&self) -> Option<&[u32]> {
        self.types
    }
}

/// Draws batches of texts of similar length.
///
/// Every text of a source is drawn once before any is drawn again. 16 batches of texts are drawn at a time, sorted by length, cut into
/// batches, and handed out in random order. A pair counts as two texts of the length of the longer one, and is never cut: a batch may have a
/// text more than the others because of it.
#[derive(Debug, Clone)]
pub struct Sampler {
    sources: Vec<Source>,
    batch: usize,
    rng: ChaCha8Rng,
    pools: Vec<Vec<u32>>,
    queue: Vec<Vec<(u32, u32)>>,
    drawn: u64,
}

impl Sampler {
    /// A sampler of batches of `batch` texts.
    ///
    /// # Errors
    /// [`Error::Setting`] without any text of positive weight, for weights that are not finite or negative, and for batches of no text;
    /// [`Error::Size`](crate::Error::Size) for another number of labels or types than of texts.
    pub fn new(sources: Vec<Source>, batch: usize, seed: u64) -> Result<Sampler> {
        let refuse = |setting, found: String, expected| Err(Error::Setting { setting, found, expected });
        if batch == 0 {
            return refuse("texts of a batch", "0".to_owned(), "at least 1");
        }
        if let Some(source) = sources.iter().find(|source| !(source.weight >= 0.0 && source.weight.is_finite())) {
            return refuse("weight of a source", source.weight.to_string(), "0 or more");
        }
        for Source { texts, types, labels, scores, .. } in &sources {
            for (what, found) in [
                ("labels of texts", labels.len()),
                ("token types of texts", types.len()),
                ("texts of pairs with scores", 2 * scores.len()),
            ] {
                if found > 0 {
                    check_size(what, found, texts.len())?;
                }
            }
            if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
                return refuse("score of a pair", score.to_string(), "a finite number");
            }
        }
        let sources: Vec<Source> = sources.into_iter().filter(|s| s.weight > 0.0 && !s.texts.is_empty()).collect();
        if sources.is_empty() {
            return refuse("number of texts", "0".to_owned(), "at least 1");
        }
        let (rng, pools) = (ChaCha8Rng::seed_from_u64(seed), vec![Vec::new(); sources.len()]);
        Ok(Sampler { sources, batch, rng, pools, queue: Vec::new(), drawn: 0 })
    }

    /// Batches drawn so far.
    pub fn drawn(&self) -> u64 {
        self.drawn
    }

    /// Draws a number of batches and forgets them: the state after them is that of a sampler that gave them.
    pub fn skip(&mut self, batches: u64) {
        (0..batches).for_each(|_| drop(self.draw()));
    }

    /// The largest class of a label, if there are labels.
    pub fn largest_label(&self) -> Option<usize> {
        self.sources.iter().flat_map(|source| &source.labels).copied().max()
    }

    /// The next batch.
    pub fn next_batch(&mut self) -> Vec<Drawn<'_>> {
        let places = self.draw();
        let drawn = |(source, unit): (u32, u32)| {
            let source = &self.sources[source as usize];
            source.texts_of(unit).map(move |text| {
                let types = source.types.get(text).map(|types| &types[..]);
                let score = source.scores.get(text / 2).copied().filter(|_| text % 2 == 0);
                Drawn { ids: &source.texts[text], types, label: source.labels.get(text).copied(), score }
            })
        };
        places.into_iter().flat_map(drawn).collect()
    }

    fn draw(&mut self) -> Vec<(u32, u32)> {
        while self.queue.is_empty() {
            self.fill();
        }
        self.drawn += 1;
        self.queue.pop().unwrap_or_default()
    }

    fn fill(&mut self) {
        let all = self.batch * BATCHES;
        let total: f64 = self.sources.iter().map(|source| source.weight).sum();
        let (mut places, mut texts, mut weight) = (Vec::with_capacity(all), 0, 0.0);
        for source in 0..self.sources.len() {
            weight += self.sources[source].weight;
            let end = if source + 1 == self.sources.len() { all } else { (all as f64 * weight / total) as usize };
            while texts < end {
                if self.pools[source].is_empty() {
                    self.pools[source] = (0..self.sources[source].units()).collect();
                    shuffle(&mut self.rng, &mut self.pools[source]);
                }
                if let Some(unit) = self.pools[source].pop() {
                    places.push((source as u32, unit));
                    texts += self.sources[source].texts_of(unit).len();
                }
            }
        }
        let texts_of = |&(source, unit): &(u32, u32)| {
            let source = &self.sources[source as usize];
            (source, source.texts_of(unit))
        };
        let longest = |place: &(u32, u32)| {
            let (source, texts) = texts_of(place);
            texts.map(|text| source.texts[text].len()).max()
        };
        places.sort_by_key(longest);
        let (mut queue, mut batch, mut count) = (Vec::with_capacity(BATCHES), Vec::new(), 0);
        for place in places {
            count += texts_of(&place).1.len();
            batch.push(place);
            if count >= self.batch {
                queue.push(std::mem::take(&mut batch));
                count = 0;
            }
        }
        queue.extend((!batch.is_empty()).then_some(batch));
        self.queue = queue;
        shuffle(&mut self.rng, &mut self.queue);
    }
}

/// A random order, by Fisher and Yates.
fn shuffle<T>(rng: &mut ChaCha8Rng, items: &mut [T]) {
    for i in (1..items.len()).rev() {
        let j = ((u64::from(rng.next_u32()) * (i as u64 + 1)) >> 32) as usize;
        items.swap(i, j);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Vec<Source> {
        let of = |count: u32, weight| Source {
            texts: (0..count).map(|i| vec![i; 1 + i as usize % 7]).collect(),
            weight,
            ..Source::default()
        };
        vec![of(20, 1.0), of(50, 3.0), of(5, 0.0)]
    }

    #[test]
    fn every_text_is_drawn_before_any_is_drawn_again() {
        let mut sampler = Sampler::new(sources(), 4, 9).unwrap();
        let mut counts = [0; 50];
        for _ in 0..64 {
            let batch = sampler.next_batch();
            assert!(batch.len() == 4);
            let (min, max) = batch.iter().fold((9, 0), |(min, max), t| (t.ids.len().min(min), t.ids.len().max(max)));
            assert!(max - min <= 1, "texts of a batch have similar lengths");
            batch.iter().for_each(|text| counts[text.ids[0] as usize] += 1);
        }
        // 64 texts of the first source and 192 of the second.
        assert!(counts[20..].iter().all(|&n| n == 3 || n == 4));
        assert!(counts[..20].iter().all(|&n| (6..=8).contains(&n)));
    }

    #[test]
    fn skipped_batches_leave_the_same_state() {
        let (mut a, mut b) = (Sampler::new(sources(), 4, 9).unwrap(), Sampler::new(sources(), 4, 9).unwrap());
        (0..21).for_each(|_| drop(a.next_batch()));
        b.skip(21);
        assert_eq!(a.next_batch(), b.next_batch());
        assert_eq!((a.drawn(), b.drawn()), (22, 22));
        assert!(Sampler::new(Vec::new(), 4, 9).is_err() && Sampler::new(sources(), 0, 9).is_err());
    }

    #[test]
    fn pairs_are_drawn_together() {
        let pairs = Source {
            texts: (0..24u32).map(|i| vec![i; 1 + (i as usize * 5) % 9]).collect(),
            scores: (0..12).map(|i| i as f32).collect(),
            weight: 1.0,
            ..Source::default()
        };
        let single = Source { texts: (100..150).map(|i| vec![i; 4]).collect(), weight: 2.0, ..Source::default() };
        let mut sampler = Sampler::new(vec![pairs.clone(), single], 5, 7).unwrap();
        let mut counts = [0; 12];
        for _ in 0..60 {
            let batch = sampler.next_batch();
            assert!((1..=6).contains(&batch.len()), "{}", batch.len());
            let mut texts = batch.iter();
            while let Some(text) = texts.next() {
                let number = text.ids[0];
                if number >= 100 {
                    assert_eq!(text.score, None);
                    continue;
                }
                assert_eq!((number % 2, text.score), (0, Some((number / 2) as f32)));
                let second = texts.next().unwrap();
                assert_eq!((second.ids[0], second.score), (number + 1, None));
                counts[number as usize / 2] += 1;
            }
        }
        let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*min > 0 && max - min <= 1, "{counts:?}");
        let odd = Source { scores: vec![0.0; 5], ..pairs.clone() };
        assert!(matches!(Sampler::new(vec![odd], 4, 3), Err(Error::Size { found: 10, expected: 24, .. })));
        let infinite = Source { scores: vec![f32::NAN; 12], ..pairs };
        assert!(matches!(Sampler::new(vec![infinite], 4, 3), Err(Error::Setting { .. })));
    }

    #[test]
    fn labels_and_types_come_with_their_texts() {
        let texts: Vec<Vec<u32>> = (0..9).map(|i| vec![i; 3]).collect();
        let labelled = Source {
            types: texts.iter().map(|text| vec![text[0] % 2; 3]).collect(),
            labels: (0..9).map(|i| i % 4).collect(),
            texts,
            weight: 1.0,
            ..Source::default()
        };
        let plain = Source { texts: vec![vec![100]], weight: 1.0, ..Source::default() };
        let mut sampler = Sampler::new(vec![labelled.clone(), plain], 4, 3).unwrap();
        assert_eq!(sampler.largest_label(), Some(3));
        for _ in 0..20 {
            for text in sampler.next_batch() {
                let number = text.ids[0];
                let expected = (number < 100).then(|| (number as usize % 4, vec![number % 2; 3]));
                assert_eq!((text.label, text.types.map(<[_]>::to_vec)), expected.unzip());
            }
        }
        let few = Source { labels: vec![0], ..labelled };
        assert!(matches!(Sampler::new(vec![few], 4, 3), Err(Error::Size { found: 1, expected: 9, .. })));
    }
}
