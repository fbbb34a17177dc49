//! Asking the hub.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use sha2::{Digest, Sha256};

use super::cached::{Folder, failed, is_commit, is_there};
use super::files::{Files, visit};
use super::model::{FetchProgress, HubModel, HubOptions, Snapshot};
use crate::error::HubError;
use crate::error::Result;

const ENDPOINT: &str = "https://huggingface.co";
/// How often a download that breaks off is taken up again.
const ATTEMPTS: u32 = 3;
/// Before the second attempt; more before each further one.
const PAUSE: Duration = Duration::from_millis(300);

/// What is fetched where.
struct Hub<'a> {
    model: &'a HubModel,
    endpoint: String,
    token: &'static str,
    api: Api,
}

/// Fetches what the cache lacks.
pub(super) fn fetch(
    model: &HubModel,
    options: &HubOptions,
    folder: &Folder,
    progress: &mut dyn FetchProgress,
) -> Result<Snapshot> {
    let hub = Hub::new(model, options, folder)?;
    let info = hub.api.repo(folder.repo(model.revision())).info().map_err(|error| hub.explain(error, folder))?;
    let commit = info.sha.to_ascii_lowercase();
    if !is_commit(&commit) {
        return Err(hub.protocol(format!("commit {:?}", info.sha)).into());
    }
    // From here on by the commit: a branch may move meanwhile.
    let mut files = Fetch {
        repo: hub.api.repo(folder.repo(&commit)),
        listed: info.siblings.into_iter().map(|file| file.rfilename).collect(),
        fetched: Vec::new(),
        hub: &hub,
        folder,
        commit: &commit,
        progress,
    };
    visit(&mut files, options.weights.as_deref())?;
    let fetched = files.fetched;
    // Last, so that a revision in the cache is a complete one.
    let refs = folder.at(model.revision());
    refs.create_ref(&commit).map_err(failed(folder.cache().path(), "write the revision in"))?;
    Ok(Snapshot { folder: refs.pointer_path(&commit), commit, fetched, assumed_absent: Vec::new() })
}

impl<'a> Hub<'a> {
    fn new(model: &'a HubModel, options: &HubOptions, folder: &Folder) -> Result<Hub<'a>, HubError> {
        let endpoint = options.endpoint.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/').to_owned();
        // Reads the token file beside the cache.
        let mut builder =
            ApiBuilder::from_cache(folder.cache().clone()).with_progress(false).with_endpoint(endpoint.clone());
        if let Some(token) = &options.token {
            builder = builder.with_token(Some(token.clone()));
        }
        let token = match options.token.is_some() || folder.cache().token().is_some() {
            true => "with a token",
            false => "without a token",
        };
        let unreachable = |error: ApiError| HubError::Network {
            model: model.to_string(),
            endpoint: endpoint.clone(),
            reason: error.to_string(),
        };
        let api = builder.build().map_err(unreachable)?;
        Ok(Hub { model, endpoint, token, api })
    }

    fn model(&self) -> String {
        self.model.to_string()
    }

    fn protocol(&self, reason: String) -> HubError {
        HubError::Protocol { model: self.model(), endpoint: self.endpoint.clone(), reason }
    }

    /// Why the hub does not describe the revision: no such model, or no such revision of it.
    fn explain(&self, error: ApiError, folder: &Folder) -> HubError {
        if status(&error) != Some(404) {
            return self.failed(error, "the list of its files");
        }
        let (model, endpoint) = (self.model.name().to_owned(), self.endpoint.clone());
        match self.api.repo(folder.repo(super::model::MAIN)).info() {
            Ok(_) => HubError::Revision { model, revision: self.model.revision().to_owned(), endpoint },
            Err(error) if status(&error) == Some(404) => HubError::NotFound { model, endpoint },
            Err(error) => self.failed(error, "the list of its files"),
        }
    }

    fn failed(&self, error: ApiError, file: &str) -> HubError {
        let (model, endpoint) = (self.model(), self.endpoint.clone());
        match status(&error) {
            Some(status @ (401 | 403)) => HubError::Unauthorised { model, endpoint, status, token: self.token },
            Some(status) => HubError::Server { model, endpoint, status, file: file.to_owned() },
            None => match error {
                ApiError::RequestError(error) => match *error {
                    ureq::Error::Json(error) => self.protocol(format!("{file}: {error}")),
                    error => HubError::Network { model, endpoint, reason: error.to_string() },
                },
                ApiError::LockAcquisition(lock) => HubError::Locked { model, lock },
                error => self.protocol(format!("{file}: {error}")),
            },
        }
    }
}

/// The HTTP status of an answer that is an error.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        _ => None,
    }
}

/// The hub, with the cache for what it has already.
struct Fetch<'a> {
    hub: &'a Hub<'a>,
    repo: ApiRepo,
    folder: &'a Folder,
    commit: &'a str,
    /// Every file of the commit.
    listed: BTreeSet<String>,
    fetched: Vec<String>,
    progress: &'a mut dyn FetchProgress,
}

