//! Orders of outputs that let more importance stay: members of groups change places as long as that helps.
//!
//! A matrix whose rows (or columns) may move is cut into groups of places. Every group has a sum of importance per block, and a fraction of
//! all blocks stays: those of the largest sums. What stays is, with the threshold t that separates them,
//!
//! ```text
//! sum over blocks max(sum - t, 0) + t * (number of blocks that stay)
//! ```
//!
//! Source: Pool and Yu, "Channel permutations for N:M sparsity" (2021), with blocks in place of N:M.

use lacuna_model::Matrix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sweeps over all places; thresholds are set anew before each.
const SWEEPS: usize = 24;
/// Partners that a place is compared with in a sweep, if there are more.
const PARTNERS: usize = 48;
/// A change that gains less than this fraction of all importance is none.
const LEAST: f32 = 1e-9;

/// What one matrix says about an order of its movable side.
pub(super) struct Part {
    /// Importance of what a member has in every block of the other side, `[members][blocks]`.
    pub(super) importance: Matrix,
    /// Members of a group.
    pub(super) group: usize,
    /// The fraction of blocks that go.
    pub(super) sparsity: f64,
}

/// The sums of one part.
struct Sums<'a> {
    part: &'a Part,
    /// `[groups][blocks]`
    sums: Matrix,
    threshold: f32,
    /// One over all importance.
    scale: f32,
}

impl<'a> Sums<'a> {
    fn new(part: &'a Part, order: &[usize]) -> Self {
        let blocks = part.importance.cols;
        let mut sums = Matrix::zeros(order.len().div_ceil(part.group), blocks);
        for (place, &member) in order.iter().enumerate() {
            let row = sums.row_mut(place / part.group);
            row.iter_mut().zip(part.importance.row(member)).for_each(|(sum, x)| *sum += x);
        }
        let all: f32 = sums.data.iter().sum();
        let mut sums = Sums { part, sums, threshold: 0.0, scale: 1.0 / all.max(f32::MIN_POSITIVE) };
        sums.set_threshold();
        sums
    }

    fn set_threshold(&mut self) {
        let mut all = self.sums.data.clone();
        let count = (self.part.sparsity * all.len() as f64) as usize;
        let last = count.min(all.len());
        self.threshold = match last {
            0 => 0.0,
            _ => *all.select_nth_unstable_by(last - 1, f32::total_cmp).1,
        };
    }

    /// What stays more if the members at two places change them, relative to all importance.
    fn gain(&self, order: &[usize], (p, q): (usize, usize)) -> f32 {
        let group = self.part.group;
        if p / group == q / group {
            return 0.0;
        }
        let (ps, qs) = (self.sums.row(p / group), self.sums.row(q / group));
        let (a, b) = (self.part.importance.row(order[p]), self.part.importance.row(order[q]));
        self.scale * gain(ps, qs, a, b, self.threshold)
    }

    /// The members at two places change them; `order` is the one before.
    fn exchange(&mut self, order: &[usize], (p, q): (usize, usize)) {
        let group = self.part.group;
        if p / group == q / group {
            return;
        }
        let (a, b) = (self.part.importance.row(order[p]), self.part.importance.row(order[q]));
        for (place, sign) in [(p, 1.0), (q, -1.0)] {
            let row = self.sums.row_mut(place / group);
            row.iter_mut().zip(b.iter().zip(a)).for_each(|(sum, (b, a))| *sum += sign * (b - a));
        }
    }
}

