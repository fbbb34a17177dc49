//! Batches of an input: as many lines as are there, up to a bound.

use lacuna::tasks::Record;
use lacuna_console::error::Result;
use lacuna_console::input::{Content, Defect, Entry, Input};

use super::policy::{BadLine, OnError, known};
use super::reading::Reading;
use super::trace::Trace;

/// Bytes of text that count as one token before they are tokenized: English has more, Chinese three.
const BYTES_PER_TOKEN: usize = 3;
/// Special tokens of a text.
const SPECIAL_TOKENS: usize = 2;
/// A batch holds at most this many bytes of text per token of its bound.
const MOST_BYTES_PER_TOKEN: usize = 16;

/// What bounds a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Tokens of a batch.
    pub(super) tokens: usize,
    /// The model's limit for one text.
    pub(super) per_text: usize,
    /// Longest text in bytes.
    pub(super) text_bytes: usize,
    pub(super) on_error: OnError,
}

/// Lines that run together.
pub(super) struct Batch<R> {
    /// Records with their lines, or why there is none.
    pub(super) items: Vec<Item<R>>,
    /// Whether the input has ended.
    pub(super) is_last: bool,
}

/// A line and its record.
pub(super) struct Item<R> {
    pub(super) line: u64,
    pub(super) record: Result<R, String>,
    /// What a row without a result repeats; only kept where such rows are written.
    pub(super) content: Option<Content>,
}

impl<R> Item<R> {
    /// The same as a line that gives no result.
    pub(super) fn bad(&self, reason: String, fields: &[&'static str]) -> BadLine {
        BadLine { line: self.line, reason, known: self.content.as_ref().and_then(|content| known(content, fields)) }
    }
}

/// Reads a batch: waits for its first line, and then takes what is there, up to the bounds. Where a bad line ends the run, it ends the batch.
pub(super) fn gather<R: Record>(
    input: &mut Input,
    reading: &Reading<'_, R>,
    bounds: Bounds,
    trace: &mut Trace,
) -> Result<Batch<R>> {
    let mut batch = Batch { items: Vec::new(), is_last: false };
    let (mut tokens, mut bytes) = (0, 0);
    loop {
        let is_full = tokens >= bounds.tokens || bytes >= bounds.tokens.saturating_mul(MOST_BYTES_PER_TOKEN);
        if !batch.items.is_empty() && (is_full || !input.is_ready()?) {
            return Ok(batch);
        }
        let Some(entry) = input.next_entry()? else {
            batch.is_last = true;
            return Ok(batch);
        };
        trace.add(&entry);
        let item = item(entry, reading, bounds);
        if let Ok(record) = &item.record {
            for text in texts_of(record) {
                tokens += (text / BYTES_PER_TOKEN + SPECIAL_TOKENS).min(bounds.per_text);
                bytes += text;
            }
        }
        let ends = item.record.is_err() && bounds.on_error == OnError::Stop;
        batch.items.push(item);
        if ends {
            return Ok(batch);
        }
    }
}

/// Reads everything into one record. Lines that cannot be read stay beside it.
pub(super) fn gather_all<R: Record>(
    input: &mut Input,
    reading: &Reading<'_, R>,
    bounds: Bounds,
) -> Result<(R, Vec<u64>, Vec<BadLine>)> {
    let (mut texts, mut lines, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(Entry { line, content }) = input.next_entry()? {
        match content.map_err(|defect| words(&defect)) {
            Ok(Content::Texts(more)) => {
                lines.extend(more.iter().map(|_| line));
                texts.extend(more);
            }
            Ok(Content::Json(_)) => {} // JSON lines are never one record
            Err(reason) => {
                bad.push(BadLine { line, reason, known: None });
                if bounds.on_error == OnError::Stop {
                    break;
                }
            }
        }
    }
    Ok((reading.one(texts), lines, bad))
}

fn item<R: Record>(entry: Entry, reading: &Reading<'_, R>, bounds: Bounds) -> Item<R> {
    let Entry { line, content } = entry;
    let kept = match (&content, bounds.on_error) {
        (Ok(content), OnError::Null) => Some(content.clone()),
        _ => None,
    };
    let record = content.map_err(|defect| words(&defect)).and_then(|content| reading.record(content));
    let record = record.and_then(|record| {
        let longest = texts_of(&record).into_iter().max().unwrap_or(0);
        match longest > bounds.text_bytes {
            false => Ok(record),
            true => Err(words(&Defect::TooLong { found: longest as u64, limit: bounds.text_bytes })),
        }
    });
    Item { line, record, content: kept }
}

/// What is wrong with a line, and the option that may mend it.
fn words(defect: &Defect) -> String {
    match defect {
        Defect::TooLong { .. } => format!("{defect}, the limit of --text-bytes"),
        other => other.to_string(),
    }
}

/// The bytes of every text of a record.
fn texts_of<R: Record>(record: &R) -> Vec<usize> {
    record.inputs().iter().flat_map(|input| [Some(input.text.len()), input.pair.map(str::len)]).flatten().collect()
}
