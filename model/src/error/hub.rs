//! What can go wrong between a name on the hub and a folder.

use std::path::PathBuf;

use super::ErrorKind;

/// Every variant names the model, what was found, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The crate was built without its feature `hub`.
    #[error(
        "models of the hub: not in this build; build with --features hub (which needs a C compiler), or download \
         the model and give its folder"
    )]
    NotBuilt,

    /// A text that is not a valid name of a model and revision.
    #[error("model of the hub: found {found:?}; expected owner/model or owner/model@revision")]
    Name {
        /// As given.
        found: String,
    },

    /// The hub has no such model.
    #[error("{model}: not found at {endpoint}; check the name (owner/model, as in the address of its page)")]
    NotFound {
        /// The model.
        model: String,
        /// Where it was looked for.
        endpoint: String,
    },

    /// The model has no such revision.
    #[error("{model}: no revision {revision:?} at {endpoint}; expected a branch, a tag or a full commit of the model")]
    Revision {
        /// The model.
        model: String,
        /// As given.
        revision: String,
        /// Where it was looked for.
        endpoint: String,
    },

    /// The hub does not give this model to this caller. It gives the same answer for models that do not exist.
    #[error(
        "{model}: access refused by {endpoint} (HTTP {status}, {token}): check the name; a private model needs HF_TOKEN with a \
         token that may read it, a gated one also that its terms were accepted on its page"
    )]
    Unauthorised {
        /// The model.
        model: String,
        /// Who refused.
        endpoint: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        token: &'static str,
    },

    /// The model lacks a file that every model needs.
    #[error("{model}: no {file} on the hub; expected a model with {expected}")]
    MissingFile {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// What a model needs.
        expected: String,
    },

    /// A file of the model names another outside the model.
    #[error("{model}: {file} names {found:?}; expected a path inside the model")]
    FileName {
        /// The model.
        model: String,
        /// Where it says so.
        file: &'static str,
        /// What it says.
        found: String,
    },

    /// The hub could not be reached.
    #[error(
        "{model}: cannot reach {endpoint}: {reason}; check the network and HF_ENDPOINT, or use what is cached with --offline"
    )]
    Network {
        /// The model.
        model: String,
        /// What was to be reached.
        endpoint: String,
        /// The cause.
        reason: String,
    },

    /// The hub answered with an error of its own.
    #[error("{model}: {endpoint} answered HTTP {status} for {file}; try again later")]
    Server {
        /// The model.
        model: String,
        /// Who answered.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// What was asked for.
        file: String,
    },

    /// The answer is not one that a hub gives.
    #[error("{model}: {endpoint} does not answer like a hub: {reason}; check HF_ENDPOINT")]
    Protocol {
        /// The model.
        model: String,
        /// Who answered.
        endpoint: String,
        /// What is wrong.
        reason: String,
    },

    /// A download broke off, several times, or has the wrong length.
    #[error("{model}: {file} is incomplete: found {found} bytes; expected {expected} ({reason}); run again to resume")]
    Incomplete {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Bytes that are there.
        found: u64,
        /// Bytes that there are.
        expected: u64,
        /// What broke it off.
        reason: String,
    },

    /// What was downloaded is not what the hub has.
    #[error(
        "{model}: {file} was damaged on the way: found SHA-256 {found}; expected {expected}; run again to download it anew"
    )]
    Digest {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Of what was downloaded, in hexadecimal.
        found: String,
        /// What the hub says.
        expected: String,
    },

    /// The cache lacks a file, and requests are not allowed.
    #[error("{model}: {file} is not in the cache {cache}; run once without --offline and HF_HUB_OFFLINE", cache = .cache.display())]
    Offline {
        /// The model.
        model: String,
        /// What is missing.
        file: String,
        /// The folder of the cache.
        cache: PathBuf,
    },

    /// No place for the cache is known.
    #[error("no folder for the hub's cache: found neither HF_HUB_CACHE, HF_HOME nor a home directory; set HF_HOME")]
    NoCache,

    /// A model's folder in the cache, from which no snapshot can be chosen.
    #[error("{path}: a model's folder in the hub's cache: found {found}; expected {expected}", path = .path.display())]
    Snapshot {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },

    /// Another process holds a file that is to be fetched.
    #[error("{model}: {lock} is locked: another process is fetching the same file; wait for it and run again", lock = .lock.display())]
    Locked {
        /// The model.
        model: String,
        /// The lock.
        lock: PathBuf,
    },

    /// The cache cannot be read or written.
    #[error("{path}: cannot {action}: {source}; HF_HOME chooses another folder for the hub's cache", path = .path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The operating system's answer.
        source: std::io::Error,
    },
}

impl HubError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            HubError::NotBuilt => ErrorKind::Unsupported,
            HubError::Name { .. } => ErrorKind::InvalidOption,
            HubError::NotFound { .. }
            | HubError::Revision { .. }
            | HubError::MissingFile { .. }
            | HubError::Offline { .. }
            | HubError::Snapshot { .. }
            | HubError::NoCache => ErrorKind::NotFound,
            HubError::FileName { .. } | HubError::Digest { .. } => ErrorKind::InvalidFile,
            HubError::Unauthorised { .. }
            | HubError::Network { .. }
            | HubError::Server { .. }
            | HubError::Protocol { .. }
            | HubError::Incomplete { .. }
            | HubError::Locked { .. } => ErrorKind::Io,
            HubError::Cache { source, .. } => ErrorKind::of_io(source),
        }
    }
}
