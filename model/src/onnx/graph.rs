//! A graph to walk on: who makes a value, in what order nodes run, what depends on the tokens.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use super::bounds::{self, Steps};
use super::constant::{Folder, is_foldable};
use super::expand::expand;
use super::file::GraphFile;
use super::found::{Numbers, Root};
use super::functions::{Growth, inline};
use super::node::{attribute, is_own, named, whole};
use crate::error::OnnxError;
use crate::error::Result;
use crate::proto::{DataType, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

/// What makes a value.
#[derive(Clone, Copy)]
enum Maker {
    Input,
    Constant(usize),
    Node(usize),
}

/// A checked graph: every value is made once, every input exists, nodes are in an order in which they can run.
pub(super) struct Graph {
    pub(super) file: GraphFile,
    proto: GraphProto,
    /// Indices of nodes in the order in which they run.
    order: Vec<usize>,
    sources: HashMap<String, Maker>,
    /// Per node: how often its outputs are read.
    readers: Vec<usize>,
    /// Per node: whether its outputs are known before the graph runs.
    constant: Vec<bool>,
    /// Per node: whether its outputs depend on what was looked up in a table, as hidden states do and masks do not.
    tainted: Vec<bool>,
    /// Version of ONNX's own operator set.
    pub(super) opset: i64,
    pub(super) folder: Folder,
    /// What is left of the steps that walks may take.
    pub(super) steps: Steps,
    /// Per node: what its first output is but for shape and rounding, where a walk has found it.
    pub(super) roots: Vec<OnceLock<Root>>,
    /// Numbers that depend on shapes, where a walk has found them.
    pub(super) numbers: Numbers,
}

impl Graph {
    pub(super) fn new(file: GraphFile, model: ModelProto) -> Result<Graph> {
        let opset = model.opset_import.iter().find(|set| is_own(&set.domain)).map_or(0, |set| set.version);
        let Some(mut proto) = model.graph else {
            let reason = "it has no graph".into();
            return Err(OnnxError::Decode { path: file.path, reason }.into());
        };
        bounds::check_nodes(&file, &proto.node)?;
        let mut growth = Growth::of(&file, proto.node.len());
        inline(&file, &mut proto, &model.functions, &mut growth)?;
        expand(&file, &mut proto, &mut growth)?;
        let folder = Folder::default();
        let sources = sources(&file, &proto)?;
        let (steps, roots) = (Steps::of(&proto), vec![OnceLock::new(); proto.node.len()]);
        let mut graph = Graph {
            file,
            proto,
            order: vec![],
            sources,
            readers: vec![],
            constant: vec![],
            tainted: vec![],
            opset,
            folder,
            steps,
            roots,
            numbers: Numbers::default(),
        };
        (graph.order, graph.readers) = graph.running_order()?;
        graph.classify();
        Ok(graph)
    }

    /// Kahn's algorithm, in the order of the file where that is one.
    fn running_order(&self) -> Result<(Vec<usize>, Vec<usize>)> {
        let nodes = &self.proto.node;
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
        let mut waits = vec![0usize; nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            for input in node.input.iter().filter(|input| !input.is_empty()) {
                match self.sources.get(input) {
                    Some(Maker::Node(maker)) => {
                        readers[*maker].push(i);
                        waits[i] += 1;
                    }
                    Some(_) => {}
                    None => {
                        let (path, value) = (self.file.path.clone(), input.clone());
                        return Err(OnnxError::Undefined { path, node: named(node), value }.into());
                    }
                }
            }
        }
        let mut ready: std::collections::BinaryHeap<_> =
            (0..nodes.len()).filter(|&i| waits[i] == 0).map(std::cmp::Reverse).collect();
        let mut order = Vec::with_capacity(nodes.len());
        while let Some(std::cmp::Reverse(i)) = ready.pop() {
            order.push(i);
            for &reader in &readers[i] {
                waits[reader] -= 1;
                if waits[reader] == 0 {
                    ready.push(std::cmp::Reverse(reader));
                }
            }
        }
        match waits.iter().position(|&waits| waits > 0) {
            Some(stuck) => Err(OnnxError::Cycle { path: self.file.path.clone(), node: named(&nodes[stuck]) }.into()),
            None => Ok((order, readers.iter().map(Vec::len).collect())),
        }
    }

    /// How often what a node makes is read.
    pub(super) fn reads(&self, value: &str) -> usize {
        match self.sources.get(value) {
            Some(Maker::Node(i)) => self.readers.get(*i).copied().unwrap_or(0),
            _ => 0,
        }
    }

    fn classify(&mut self) {
        self.constant = vec![false; self.proto.node.len()];
        self.tainted = vec![false; self.proto.node.len()];
        for &i in &self.order {
            let node = &self.proto.node[i];
            let present = || node.input.iter().filter(|input| !input.is_empty());
            self.constant[i] = is_foldable(node) && present().all(|input| self.is_constant(input));
            let looks_up = node.op_type == "Gather"
                && whole(node, "axis").unwrap_or(0) == 0
                && node.input.first().is_some_and(|table| self.is_table(table));
            self.tainted[i] = node.op_type != "Shape" && (looks_up || present().any(|input| self.is_tainted(input)));
        }
    }

    /// A constant of two dimensions or more that holds numbers to compute with, not positions.
    fn is_table(&self, value: &str) -> bool {
        let stored = |tensor: &TensorProto| {
            let numbers = matches!(
                tensor.data_type(),
                DataType::Float
                    | DataType::Float16
                    | DataType::Bfloat16
                    | DataType::Double
                    | DataType::Int8
                    | DataType::Uint8
            );
            numbers && tensor.dims.len() >= 2
        };
        self.is_constant(value)
            && match (self.initializer(value), self.maker(value)) {
                (Some(tensor), _) => stored(tensor),
                (None, Some(node)) if node.op_type == "Constant" => {
                    attribute(node, "value").and_then(|attribute| attribute.t.as_ref()).is_some_and(stored)
                }
                (None, maker) => maker.is_some(),
            }
    }

    /// The node that makes a value; none for inputs and initialisers. It takes a step of the budget, and there is none when that is
    /// spent, so every walk ends.
    pub(super) fn maker(&self, value: &str) -> Option<&NodeProto> {
        match self.sources.get(value)? {
            Maker::Node(i) => self.proto.node.get(*i).filter(|_| self.steps.take()),
            _ => None,
        }
    }

    /// The place of the node that makes a value.
    pub(super) fn place(&self, value: &str) -> Option<usize> {
        match self.sources.get(value)? {
            Maker::Node(i) => Some(*i),
            _ => None,
        }
    }

    /// The node at a place.
    pub(super) fn at(&self, place: usize) -> Option<&NodeProto> {
        self.proto.node.get(place)
    }

    /// The outputs of the graph, with what the file says about their type.
    pub(super) fn output_types(&self) -> &[ValueInfoProto] {
        &self.proto.output
    }

    /// The inputs of the graph, with what the file says about their type.
    pub(super) fn input_types(&self) -> impl Iterator<Item = &ValueInfoProto> {
        self.proto.input.iter().filter(|input| self.is_input(&input.name))
    }

    /// What a walk found, unless the walks together took too many steps.
    pub(super) fn bounded<T>(&self, found: Result<T>) -> Result<T> {
        self.steps.bounded(&self.file, found)
    }

    /// The initialiser of that name.
    pub(super) fn initializer(&self, value: &str) -> Option<&TensorProto> {
        match self.sources.get(value)? {
            Maker::Constant(i) => self.proto.initializer.get(*i),
            _ => None,
        }
    }

    /// Whether a value is given from outside.
    pub(super) fn is_input(&self, value: &str) -> bool {
        matches!(self.sources.get(value), Some(Maker::Input))
    }

    /// Whether a value is known before the graph runs.
    pub(super) fn is_constant(&self, value: &str) -> bool {
        match self.sources.get(value) {
            Some(Maker::Constant(_)) => true,
            Some(Maker::Node(i)) => self.constant.get(*i).copied().unwrap_or(false),
            _ => false,
        }
    }

    /// Whether a value depends on what was looked up in a table.
    pub(super) fn is_tainted(&self, value: &str) -> bool {
        match self.sources.get(value) {
            Some(Maker::Node(i)) => self.tainted.get(*i).copied().unwrap_or(false),
            _ => false,
        }
    }

    /// Nodes in the order in which they run.
    pub(super) fn nodes(&self) -> impl DoubleEndedIterator<Item = &NodeProto> {
        self.order.iter().map(|&i| &self.proto.node[i])
    }

    /// Initialisers as they are stored.
    pub(super) fn initializers(&self) -> &[TensorProto] {
        &self.proto.initializer
    }

    /// The names of what the graph gives.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &str> {
        self.proto.output.iter().map(|output| output.name.as_str())
    }

    /// What a value is, for errors: the node that makes it with its operator, or its own kind and name.
    pub(super) fn describe(&self, value: &str) -> String {
        match self.sources.get(value) {
            Some(Maker::Node(i)) => named(&self.proto.node[*i]),
            Some(Maker::Input) => format!("the input {value:?}"),
            Some(Maker::Constant(_)) => format!("the initialiser {value:?}"),
            None => format!("the value {value:?}, which nothing makes"),
        }
    }

    /// Tracing stops at the node that makes `value`.
    pub(super) fn stop(&self, value: &str, expected: impl Into<String>) -> OnnxError {
        let found = match self.maker(value) {
            Some(node) => format!("operator {}", node.op_type),
            None if self.is_input(value) => "an input of the graph".into(),
            None => "a constant".into(),
        };
        self.stop_with(value, found, expected)
    }

    pub(super) fn stop_with(&self, value: &str, found: impl Into<String>, expected: impl Into<String>) -> OnnxError {
        OnnxError::Structure {
            path: self.file.path.clone(),
            node: self.describe(value),
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// Graph and configuration disagree.
    pub(super) fn differs(&self, what: impl Into<String>, graph: impl ToString, config: impl ToString) -> OnnxError {
        OnnxError::Config {
            path: self.file.path.clone(),
            what: what.into(),
            graph: graph.to_string(),
            config: config.to_string(),
        }
    }
}

fn sources(file: &GraphFile, proto: &GraphProto) -> Result<HashMap<String, Maker>> {
    let mut sources = HashMap::new();
    let mut add =
        |name: &str, source, expected| match name.is_empty() || sources.insert(name.to_owned(), source).is_none() {
            true => Ok(()),
            false => Err(OnnxError::Duplicate { path: file.path.clone(), name: name.to_owned(), expected }),
        };
    let constants: HashSet<&str> = proto.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    for (i, tensor) in proto.initializer.iter().enumerate() {
        add(&tensor.name, Maker::Constant(i), "initialiser of a name")?;
    }
    // Old files list initialisers among the inputs, as defaults.
    for input in proto.input.iter().filter(|input| !constants.contains(input.name.as_str())) {
        add(&input.name, Maker::Input, "input of a name")?;
    }
    for (i, node) in proto.node.iter().enumerate() {
        for output in &node.output {
            add(output, Maker::Node(i), "node, input or initialiser")?;
        }
    }
    Ok(sources)
}
