//! Constants, and which nodes make them.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use super::expand::{COLUMNS, INTERNAL};
use super::tensor::{Data, Tensor};
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
    /// Elements of initialisers that were read for it.
    pub(super) read: AtomicUsize,
}

/// Whether a node with constant inputs is computed.
pub(super) fn is_foldable(node: &NodeProto) -> bool {
    if node.domain == INTERNAL {
        return node.op_type == COLUMNS;
    }
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

/// Columns of a matrix, or elements of a vector, and their codes.
pub(super) fn columns(x: &Constant, start: usize, end: usize) -> Option<Constant> {
    let dims = &x.tensor.dims;
    let width = *dims.last().filter(|&&width| start < end && end <= width)?;
    fn of<T: Copy>(data: &[T], width: usize, start: usize, end: usize) -> Vec<T> {
        data.chunks_exact(width).flat_map(|row| &row[start..end]).copied().collect()
    }
    let data = match &x.tensor.data {
        Data::Float(values) => Data::Float(of(values, width, start, end)),
        Data::Signed(values) => Data::Signed(of(values, width, start, end)),
        Data::Unsigned(values) => Data::Unsigned(of(values, width, start, end)),
        Data::Whole(values) => Data::Whole(of(values, width, start, end)),
    };
    let quantised = x.quantised.as_deref().map(|quantised| Quantised {
        codes: quantised.codes.as_ref().map(|codes| of(codes, width, start, end)),
        scale: match quantised.axis {
            Some(axis) if axis + 1 == dims.len() => quantised.scale.get(start..end).unwrap_or_default().to_vec(),
            _ => quantised.scale.clone(),
        },
        axis: quantised.axis,
    });
    let mut dims = dims.clone();
    *dims.last_mut()? = end - start;
    Some(Constant { tensor: Arc::new(Tensor { dims, data }), quantised: quantised.map(Arc::new) })
}
