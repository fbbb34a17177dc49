//! Which output of a graph is the embedding.

use std::path::Path;

use serde::Deserialize;

use super::graph::Graph;
use super::heads::Token;
use super::node::{input, shortened};
use super::pooled::OwnPooling;
use crate::config::EncoderConfig;
use crate::error::Result;
use crate::json::read_json;

/// What exporters of sentence encoders call the embedding.
const EMBEDDING: &str = "sentence_embedding";

/// What the outputs of a graph may be, by the class that `config.json` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// Hidden states, or what pools them.
    Encoder,
    /// Those of an encoder, or scores of the whole vocabulary for every token.
    Vocabulary,
    /// Those of a head.
    Head,
}

#[derive(Deserialize)]
struct RawClass {
    architectures: Option<Vec<String>>,
}

impl Outputs {
    /// Reads `architectures` of a `config.json`.
    pub(crate) fn read(config: &Path) -> Result<Outputs> {
        let classes = read_json::<RawClass>(config)?.architectures.unwrap_or_default();
        Ok(match classes.first().and_then(|class| class.split_once("For")) {
            None => Outputs::Encoder,
            Some((_, "MaskedLM" | "PreTraining")) => Outputs::Vocabulary,
            Some(_) => Outputs::Head,
        })
    }
}

impl Graph {
    /// The pooling that the graph has itself:
    ///
    /// - the output `sentence_embedding` is followed, or refused;
    /// - without it, if `config.json` names a class with a head, the outputs are that head's;
    /// - without the last hidden states among the outputs, the first output that has not two dimensions, else the first, is followed or
    ///   refused (scores of a vocabulary have three, and are a head's);
    /// - beside the hidden states, an output of two dimensions is followed unless it is the encoder's pooler.
    pub(super) fn own_pooling(
        &self,
        states: &str,
        config: &EncoderConfig,
        kind: Outputs,
    ) -> Result<Option<OwnPooling>> {
        if let Some(name) = self.outputs().find(|name| *name == EMBEDDING) {
            return self.pooling_of(name, states, config).map(Some);
        }
        // A class for pre-training has the scores of its tasks beside each other.
        if kind == Outputs::Head || (kind == Outputs::Vocabulary && self.outputs().count() > 1) {
            return Ok(None);
        }
        let mut has_states = false;
        let mut others = Vec::new();
        for name in self.outputs() {
            match self.token(name, states) {
                Some(Token::Every) => has_states = true,
                _ if self.is_tainted(name) => others.push(name),
                _ => {}
            }
        }
        // Hidden states that were changed are not silently left out.
        let changed = others.iter().copied().find(|name| !self.is_flat(name));
        if let Some(name) = changed.filter(|_| !has_states && kind == Outputs::Encoder) {
            return self.pooling_of(name, states, config).map(Some);
        }
        let flat =
            others.iter().copied().find(|name| self.is_flat(name) && !(has_states && self.is_pooler(name, states)));
        match (has_states, flat.or(others.first().copied().filter(|_| !has_states && kind == Outputs::Encoder))) {
            (_, None) => Ok(None),
            (_, Some(name)) => self.pooling_of(name, states, config).map(Some),
        }
    }

    /// Whether the file says that an output has two dimensions.
    fn is_flat(&self, name: &str) -> bool {
        let shape = self.output_types().iter().find(|output| output.name == name);
        let shape = shape.and_then(|output| output.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref());
        shape.is_some_and(|shape| shape.dim.len() == 2)
    }

    /// Whether an output is tanh of a linear layer of the first token: the pooler of BERT.
    pub(super) fn is_pooler(&self, name: &str, states: &str) -> bool {
        let tanh = self.maker(self.root(name)).filter(|node| node.op_type == "Tanh");
        let layer = tanh.and_then(|node| self.product(input(node, 0)?));
        layer.is_some_and(|layer| self.token(layer.input, states) == Some(Token::First))
    }
}

impl OwnPooling {
    /// The output, for messages.
    pub(crate) fn output(&self) -> &str {
        shortened(&self.output)
    }
}
