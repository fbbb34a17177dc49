//! Going on with an interrupted run: what was read, what was written, and with which model.
//!
//! With `--resume`, the results of `FILE` are in `FILE.partial` until they are complete. `FILE.partial.json` beside it says how many entries of the
//! input they answer, and what these and the model were. It is replaced about once a second; rows after the last time are computed again.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lacuna_console::error::{Error, Result};
use lacuna_console::input::{Content, Entry, Input};
use lacuna_console::stream::{Stream, partial_path};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

const VERSION: u32 = 1;
/// How often the journal is written, at most.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// A running hash of the entries that were read, and of those that are answered.
pub(super) struct Trace {
    /// Of the entries that are answered.
    hash: Xxh3,
    answered: u64,
    /// The entries of the batch that is running: line and hash.
    running: Vec<(u64, u128)>,
}

/// What a run does: results can only be joined if all of it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) command: String,
    /// A hash of what the model computes.
    pub(super) model: String,
    /// Options that change results.
    pub(super) options: String,
}

/// What an interrupted run had counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Rows written, those of lines without a result included.
    pub(super) rows: u64,
    /// Lines that gave no result.
    pub(super) bad: u64,
    /// Texts that were truncated.
    pub(super) truncated: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    identity: Identity,
    /// Entries of the input that were answered, and their hash.
    entries: u64,
    hash: String,
    /// Of the partial results.
    bytes: u64,
    counts: Counts,
}

/// The journal of a run into a file.
pub(super) struct Journal {
    file: PathBuf,
    identity: Identity,
    saved: Instant,
}

impl Trace {
    pub(super) fn new() -> Trace {
        Trace { hash: Xxh3::new(), answered: 0, running: Vec::new() }
    }

    /// An entry was read.
    pub(super) fn add(&mut self, entry: &Entry) {
        let mut hash = Xxh3::new();
        hash.update(&entry.line.to_le_bytes());
        let mut part = |kind: u8, bytes: &[u8]| {
            hash.update(&[kind]);
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        match &entry.content {
            Ok(Content::Texts(texts)) => texts.iter().for_each(|text| part(0, text.as_bytes())),
            Ok(Content::Json(line)) => part(1, line.as_bytes()),
            Err(defect) => part(2, defect.to_string().as_bytes()),
        }
        self.running.push((entry.line, hash.digest128()));
    }

    /// Entries that are not kept for resuming.
    pub(super) fn count(&mut self, entries: u64) {
        self.answered += entries;
    }

    /// All entries that were read are answered.
    pub(super) fn answer(&mut self) {
        self.answer_before(u64::MAX);
    }

    /// The entries before a line are answered, and the others will not be.
    pub(super) fn answer_before(&mut self, end: u64) {
        for (_, hash) in self.running.drain(..).take_while(|(line, _)| *line < end) {
            self.hash.update(&hash.to_le_bytes());
            self.answered += 1;
        }
    }

    /// Entries that are answered.
    pub(super) fn entries(&self) -> u64 {
        self.answered
    }

    fn digest(&self) -> String {
        format!("{:032x}", self.hash.digest128())
    }
}

/// `1 entry`, `2 entries`.
pub(super) fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// The name of the journal of a file.
fn journal_path(file: &Path) -> PathBuf {
    let mut name = OsString::from(partial_path(file).into_os_string());
    name.push(".json");
    PathBuf::from(name)
}

impl Journal {
    pub(super) fn new(file: &Path, identity: Identity) -> Journal {
        Journal { file: file.to_owned(), identity, saved: Instant::now() }
    }

    /// Whether an interrupted run left something.
    pub(super) fn exists(file: &Path) -> bool {
        partial_path(file).exists() && journal_path(file).exists()
    }

