//! Constants, and which nodes make them.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use super::tensor::Tensor;
use crate::proto::NodeProto;

/// A constant, and the codes that it was dequantised from.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    pub(super) tensor: Arc<Tensor>,
    pub(super) quantised: Option<Arc<Quantised>>,
}

/// Codes less their zero point, and their scales.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantised {
    /// In the order of the tensor; none where a code less its zero point does not fit in s8.
    pub(super) codes: Option<Vec<i8>>,
    /// One, or one per index of `axis`.
    pub(super) scale: Vec<f32>,
    /// The dimension that has a scale per index.
    pub(super) axis: Option<usize>,
}

/// What folding has made so far.
#[derive(Default)]
pub(super) struct Folder {
    pub(super) made: Mutex<HashMap<String, Constant>>,
    /// Elements of it.
    pub(super) elements: AtomicUsize,
}

/// Whether a node with constant inputs is computed.
pub(super) fn is_foldable(node: &NodeProto) -> bool {
    matches!(
        &*node.op_type,
        "Constant"
            | "Identity"
            | "Cast"
            | "Transpose"
            | "Reshape"
            | "Unsqueeze"
            | "Squeeze"
            | "Flatten"
            | "DequantizeLinear"
            | "QuantizeLinear"
            | "Add"
            | "Sub"
            | "Mul"
            | "Div"
            | "Sqrt"
            | "Neg"
            | "Reciprocal"
    )
}
