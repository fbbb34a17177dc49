//! Opening an input: what it is, how it is packed, and how far it has been read.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::columns::{Columns, Mismatch};
use super::csv::Csv;
use super::entry::{Content, Defect, Entry, utf8};
use super::kind::{Kind, Packing, of_bytes, of_name, refused_name};
use super::lines::{Line, Lines, without_return};
#[cfg(feature = "parquet")]
use super::parquet::Parquet;
use super::wait::Wait;
use crate::error::{Error, Result};
use crate::standard;

/// First bytes that tell what a stream is.
const SNIFFED: usize = 256;
/// A line of JSON or of a table may be this many times as long as a text: it can hold many.
const TEXTS_PER_LINE: usize = 64;

/// How an input is read.
#[derive(Debug, Clone)]
pub struct InputOptions<'a> {
    /// The file; `-` is standard input.
    pub path: &'a Path,
    /// What it holds, if the user says so.
    pub kind: Option<Kind>,
    /// The option that says so.
    pub kind_option: &'static str,
    /// `--columns`.
    pub columns: &'a [String],
    /// The fields of a record that columns can fill, and how many of them there must be.
    pub fields: &'a [&'static str],
    /// See `fields`.
    pub required: usize,
    /// Longest text in bytes.
    pub text_bytes: usize,
}

/// An open input.
pub struct Input {
    name: PathBuf,
    kind: Kind,
    entries: Entries,
    /// What was inferred, until it is taken.
    note: Option<String>,
    is_inferred: bool,
    read: Arc<AtomicU64>,
    size: Option<u64>,
    is_terminal: bool,
}

enum Entries {
    Text(Lines),
    Json(Lines),
    Csv(Box<Csv>),
    #[cfg(feature = "parquet")]
    Parquet(Box<Parquet>),
}

/// Counts what is read.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

/// How messages name an input.
pub fn name_of(path: &Path) -> PathBuf {
    if path == Path::new("-") { PathBuf::from("standard input") } else { path.to_owned() }
}

impl Input {
    /// Opens a file or standard input. Nothing is read yet, but for a Parquet file its description.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Argument`] for options that contradict each other or the name; [`Error::Content`] for a file of another kind.
    pub fn open(options: &InputOptions<'_>) -> Result<Input> {
        let InputOptions { path, kind, columns, fields, required, text_bytes, .. } = *options;
        let name = name_of(path);
        let is_stdin = path == Path::new("-");
        if is_stdin {
            standard::check_stdin().map_err(Error::io(&name, "read"))?;
        }
        let (named, packing) = if is_stdin { (None, Packing::None) } else { of_name(path) };
        if let (None, Some(what)) = (kind, refused_name(path).filter(|_| !is_stdin)) {
            return Err(Error::Content { path: name, what });
        }
        if let (Some(kind), Some(named)) = (kind, named) {
            contradiction(options.kind_option, kind, named, path)?;
        }
        let is_inferred = kind.is_none() && named.is_some_and(|named| named != Kind::Text);
        let kind = kind.or(named).unwrap_or(Kind::Text);
        let takes_columns = matches!(kind, Kind::Csv | Kind::Tsv | Kind::Parquet);
        if !columns.is_empty() && !takes_columns {
            return Err(Error::Argument {
                option: "--columns",
                found: format!("{}, read as {}", name.display(), kind.name()),
                expected: "a table: CSV, TSV or Parquet".into(),
            });
        }
        let columns = Columns::new(columns, fields, required).map_err(|message| columns_error(&name, message))?;
        if kind == Kind::Parquet {
            return parquet(name, packing, is_inferred, columns, text_bytes);
        }
        let read = Arc::new(AtomicU64::new(0));
        let (file, wait, size) = open(path, &name)?;
        let is_terminal = is_stdin && io::stdin().is_terminal();
        let input = unpack(Counted(file, read.clone()), packing, &name)?;
        let wait = if packing == Packing::None { wait } else { Wait::Never };
        let lines = |factor: usize| Lines::new(input, wait, text_bytes.saturating_mul(factor));
        let entries = match kind {
            Kind::Text => Entries::Text(lines(1)),
            Kind::Jsonl => Entries::Json(lines(TEXTS_PER_LINE)),
            Kind::Tsv => Entries::Csv(Csv::new(lines(TEXTS_PER_LINE), b'\t', columns).into()),
            Kind::Csv | Kind::Parquet => Entries::Csv(Csv::new(lines(TEXTS_PER_LINE), b',', columns).into()),
        };
        Ok(Input { name, kind, entries, note: None, is_inferred, read, size, is_terminal })
    }

