//! Going on with an interrupted run: what was read, what was written, and with which model.
//!
//! With `--resume`, the results of `FILE` are in `FILE.partial` until they are complete. `FILE.partial.json` beside it says how many entries of the
//! input they answer, and what these and the model were. It is replaced about once a second; rows after the last time are computed again.
//! It has hashes of the entries, of the results and of itself: a run goes on only if all of them agree.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lacuna_console::error::{Error, Result};
use lacuna_console::input::Input;
use lacuna_console::partial::{Partial, Written, partial_path};
use lacuna_console::remarks;
use lacuna_console::stream::Stream;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::trace::Trace;

const VERSION: u32 = 2;
/// How often the journal is written, at most.
const SAVE_EVERY: Duration = Duration::from_secs(1);

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
    /// Of them, those that are written again at the end.
    head: u64,
    /// The hash of the others.
    results: String,
    counts: Counts,
    /// The hash of everything above.
    seal: String,
}

/// What every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl State {
    /// The hash of all fields but itself.
    fn sealed(&self) -> String {
        let State { version, identity, entries, hash, bytes, head, results, counts, seal: _ } = self;
        hex(xxh3_128(format!("{version} {identity:?} {entries} {hash} {bytes} {head} {results} {counts:?}").as_bytes()))
    }
}

/// The journal of a run into a file.
pub(super) struct Journal {
    file: PathBuf,
    identity: Identity,
    saved: Instant,
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
    ///
    /// # Errors
    /// [`Error::Busy`] if another run has them; [`Error::Resume`] if they are of something else, or damaged.
    pub(super) fn resume(&self, input: &mut Input, trace: &mut Trace) -> Result<(Stream, Counts)> {
        let mut partial = Partial::open(&self.file)?;
        let journal = journal_path(&self.file);
        let length = partial.bytes()?;
        let Some(state) = self.read(&journal)? else {
            if length > 0 {
                let found = format!("no {} beside it", journal.display());
                let expected = "both files of an interrupted run, or none: delete it to begin anew".into();
                return Err(refuse(partial.path(), found, expected));
            }
            return self.begin(partial, trace);
        };
        if length == 0 && state.bytes > 0 {
            let (empty, journal) = (partial.path().display(), journal.display());
            remarks::say(format_args!("{empty} has none of the results that {journal} counts: the run begins anew"));
        }
        if length == 0 || state.entries == 0 {
            return self.begin(partial, trace);
        }
        if length < state.bytes {
            let expected = format!("at least {}, as {} says; {}", state.bytes, journal.display(), self.anew());
            return Err(refuse(partial.path(), format!("{length} bytes"), expected));
        }
        let hash = partial.hash(state.head, state.bytes)?;
        if hex(hash.digest128()) != state.results {
            let found = format!("other results than the {} bytes of {}", state.bytes, journal.display());
            let expected = format!("the file as the interrupted run left it; {}", self.anew());
            return Err(refuse(partial.path(), found, expected));
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
            return Err(refuse(partial.path(), found, expected));
        }
        Ok((Stream::go_on(partial, state.head, state.bytes, hash)?, state.counts))
    }

    fn begin(&self, partial: Partial, trace: &Trace) -> Result<(Stream, Counts)> {
        self.write(trace, Written::default(), Counts::default())?;
        Ok((Stream::go_on(partial, 0, 0, Xxh3::new())?, Counts::default()))
    }

    /// The journal of an interrupted run, if there is one: of this run, and whole.
    fn read(&self, journal: &Path) -> Result<Option<State>> {
        if !journal.exists() {
            return Ok(None);
        }
        let bytes = lacuna_files::read(journal, lacuna_files::SETTINGS_LIMIT).map_err(Error::unread(journal))?;
        let expected = || format!("the journal of an interrupted run; {}", self.anew());
        let wrong = |error: serde_json::Error| refuse(journal, error.to_string(), expected());
        let Versioned { version } = serde_json::from_slice(&bytes).map_err(wrong)?;
        if version != VERSION {
            let expected = format!("{VERSION}; {}", self.anew());
            return Err(refuse(journal, format!("version {version}"), expected));
        }
        let state: State = serde_json::from_slice(&bytes).map_err(wrong)?;
        self.check(&state, journal)?;
        match state.seal == state.sealed() {
            true => Ok(Some(state)),
            false => Err(refuse(journal, "other numbers than the run wrote".into(), expected())),
        }
    }

    /// What to do about damage.
    fn anew(&self) -> String {
        let (partial, journal) = (partial_path(&self.file), journal_path(&self.file));
        format!("delete {} and {} to begin anew", partial.display(), journal.display())
    }

    fn check(&self, state: &State, journal: &Path) -> Result<()> {
        let (ours, theirs) = (&self.identity, &state.identity);
        let differences = [
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
        let written = out.sync().map_err(|error| out.failed(error))?;
        self.write(trace, written, counts)?;
        self.saved = Instant::now();
        Ok(())
    }

    fn write(&self, trace: &Trace, written: Written, counts: Counts) -> Result<()> {
        let path = journal_path(&self.file);
        let Written { head, bytes, hash } = written;
        let mut state = State {
            version: VERSION,
            identity: self.identity.clone(),
            entries: trace.entries(),
            hash: trace.digest(),
            bytes,
            head,
            results: hex(hash),
            counts,
            seal: String::new(),
        };
        state.seal = state.sealed();
        let target = lacuna_console::output::Target::File(path.clone());
        let mut out = Stream::open(&target)?;
        let written = serde_json::to_writer_pretty(&mut out, &state).map_err(std::io::Error::from);
        written.and_then(|()| out.write_all(b"\n")).map_err(Error::io(&path, "write"))?;
        out.finish()
    }

    /// Removes the journal of a run that is complete.
    pub(super) fn remove(&self) -> Result<()> {
        let path = journal_path(&self.file);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&path, "remove")(error)),
            _ => Ok(()),
        }
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

fn hex(hash: u128) -> String {
    format!("{hash:032x}")
}

fn refuse(path: &Path, found: String, expected: String) -> Error {
    Error::Resume { path: path.to_owned(), found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
