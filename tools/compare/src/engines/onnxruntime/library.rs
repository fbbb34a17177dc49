//! Whether a file is ONNX Runtime, and new enough: the `ort` crate, which is handed the file afterwards, ends the process over some
//! files that are not.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::path::Path;

use libloading::Library;
use ort::sys::OrtApiBase;

use super::failure::{LIBRARY, failed};
use crate::error::EngineError;

/// The entry point of every version.
const ENTRY: &str = "OrtGetApiBase";

/// The oldest version with the functions that the `ort` crate calls as it is built here: 1.x of [`ort::MINOR_VERSION`].
const EXPECTED: &str = "1.17 or newer";

/// A library that stays loaded while this value lives.
pub(super) struct Checked {
    /// As in "1.32.0".
    pub(super) version: String,
    _library: Library,
}

/// Loads the file and asks it for its version.
///
/// # Errors
/// [`EngineError::NotLoadable`], [`EngineError::MissingSymbol`], [`EngineError::Version`]; [`EngineError::Call`] for a library that
/// answers nothing.
pub(super) fn check(path: &Path) -> Result<Checked, EngineError> {
    // SAFETY: loading runs the file's initialisers. The user named this file, or put it where ONNX Runtime is looked for, to have
    // it run.
    let library = unsafe { Library::new(path) }
        .map_err(|error| EngineError::NotLoadable { path: path.to_owned(), reason: error.to_string() })?;
    // SAFETY: the header of every version of ONNX Runtime declares `const OrtApiBase* OrtGetApiBase(void)`, and nobody else uses
    // its prefix.
    let entry = unsafe { library.get::<unsafe extern "system" fn() -> *const OrtApiBase>(ENTRY) };
    let Ok(entry) = entry else {
        return Err(EngineError::MissingSymbol { path: path.to_owned(), library: LIBRARY, symbol: ENTRY });
    };
    // SAFETY: the function takes nothing, and returns null or the address of a constant of the library, which is still loaded.
    let Some(base) = (unsafe { entry().as_ref() }) else {
        return Err(failed(ENTRY, "returned nothing"));
    };
    // SAFETY: both functions of the base are those of the header, which has not changed them since version 1.0; the version is null
    // or the address of a constant C string of the library.
    let (version, api) = unsafe {
        let version = (base.GetVersionString)();
        let version = (!version.is_null()).then(|| CStr::from_ptr(version).to_string_lossy().into_owned());
        (version, (base.GetApi)(ort::MINOR_VERSION))
    };
    let version = version.unwrap_or_else(|| "none".to_owned());
    match api.is_null() {
        false => Ok(Checked { version, _library: library }),
        true => {
            Err(EngineError::Version { path: path.to_owned(), library: LIBRARY, found: version, expected: EXPECTED })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_version_is_that_of_the_crate() {
        assert_eq!(EXPECTED, format!("1.{} or newer", ort::MINOR_VERSION));
    }
}
