//! Ranking: how far up the relevant passages of a query are.

use std::cmp::Ordering;

/// Places that count.
const PLACES: usize = 10;

/// The metrics of one query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ranking {
    /// 1 / place of the first relevant passage; 0 if the first ten have none.
    pub(crate) reciprocal_rank: f64,
    /// Discounted gain of the first ten passages over that of the best order; 0 without a relevant passage.
    pub(crate) ndcg: f64,
}

impl Ranking {
    /// Of the passages of a query, each with its logit and its relevance, which is 0 or more.
    ///
    /// Of passages with equal logits, the less relevant is put first. So a model that gives all passages one logit gets the worst result, and
    /// the order of the file decides nothing. A logit that is not a number is last.
    pub(crate) fn of(passages: &[(f32, f64)]) -> Ranking {
        let mut order = passages.to_vec();
        order.sort_by(|a, b| by_logit(a.0, b.0).then(a.1.total_cmp(&b.1)));
        let first = order.iter().take(PLACES).position(|(_, relevance)| *relevance > 0.0);
        let found = gain(order.iter().map(|(_, relevance)| *relevance));
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        let best = gain(order.iter().map(|(_, relevance)| *relevance));
        Ranking {
            reciprocal_rank: first.map_or(0.0, |place| 1.0 / (place + 1) as f64),
            ndcg: if best > 0.0 { found / best } else { 0.0 },
        }
    }

    /// The means over queries. NaN without queries.
    pub(crate) fn mean(queries: &[Ranking]) -> Ranking {
        let mean = |of: fn(&Ranking) -> f64| queries.iter().map(of).sum::<f64>() / queries.len() as f64;
        Ranking { reciprocal_rank: mean(|query| query.reciprocal_rank), ndcg: mean(|query| query.ndcg) }
    }
}

/// The largest first, NaN last.
fn by_logit(a: f32, b: f32) -> Ordering {
    // Zeros of both signs are equal.
    b.partial_cmp(&a).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// `sum relevance / log2(place + 1)` over the first ten places, from 1: the gain is the relevance itself, as trec_eval has it.
fn gain(relevances: impl Iterator<Item = f64>) -> f64 {
    let discounted = relevances.take(PLACES).enumerate().map(|(i, relevance)| relevance / ((i + 2) as f64).log2());
    discounted.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(passages: &[(f32, f64)], reciprocal_rank: f64, ndcg: f64) {
        let found = Ranking::of(passages);
        let is_near = (found.reciprocal_rank - reciprocal_rank).abs() < 1e-12 && (found.ndcg - ndcg).abs() < 1e-12;
        assert!(is_near, "{found:?}, expected {reciprocal_rank} and {ndcg}");
    }

    #[test]
    fn orders_by_hand() {
        is(&[(3.0, 1.0), (2.0, 0.0)], 1.0, 1.0);
        is(&[(1.0, 1.0), (2.0, 0.0)], 0.5, 1.0 / 3.0_f64.log2());
        // Relevances 0, 2, 1 in the order of the logits: (2 / log2 3 + 1 / 2) / (2 + 1 / log2 3).
        let log3 = 3.0_f64.log2();
        is(&[(1.0, 1.0), (5.0, 0.0), (3.0, 2.0)], 0.5, (2.0 / log3 + 0.5) / (2.0 + 1.0 / log3));
    }

    #[test]
    fn the_eleventh_place_does_not_count() {
        let passages = |relevant: usize| -> Vec<(f32, f64)> {
            (0..12_u8).map(|i| (-f32::from(i), f64::from(u8::from(usize::from(i) == relevant)))).collect()
        };
        is(&passages(9), 0.1, 1.0 / 11.0_f64.log2());
        is(&passages(10), 0.0, 0.0);
    }

    #[test]
    fn without_relevant_passages_all_is_zero() {
        is(&[], 0.0, 0.0);
        is(&[(1.0, 0.0), (2.0, 0.0)], 0.0, 0.0);
    }

    #[test]
    fn ties_count_against_the_model() {
        is(&[(1.0, 1.0), (1.0, 0.0), (1.0, 0.0)], 1.0 / 3.0, 0.5);
        is(&[(0.0, 1.0), (-0.0, 0.0)], 0.5, 1.0 / 3.0_f64.log2());
        is(&[(f32::NAN, 1.0), (-1e9, 0.0), (f32::NAN, 0.0)], 1.0 / 3.0, 0.5);
    }

    #[test]
    fn queries_are_averaged() {
        let mean = Ranking::mean(&[Ranking::of(&[(1.0, 1.0)]), Ranking::of(&[(1.0, 0.0)])]);
        assert_eq!(mean, Ranking { reciprocal_rank: 0.5, ndcg: 0.5 });
        assert!(Ranking::mean(&[]).ndcg.is_nan());
    }
}
