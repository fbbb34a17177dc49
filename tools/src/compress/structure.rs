//! Fewer heads and neurons, and another activation: a smaller dense model before blocks are pruned.

use lacuna::{Model, config::EncoderConfig};
use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use lacuna_console::table::plural;
use lacuna_train::prune::{LayerCut, Structure, remove};
use serde::Serialize;

use super::args::Args;
use super::log::{Event, Log};

/// The shape before and after, for reports.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Cut {
    pub(super) heads: Change<usize>,
    pub(super) ffn: Change<usize>,
    pub(super) activation: Change<&'static str>,
    /// The heads of the dense model that every layer keeps.
    pub(super) heads_kept: Vec<Vec<usize>>,
    /// Weights of the linear layers that are left, as a fraction of those of the dense model.
    pub(super) weights: f64,
    pub(super) seconds: f64,
}

/// A setting of the dense model, and of the smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Change<T> {
    pub(super) from: T,
    pub(super) to: T,
}

impl Cut {
    /// What changed, in words.
    pub(super) fn describe(&self) -> String {
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
pub(super) fn wanted(args: &Args, config: &EncoderConfig) -> Result<Option<Structure>> {
    if args.heads.is_none() && args.ffn.is_none() && args.activation.is_none() {
        return Ok(None);
    }
    let whole = Structure::of(config);
    let found = Structure {
        heads: args.heads.unwrap_or(whole.heads),
        neurons: args.ffn.unwrap_or(whole.neurons),
        activation: args.activation.map_or(whole.activation, Into::into),
        ..whole
    };
    for (option, found, most) in [("--heads", found.heads, whole.heads), ("--ffn", found.neurons, whole.neurons)] {
        if found > most {
            let expected = format!("at most {most}, which every layer of the model has");
            return Err(Error::Argument { option, found: found.to_string(), expected });
        }
    }
    if found == whole && args.sparsity.is_none() {
        return Err(Error::Argument {
            option: "--heads, --ffn, --activation",
            found: format!(
                "{}, {} neurons, {}: what the model has",
                plural(found.heads, "head"),
                found.neurons,
                found.activation
            ),
            expected: "fewer heads or neurons, another activation, or --sparsity with it".into(),
        });
    }
    Ok(Some(found).filter(|found| *found != whole))
}

/// The smaller model.
pub(super) fn cut(dense: &Model, structure: Structure, texts: &[Vec<u32>], log: &mut Log) -> Result<(Model, Cut)> {
    say(format_args!("removing heads and neurons on {} texts", texts.len()));
    let mut progress = |cut: &LayerCut| {
        let LayerCut { layer, heads, neurons, hidden_error, seconds } = cut.clone();
        log.add(&Event::Cut { layer, heads, neurons: neurons.len(), hidden_error, seconds });
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
