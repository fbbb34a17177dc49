//! How matrices are cut into blocks, and how many blocks go.

use lacuna_model::Block;

/// How one matrix is pruned.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Cut {
    /// The block shape.
    pub block: Block,
    /// The fraction of blocks that become zero.
    pub sparsity: f64,
}

/// How the matrices of a model are pruned: `[layer][q, k, v, o, up, down]`.
pub type Cuts = Vec<[Cut; 6]>;
