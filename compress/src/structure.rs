//! Fewer heads and neurons, and another activation: a smaller dense model before blocks are pruned.

use lacuna::{Model, config::EncoderConfig};
use lacuna_data::words::plural;
use lacuna_train::prune::{LayerCut, Structure, remove};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::observer::Observer;
use crate::options::Options;
use crate::stop::Stop;
use crate::texts::Sequence;

/// The shape before and after, for reports.
#[derive(Debug, Clone, Serialize)]
pub struct Cut {
    /// Heads of a layer.
    pub heads: Change<usize>,
    /// Neurons of a feed-forward block.
    pub ffn: Change<usize>,
    /// The activation.
    pub activation: Change<&'static str>,
    /// The heads of the dense model that every layer keeps.
    pub heads_kept: Vec<Vec<usize>>,
    /// Weights of the linear layers that are left, as a fraction of those of the dense model.
    pub weights: f64,
    /// What it took.
    pub seconds: f64,
}

/// A setting of the dense model, and of the smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// Of the dense model.
    pub from: T,
    /// Of the smaller one.
    pub to: T,
}

impl Cut {
    /// What changed, in words.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if self.heads.from != self.heads.to {
            parts.push(format!("{} of {} heads", self.heads.to, self.heads.from));
        }
        if self.ffn.from != self.ffn.to {
            parts.push(format!("{} of {} neurons", self.ffn.to, self.ffn.from));
        }
        if self.activation.from != self.activation.to {
            parts.push(format!("{} in place of {}", self.activation.to, self.activation.from));
        }
        format!("{} per layer, {:.1} % of the weights of the linear layers", parts.join(", "), self.weights * 1e2)
    }
}

/// What the options ask for; none if they ask for no other shape than the model has.
///
/// # Errors
/// [`Error::Argument`] for more heads or neurons than there are, and for options that change nothing.
pub(crate) fn wanted(options: &Options, config: &EncoderConfig) -> Result<Option<Structure>> {
    if options.heads.is_none() && options.ffn.is_none() && options.activation.is_none() {
        return Ok(None);
    }
    let whole = Structure::of(config);
    let found = Structure {
        heads: options.heads.unwrap_or(whole.heads),
        neurons: options.ffn.unwrap_or(whole.neurons),
        activation: options.activation.unwrap_or(whole.activation),
        ..whole
    };
    for (option, found, most) in [("`heads`", found.heads, whole.heads), ("`ffn`", found.neurons, whole.neurons)] {
        if found > most {
            let expected = format!("at most {most}, which every layer of the model has");
            return Err(Error::Argument { option, found: found.to_string(), expected });
        }
    }
    if found == whole && options.sparsity.is_none() {
        return Err(Error::Argument {
            option: "`heads`, `ffn`, `activation`",
            found: format!(
                "{}, {} neurons, {}: what the model has",
                plural(found.heads, "head"),
                found.neurons,
                found.activation
            ),
            expected: "fewer heads or neurons, another activation, or `sparsity` with it".into(),
        });
    }
    Ok(Some(found).filter(|found| *found != whole))
}

/// The smaller model.
pub(crate) fn cut(
    dense: &Model,
    structure: Structure,
    texts: &[Sequence],
    stop: Stop<'_>,
    observer: &mut dyn Observer,
) -> Result<(Model, Cut)> {
    observer.remark(&format!("removing heads and neurons on {} texts", texts.len()));
    let mut progress = |cut: &LayerCut| {
        let LayerCut { layer, heads, neurons, hidden_error, seconds } = cut.clone();
        observer.event(&Event::Cut { layer, heads, neurons: neurons.len(), hidden_error, seconds });
        stop.flow()
    };
    let found = remove(dense.config(), dense.weights(), texts, structure, &mut progress)?;
    let (before, after) = (dense.config(), &found.config);
    let count = |config: &EncoderConfig| config.linear_shapes().iter().map(|(m, k)| m * k).sum::<usize>() as f64;
    let cut = Cut {
        heads: Change { from: before.heads, to: after.heads },
        ffn: Change { from: before.intermediate_size, to: after.intermediate_size },
        activation: Change { from: before.activation.name(), to: after.activation.name() },
        heads_kept: found.layers.iter().map(|layer| layer.heads.clone()).collect(),
        weights: count(after) / count(before),
        seconds: found.layers.iter().map(|layer| layer.seconds).sum(),
    };
    let smaller = dense.clone().with_encoder(found.config, found.weights).map_err(lacuna::Error::from)?;
    Ok((smaller, cut))
}
