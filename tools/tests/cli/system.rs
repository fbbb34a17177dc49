//! What the system gives the command: closed streams, limits, and pipes where files are expected.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::checkpoint::{ModelDir, files};
use crate::{lacuna, refusal, refuses, stopped};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the command after `setting` of a shell, with a text on standard input.
fn shell(setting: &str, args: &[&str]) -> Output {
    let script = format!("{setting}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_lacuna")]).args(args);
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn closed_streams_are_errors() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let output = dir.path().join("out.jsonl");
    let embed = ["embed", "--model", model.path()];
    for args in [&embed[..], &["inspect", "--model", model.path()], &["--help"], &["listing", "--help"]] {
        let line = refusal(shell("exec >&-", args));
        assert!(line.contains("standard output: cannot write: Bad file descriptor"), "{line}");
    }
    let line = refusal(shell("exec <&-", &embed));
    assert!(line.contains("standard input: cannot read: Bad file descriptor"), "{line}");
    // The null device is open, also for reading and writing.
    for setting in ["exec >/dev/null", "exec 1<>/dev/null", "exec 2>&-"] {
        assert_eq!(shell(setting, &embed).status.code(), Some(0), "{setting}");
    }
    // A file needs no standard output.
    let to_file = [&embed[..], &["--output", output.to_str().unwrap()]].concat();
    assert_eq!(shell("exec >&- 2>&-", &to_file).status.code(), Some(0));
    assert!(output.exists());
}

#[test]
fn a_limit_of_file_sizes_is_an_error_that_leaves_nothing() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let input = path("in.txt");
    fs::write(&input, "a cat sits\n".repeat(2000)).unwrap();
    let (rows, packed) = (path("out.jsonl"), path("out.lacuna"));
    for args in [
        &["embed", "--model", model.path(), "--input", &input, "--output", &rows][..],
        &["pack", "--model", model.path(), "--output", &packed],
    ] {
        let (_, line) = stopped(shell("ulimit -f 2", args));
        assert!(line.contains("File too large"), "{line}");
        assert_eq!(files(dir.path()), ["in.txt"]);
    }
}

/// Every limit gives a result or one line.
#[test]
#[cfg(target_os = "linux")]
fn a_limit_of_memory_is_an_error() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let (short, long) = (dir.path().join("short.txt"), dir.path().join("long.txt"));
    fs::write(&short, "a cat\n").unwrap();
    fs::write(&long, "a cat sits ".repeat(400_000)).unwrap();
    // The system cannot load the command itself with less.
    let least = fs::metadata(env!("CARGO_BIN_EXE_lacuna")).unwrap().len() / 1024 + 16_000;
    for (input, kib) in [(&short, least), (&short, least + 60_000), (&long, least + 60_000), (&long, least + 120_000)] {
        let args =
            ["embed", "--threads", "1", "--tier", "portable", "--text-bytes", "5000000", "--model", model.path()];
        let output = shell(&format!("ulimit -v {kib}"), &[&args[..], &["--input", input.to_str().unwrap()]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) if input == &short => {}
            Some(2) => assert!(said.lines().last().is_some_and(|line| line.starts_with("error: ")), "{kib}: {said}"),
            other => panic!("{kib}: {other:?}: {said}"),
        }
        assert!(input == &short || said.contains("error: out of memory: found no room for "), "{kib}: {said}");
    }
}

/// Runs the command, which must end by itself.
#[track_caller]
fn ends(args: &[&str]) -> Output {
    let mut child = lacuna(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{args:?} waits");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn pipes_are_refused_where_whole_files_are_read() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let pipe = dir.path().join("pipe").to_str().unwrap().to_owned();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for args in [
        &["embed", "--calibrate", &pipe][..],
        &["embed", "--precision", "int8", "--ranges", &pipe],
        &["evaluate", "--pairs", &pipe],
        &["calibrate", "--calibrate", &pipe],
    ] {
        let line = refusal(ends(&[args, &["--model", model.path()]].concat()));
        assert!(line.contains("found a device, pipe or socket; expected a regular file"), "{args:?}: {line}");
    }
    let line = refusal(ends(&["bench", "spmm", "--m", "8", "--k", "8", "--baseline", &pipe]));
    assert!(line.contains("expected a regular file"), "{line}");
    let line = refusal(ends(&["embed", "--model", model.path(), "--output", &pipe]));
    assert!(line.contains("pipe: cannot open: found a pipe that nobody reads"), "{line}");
    // One that is read takes the results.
    let mut reader = Command::new("cat").arg(&pipe).stdout(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    let output = loop {
        let mut child = lacuna(&["embed", "--model", model.path(), "--output", &pipe]);
        let child = child.stdin(Stdio::null()).output().unwrap();
        if child.status.success() || start.elapsed() > PATIENCE {
            break child;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(reader.wait().unwrap().success());
    refuses(&["embed", "--model", model.path(), "--calibrate", dir.path().to_str().unwrap()], "a directory");
}