/// `sum of max(. - t, 0)` after an exchange of a and b, minus that before.
fn gain(ps: &[f32], qs: &[f32], a: &[f32], b: &[f32], t: f32) -> f32 {
    const LANES: usize = 16;
    let over = |x: f32| (x - t).max(0.0);
    let one = |p: f32, q: f32, a: f32, b: f32| {
        let moved = b - a;
        (over(p + moved) - over(p)) + (over(q - moved) - over(q))
    };
    let ((ps, p_rest), (qs, q_rest)) = (ps.as_chunks::<LANES>(), qs.as_chunks::<LANES>());
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut partial = [0.0f32; LANES];
    for ((p, q), (a, b)) in ps.iter().zip(qs).zip(a.iter().zip(b)) {
        for i in 0..LANES {
            partial[i] += one(p[i], q[i], a[i], b[i]);
        }
    }
    let rest = p_rest.iter().zip(q_rest).zip(a_rest.iter().zip(b_rest));
    partial.iter().sum::<f32>() + rest.map(|((p, q), (a, b))| one(*p, *q, *a, *b)).sum::<f32>()
}

/// Improves an order of the members of all parts. Members stay within their segment of `segment` places.
///
/// The same order on any number of threads.
pub(super) fn exchange(parts: &[Part], order: &mut [usize], segment: usize, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut sums: Vec<Sums> = parts.iter().map(|part| Sums::new(part, order)).collect();
    for _ in 0..SWEEPS {
        sums.iter_mut().for_each(Sums::set_threshold);
        let mut changes = 0;
        for p in 0..order.len() {
            let first = p / segment * segment;
            let last = order.len().min(first + segment);
            let others = last - first;
            let mut best = (LEAST, p);
            for i in 0..PARTNERS.min(others) {
                let q = if others <= PARTNERS { first + i } else { random.random_range(first..last) };
                let gain: f32 = sums.iter().map(|sums| sums.gain(order, (p, q))).sum();
                if gain > best.0 {
                    best = (gain, q);
                }
            }
            if best.1 != p {
                sums.iter_mut().for_each(|sums| sums.exchange(order, (p, best.1)));
                order.swap(p, best.1);
                changes += 1;
            }
        }
        if changes == 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Members of 8 kinds in turn; each kind has its importance in blocks of its own.
    fn kinds() -> Matrix {
        let data = (0..64).flat_map(|member| (0..24).map(move |block| if block / 3 == member % 8 { 1.0 } else { 0.1 }));
        Matrix { rows: 64, cols: 24, data: data.collect() }
    }

    #[test]
    fn members_of_a_kind_meet() {
        let part = Part { importance: kinds(), group: 8, sparsity: 0.875 };
        let mut order: Vec<usize> = (0..64).collect();
        exchange(&[part], &mut order, 64, 1);
        for group in order.chunks(8) {
            assert!(group.iter().all(|member| member % 8 == group[0] % 8), "{order:?}");
        }
    }

    #[test]
    fn members_stay_in_their_segment_and_none_is_lost() {
        let part = |group| Part { importance: kinds(), group, sparsity: 0.8 };
        let mut order: Vec<usize> = (0..64).collect();
        exchange(&[part(4), part(2)], &mut order, 16, 1);
        assert_ne!(order, (0..64).collect::<Vec<_>>());
        for (i, segment) in order.chunks(16).enumerate() {
            let mut sorted = segment.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (16 * i..16 * (i + 1)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn gains_are_differences_of_what_stays() {
        let value = |i: usize| ((i * 37 % 101) as f32) / 101.0;
        let importance = Matrix { rows: 12, cols: 21, data: (0..252).map(value).collect() };
        let part = Part { importance, group: 4, sparsity: 0.5 };
        let mut order: Vec<usize> = (0..12).collect();
        let mut sums = Sums::new(&part, &order);
        let stays =
            |sums: &Sums| sums.sums.data.iter().map(|x| (x - sums.threshold).max(0.0)).sum::<f32>() * sums.scale;
        for pair in [(0, 5), (3, 11), (1, 2), (7, 8)] {
            let (before, gain) = (stays(&sums), sums.gain(&order, pair));
            sums.exchange(&order, pair);
            order.swap(pair.0, pair.1);
            assert!((stays(&sums) - before - gain).abs() < 1e-5);
            let mut fresh = Sums::new(&part, &order);
            fresh.threshold = sums.threshold;
            assert!((stays(&fresh) - stays(&sums)).abs() < 1e-5);
        }
    }
}
