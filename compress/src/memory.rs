//! Memory that a process may still take, looked at before an hour is spent.

use std::fs::read_to_string;

/// Bytes that the system can still give this process: what it has available, and no more than the limit of its cgroup (version 2) leaves.
/// `None` where the system does not say.
pub(crate) fn free_memory() -> Option<u64> {
    let available = read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let limit = read_to_string("/proc/self/cgroup").ok().and_then(|text| {
        let folder = text.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/').to_owned();
        read_to_string(format!("/sys/fs/cgroup/{folder}/memory.max")).ok()?.trim().parse::<u64>().ok()
    });
    let taken = read_to_string("/proc/self/status").ok().and_then(|text| kilobytes(&text, "VmRSS:")).unwrap_or(0);
    let left = limit.map(|limit| limit.saturating_sub(taken));
    available.into_iter().chain(left).min()
}

/// The available memory of `/proc/meminfo`.
fn available(meminfo: &str) -> Option<u64> {
    kilobytes(meminfo, "MemAvailable:")
}

/// Bytes of a line of `/proc` that counts kilobytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|count| count * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_how_much_is_free() {
        let text = "MemTotal:       24000000 kB\nMemFree:         1000 kB\nMemAvailable:   2000 kB\n";
        assert_eq!(available(text), Some(2_048_000));
        for other in ["", "MemAvailable: many", "MemAvailable: 5 pages\n", "MemFree: 5 kB"] {
            assert_eq!(available(other), None, "{other}");
        }
        if cfg!(target_os = "linux") {
            assert!(free_memory().is_some_and(|bytes| bytes > 0));
        }
    }
}
