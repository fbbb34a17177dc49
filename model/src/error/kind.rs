//! Kinds of errors, for callers that act by kind.

use std::io;

/// What kind of thing went wrong: what a caller may decide by, where the message is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file, a folder or the network could not be read or written.
    Io,
    /// A file, a model or a revision does not exist.
    NotFound,
    /// A file is damaged, or contradicts itself or another one.
    InvalidFile,
    /// A file or a setting is legal, but not supported here, or not by the features of this build.
    Unsupported,
    /// An option is out of its bounds, or does not go with the others or with the model.
    InvalidOption,
    /// Texts, tokens or values that the model cannot take.
    InvalidInput,
    /// The model lacks something that the call needs: a tokenizer, a head, f32 weights.
    Missing,
    /// The machine cannot do it: a CPU feature, executable memory.
    Machine,
    /// The call was cancelled.
    Cancelled,
    /// A contradiction inside the library: a bug.
    Internal,
}

impl ErrorKind {
    /// The kind of an answer of the operating system.
    pub fn of_io(error: &io::Error) -> ErrorKind {
        match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        }
    }
}
