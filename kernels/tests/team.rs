//! Teams: every part runs exactly once, with a busy pool and in many repeats, and panics are passed on.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use lacuna_kernels::{Parallel, Team};
use rayon::{ThreadPool, ThreadPoolBuilder};

const COUNTS: [usize; 10] = [0, 1, 2, 3, 5, 63, 64, 65, 200, 1000];

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// Calls every index below `count` and checks that each came once.
fn check_once(parallel: Parallel<'_>, count: usize) {
    let seen: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
    parallel.for_each(count, |i| {
        seen[i].fetch_add(1, SeqCst);
    });
    assert!(seen.iter().all(|n| n.load(SeqCst) == 1), "{count} parts");
}

fn check_counts(parallel: Parallel<'_>) {
    COUNTS.into_iter().for_each(|count| check_once(parallel, count));
}

/// Phases of which each reads what others wrote in the one before; a lost write or a phase that ends early changes the result.
fn diffuse(parallel: Parallel<'_>, size: usize, phases: usize) -> Vec<u64> {
    let cells: Vec<AtomicUsize> = (0..2 * size).map(|i| AtomicUsize::new(i * i + 1)).collect();
    for phase in 0..phases {
        let (from, to) = (phase % 2 * size, (phase + 1) % 2 * size);
        parallel.for_each(size, |i| {
            // Relaxed: the phases themselves must order these.
            let read = |i: usize| cells[from + i % size].load(std::sync::atomic::Ordering::Relaxed);
            let sum = read(i).wrapping_mul(3).wrapping_add(read(i + 1)).wrapping_add(read(i + size / 2));
            cells[to + i].store(sum, std::sync::atomic::Ordering::Relaxed);
        });
    }
    cells.iter().map(|cell| cell.load(SeqCst) as u64).collect()
}

#[test]
fn every_part_runs_once() {
    for threads in [1, 2, 3, 8, 16] {
        pool(threads).install(|| {
            check_counts(Parallel::Rayon);
            check_counts(Parallel::Serial);
            for members in [0, 1, 2, 5, 100] {
                Team::run(members, |team| {
                    assert_eq!(team.threads(), members.clamp(1, threads));
                    check_counts(Parallel::Team(team));
                });
            }
        });
    }
    // Outside of a pool.
    check_counts(Parallel::Rayon);
    Team::run(2, |team| check_counts(Parallel::Team(team)));
}

#[test]
fn thousands_of_phases_keep_their_order() {
    for (size, phases) in [(2, 20_000), (7, 5_000), (64, 2_000), (100, 1_000)] {
        let expected = diffuse(Parallel::Serial, size, phases);
        for threads in [2, 3, 8] {
            let found =
                pool(threads).install(|| Team::run(threads, |team| diffuse(Parallel::Team(team), size, phases)));
            assert_eq!(found, expected, "{size} parts, {threads} threads");
        }
    }
}

#[test]
fn many_teams_share_a_pool() {
    let expected = diffuse(Parallel::Serial, 9, 400);
    for threads in [1, 2, 4] {
        let pool = pool(threads);
        let run = || Team::run(threads, |team| diffuse(Parallel::Team(team), 9, 400));
        // From inside, at once.
        let (a, b) = pool.install(|| rayon::join(run, run));
        assert!(a == expected && b == expected);
        // From outside, at once.
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..6).map(|_| scope.spawn(|| pool.install(run))).collect();
            callers.into_iter().for_each(|caller| assert_eq!(caller.join().unwrap(), expected));
        });
        // One inside the part of another.
        pool.install(|| {
            Team::run(threads, |team| {
                Parallel::Team(team).for_each(5, |_| assert_eq!(run(), expected));
                Parallel::Team(team).for_each(3, |_| check_once(Parallel::Rayon, 70));
            });
        });
    }
}

/// A pool whose other threads never come is no obstacle.
#[test]
fn helpers_are_not_needed() {
    let pool = pool(3);
    let (release, blocked) = (AtomicBool::new(false), AtomicUsize::new(0));
    pool.in_place_scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|_| {
                blocked.fetch_add(1, SeqCst);
                while !release.load(SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        while blocked.load(SeqCst) < 2 {
            std::thread::yield_now();
        }
        pool.install(|| Team::run(3, |team| check_counts(Parallel::Team(team))));
        release.store(true, SeqCst);
    });
}

/// Runs two parts that wait for each other, for a while; whether they met.
fn meet(parallel: Parallel<'_>) -> bool {
    let (here, met) = (AtomicUsize::new(0), AtomicUsize::new(0));
    parallel.for_each(2, |_| {
        let start = Instant::now();
        here.fetch_add(1, SeqCst);
        while here.load(SeqCst) < 2 && start.elapsed() < Duration::from_millis(20) {
            std::thread::yield_now();
        }
        met.fetch_add(usize::from(start.elapsed() < Duration::from_millis(20)), SeqCst);
    });
    met.load(SeqCst) == 2
}

/// No single phase is promised a helper, but of many some have one.
#[test]
fn helpers_come_and_go() {
    pool(2).install(|| {
        let team = || {
            Team::run(2, |team| {
                let met = meet(Parallel::Team(team));
                std::thread::sleep(Duration::from_millis(20)); // long enough for the helper to leave
                check_counts(Parallel::Team(team));
                met
            })
        };
        assert!((0..500).any(|_| team()));
        assert!((0..500).any(|_| meet(Parallel::Rayon)));
    });
}

#[test]
fn a_team_without_phases_ends() {
    for _ in 0..200 {
        assert_eq!(pool(2).install(|| Team::run(2, |_| 7)), 7);
    }
    let value = pool(4).install(|| {
        Team::run(4, |_| {
            std::thread::sleep(Duration::from_millis(20)); // long enough for helpers to leave
            String::from("done")
        })
    });
    assert_eq!(value, "done");
}

#[test]
fn panics_come_out_and_leave_a_usable_team() {
    for threads in [1, 2, 8] {
        let pool = pool(threads);
        pool.install(|| {
            Team::run(threads, |team| {
                for round in 0..300 {
                    let count = [2, 3, 64, 500][round % 4];
                    let bad = round * 7 % count;
                    let ran = AtomicUsize::new(0);
                    let result = catch_unwind(AssertUnwindSafe(|| {
                        Parallel::Team(team).for_each(count, |i| {
                            if i == bad {
                                resume_unwind(Box::new((round, i))); // a panic without a message on the screen
                            }
                            ran.fetch_add(1, SeqCst);
                        });
                    }));
                    assert_eq!(*result.unwrap_err().downcast::<(usize, usize)>().unwrap(), (round, bad));
                    assert!(ran.load(SeqCst) < count);
                    check_once(Parallel::Team(team), count);
                }
            });
        });
        // All parts panic; the first payload wins. The work itself panics.
        let caught = |work: &(dyn Fn() + Sync)| {
            let payload = catch_unwind(AssertUnwindSafe(|| pool.install(work))).unwrap_err();
            *payload.downcast::<&str>().unwrap()
        };
        assert_eq!(caught(&|| Parallel::Rayon.for_each(100, |_| resume_unwind(Box::new("a part")))), "a part");
        assert_eq!(caught(&|| Team::run(threads, |_| resume_unwind(Box::new("the leader")))), "the leader");
        pool.install(|| check_once(Parallel::Rayon, 65));
    }
}
