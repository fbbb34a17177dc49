//! Why an engine is out.

use std::path::PathBuf;

/// An engine that cannot be loaded, or cannot do its work. The others continue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// A crate that this binary was built without.
    #[error("this command was built without {engine}; build with --features {feature}")]
    NotBuilt {
        /// Its name.
        engine: &'static str,
        /// The cargo feature.
        feature: &'static str,
    },
    /// A shared library that is nowhere.
    #[error("{library}: found no shared library ({looked}); {get}")]
    NotFound {
        /// Its name.
        library: &'static str,
        /// Where it was looked for.
        looked: String,
        /// How to get it.
        get: String,
    },
    /// A file that the system's loader refuses.
    #[error("{path}: cannot load as a shared library: {reason}", path = .path.display())]
    NotLoadable {
        /// The file.
        path: PathBuf,
        /// The loader's message.
        reason: String,
    },
    /// A shared library without one of the functions that the library must have.
    #[error("{path}: not {library}, or too old: found no symbol {symbol}", path = .path.display())]
    MissingSymbol {
        /// The file.
        path: PathBuf,
        /// What it should be.
        library: &'static str,
        /// The function.
        symbol: &'static str,
    },
    /// A version that is not supported.
    #[error("{path}: {library} version: found {found}; expected {expected}", path = .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it is.
        library: &'static str,
        /// What it says.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A call into a library that failed.
    #[error("{library}: {call} failed: {reason}")]
    Call {
        /// The library.
        library: &'static str,
        /// What was called.
        call: String,
        /// Its answer.
        reason: String,
    },
    /// Something that the engine has no way to do.
    #[error("{engine} does not compute {what}")]
    Cannot {
        /// Its name.
        engine: &'static str,
        /// What was asked for.
        what: &'static str,
    },
}

impl From<EngineError> for lacuna_console::error::Error {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}
