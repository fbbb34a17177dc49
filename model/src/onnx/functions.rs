//! Operators that a file defines itself, replaced by the nodes that define them.
//!
//! Earlier versions of torch's dynamo exporter write a function per module of the model, and a function per operator of torch. Calls
//! are replaced wherever they stand, so the rest of the reader sees ONNX's own operators.

use std::collections::HashMap;

use prost::Message;

use super::bounds;
use super::file::GraphFile;
use super::node::{named, shortened};
use crate::error::OnnxError;
use crate::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto};

/// Deepest nesting of calls.
const MAX_DEPTH: usize = 32;

/// How much larger a graph may become when nodes are replaced by others.
pub(super) struct Growth {
    nodes: usize,
    bytes: usize,
}

/// Nodes that may be made in addition to the limit that grows with the file.
const FREE_NODES: usize = 1 << 16;
/// Their bytes as messages.
const FREE_BYTES: usize = 16 << 20;

impl Growth {
    /// The limits for a file with so many nodes.
    pub(super) fn of(file: &GraphFile, nodes: usize) -> Growth {
        Growth { nodes: nodes + FREE_NODES, bytes: file.bytes() + FREE_BYTES }
    }

    /// Accounts for a node that was made.
    pub(super) fn take(&mut self, file: &GraphFile, node: &NodeProto) -> Result<(), OnnxError> {
        let left = self.nodes.checked_sub(1).zip(self.bytes.checked_sub(node.encoded_len()));
        let limit = || OnnxError::Limit {
            path: file.path.clone(),
            what: "nodes when its functions and fused operators are written out, or bytes of such nodes",
            limit: FREE_NODES,
        };
        (self.nodes, self.bytes) = left.ok_or_else(limit)?;
        Ok(())
    }
}

/// A call that is being replaced: where its body is, and what its names mean outside.
struct Call<'f> {
    body: std::slice::Iter<'f, NodeProto>,
    values: HashMap<&'f str, String>,
    settings: Vec<AttributeProto>,
    /// Settings that the call leaves out.
    defaults: &'f [AttributeProto],
    name: String,
}

/// Replaces every call of a function by the nodes of the function.
pub(super) fn inline(
    file: &GraphFile,
    graph: &mut GraphProto,
    functions: &[FunctionProto],
    growth: &mut Growth,
) -> Result<(), OnnxError> {
    if functions.is_empty() {
        return Ok(());
    }
    functions.iter().try_for_each(|function| bounds::check_nodes(file, &function.node))?;
    let mut known: HashMap<(&str, &str, &str), &FunctionProto> = HashMap::new();
    for function in functions {
        known.entry((&function.domain, &function.name, &function.overload)).or_insert(function);
    }
    let find = |node: &NodeProto| known.get(&(&*node.domain, &*node.op_type, &*node.overload)).copied();
    let prefix = unused_prefix(graph, "call");
    let mut fresh = 0usize;
    let mut nodes = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node) {
        let Some(function) = find(&node) else {
            nodes.push(node);
            continue;
        };
        let mut open = vec![Call::new(function, &node)];
        while let Some(call) = open.last_mut() {
            let Some(inner) = call.body.next() else {
                open.pop();
                continue;
            };
            let node = call.outside(inner, || {
                fresh += 1;
                format!("{prefix}{fresh}")
            });
            growth.take(file, &node)?;
            match find(&node) {
                Some(function) if open.len() < MAX_DEPTH => open.push(Call::new(function, &node)),
                Some(_) => {
                    let path = file.path.clone();
                    return Err(OnnxError::Limit { path, what: "functions inside each other", limit: MAX_DEPTH });
                }
                None => nodes.push(node),
            }
        }
    }
    graph.node = nodes;
    Ok(())
}

impl<'f> Call<'f> {
    fn new(function: &'f FunctionProto, node: &NodeProto) -> Call<'f> {
        let outer = |i: usize, names: &[String]| names.get(i).cloned().unwrap_or_default();
        let mut values = HashMap::new();
        for (i, inner) in function.output.iter().enumerate() {
            let name = outer(i, &node.output);
            // An output that nobody reads gets a name of its own, as values inside do.
            if !name.is_empty() {
                values.insert(&**inner, name);
            }
        }
        for (i, inner) in function.input.iter().enumerate() {
            values.insert(&**inner, outer(i, &node.input));
        }
        let (settings, defaults) = (node.attribute.clone(), &*function.attribute_proto);
        Call { body: function.node.iter(), values, settings, defaults, name: named(node) }
    }

    /// A node of the body with the names that its values have outside.
    fn outside(&mut self, inner: &'f NodeProto, mut fresh: impl FnMut() -> String) -> NodeProto {
        let mut outer = |name: &'f String| match name.is_empty() {
            true => String::new(),
            false => self.values.entry(name).or_insert_with(&mut fresh).clone(),
        };
        let attribute = |attribute: &AttributeProto| -> Option<AttributeProto> {
            if attribute.ref_attr_name.is_empty() {
                return Some(attribute.clone());
            }
            let mut given = self.settings.iter().chain(self.defaults);
            let given = given.find(|given| given.name == attribute.ref_attr_name)?;
            Some(AttributeProto { name: attribute.name.clone(), ..given.clone() })
        };
        NodeProto {
            input: inner.input.iter().map(&mut outer).collect(),
            output: inner.output.iter().map(&mut outer).collect(),
            name: format!("{} of {}", shortened(&inner.name), shortened(&self.name)),
            op_type: inner.op_type.clone(),
            attribute: inner.attribute.iter().filter_map(attribute).collect(),
            domain: inner.domain.clone(),
            overload: inner.overload.clone(),
            ..NodeProto::default()
        }
    }
}

/// The beginning of names that no value of a graph has.
pub(super) fn unused_prefix(graph: &GraphProto, start: &str) -> String {
    let mut prefix = format!("{start}:");
    let names = || {
        let made = graph.node.iter().flat_map(|node| &node.output);
        made.chain(graph.initializer.iter().map(|tensor| &tensor.name))
            .chain(graph.input.iter().map(|input| &input.name))
    };
    while names().any(|name| name.starts_with(&prefix)) {
        prefix.push(':');
    }
    prefix
}
