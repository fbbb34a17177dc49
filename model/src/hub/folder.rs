//! A model's folder in the hub's cache, given in place of the folder of a model.
//!
//! ```text
//! models--owner--name/
//!     refs/main             the commit of the branch
//!     snapshots/COMMIT/     what a model's folder holds, as links into blobs/
//! ```

use std::path::{Path, PathBuf};

use crate::error::{HubError, Result};

/// The most bytes of a file with the name of a commit.
const REF_LIMIT: u64 = 4096;

/// The folder with the model's files: `path` itself, or, if that is a model's folder in the hub's cache, the snapshot of its branch `main`. If
/// there is no such branch, the only snapshot.
///
/// # Errors
/// [`HubError::Snapshot`] if the cache holds no snapshot of the branch, or several and no branch.
pub fn model_folder(path: &Path) -> Result<PathBuf> {
    let snapshots = path.join("snapshots");
    let has_model = ["config.json", "modules.json"].iter().any(|name| path.join(name).exists());
    if has_model || !snapshots.is_dir() {
        return Ok(path.to_owned());
    }
    let wrong = |found: String, expected: &'static str| {
        let path = path.to_owned();
        Err(HubError::Snapshot { path, found, expected }.into())
    };
    let main = lacuna_files::read(&path.join("refs/main"), REF_LIMIT).ok();
    if let Some(commit) = main.as_deref().and_then(|bytes| lacuna_files::utf8(bytes).ok()) {
        let commit = commit.trim();
        // It becomes a part of a path.
        let is_commit = !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let folder = snapshots.join(commit);
        return match is_commit && folder.is_dir() {
            true => Ok(folder),
            false => wrong(
                format!("no snapshot {commit:?}, which refs/main names"),
                "it: download the model again, or give the folder of another snapshot",
            ),
        };
    }
    let entries = std::fs::read_dir(&snapshots);
    let entries = entries.map_err(|source| HubError::Cache { path: snapshots.clone(), action: "list", source })?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.retain(|folder| folder.is_dir());
    match &folders[..] {
        [folder] => Ok(folder.clone()),
        folders => wrong(
            format!("{} snapshots and no refs/main", folders.len()),
            "one of them: give its folder, snapshots/COMMIT",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_snapshot_of_the_branch() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("models--a--b");
        std::fs::create_dir_all(model.join("snapshots/0123abc")).unwrap();
        let snapshot = |commit: &str| model.join("snapshots").join(commit);
        assert_eq!(model_folder(&model).unwrap(), snapshot("0123abc"));
        std::fs::create_dir(snapshot("4567def")).unwrap();
        assert!(matches!(model_folder(&model), Err(Error::Hub(HubError::Snapshot { .. }))));
        std::fs::create_dir(model.join("refs")).unwrap();
        std::fs::write(model.join("refs/main"), "4567def\n").unwrap();
        assert_eq!(model_folder(&model).unwrap(), snapshot("4567def"));
        for commit in ["89ab", "../x", "", "."] {
            std::fs::write(model.join("refs/main"), commit).unwrap();
            assert!(matches!(model_folder(&model), Err(Error::Hub(HubError::Snapshot { .. }))), "{commit:?}");
        }
        // What is a model's folder already.
        for folder in [snapshot("4567def"), dir.path().to_owned(), dir.path().join("absent")] {
            assert_eq!(model_folder(&folder).unwrap(), folder);
        }
        std::fs::write(model.join("config.json"), "{}").unwrap();
        assert_eq!(model_folder(&model).unwrap(), model);
    }
}