    /// How messages name it.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// What it holds.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether somebody types it.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Bytes read so far, and the size of the file if it is known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.read.load(Relaxed), self.size)
    }

    /// Reads enough to know what the input is.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Content`] for other data than text, [`Error::Argument`] for columns that are not there.
    pub fn begin(&mut self) -> Result<()> {
        let name = self.name.clone();
        let failed = Error::io(&name, "read");
        let lines = match &mut self.entries {
            Entries::Text(lines) | Entries::Json(lines) => lines,
            Entries::Csv(csv) => &mut csv.lines,
            #[cfg(feature = "parquet")]
            Entries::Parquet(_) => return Ok(()),
        };
        let first = lines.peek(SNIFFED).map_err(failed)?;
        if let Some(what) = of_bytes(first) {
            return Err(Error::Content { path: name, what });
        }
        let mut note = format!("{}: read as {}", name.display(), self.kind.name());
        let mut is_noted = self.is_inferred;
        if let Entries::Csv(csv) = &mut self.entries {
            csv.choose().map_err(Error::io(&name, "read"))?.map_err(|message| columns_error(&name, message))?;
            note = format!("{note}: {}", csv.about());
            is_noted = true;
        }
        self.note = is_noted.then_some(note);
        Ok(())
    }

    /// What was inferred and is not said yet.
    pub fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// Whether the next entry is there without waiting.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn is_ready(&mut self) -> Result<bool> {
        let ready = match &mut self.entries {
            Entries::Text(lines) | Entries::Json(lines) => lines.is_ready(),
            Entries::Csv(csv) => csv.lines.is_ready(),
            #[cfg(feature = "parquet")]
            Entries::Parquet(_) => Ok(true),
        };
        ready.map_err(Error::io(&self.name, "read"))
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Io`]: the rest cannot be read. What is wrong with one entry is in the entry.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let entry = match &mut self.entries {
            Entries::Text(lines) => next_line(lines).map(|line| {
                line.map(|(line, text)| Entry { line, content: text.map(|text| Content::Texts(vec![text])) })
            }),
            Entries::Json(lines) => {
                next_line(lines).map(|line| line.map(|(line, text)| Entry { line, content: text.map(Content::Json) }))
            }
            Entries::Csv(csv) => csv.next(),
            #[cfg(feature = "parquet")]
            Entries::Parquet(rows) => rows.next(),
        };
        entry.map_err(Error::io(&self.name, "read"))
    }
}

type NumberedText = (u64, Result<String, Defect>);

fn next_line(lines: &mut Lines) -> io::Result<Option<NumberedText>> {
    let limit = lines.limit();
    Ok(lines.next()?.map(|(number, line)| {
        let text = match line {
            Line::Bytes(bytes) => utf8(without_return(bytes)),
            Line::TooLong(found) => Err(Defect::TooLong { found, limit }),
        };
        (number, text)
    }))
}

fn contradiction(option: &'static str, asked: Kind, named: Kind, path: &Path) -> Result<()> {
    if asked == named {
        return Ok(());
    }
    Err(Error::Argument {
        option,
        found: format!("{} for the file {}", asked.name(), path.display()),
        expected: format!("{}, as the file's name says; rename the file if it says it wrongly", named.name()),
    })
}

fn columns_error(name: &Path, (found, expected): Mismatch) -> Error {
    Error::Argument { option: "--columns", found: format!("{found} ({})", name.display()), expected }
}

/// The stream, how to ask whether it waits, and its size.
fn open(path: &Path, name: &Path) -> Result<(Box<dyn Read + Send>, Wait, Option<u64>)> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        let failed = |source| Error::io(name, "read")(source);
        let file = if path == Path::new("-") {
            // Not through the library's buffer, which would hide what is there from the question whether a read waits.
            File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?)
        } else {
            File::open(path).map_err(failed)?
        };
        let about = file.metadata().map_err(failed)?;
        if about.is_dir() {
            return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        match about.is_file() {
            true => Ok((Box::new(file), Wait::Never, Some(about.len()))),
            false => {
                let asked = file.as_fd().try_clone_to_owned().map_err(failed)?;
                Ok((Box::new(file), Wait::Ask(asked), None))
            }
        }
    }
    #[cfg(not(unix))]
    {
        if path == Path::new("-") {
            return Ok((Box::new(io::stdin()), Wait::Always, None));
        }
        let file = File::open(path).map_err(Error::io(name, "read"))?;
        let size = file.metadata().map_err(Error::io(name, "read"))?.len();
        Ok((Box::new(file), Wait::Never, Some(size)))
    }
}

fn unpack(input: impl Read + Send + 'static, packing: Packing, name: &Path) -> Result<Box<dyn Read + Send>> {
    Ok(match packing {
        Packing::None => Box::new(input),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
        Packing::Zstd => Box::new(super::zstd::Frames::new(input).map_err(Error::io(name, "read"))?),
    })
}

#[cfg(feature = "parquet")]
fn parquet(name: PathBuf, packing: Packing, is_inferred: bool, columns: Columns, text_bytes: usize) -> Result<Input> {
    if packing != Packing::None {
        return Err(Error::Content { path: name, what: "a compressed Parquet file; expected it unpacked" });
    }
    let (rows, about) = Parquet::open(&name, &columns, text_bytes)?;
    let note = Some(format!("{}: read as Parquet: {about}", name.display()));
    let (read, size) = (rows.position(), Some(rows.rows()));
    let entries = Entries::Parquet(rows.into());
    Ok(Input { name, kind: Kind::Parquet, entries, note, is_inferred, read, size, is_terminal: false })
}

#[cfg(not(feature = "parquet"))]
fn parquet(name: PathBuf, _: Packing, _: bool, _: Columns, _: usize) -> Result<Input> {
    Err(Error::Content {
        path: name,
        what: "a Parquet file; expected text, or a build of lacuna with --features parquet",
    })
}
