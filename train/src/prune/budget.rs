//! What loses least within a time.

use super::error::PruneError;

/// Halvings of the interval of prices.
const HALVINGS: usize = 60;

/// One sparsity of a matrix: what it takes and what it loses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The fraction of blocks that are zero.
    pub sparsity: f64,
    /// Seconds that the product takes.
    pub seconds: f64,
    /// What is lost, comparable between matrices.
    pub loss: f64,
}

/// One way to run matrices that read the same inputs, for example in one block shape: the points of every matrix.
pub type Way = Vec<Vec<Point>>;

/// The way of every unit, and the points of its matrices, that lose least while all of them together take at most `seconds`.
///
/// A unit is a set of matrices that must run in the same way. With a price per second p, every matrix takes the point with the least
/// `loss + p * seconds`, and every unit the way with the least sum; the price is the lowest that keeps to the time. That is the best choice
/// up to one step of one matrix, if losses are convex.
///
/// # Errors
/// [`PruneError::Time`] with the least time if that is more than `seconds`; [`PruneError::Setting`] for a unit without a way, and a matrix
/// without a point.
pub fn least_loss(units: &[Vec<Way>], seconds: f64) -> Result<Vec<(usize, Vec<Point>)>, PruneError> {
    let is_empty = |unit: &Vec<Way>| unit.is_empty() || unit.iter().flatten().any(Vec::is_empty);
    if units.iter().any(is_empty) {
        let expected = "at least 1 way, and 1 point of each matrix";
        return Err(PruneError::Setting { setting: "ways to run matrices", found: 0.0, expected });
    }
    let time = |picked: &[(usize, Vec<Point>)]| -> f64 {
        picked.iter().flat_map(|(_, points)| points).map(|p| p.seconds).sum()
    };
    let at = |value: &dyn Fn(&Point) -> f64| -> Vec<(usize, Vec<Point>)> {
        units.iter().map(|unit| pick(unit, value)).collect()
    };
    let fastest = at(&|point| point.seconds);
    if time(&fastest) > seconds {
        return Err(PruneError::Time { wanted: seconds, reachable: time(&fastest) });
    }
    let free = at(&|point| point.loss);
    if time(&free) <= seconds {
        return Ok(free);
    }
    let priced = |price: f64| at(&move |point: &Point| point.loss + price * point.seconds);
    let losses: f64 =
        units.iter().flatten().flatten().flatten().map(|point| point.loss).filter(|loss| loss.is_finite()).sum();
    let (mut low, mut high) = (0.0, 1e9 * (losses + f64::MIN_POSITIVE) / seconds.max(f64::MIN_POSITIVE));
    let mut best = fastest;
    for _ in 0..HALVINGS {
        // Prices range over many orders of magnitude.
        let price = if low > 0.0 { f64::sqrt(low * high) } else { high * 1e-15 };
        let picked = priced(price);
        if time(&picked) <= seconds {
            (best, high) = (picked, price);
        } else {
            low = price;
        }
        if low == 0.0 {
            break;
        }
    }
    Ok(best)
}

/// The way of a unit with the least sum of values, each matrix at its best point.
fn pick(unit: &[Way], value: &dyn Fn(&Point) -> f64) -> (usize, Vec<Point>) {
    let best = |points: &Vec<Point>| points.iter().copied().min_by(|a, b| value(a).total_cmp(&value(b)));
    let picked = unit.iter().map(|way| way.iter().filter_map(best).collect::<Vec<Point>>()).enumerate();
    let sum = |points: &[Point]| points.iter().map(value).sum::<f64>();
    picked.min_by(|(_, a), (_, b)| sum(a).total_cmp(&sum(b))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time falls with sparsity from 1, loss rises with its square.
    fn way(time: f64, loss: f64) -> Way {
        let at = |i: i32| {
            let sparsity = f64::from(i) / 100.0;
            Point { sparsity, seconds: time * (1.0 - sparsity), loss: loss * sparsity * sparsity }
        };
        vec![(0..=95).map(at).collect()]
    }

    fn time(picked: &[(usize, Vec<Point>)]) -> f64 {
        picked.iter().flat_map(|(_, points)| points).map(|p| p.seconds).sum()
    }

    #[test]
    fn what_matters_less_is_sparser() {
        let units = vec![vec![way(1.0, 1.0)], vec![way(1.0, 4.0)]];
        let picked = least_loss(&units, 0.8).unwrap();
        assert!((0.78..=0.8).contains(&time(&picked)), "{}", time(&picked));
        // Equal slopes: 2 s1 = 8 s2, and (1 - s1) + (1 - s2) = 0.8.
        let sparsities: Vec<f64> = picked.iter().map(|(_, points)| points[0].sparsity).collect();
        assert!((sparsities[0] - 0.95).abs() < 0.011 && (sparsities[1] - 0.25).abs() < 0.021, "{sparsities:?}");
    }

    #[test]
    fn a_faster_way_is_taken_where_time_is_short() {
        let units = vec![vec![way(1.0, 1.0), way(0.5, 1.5)]];
        assert_eq!(least_loss(&units, 0.9).unwrap()[0].0, 1, "half the time, at 0 of both losses");
        let dense = vec![vec![way(1.0, 1.0), vec![vec![Point { sparsity: 0.0, seconds: 0.4, loss: 0.0 }]]]];
        assert_eq!(least_loss(&dense, 0.5).unwrap()[0].0, 1);
        assert_eq!(least_loss(&dense, 0.3).unwrap()[0].0, 0);
    }

    #[test]
    fn all_the_time_that_is_wanted_loses_nothing() {
        let picked = least_loss(&[vec![way(1.0, 1.0)]], 5.0).unwrap();
        assert_eq!(picked[0].1[0].sparsity, 0.0);
    }

    #[test]
    fn what_cannot_be_reached_is_refused_with_what_can() {
        let units = vec![vec![way(1.0, 1.0)], vec![way(2.0, 1.0)]];
        let Err(PruneError::Time { wanted, reachable }) = least_loss(&units, 0.1) else { panic!() };
        assert!(wanted == 0.1 && (reachable - 0.15).abs() < 1e-9);
        assert!(least_loss(&[vec![]], 1.0).is_err() && least_loss(&[vec![vec![vec![]]]], 1.0).is_err());
    }
}
