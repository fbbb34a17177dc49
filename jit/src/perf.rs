//! Names for profilers: with `LACUNA_PERF=map`, generated functions are listed in `/tmp/perf-PID.map`, where Linux `perf`
//! looks for symbols of generated code.

use std::fmt::Write as _;
use std::fs::OpenOptions;
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
    OpenOptions::new().create(true).append(true).open(path)?.write_all(lines.as_bytes())
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
}
