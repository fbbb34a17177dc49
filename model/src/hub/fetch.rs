//! The way from a name to a folder.

#[cfg(feature = "hub")]
use super::cached::Folder;
use super::model::{FetchProgress, HubModel, HubOptions, Snapshot};
#[cfg(not(feature = "hub"))]
use crate::error::HubError;
use crate::error::Result;

/// Makes sure that the cache holds all files of a model that are read.
///
/// A file appears in the cache only when it is complete. The next call resumes an interrupted download.
///
/// # Errors
/// [`Error::Hub`](crate::Error::Hub), of which [`HubError`] lists the causes; those of reading `modules.json` and of an index of
/// weight files.
#[cfg(feature = "hub")]
pub fn fetch(model: &HubModel, options: &HubOptions, progress: &mut dyn FetchProgress) -> Result<Snapshot> {
    let cache = Folder::new(model, options)?;
    let known = cache.commit().map(|commit| cache.snapshot(commit, options.weights.as_deref())).transpose();
    match (known, options.offline) {
        // Complete, without open questions.
        (Ok(Some(snapshot)), false) if snapshot.assumed_absent.is_empty() => Ok(snapshot),
        (Ok(Some(snapshot)), true) => Ok(snapshot),
        (Ok(None), true) => Err(cache.miss("this revision").into()),
        (Err(error), true) => Err(error),
        _ => super::client::fetch(model, options, &cache, progress),
    }
}

/// Makes sure that the cache holds what is read of a model: built without the feature `hub`, which that needs.
///
/// # Errors
/// [`HubError::NotBuilt`].
#[cfg(not(feature = "hub"))]
pub fn fetch(_: &HubModel, _: &HubOptions, _: &mut dyn FetchProgress) -> Result<Snapshot> {
    Err(HubError::NotBuilt.into())
}

#[cfg(test)]
mod tests {
    #[cfg(not(feature = "hub"))]
    use super::*;

    #[test]
    #[cfg(not(feature = "hub"))]
    fn without_the_feature_the_error_says_how_to_get_it() {
        let model: HubModel = "a/b".parse().unwrap();
        let error = fetch(&model, &HubOptions::default(), &mut ()).unwrap_err().to_string();
        assert!(error.contains("--features hub"), "{error}");
    }
}
