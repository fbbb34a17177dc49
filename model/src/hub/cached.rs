//! What the cache holds, in the layout of the hub's own tools.
//!
//! ```text
//! models--owner--name/
//!     refs/main                       the commit that a branch was when it was fetched
//!     snapshots/COMMIT/config.json    links into blobs/
//!     .no_exist/COMMIT/modules.json   empty: that commit has no such file
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::files::{Files, visit};
use super::model::{HubModel, HubOptions, Snapshot};
use crate::error::HubError;
use crate::error::Result;

/// The most bytes of a file with the name of a commit.
const REF_LIMIT: u64 = 4096;

/// The folder of one model in the cache.
pub(super) struct Folder {
    model: HubModel,
    cache: Cache,
}

impl Folder {
    pub(super) fn new(model: &HubModel, options: &HubOptions) -> Result<Folder, HubError> {
        let cache = match &options.cache {
            Some(path) => Cache::new(path.clone()),
            // The library panics without a home directory.
            None if std::env::home_dir().is_none_or(|home| home.as_os_str().is_empty()) => {
                return Err(HubError::NoCache);
            }
            None => Cache::default(),
        };
        Ok(Folder { model: model.clone(), cache })
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The model at a revision, as the library names it.
    pub(super) fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.model.name().to_owned(), RepoType::Model, revision.to_owned())
    }

    pub(super) fn at(&self, revision: &str) -> CacheRepo {
        self.cache.repo(self.repo(revision))
    }

    fn path(&self) -> PathBuf {
        self.cache.path().join(self.repo("").folder_name())
    }

    /// The commit that the cache knows the revision as.
    pub(super) fn commit(&self) -> Option<String> {
        let revision = self.model.revision();
        let known = lacuna_files::read(&self.path().join("refs").join(revision), REF_LIMIT).ok();
        let known = known.and_then(|bytes| String::from_utf8(bytes).ok());
        let known = known.map(|commit| commit.trim().to_owned()).filter(|commit| is_commit(commit));
        // A full commit is itself.
        known.or_else(|| {
            (is_commit(revision) && self.at(revision).pointer_path(revision).is_dir()).then(|| revision.into())
        })
    }

    pub(super) fn file(&self, commit: &str, file: &str) -> PathBuf {
        self.at(commit).pointer_path(commit).join(file)
    }

    fn absence(&self, commit: &str, file: &str) -> PathBuf {
        self.path().join(".no_exist").join(commit).join(file)
    }

    /// Notes that the commit has no such file.
    pub(super) fn mark_absent(&self, commit: &str, file: &str) -> Result<(), HubError> {
        let path = self.absence(commit, file);
        let parent = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(parent).map_err(failed(parent, "create"))?;
        std::fs::write(&path, []).map_err(failed(&path, "write"))
    }

    /// The error for what the cache lacks.
    pub(super) fn miss(&self, file: &str) -> HubError {
        HubError::Offline { model: self.model.to_string(), file: file.to_owned(), cache: self.cache.path().clone() }
    }

    /// What the cache alone says of a commit.
    pub(super) fn snapshot(&self, commit: String, weights: Option<&str>) -> Result<Snapshot> {
        let mut look = Look { folder: self, commit: &commit, unknown: Vec::new() };
        visit(&mut look, weights)?;
        let assumed_absent = look.unknown;
        let folder = self.at(&commit).pointer_path(&commit);
        Ok(Snapshot { folder, commit, fetched: Vec::new(), assumed_absent })
    }
}

/// Only hexadecimal digits: it becomes a part of a path.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A [`HubError::Cache`] maker for `map_err`.
pub(super) fn failed(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> HubError {
    move |source| HubError::Cache { path: path.to_owned(), action, source }
}

/// Whether a file is there, through links.
pub(super) fn is_there(path: &Path) -> Result<bool, HubError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.is_file()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(failed(path, "look for")(error)),
    }
}

/// The cache without the hub.
struct Look<'a> {
    folder: &'a Folder,
    commit: &'a str,
    /// Files that are not there, and of which nothing says that there are none.
    unknown: Vec<String>,
}

impl Files for Look<'_> {
    fn model(&self) -> String {
        self.folder.model.to_string()
    }

    fn find(&mut self, file: &str) -> Result<Option<PathBuf>> {
        let path = self.folder.file(self.commit, file);
        if is_there(&path)? {
            return Ok(Some(path));
        }
        if !is_there(&self.folder.absence(self.commit, file))? {
            self.unknown.push(file.to_owned());
        }
        Ok(None)
    }

    fn missing(&self, file: &str, _: &str) -> HubError {
        self.folder.miss(file)
    }
}
