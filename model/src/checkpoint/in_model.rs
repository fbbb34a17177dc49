//! The checkpoint of a model directory.

use std::path::Path;

use super::tensor_set::Checkpoint;
use crate::error::Result;
use crate::pooling::Modules;

impl Checkpoint {
    /// Opens the checkpoint of a model directory, which `modules.json` may put into a folder of its own.
    ///
    /// # Errors
    /// Those of [`Checkpoint::in_folder`] and of reading `modules.json`.
    pub fn in_model(dir: &Path) -> Result<Self> {
        Self::in_folder(&Modules::read(dir)?.encoder)
    }
}
