//! How packed models begin, so that reading a model can tell them from weight files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The first bytes of every packed model: a byte that is no text, and a line break that text conversion would change.
pub const MAGIC: [u8; 8] = *b"\x8bLACUNA\n";

/// Whether a path leads to a regular file that begins as packed models do.
///
/// # Errors
/// Those of opening and reading the file.
pub fn is_packed(path: &Path) -> io::Result<bool> {
    if !std::fs::metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut start = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start == MAGIC)
}