impl Files for Fetch<'_> {
    fn model(&self) -> String {
        self.hub.model()
    }

    fn find(&mut self, file: &str) -> Result<Option<PathBuf>> {
        let path = self.folder.file(self.commit, file);
        if !self.listed.contains(file) {
            self.folder.mark_absent(self.commit, file)?;
            return Ok(None);
        }
        if !is_there(&path)? {
            self.download(file, &path)?;
            self.fetched.push(file.to_owned());
        }
        Ok(Some(path))
    }

    fn missing(&self, file: &str, expected: &str) -> HubError {
        HubError::MissingFile { model: self.model(), file: file.to_owned(), expected: expected.to_owned() }
    }
}

impl Fetch<'_> {
    fn download(&mut self, file: &str, path: &Path) -> Result<(), HubError> {
        let mut attempt = 1;
        loop {
            let mut meter = Meter { progress: self.progress, bytes: None, found: 0 };
            let result = self.repo.download_with_progress(file, &mut meter);
            let (bytes, found) = (meter.bytes.unwrap_or(0), meter.found);
            let error = match result {
                Ok(written) => return self.verify(file, path, &written, bytes),
                Err(error) => error,
            };
            let broken = |reason: String| HubError::Incomplete {
                model: self.hub.model(),
                file: file.to_owned(),
                found,
                expected: bytes,
                reason,
            };
            let error = match error {
                // What an interrupted download left does not fit: from the beginning.
                ApiError::InvalidResume => {
                    self.forget_part(file)?;
                    broken("what an earlier download left is longer".into())
                }
                error if status(&error) == Some(416) => {
                    self.forget_part(file)?;
                    broken("what an earlier download left is no beginning of it".into())
                }
                ApiError::IoError(error) if !is_of_disk(error.kind()) => broken(error.to_string()),
                ApiError::IoError(error) => return Err(failed(self.folder.cache().path(), "write to")(error)),
                error => return Err(self.hub.failed(error, file)),
            };
            if attempt == ATTEMPTS {
                return Err(error);
            }
            std::thread::sleep(PAUSE * attempt);
            attempt += 1;
        }
    }

    /// A server that ends the connection early without an error, or resumes at the wrong place, leaves the wrong length or the wrong bytes.
    fn verify(&self, file: &str, path: &Path, written: &Path, bytes: u64) -> Result<(), HubError> {
        let (model, file) = (self.hub.model(), file.to_owned());
        let found = std::fs::metadata(written).map_err(failed(written, "read the size of"))?.len();
        let blob = std::fs::canonicalize(written).map_err(failed(written, "open"))?;
        if found != bytes {
            remove(written, &blob)?;
            let reason = "the connection ended early, or the server does not resume at the requested place".into();
            return Err(HubError::Incomplete { model, file, found, expected: bytes, reason });
        }
        // The hub names large files by their digests, and so does its cache.
        let name = blob.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if name.len() == 64 && is_commit(name) {
            let digest = digest(&blob)?;
            if digest != name.to_ascii_lowercase() {
                remove(written, &blob)?;
                return Err(HubError::Digest { model, file, found: digest, expected: name.to_owned() });
            }
        }
        match written == path {
            true => Ok(()),
            false => Err(self.hub.protocol(format!("{file} is of another commit than {}", self.commit))),
        }
    }

    /// Removes what an interrupted download left of a file.
    fn forget_part(&self, file: &str) -> Result<(), HubError> {
        let about = self.hub.api.metadata(&self.repo.url(file)).map_err(|error| self.hub.failed(error, file))?;
        let part = self.folder.at(self.commit).blob_path(about.etag()).with_extension("part");
        match std::fs::remove_file(&part) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&part, "remove")(error)),
            _ => Ok(()),
        }
    }
}

/// Removes a file of the cache: the link first, so that at no moment it leads nowhere.
fn remove(link: &Path, blob: &Path) -> Result<(), HubError> {
    std::fs::remove_file(link).map_err(failed(link, "remove"))?;
    if blob != link && is_there(blob)? {
        std::fs::remove_file(blob).map_err(failed(blob, "remove"))?;
    }
    Ok(())
}

/// SHA-256 of a file, in hexadecimal.
fn digest(path: &Path) -> Result<String, HubError> {
    let mut file = File::open(path).map_err(failed(path, "open"))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(failed(path, "read"))? {
            0 => break,
            length => hasher.update(&buffer[..length]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether an error while a download is written comes from the place where it is written.
fn is_of_disk(kind: ErrorKind) -> bool {
    use ErrorKind::{
        FileTooLarge, NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    matches!(
        kind,
        FileTooLarge | NotADirectory | NotFound | PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull
    )
}

/// Counts on the way.
struct Meter<'a> {
    progress: &'a mut dyn FetchProgress,
    bytes: Option<u64>,
    found: u64,
}

impl Progress for &mut Meter<'_> {
    fn init(&mut self, size: usize, file: &str) {
        (self.bytes, self.found) = (Some(size as u64), 0);
        self.progress.begin(file, size as u64);
    }

    fn update(&mut self, size: usize) {
        self.found += size as u64;
        self.progress.advance(size as u64);
    }

    fn finish(&mut self) {
        self.progress.end();
    }
}
