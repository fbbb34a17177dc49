//! What a node says of itself: its operator set, inputs and settings, and how errors name it.

use crate::proto::{AttributeProto, NodeProto};

/// Whether a domain is that of ONNX's own operators.
pub(super) fn is_own(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// A node as errors name it.
pub(super) fn named(node: &NodeProto) -> String {
    let op_type = shortened(&node.op_type);
    match node.name.is_empty() {
        false => format!("{:?} ({op_type})", shortened(&node.name)),
        true => format!("({op_type}) that makes {:?}", shortened(node.output.first().map_or("", String::as_str))),
    }
}

/// A name as far as errors show it.
pub(super) fn shortened(name: &str) -> &str {
    const MAX_CHARS: usize = 160;
    name.char_indices().nth(MAX_CHARS).map_or(name, |(end, _)| &name[..end])
}

/// An input of a node; absent ones are empty in files.
pub(super) fn input(node: &NodeProto, i: usize) -> Option<&str> {
    node.input.get(i).map(String::as_str).filter(|name| !name.is_empty())
}

/// The first output of a node.
pub(super) fn output(node: &NodeProto) -> &str {
    node.output.first().map_or("", String::as_str)
}

/// A setting of a node.
pub(super) fn attribute<'g>(node: &'g NodeProto, name: &str) -> Option<&'g AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// A whole number that is set on a node.
pub(super) fn whole(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).and_then(|attribute| attribute.i)
}

/// A number that is set on a node.
pub(super) fn number(node: &NodeProto, name: &str) -> Option<f32> {
    attribute(node, name).and_then(|attribute| attribute.f)
}