    /// Opens the partial results of an earlier run, or begins new ones. Reads the entries that they answer from the input.
    pub(super) fn resume(&self, input: &mut Input, trace: &mut Trace) -> Result<(Stream, Counts)> {
        let (partial, journal) = (partial_path(&self.file), journal_path(&self.file));
        let text = match std::fs::read_to_string(&journal) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if partial.exists() {
                    let found = format!("no {} beside it", journal.display());
                    return Err(refuse(&partial, found, "both files of an interrupted run, or none".into()));
                }
                self.write(trace, 0, Counts::default())?;
                return Ok((Stream::open_partial(&self.file, 0)?, Counts::default()));
            }
            Err(error) => return Err(Error::io(&journal, "read")(error)),
        };
        let state: State = serde_json::from_str(&text)
            .map_err(|error| refuse(&journal, error.to_string(), "the journal of an interrupted run".into()))?;
        self.check(&state, &journal)?;
        let length = partial.metadata().map_or(0, |about| about.len());
        if length < state.bytes {
            let expected = format!("at least {}, as {} says", state.bytes, journal.display());
            return Err(refuse(&partial, format!("{length} bytes"), expected));
        }
        while trace.entries() < state.entries {
            let Some(entry) = input.next_entry()? else { break };
            trace.add(&entry);
            trace.answer();
        }
        if trace.entries() < state.entries || trace.digest() != state.hash {
            let entries = entries(state.entries);
            let found = format!("another input than {} in its first {entries}", input.name().display());
            let expected = "the input of the interrupted run; without --resume the run begins anew".into();
            return Err(refuse(&partial, found, expected));
        }
        Ok((Stream::open_partial(&self.file, state.bytes)?, state.counts))
    }

    fn check(&self, state: &State, journal: &Path) -> Result<()> {
        let (ours, theirs) = (&self.identity, &state.identity);
        let differences = [
            (state.version != VERSION).then(|| ("version", state.version.to_string(), VERSION.to_string())),
            (ours.command != theirs.command).then(|| ("command", theirs.command.clone(), ours.command.clone())),
            (ours.options != theirs.options).then(|| difference(&theirs.options, &ours.options)),
            (ours.model != theirs.model).then(|| ("model", "another model".into(), "the model of this run".into())),
        ];
        match differences.into_iter().flatten().next() {
            None => Ok(()),
            Some((what, found, expected)) => {
                let expected = format!("{expected}; without --resume the run begins anew");
                Err(refuse(journal, format!("{what} {found}").trim_start().to_owned(), expected))
            }
        }
    }

    /// Brings the results to the disk and writes down what they answer, unless that was done a moment ago.
    pub(super) fn save(&mut self, out: &mut Stream, trace: &Trace, counts: Counts, now: bool) -> Result<()> {
        if !now && self.saved.elapsed() < SAVE_EVERY {
            return Ok(());
        }
        let bytes = out.sync().map_err(|error| out.failed(error))?;
        self.write(trace, bytes, counts)?;
        self.saved = Instant::now();
        Ok(())
    }

    fn write(&self, trace: &Trace, bytes: u64, counts: Counts) -> Result<()> {
        let path = journal_path(&self.file);
        let (entries, hash) = (trace.entries(), trace.digest());
        let state = State { version: VERSION, identity: self.identity.clone(), entries, hash, bytes, counts };
        let target = lacuna_console::output::Target::File(path.clone());
        let mut out = Stream::open(&target)?;
        let written = serde_json::to_writer_pretty(&mut out, &state).map_err(std::io::Error::from);
        written.and_then(|()| out.write_all(b"\n")).map_err(Error::io(&path, "write"))?;
        out.finish()
    }

    /// Removes the journal of a run that is complete.
    pub(super) fn remove(&self) -> Result<()> {
        let path = journal_path(&self.file);
        std::fs::remove_file(&path).map_err(Error::io(&path, "remove"))
    }
}

/// The first option in which two runs differ: its name, and its value in each.
fn difference(found: &str, expected: &str) -> (&'static str, String, String) {
    let parts = |text: &str| -> Vec<String> {
        let parts = text.split(|c| ",;{}".contains(c)).map(|part| part.trim().to_owned());
        parts.filter(|part| !part.is_empty()).collect()
    };
    let (found, expected) = (parts(found), parts(expected));
    match found.iter().zip(&expected).find(|(found, expected)| found != expected) {
        Some((found, expected)) => ("", option(found), option(expected)),
        None => ("", "other options".into(), "the options of this run".into()),
    }
}

/// `dimensions some(3)` as `--dimensions 3`; a prompt and a format, which stand without a name, by their options.
fn option(part: &str) -> String {
    let inner = |name: &str| part.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    match (part, inner("text"), inner("name")) {
        ("default", ..) => return "the default prompt".to_owned(),
        ("none", ..) => return "no prompt".to_owned(),
        ("jsonlines" | "npy" | "parquet", ..) => return format!("--format {}", part.replace("jsonlines", "jsonl")),
        (_, Some(text), _) => return format!("--prompt {text}"),
        (_, _, Some(name)) => return format!("--prompt-name {name}"),
        _ => {}
    }
    let Some((name, value)) = part.split_once([' ', ':']) else { return part.to_owned() };
    let name = format!("--{}", name.replace('_', "-"));
    let value = value.trim();
    match value.strip_prefix("some(").and_then(|value| value.strip_suffix(')')).unwrap_or(value) {
        "none" | "false" => format!("no {name}"),
        "true" => name,
        value => format!("{name} {value}"),
    }
}

fn refuse(path: &Path, found: String, expected: String) -> Error {
    Error::Resume { path: path.to_owned(), found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: u64, text: &str) -> Entry {
        Entry { line, content: Ok(Content::Texts(vec![text.to_owned()])) }
    }

    #[test]
    fn only_the_option_that_differs_is_named() {
        let of = |found: &str, expected: &str| {
            let (_, found, expected) = difference(found, expected);
            (found, expected)
        };
        let said = of(
            "npy, dimensions none, no-normalize false; on-error stop",
            "npy, dimensions some(3), no-normalize true; on-error stop",
        );
        assert_eq!(said, ("no --dimensions".into(), "--dimensions 3".into()));
        let said = of("classifytask { top_k: some(2) }; on-error null", "classifytask { top_k: none }; on-error null");
        assert_eq!(said, ("--top-k 2".into(), "no --top-k".into()));
        let said = of("npy, ranges none, default; columns []", "npy, ranges none, text(\"foo\"); columns []");
        assert_eq!(said, ("the default prompt".into(), "--prompt \"foo\"".into()));
    }

    #[test]
    fn only_answered_entries_are_in_the_hash() {
        let (mut all, mut some) = (Trace::new(), Trace::new());
        for trace in [&mut all, &mut some] {
            trace.add(&entry(1, "a"));
            trace.answer();
            trace.add(&entry(2, "b"));
        }
        all.answer();
        some.add(&entry(4, "c"));
        some.add(&entry(5, "d"));
        some.answer_before(4);
        assert_eq!((some.entries(), some.digest()), (all.entries(), all.digest()));
        some.add(&entry(4, "c"));
        some.answer();
        assert_ne!((some.entries(), some.digest()), (all.entries(), all.digest()));
    }
}
