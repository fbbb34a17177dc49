//! Reading whole files within a limit.
//!
//! Settings, vocabularies and tables are small files that are read as a whole. What stands under their names may be something
//! else: a pipe that nobody writes to, a device that never ends, a file of many gigabytes. [`read`] opens regular files only,
//! never waits for a writer, and reads no more bytes than its limit.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod encoding;
mod read;

pub use encoding::{Encoding, utf8};
pub use read::{ReadError, SETTINGS_LIMIT, open, read};
