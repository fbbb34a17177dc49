//! How many encoder layers a checkpoint holds.

use super::names;
use super::tensor_set::Checkpoint;
use crate::architecture::Architecture;

impl Checkpoint {
    /// One more than the largest number of an encoder layer in the names of the tensors; 0 without layers.
    pub(crate) fn stored_layers(&self, architecture: Architecture) -> usize {
        let layers = format!("{}.", names::layers(architecture));
        let number = |name: &str| {
            let rest = &name[name.find(&layers)? + layers.len()..];
            rest.split('.').next()?.parse::<usize>().ok()?.checked_add(1)
        };
        self.tensors().iter().filter_map(|tensor| number(&tensor.name)).max().unwrap_or(0)
    }
}
