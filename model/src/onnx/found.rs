//! What walks found, kept so that no walk looks for it again.

use std::collections::HashMap;
use std::sync::Mutex;

/// What a value is but for its shape and its rounding: an input of a node, and the node that rounded last. None where the value is
/// that itself.
#[derive(Clone, Copy)]
pub(super) struct Root {
    pub(super) value: Option<(usize, usize)>,
    pub(super) rounding: Option<usize>,
}

/// Numbers that were found.
#[derive(Default)]
pub(super) struct Numbers(pub(super) Mutex<HashMap<String, f32>>);
