//! What to download, from where, and the result.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::env::HubVariables;
use crate::error::HubError;

/// The revision where none is given.
pub(super) const MAIN: &str = "main";

/// A model's name on the hub, and a revision of it: `NAME` or `NAME@REVISION`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubModel {
    name: String,
    revision: String,
}

impl HubModel {
    /// `owner/model`, or `model` alone.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A branch, a tag or a commit; `main` where none was given.
    pub fn revision(&self) -> &str {
        &self.revision
    }
}

impl FromStr for HubModel {
    type Err = HubError;

    /// # Errors
    /// [`HubError::Name`] for what no model and no revision can be called.
    fn from_str(text: &str) -> Result<HubModel, HubError> {
        let (name, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let wrong = || HubError::Name { found: text.to_owned() };
        // Both become parts of paths and addresses.
        let is_part = |part: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && part.chars().all(known) && !part.contains("..") && part != "."
        };
        let is_name = name.split('/').count() <= 2 && name.split('/').all(is_part);
        match is_name && revision.split('/').all(is_part) {
            true => Ok(HubModel { name: name.to_owned(), revision: revision.to_owned() }),
            false => Err(wrong()),
        }
    }
}

impl fmt::Display for HubModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision == MAIN {
            true => f.write_str(&self.name),
            false => write!(f, "{}@{}", self.name, self.revision),
        }
    }
}

/// Where to fetch from, and what with.
#[derive(Clone, Default)]
pub struct HubOptions {
    pub(super) endpoint: Option<String>,
    pub(super) cache: Option<PathBuf>,
    pub(super) token: Option<String>,
    pub(super) weights: Option<String>,
    pub(super) offline: bool,
}

impl HubOptions {
    /// The hub's own variables, with the precedence that its tools give them: the cache is `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, the folder
    /// `hub` of `HF_HOME`, `huggingface/hub` of `XDG_CACHE_HOME`, or `~/.cache/huggingface/hub`; `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, the file
    /// `HF_TOKEN_PATH` or the file `token` of the home; `HF_ENDPOINT`; `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE`.
    pub fn from_env() -> HubOptions {
        let HubVariables { cache, token, endpoint, offline } = HubVariables::read();
        HubOptions { endpoint, cache, token, weights: None, offline }
    }

    /// The address of the hub, or of a mirror of it; the default is `https://huggingface.co`.
    #[must_use]
    pub fn with_endpoint(self, endpoint: impl Into<String>) -> Self {
        Self { endpoint: Some(endpoint.into()), ..self }
    }

    /// The folder of the cache.
    #[must_use]
    pub fn with_cache(self, cache: impl Into<PathBuf>) -> Self {
        Self { cache: Some(cache.into()), ..self }
    }

    /// The token for private and gated models; the default is the file `token` beside the cache, if there is one.
    #[must_use]
    pub fn with_token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// The weight file or ONNX graph to fetch, a path in the model such as `onnx/model_quantized.onnx`; the default is the first that
    /// [`Model::open`](crate::Model::open) would find.
    #[must_use]
    pub fn with_weights(self, file: impl Into<String>) -> Self {
        Self { weights: Some(file.into()), ..self }
    }

    /// Whether only the cache is asked.
    #[must_use]
    pub fn with_offline(self, offline: bool) -> Self {
        Self { offline, ..self }
    }

    /// Whether only the cache is asked.
    pub fn is_offline(&self) -> bool {
        self.offline
    }
}

impl fmt::Debug for HubOptions {
    /// Everything but the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "...");
        let mut all = f.debug_struct("HubOptions");
        all.field("endpoint", &self.endpoint).field("cache", &self.cache).field("token", &token);
        all.field("weights", &self.weights).field("offline", &self.offline).finish()
    }
}

/// Receives the progress of each download; `()` ignores it.
pub trait FetchProgress {
    /// The download of a file starts, or resumes where it was interrupted.
    fn begin(&mut self, file: &str, bytes: u64);
    /// This many more bytes have arrived.
    fn advance(&mut self, bytes: u64);
    /// The file is complete.
    fn end(&mut self);
}

impl FetchProgress for () {
    fn begin(&mut self, _: &str, _: u64) {}
    fn advance(&mut self, _: u64) {}
    fn end(&mut self) {}
}

/// A model in the cache, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What [`Model::open`](crate::Model::open) takes.
    pub folder: PathBuf,
    /// The commit that the revision is.
    pub commit: String,
    /// The files that this call downloaded, in order; empty if all were in the cache.
    pub fetched: Vec<String>,
    /// Optional files that are not in an offline cache. The model may have them; they are treated as absent.
    pub assumed_absent: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_hub_takes_and_stay_in_their_folder() {
        for (text, name, revision) in [
            ("gpt2", "gpt2", "main"),
            ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "main"),
            ("a/b@v1.0", "a/b", "v1.0"),
            ("a/b@refs/pr/3", "a/b", "refs/pr/3"),
        ] {
            let model: HubModel = text.parse().unwrap();
            assert_eq!((model.name(), model.revision()), (name, revision));
            assert_eq!(model.to_string(), text);
        }
        for text in
            ["", "@main", "a/", "/a", "a/b/c", "a/..", "../a", "a b", "a@", "a@../x", "a@/x", "a@x//y", "a/b?c", "."]
        {
            assert!(matches!(text.parse::<HubModel>(), Err(HubError::Name { .. })), "{text}");
        }
    }

    #[test]
    fn tokens_are_not_shown() {
        let options = HubOptions::default().with_token("hf_secret");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
