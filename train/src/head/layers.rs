//! The parameters of a head, one by one.

use lacuna_model::Linear;
use lacuna_model::heads::{Dense, HeadWeights};

use crate::error::check_size;
use crate::parameters::Tensors;
use crate::{Error, Result};

/// The linear layers of a head: its parameters, their gradients, or moments of an optimiser.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadLayers {
    /// The layer in front of the last one, with what follows it; a sequence classification has it.
    pub dense: Option<Dense>,
    /// The last layer, to the logits.
    pub out: Linear,
}

impl HeadLayers {
    /// The layers of a head.
    ///
    /// # Errors
    /// [`Error::Setting`] for the head of a masked language model, which is not trained; [`Error::Size`] for layers that do not fit.
    pub fn new(weights: &HeadWeights) -> Result<HeadLayers> {
        let layers = match weights {
            HeadWeights::First { dense, out } => HeadLayers { dense: Some(dense.clone()), out: out.clone() },
            HeadWeights::Each(out) => HeadLayers { dense: None, out: out.clone() },
            HeadWeights::Vocabulary { .. } => {
                let expected = "the head of a classification or of question answering";
                let found = "that of a masked language model".to_owned();
                return Err(Error::Setting { setting: "head to train", found, expected });
            }
        };
        for linear in layers.dense.iter().map(|dense| &dense.linear).chain([&layers.out]) {
            check_size("biases of a head", linear.bias.len(), linear.outputs())?;
            check_size("weights of a head", linear.weight.data.len(), linear.outputs() * linear.inputs())?;
        }
        if let Some(dense) = &layers.dense {
            check_size("inputs of the last layer of a head", layers.out.inputs(), dense.linear.outputs())?;
        }
        Ok(layers)
    }

    /// The weights in the form of the model.
    pub fn weights(&self) -> HeadWeights {
        match &self.dense {
            Some(dense) => HeadWeights::First { dense: dense.clone(), out: self.out.clone() },
            None => HeadWeights::Each(self.out.clone()),
        }
    }

    /// Features of the hidden states.
    pub fn inputs(&self) -> usize {
        self.dense.as_ref().map_or(self.out.inputs(), |dense| dense.linear.inputs())
    }

    /// Logits per row.
    pub fn outputs(&self) -> usize {
        self.out.outputs()
    }
}

impl Tensors for HeadLayers {
    const NAME: &'static str = "head";
    /// Weights and biases of the last layer, then those of the one before it, if there is one.
    const TENSORS: &'static [&'static str] = &["out.weight", "out.bias", "dense.weight", "dense.bias"];

    fn tensors(&self) -> Vec<&[f32]> {
        let dense = self.dense.as_ref().map(|dense| &dense.linear);
        [&self.out].into_iter().chain(dense).flat_map(|linear| [&linear.weight.data[..], &linear.bias[..]]).collect()
    }

    fn tensors_mut(&mut self) -> Vec<&mut [f32]> {
        let dense = self.dense.as_mut().map(|dense| &mut dense.linear);
        let linears = [&mut self.out].into_iter().chain(dense);
        linears.flat_map(|linear| [&mut linear.weight.data[..], &mut linear.bias[..]]).collect()
    }

    fn decays(tensor: usize) -> bool {
        tensor.is_multiple_of(2) // biases do not
    }
}
