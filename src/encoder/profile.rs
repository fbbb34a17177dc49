//! Where the time of a forward pass goes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::compile::Stage;

/// How long one call spent in every stage: wall time of the thread that led it. Stages sum to the call's wall time exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    spent: [Duration; Stage::ALL.len()],
}

impl Profile {
    /// Wall time of the whole call.
    pub fn total(&self) -> Duration {
        self.spent.iter().sum()
    }

    /// Wall time of one stage.
    pub fn stage(&self, stage: Stage) -> Duration {
        self.spent[stage as usize]
    }
}

/// What a forward pass tells about its progress. The ordinary pass tells it to `()`, which costs nothing.
pub(super) trait Probe: Sync {
    /// The calling thread leads from now on.
    fn lead(&self);

    /// The time since the leader's last lap belongs to `stage`.
    fn lap(&self, stage: Stage);
}

impl Probe for () {
    fn lead(&self) {}
    fn lap(&self, _: Stage) {}
}

/// The probe that makes a [`Profile`].
pub(super) struct Stopwatch {
    start: Instant,
    leader: OnceLock<ThreadId>,
    /// Nanoseconds from the start to the last lap. Only the leader writes here and below.
    last: AtomicU64,
    spent: [AtomicU64; Stage::ALL.len()],
}

impl Stopwatch {
    pub(super) fn start() -> Stopwatch {
        let spent = std::array::from_fn(|_| AtomicU64::new(0));
        Stopwatch { start: Instant::now(), leader: OnceLock::new(), last: AtomicU64::new(0), spent }
    }

    fn add(&self, stage: Stage) {
        let now = self.start.elapsed().as_nanos() as u64;
        self.spent[stage as usize].fetch_add(now - self.last.swap(now, Relaxed), Relaxed);
    }

    /// The rest of the time is [`Stage::Other`].
    pub(super) fn stop(self) -> Profile {
        self.add(Stage::Other);
        Profile { spent: self.spent.map(|nanos| Duration::from_nanos(nanos.into_inner())) }
    }
}

impl Probe for Stopwatch {
    fn lead(&self) {
        if self.leader.set(thread::current().id()).is_ok() {
            self.add(Stage::Other);
        }
    }

    fn lap(&self, stage: Stage) {
        if self.leader.get() == Some(&thread::current().id()) {
            self.add(stage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laps_of_the_leader_sum_to_the_total() {
        let outside = Instant::now();
        let watch = Stopwatch::start();
        watch.lead();
        thread::sleep(Duration::from_millis(2));
        watch.lap(Stage::Up);
        thread::scope(|scope| drop(scope.spawn(|| watch.lap(Stage::Down))));
        watch.lap(Stage::Attention);
        let profile = watch.stop();
        assert!(profile.stage(Stage::Up) >= Duration::from_millis(2));
        assert_eq!(profile.stage(Stage::Down), Duration::ZERO);
        assert_eq!(Stage::ALL.map(|stage| profile.stage(stage)).iter().sum::<Duration>(), profile.total());
        assert!(profile.total() <= outside.elapsed());
    }

    #[test]
    fn every_stage_has_a_place_and_a_name() {
        assert!(Stage::ALL.into_iter().enumerate().all(|(i, stage)| stage as usize == i));
        let names: std::collections::HashSet<_> = Stage::ALL.map(Stage::name).into_iter().collect();
        assert_eq!(names.len(), Stage::ALL.len());
    }
}
