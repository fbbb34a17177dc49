//! What a packed file says about itself and about its sections.

use serde::{Deserialize, Serialize};

/// What the manifest says of the file, in addition to the model.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest<M> {
    /// Who wrote it.
    pub(super) writer: String,
    /// What the sections mean.
    pub(super) model: M,
    /// In the order of the file.
    pub(super) sections: Vec<Section>,
}

/// Bytes of a packed file under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Section {
    /// The name: `word`, `layers.0.q.indices`, ...
    pub name: String,
    /// Its first byte, from the end of the manifest, rounded up to a multiple of 64.
    pub offset: u64,
    /// Bytes, as stored.
    pub length: u64,
    /// Bytes when inflated, of a section that is stored deflated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inflated: Option<u64>,
}
