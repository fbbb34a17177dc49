//! Names for profilers: with `LACUNA_PERF=map`, generated functions are listed in `/tmp/perf-PID.map`, where Linux `perf`
//! looks for symbols of generated code.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};

/// The environment variable that turns profiling names on.
pub const PERF_VARIABLE: &str = "LACUNA_PERF";

pub(crate) struct Symbol<'a> {
    pub(crate) address: usize,
    pub(crate) bytes: usize,
    pub(crate) name: &'a str,
}

/// Appends `symbols` to the perf map if the user asked for it. If the map cannot be written, that is only a warning: code
/// runs without its name too.
pub(crate) fn announce<'a>(symbols: impl Iterator<Item = Symbol<'a>>) {
    match std::env::var(PERF_VARIABLE) {
        Ok(value) if value == "map" => {
            let path = format!("/tmp/perf-{}.map", std::process::id());
            if let Err(error) = append(&path, symbols) {
                tracing::warn!(path, %error, "cannot write the perf map");
            }
        }
        Ok(value) if !value.is_empty() => tracing::warn!(value, "{PERF_VARIABLE} knows only the value \"map\""),
        _ => {}
    }
}

/// One line per symbol: start address and size in hexadecimal, then the name.
fn append<'a>(path: &str, symbols: impl Iterator<Item = Symbol<'a>>) -> io::Result<()> {
    let lines = symbols.fold(String::new(), |mut lines, s| {
        let _ = writeln!(lines, "{:x} {:x} {}", s.address, s.bytes, s.name);
        lines
    });
    open(path)?.write_all(lines.as_bytes())
}

/// Opens the map, and creates it if there is none. Anybody may put something under a name in `/tmp`, so only a regular file of this
/// user with this one name is taken, and no link is followed.
#[cfg(unix)]
fn open(path: &str) -> io::Result<File> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    use rustix::fs::OFlags;
    // A pipe without a reader would wait.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().create(true).append(true).custom_flags(flags.bits() as i32).open(path)?;
    let found = file.metadata()?;
    let is_own = found.is_file() && found.nlink() == 1 && found.uid() == rustix::process::geteuid().as_raw();
    match is_own {
        true => Ok(file),
        false => Err(io::Error::other(
            "found a file of somebody else, or one that has other names; expected a file of this user",
        )),
    }
}

#[cfg(not(unix))]
fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_format_perf_reads() {
        let path = std::env::temp_dir().join(format!("lacuna-perf-test-{}.map", std::process::id()));
        let path = path.to_str().unwrap();
        let symbol = |address, name| Symbol { address, bytes: 0x40, name };
        append(path, [symbol(0x1000, "one"), symbol(0x1040, "two")].into_iter()).unwrap();
        append(path, [symbol(0x2000, "three")].into_iter()).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(text, "1000 40 one\n1040 40 two\n2000 40 three\n");
    }

    /// What others can put in the way in `/tmp`.
    #[cfg(unix)]
    #[test]
    fn links_and_other_things_are_not_written_to() {
        let folder = std::env::temp_dir().join(format!("lacuna-perf-links-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let (target, map) = (folder.join("target"), folder.join("map"));
        let lines = || append(map.to_str().unwrap(), [Symbol { address: 1, bytes: 1, name: "one" }].into_iter());
        std::fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, &map).unwrap();
        assert!(lines().is_err(), "a symbolic link");
        std::fs::remove_file(&map).unwrap();
        std::os::unix::fs::symlink(folder.join("nothing"), &map).unwrap();
        assert!(lines().is_err() && !folder.join("nothing").exists(), "a symbolic link to nothing");
        std::fs::remove_file(&map).unwrap();
        std::fs::hard_link(&target, &map).unwrap();
        assert!(lines().is_err(), "a second name");
        std::fs::remove_file(&map).unwrap();
        std::fs::create_dir(&map).unwrap();
        assert!(lines().is_err(), "a folder");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
