//! Interrupted runs whose files are damaged, and runs that meet.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::checkpoint::{ModelDir, files};
use crate::{lacuna, refusal, run, stdout, stopped};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A run that a bad line interrupted, and whose input is right now.
struct Interrupted {
    model: ModelDir,
    dir: TempDir,
}

impl Interrupted {
    /// With an output of this name.
    fn new(output: &str) -> Interrupted {
        let (model, dir) = (ModelDir::with_extra_token(), tempfile::tempdir().unwrap());
        let made = Interrupted { model, dir };
        fs::write(made.path("in.txt"), "a cat\ndog\na a\n[EXTRA]\na dog\n").unwrap();
        stopped(made.run(output, &[]));
        fs::write(made.path("in.txt"), "a cat\ndog\na a\nsits\na dog\n").unwrap();
        stdout(made.run(&format!("whole-{output}"), &[]));
        made
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, output: &str, more: &[&str]) -> std::process::Output {
        let (input, output) = (self.path("in.txt"), self.path(output));
        let args =
            ["embed", "--model", self.model.path(), "--on-error", "stop", "--input", &input, "--output", &output];
        run(&[&args[..], more].concat())
    }

    fn resume(&self, output: &str) -> std::process::Output {
        self.run(output, &["--resume"])
    }
}

#[test]
fn damaged_results_are_refused() {
    for output in ["out.jsonl", "out.npy"] {
        let run = Interrupted::new(output);
        let (partial, journal) = (run.path(&format!("{output}.partial")), run.path(&format!("{output}.partial.json")));
        let (rows, text) = (fs::read(&partial).unwrap(), fs::read_to_string(&journal).unwrap());
        let state: Value = serde_json::from_str(&text).unwrap();
        let with = |key: &str, value: Value| {
            let mut state = state.clone();
            *state.pointer_mut(key).unwrap() = value;
            state.to_string()
        };
        let mut flipped = rows.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let mut cases = vec![
            (flipped, text.clone(), "other results"),
            (rows[..rows.len() - 9].to_vec(), text.clone(), "bytes"),
            (rows.clone(), text[..50].to_owned(), "partial.json"),
            (rows.clone(), String::new(), "partial.json"),
            (rows.clone(), with("/version", 1.into()), "version 1"),
        ];
        for (key, value) in [("/bytes", 0), ("/entries", 2), ("/entries", 0), ("/counts/rows", 7), ("/head", 3)] {
            cases.push((rows.clone(), with(key, value.into()), "other numbers"));
        }
        for (rows, journal_text, expected) in cases {
            fs::write(&partial, &rows).unwrap();
            fs::write(&journal, &journal_text).unwrap();
            let line = refusal(run.resume(output));
            assert!(line.contains(expected) && line.contains("to begin anew"), "{line}");
            assert!(!Path::new(&run.path(output)).exists(), "{line}");
            assert_eq!(fs::read(&partial).unwrap(), rows, "nothing is changed");
        }
        fs::remove_file(&journal).unwrap();
        assert!(refusal(run.resume(output)).contains("out") && Path::new(&partial).exists());
        // Rows after the journal's last are of no use, and no damage.
        fs::write(&partial, [&rows[..], b"more"].concat()).unwrap();
        fs::write(&journal, &text).unwrap();
        stdout(run.resume(output));
        let whole = fs::read(run.path(&format!("whole-{output}"))).unwrap();
        assert!(fs::read(run.path(output)).unwrap() == whole);
        // A journal alone has nothing to go on with.
        fs::write(&journal, &text).unwrap();
        stdout(run.resume(output));
        assert!(fs::read(run.path(output)).unwrap() == whole);
        assert_eq!(files(run.dir.path()), ["in.txt", output, &format!("whole-{output}")]);
    }
}

#[test]
fn a_run_that_meets_another_is_refused_at_once() {
    let (model, dir) = (ModelDir::new(), tempfile::tempdir().unwrap());
    let output = dir.path().join("out.jsonl").to_str().unwrap().to_owned();
    let args = ["embed", "--model", model.path(), "--output", &output];
    let resume = [&args[..], &["--resume"]].concat();
    let mut first = lacuna(&resume).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = first.stdin.take().unwrap();
    stdin.write_all(b"a cat\n").unwrap();
    let journal = format!("{output}.partial.json");
    let start = Instant::now();
    while !fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"entries\": 1")) {
        assert!(start.elapsed() < PATIENCE, "nothing came");
        std::thread::sleep(Duration::from_millis(20));
    }
    for args in [&resume[..], &args] {
        let line = refusal(run(args));
        assert!(line.contains("out.jsonl.partial: found another run"), "{line}");
    }
    stdin.write_all(b"dog\n").unwrap();
    drop(stdin);
    assert!(first.wait().unwrap().success());
    assert_eq!(fs::read_to_string(&output).unwrap().lines().count(), 2);
    assert_eq!(files(dir.path()), ["out.jsonl"]);
}
