//! Which threads of this process compute, and where they may run: what the system says, not what the engine says.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use lacuna_console::error::{Error, Result};

use super::protocol::Proof;

/// A thread computes if it used at least this share of the time that the busiest one used.
const SHARE: f64 = 0.1;
/// How often it is looked whether other threads have come to rest.
const POLL: Duration = Duration::from_micros(200);
/// Clock ticks per second of `/proc/PID/task/TID/stat`; the kernel's interface to programs has no other value.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of every thread of this process; nothing where the system does not tell.
struct ThreadTimes(BTreeMap<u64, f64>);

impl ThreadTimes {
    fn read() -> Option<ThreadTimes> {
        let mut times = BTreeMap::new();
        for task in fs::read_dir("/proc/self/task").ok()? {
            let path = task.ok()?.path();
            let id = path.file_name()?.to_str()?.parse().ok()?;
            // A thread may end between the listing and the reading.
            if let Some(seconds) = precise(&path).or_else(|| in_ticks(&path)) {
                times.insert(id, seconds);
            }
        }
        Some(ThreadTimes(times))
    }

    /// CPU seconds of every thread since `earlier`.
    fn since(&self, earlier: &ThreadTimes) -> Vec<f64> {
        self.0.iter().map(|(id, now)| now - earlier.0.get(id).copied().unwrap_or(0.0)).collect()
    }
}

/// From the scheduler's statistics, in nanoseconds.
fn precise(task: &std::path::Path) -> Option<f64> {
    let text = fs::read_to_string(task.join("schedstat")).ok()?;
    Some(text.split_whitespace().next()?.parse::<u64>().ok()? as f64 * 1e-9)
}

/// User and system time from `stat`, in clock ticks.
fn in_ticks(task: &std::path::Path) -> Option<f64> {
    let text = fs::read_to_string(task.join("stat")).ok()?;
    let fields = after_name(&text)?;
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(ticks as f64 / TICKS_PER_SECOND)
}

/// The fields of `stat` behind the name, which may hold anything: state first.
fn after_name(stat: &str) -> Option<std::str::SplitWhitespace<'_>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

/// Runs `work` again and again for `time` and watches which threads use the CPU.
pub(crate) fn prove(time: Duration, mut work: impl FnMut() -> Result<()>) -> Result<Proof> {
    work()?; // starts what has to be started
    let (before, start) = (ThreadTimes::read(), Instant::now());
    while start.elapsed() < time {
        work()?;
    }
    let (after, wall) = (ThreadTimes::read(), start.elapsed().as_secs_f64());
    let Some((before, after)) = before.zip(after) else { return Ok(Proof { threads: None, cores_busy: None }) };
    let used = after.since(&before);
    let most = used.iter().copied().fold(0.0, f64::max);
    let computing = used.iter().filter(|&&seconds| seconds > 0.0 && seconds >= SHARE * most).count();
    Ok(Proof { threads: Some(computing), cores_busy: Some(used.iter().sum::<f64>() / wall) })
}

/// Waits until no other thread of this process runs, `limit` at most: a pool that still spins would take the time of the engine
/// that is measured next.
pub(crate) fn wait_until_idle(limit: Duration) {
    let start = Instant::now();
    while others_run() && start.elapsed() < limit {
        std::thread::sleep(POLL);
    }
}

fn others_run() -> bool {
    let own = fs::read_link("/proc/thread-self").ok();
    let own = own.as_deref().and_then(std::path::Path::file_name);
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return false };
    tasks.flatten().filter(|task| Some(task.file_name().as_os_str()) != own).any(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        after_name(&stat).and_then(|mut fields| fields.next()) == Some("R")
    })
}

/// The CPUs that this process may run on, as the system lists them (`0-3,8`).
pub(crate) fn allowed_cpus() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

