//! Which values and subjects are drawn.

/// Values in order, each once.
pub(super) fn distinct(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// At most `most` of the items, spread over all of them; and how many are left out.
pub(super) fn spread<T>(items: Vec<T>, most: usize) -> (Vec<T>, usize) {
    let count = items.len();
    if count <= most {
        return (items, 0);
    }
    let chosen = |i: usize| (0..most).any(|j| j * (count - 1) / (most - 1).max(1) == i);
    (items.into_iter().enumerate().filter(|(i, _)| chosen(*i)).map(|(_, item)| item).collect(), count - most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_keeps_both_ends() {
        assert_eq!(spread((0..18).collect(), 9).0, [0, 2, 4, 6, 8, 10, 12, 14, 17]);
        assert_eq!(spread(vec![1, 2], 9), (vec![1, 2], 0));
        assert_eq!(spread((0..10).collect::<Vec<_>>(), 9).1, 1);
        assert_eq!(spread((0..10).collect::<Vec<_>>(), 9).0.len(), 9);
    }
}
