//! Where in a checkpoint the encoder is.
//!
//! Libraries and training scripts put names of their own before the names of an encoder's tensors: `bert.` in a model with a head,
//! `module.` from data-parallel training, `_orig_mod.` from a compiled model, `0.auto_model.` from sentence-transformers, and any of
//! these in any order. So the encoder is found by how the names end: a prefix is right if all tensors of the encoder are there behind
//! it. It must be the only one.

use std::collections::BTreeSet;

use super::names::{self, LayerNames};
use super::tensor_set::Checkpoint;
use crate::config::EncoderConfig;
use crate::error::{Error, Result, WeightError};

/// How many incomplete encoders are compared, to name what the best of them lacks.
const COMPARED: usize = 16;

/// A tensor that an encoder must have.
struct Required {
    /// Its names without a prefix, one of which must be there.
    names: Vec<String>,
    shape: Vec<usize>,
}

/// The prefix of an encoder's names, which ends in a dot if it is not empty.
///
/// If no encoder is complete, this is the prefix of the one that lacks the fewest tensors, so that reading it names what is missing.
///
/// # Errors
/// [`WeightError::SeveralEncoders`].
pub(super) fn find(checkpoint: &Checkpoint, config: &EncoderConfig) -> Result<String> {
    let required = required(config);
    let candidates = candidates(checkpoint);
    let complete: Vec<&str> = candidates
        .iter()
        .copied()
        .filter(|prefix| required.iter().all(|tensor| tensor.is_in(checkpoint, prefix)))
        .collect();
    match complete[..] {
        [] => {
            let present = |prefix: &&str| required.iter().filter(|tensor| tensor.is_in(checkpoint, prefix)).count();
            // The first of those that have the most, so that an encoder without a prefix goes before others.
            let best = candidates.iter().copied().take(COMPARED).rev().max_by_key(present);
            Ok(best.unwrap_or_default().to_owned())
        }
        [prefix] => Ok(prefix.to_owned()),
        // A file with two models of other sizes: the configuration fits one of them.
        _ => {
            let fits = |prefix: &&&str| required.iter().all(|tensor| tensor.fits(checkpoint, prefix));
            match complete.iter().filter(fits).collect::<Vec<_>>()[..] {
                [prefix] => Ok((*prefix).to_owned()),
                _ => Err(several(checkpoint, &complete)),
            }
        }
    }
}

/// The prefixes that a tensor near an encoder may have: that of the encoder, and those of the modules that hold it, the nearest first.
///
/// `module.bert.` gives `module.bert.`, `module.` and nothing.
pub(super) fn around(prefix: &str) -> Vec<&str> {
    let dots = prefix.char_indices().rev().filter(|(_, c)| *c == '.').map(|(at, _)| at + 1);
    let ends = dots.chain([0]).collect::<Vec<_>>();
    ends.into_iter().filter_map(|end| prefix.get(..end)).collect()
}

fn several(checkpoint: &Checkpoint, prefixes: &[&str]) -> Error {
    const SHOWN: usize = 4;
    let name = |prefix: &&str| if prefix.is_empty() { "no prefix".to_owned() } else { format!("{prefix:?}") };
    let mut found: Vec<String> = prefixes.iter().take(SHOWN).map(name).collect();
    if prefixes.len() > SHOWN {
        found.push("...".into());
    }
    let (path, found) = (checkpoint.path().to_owned(), found.join(", "));
    Error::Weights(WeightError::SeveralEncoders { path, count: prefixes.len(), found })
}

/// Every prefix that some tensor of an encoder has, in the order of the alphabet; none comes first.
fn candidates(checkpoint: &Checkpoint) -> BTreeSet<&str> {
    let prefix = |name| {
        move |tensor: &str| -> Option<usize> {
            let prefix = tensor.strip_suffix(name)?;
            (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix.len())
        }
    };
    let anchors = [names::WORD, names::POSITION].map(prefix);
    let found = checkpoint.names().filter_map(|tensor| {
        let end = anchors.iter().find_map(|anchor| anchor(tensor))?;
        tensor.get(..end)
    });
    found.collect()
}

impl Required {
    fn is_in(&self, checkpoint: &Checkpoint, prefix: &str) -> bool {
        self.names.iter().any(|name| checkpoint.holds(&format!("{prefix}{name}")))
    }

    fn fits(&self, checkpoint: &Checkpoint, prefix: &str) -> bool {
        let mut names = self.names.iter().map(|name| format!("{prefix}{name}"));
        names.any(|name| checkpoint.tensor(&name).is_some_and(|tensor| tensor.shape == self.shape))
    }
}

/// What every checkpoint of the architecture has.
fn required(config: &EncoderConfig) -> Vec<Required> {
    let (hidden, features) = (config.hidden_size, config.embedding_features());
    let mut list = List(Vec::new());
    list.add([names::WORD.into()], [config.vocab_size, features]);
    list.add([names::POSITION.into()], [config.max_position + config.position_offset, features]);
    if config.architecture.has_token_types() {
        list.add([names::TOKEN_TYPE.into()], [config.type_vocab_size, features]);
    }
    list.norm(names::EMBEDDING_NORM, features);
    if config.projects_embeddings() {
        list.linear(names::PROJECTION, (hidden, features));
    }
    for i in 0..config.layers {
        let LayerNames { q, k, v, o, attention_norm, up, down, output_norm } = names::layer(config.architecture, i);
        for (name, shape) in [q, k, v, o, up, down].into_iter().zip(config.linear_shapes()) {
            list.linear(&name, shape);
        }
        list.norm(&attention_norm, hidden);
        list.norm(&output_norm, hidden);
    }
    list.0
}

struct List(Vec<Required>);

impl List {
    fn add<const N: usize, const D: usize>(&mut self, names: [String; N], shape: [usize; D]) {
        self.0.push(Required { names: names.into(), shape: shape.into() });
    }

    fn norm(&mut self, name: &str, features: usize) {
        self.add(names::gamma(name), [features]);
        self.add(names::beta(name), [features]);
    }

    fn linear(&mut self, name: &str, (outputs, inputs): (usize, usize)) {
        self.add([format!("{name}.weight")], [outputs, inputs]);
        self.add([format!("{name}.bias")], [outputs]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_around_an_encoder() {
        assert_eq!(around(""), [""]);
        assert_eq!(around("bert."), ["bert.", ""]);
        assert_eq!(around("module.0.bert."), ["module.0.bert.", "module.0.", "module.", ""]);
    }
}
