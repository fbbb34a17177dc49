//! Which settings are tried.

/// How instances divide the CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) threads: usize,
    pub(super) instances: usize,
}

/// Settings between the largest batch within the limit and the smallest beyond it.
const REFINEMENTS: usize = 3;
/// A rate below this share of the best one means that larger batches no longer help.
const DECLINE: f64 = 0.95;

/// Threads per instance (1, 2, 4 ... and all CPUs, or as given), with the instances that fit beside each other (or as given).
pub(super) fn layouts(cores: usize, threads: &[usize], instances: &[usize]) -> Vec<Plan> {
    let mut counts = threads.to_vec();
    if counts.is_empty() {
        counts.extend(std::iter::successors(Some(1), |n| Some(2 * n)).take_while(|&n| n < cores));
        counts.push(cores);
    }
    let plans = counts.into_iter().flat_map(|threads| match instances {
        [] => vec![Plan { threads, instances: cores / threads }],
        given => given.iter().map(|&instances| Plan { threads, instances }).collect(),
    });
    plans.filter(|plan| plan.instances > 0 && plan.threads * plan.instances <= cores).collect()
}

/// Calls `measure` with `given` batches; without, with growing ones. `measure` returns the rate, or nothing beyond the limit.
///
/// Batches double until one is beyond the limit or two in a row are slower than the best; then the gap to the first that was beyond
/// the limit is halved a few times.
pub(super) fn batches(given: &[usize], largest: usize, mut measure: impl FnMut(usize) -> Option<f64>) {
    if !given.is_empty() {
        given.iter().for_each(|&batch| {
            let _ = measure(batch); // nothing follows from it
        });
        return;
    }
    let (mut within, mut best, mut declines) = (0, 0.0f64, 0);
    let mut batch = 1;
    while batch <= largest && declines < 2 {
        match measure(batch) {
            None => return refine(within, batch, measure),
            Some(rate) => {
                declines = if rate < DECLINE * best { declines + 1 } else { 0 };
                best = best.max(rate);
                within = batch;
            }
        }
        batch *= 2;
    }
}

fn refine(mut within: usize, mut beyond: usize, mut measure: impl FnMut(usize) -> Option<f64>) {
    for _ in 0..REFINEMENTS {
        let batch = within.midpoint(beyond);
        if within == 0 || batch == within {
            return;
        }
        match measure(batch) {
            Some(_) => within = batch,
            None => beyond = batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(threads: usize, instances: usize) -> Plan {
        Plan { threads, instances }
    }

    #[test]
    fn layouts_fill_the_cpus() {
        assert_eq!(layouts(1, &[], &[]), [plan(1, 1)]);
        assert_eq!(layouts(6, &[], &[]), [plan(1, 6), plan(2, 3), plan(4, 1), plan(6, 1)]);
        assert_eq!(layouts(4, &[2, 8], &[]), [plan(2, 2)]);
        assert_eq!(layouts(4, &[1], &[1, 4, 5]), [plan(1, 1), plan(1, 4)]);
        assert_eq!(layouts(2, &[3], &[]), []);
    }

    fn tried(given: &[usize], rate: impl Fn(usize) -> Option<f64>) -> Vec<usize> {
        let mut tried = Vec::new();
        batches(given, 64, |batch| {
            tried.push(batch);
            rate(batch)
        });
        tried
    }

    #[test]
    fn batches_grow_to_the_limit_and_close_in_on_it() {
        let up_to = |most: usize| move |batch: usize| (batch <= most).then_some(batch as f64);
        assert_eq!(tried(&[], up_to(13)), [1, 2, 4, 8, 16, 12, 14, 13]);
        assert_eq!(tried(&[], up_to(2)), [1, 2, 4, 3]);
        assert_eq!(tried(&[], up_to(0)), [1]);
        assert_eq!(tried(&[], up_to(1000)), [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(tried(&[5, 3], up_to(0)), [5, 3]);
    }

    #[test]
    fn batches_stop_growing_when_that_does_not_help() {
        assert_eq!(tried(&[], |batch| Some(100.0 / batch as f64)), [1, 2, 4]);
        assert_eq!(tried(&[], |_| Some(1.0)), [1, 2, 4, 8, 16, 32, 64]);
    }
}