/// Refuses CPUs that this process may not run on.
///
/// # Errors
/// [`Error::Argument`].
#[cfg(target_os = "linux")]
pub(crate) fn check_cpus(cpus: &[usize]) -> Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    // Where the system does not tell, binding will.
    let Ok(allowed) = sched_getaffinity(None) else { return Ok(()) };
    match cpus.iter().find(|&&cpu| cpu >= CpuSet::MAX_CPU || !allowed.is_set(cpu)) {
        None => Ok(()),
        Some(cpu) => {
            let allowed = allowed_cpus().unwrap_or_else(|| "fewer".to_owned());
            let expected = format!("CPUs that this process may use: {allowed}");
            Err(Error::Argument { option: "--pin", found: cpu.to_string(), expected })
        }
    }
}

/// Refuses CPUs that this process may not run on.
///
/// # Errors
/// None: this system cannot be asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn check_cpus(_: &[usize]) -> Result<()> {
    Ok(())
}

/// Binds this thread, and all threads that it will start, to CPUs.
///
/// # Errors
/// [`Error::Argument`] if the system refuses, or has no such call.
#[cfg(target_os = "linux")]
pub(crate) fn bind(cpus: &[usize]) -> Result<()> {
    let wrong = |reason: String| {
        let found = list(cpus);
        Error::Argument { option: "--pin", found, expected: format!("CPUs that this process may use ({reason})") }
    };
    let mut set = rustix::thread::CpuSet::new();
    for &cpu in cpus {
        if cpu >= rustix::thread::CpuSet::MAX_CPU {
            return Err(wrong(format!("there are at most {}", rustix::thread::CpuSet::MAX_CPU)));
        }
        set.set(cpu);
    }
    rustix::thread::sched_setaffinity(None, &set).map_err(|error| wrong(error.to_string()))
}

/// Binds this thread, and all threads that it will start, to CPUs.
///
/// # Errors
/// [`Error::Argument`]: this system has no such call.
#[cfg(not(target_os = "linux"))]
pub(crate) fn bind(cpus: &[usize]) -> Result<()> {
    Err(Error::Argument { option: "--pin", found: list(cpus), expected: "Linux, whose threads can be bound".into() })
}

/// `0,1`
pub(crate) fn list(cpus: &[usize]) -> String {
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use rustix::thread::CpuSet;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn spin(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn threads_that_compute_are_counted_and_those_that_sleep_are_not() {
        let work = |threads: usize| {
            prove(Duration::from_millis(200), || {
                std::thread::scope(|scope| {
                    for _ in 1..threads {
                        scope.spawn(|| spin(Duration::from_millis(40)));
                    }
                    spin(Duration::from_millis(40));
                });
                Ok(())
            })
        };
        // Other tests' threads may compute in this process, so there is no upper bound; short-lived threads are not in the count.
        assert!(work(1).unwrap().threads.unwrap() >= 1);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            let proof = work(1).unwrap();
            assert!(others_run());
            stop.store(true, Ordering::Relaxed);
            assert!(proof.threads.unwrap() >= 2, "{proof:?}");
            assert!(proof.cores_busy.unwrap() > 0.2, "{proof:?}");
        });
    }

    #[test]
    fn names_of_threads_do_not_confuse_the_reader() {
        let fields: Vec<&str> = after_name("12 (a) b (c) S 1 2").unwrap().collect();
        assert_eq!(fields, ["S", "1", "2"]);
        assert!(allowed_cpus().is_some_and(|cpus| !cpus.is_empty()));
    }

    #[test]
    fn impossible_cpus_are_refused() {
        for cpus in [&[100_000][..], &[]] {
            assert!(matches!(bind(cpus), Err(Error::Argument { option: "--pin", .. })), "{cpus:?}");
        }
        assert!(check_cpus(&[]).is_ok());
        for cpu in [CpuSet::MAX_CPU - 1, 100_000] {
            let message = check_cpus(&[cpu]).unwrap_err().to_string();
            assert!(message.starts_with(&format!("--pin: found {cpu}; expected CPUs")), "{message}");
        }
    }
}
