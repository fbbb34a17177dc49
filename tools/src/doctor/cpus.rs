//! The cores of the hardware threads that this process may use, as Linux says.

use std::collections::BTreeSet;
use std::path::Path;

/// How many cores the hardware threads of the affinity mask are on; nothing if the system does not say.
pub(super) fn cores() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    cores_of(&list(allowed)?, |cpu| {
        let folder = Path::new("/sys/devices/system/cpu").join(format!("cpu{cpu}/topology"));
        std::fs::read_to_string(folder.join("thread_siblings_list")).ok()
    })
}

/// The number of different sets of siblings.
fn cores_of(cpus: &[usize], siblings: impl Fn(usize) -> Option<String>) -> Option<usize> {
    let sets: Option<BTreeSet<String>> = cpus.iter().map(|&cpu| siblings(cpu)).collect();
    sets.map(|sets| sets.len()).filter(|&cores| cores > 0)
}

/// The numbers of a list as `0-3,8`; nothing for another text, and for more than a machine has.
fn list(text: &str) -> Option<Vec<usize>> {
    const MOST: usize = 1 << 16;
    let mut numbers = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel() {
        assert_eq!(list("\t0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(list("5"), Some(vec![5]));
        for wrong in ["", "a", "1-", "0-4294967295"] {
            assert_eq!(list(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn siblings_are_one_core() {
        let pairs = |cpu: usize| Some(format!("{},{}", cpu % 2, cpu % 2 + 2));
        assert_eq!(cores_of(&[0, 1, 2, 3], pairs), Some(2));
        assert_eq!(cores_of(&[0, 2], pairs), Some(1));
        assert_eq!(cores_of(&[0], |_| None), None);
        assert_eq!(cores_of(&[], pairs), None);
    }
}
