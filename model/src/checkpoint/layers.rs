//! How many encoder layers a checkpoint holds.

use super::names;
use super::prefix;
use super::tensor_set::Checkpoint;
use crate::config::EncoderConfig;
use crate::error::Result;

impl Checkpoint {
    /// One more than the largest number of a layer in the names of the encoder's tensors; 0 without layers.
    ///
    /// # Errors
    /// Those of finding the encoder.
    pub(crate) fn stored_layers(&self, config: &EncoderConfig) -> Result<usize> {
        let start = format!("{}{}.", prefix::find(self, config)?, names::layers(config.architecture));
        let number = |name: &str| name.strip_prefix(&start)?.split('.').next()?.parse::<usize>().ok()?.checked_add(1);
        Ok(self.names().filter_map(number).max().unwrap_or(0))
    }
}
