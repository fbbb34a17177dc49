//! The model that the command has with it.

use lacuna::PackedModel;
use lacuna_assets::{FILE, NAME, minilm_80};
use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use lacuna_console::progress::Spinner;

/// What stands for its path in messages and reports.
pub(crate) const PATH: &str = "the shipped model";

/// Opens it where no other model is named, and says so.
pub(crate) fn open_by_default() -> Result<PackedModel> {
    let model = open()?;
    say(format_args!("no --model: running {PATH}, {NAME}"));
    Ok(model)
}

/// Opens it.
///
/// # Errors
/// [`Error::Argument`] in a build without it.
pub(crate) fn open() -> Result<PackedModel> {
    let Some(bytes) = minilm_80() else {
        return Err(Error::Argument {
            option: "--model",
            found: format!("none, in a build without {FILE}"),
            expected: "--model DIR, or a build from sources with that file".into(),
        });
    };
    let _spinner = Spinner::new(format!("opening {PATH}"));
    Ok(PackedModel::from_static(PATH, bytes)?)
}
