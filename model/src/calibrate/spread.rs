//! Some of many, evenly spread.

/// At most `limit` of the items, evenly spread, in their order: files are often sorted by where texts come from, and calibration has to
/// see all kinds.
pub fn spread<T>(items: Vec<T>, limit: usize) -> Vec<T> {
    let count = items.len();
    if count <= limit {
        return items;
    }
    // The i-th interval of `limit` equal ones ends at the first index that it does not contain.
    let taken = |i: usize| (i + 1) * limit / count > i * limit / count;
    items.into_iter().enumerate().filter(|(i, _)| taken(*i)).map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_spread_evenly() {
        for (count, limit) in [(0, 3), (1, 1), (3, 5), (5, 5), (10, 3), (7, 2), (100, 99), (1000, 1), (1000, 200)] {
            let taken = spread((0..count).collect::<Vec<usize>>(), limit);
            assert_eq!(taken.len(), count.min(limit), "{count}, {limit}");
            let gaps: Vec<usize> = taken.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(gaps.iter().all(|&gap| gap == count / limit || gap == count.div_ceil(limit)), "{gaps:?}");
        }
    }
}
