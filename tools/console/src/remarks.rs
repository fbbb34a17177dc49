//! What a command says beside its results, on standard error: how much of it, and where it goes.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Errors and warnings.
    Quiet,
    /// Also what was inferred, assumed and done.
    Normal,
    /// Also every single case of what is otherwise counted.
    Verbose,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Normal as u8);
/// Remarks that are said later, as a part of one JSON object.
static COLLECTED: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// Sets the level of this process.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Relaxed);
}

/// Whether so much is said.
pub fn says(level: Level) -> bool {
    level as u8 <= LEVEL.load(Relaxed)
}

/// From now on remarks are kept for [`take`].
pub fn collect() {
    *collected() = Some(Vec::new());
}

/// Whether remarks are kept.
pub fn is_collecting() -> bool {
    collected().is_some()
}

/// The remarks since [`collect`].
pub fn take() -> Vec<String> {
    collected().as_mut().map(std::mem::take).unwrap_or_default()
}

/// Says something about the results, unless the command is quiet.
pub fn say(text: impl Display) {
    remark(Level::Normal, &text);
}

/// Says what an option of its own asked for, at every level.
pub fn tell(text: impl Display) {
    remark(Level::Quiet, &text);
}

/// Says what is left out of a result or makes it doubtful, at every level.
pub fn warn(text: impl Display) {
    remark(Level::Quiet, &format_args!("warning: {text}"));
}

/// Says something that is asked for with `--verbose`.
pub fn detail(text: impl Display) {
    remark(Level::Verbose, &text);
}

fn remark(level: Level, text: &dyn Display) {
    if !says(level) {
        return;
    }
    if let Some(list) = collected().as_mut() {
        return list.push(text.to_string());
    }
    // Results matter more than remarks: a closed standard error does not stop them.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn collected() -> std::sync::MutexGuard<'static, Option<Vec<String>>> {
    COLLECTED.lock().unwrap_or_else(PoisonError::into_inner)
}
