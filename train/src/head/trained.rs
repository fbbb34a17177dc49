//! The forward and the backward pass of a head.

use lacuna_kernels::layout::f32_index;
use lacuna_model::heads::{DenseActivation, HeadWeights};
use lacuna_model::{Linear, Matrix};

use super::layers::HeadLayers;
use crate::Result;
use crate::batch::Batch;
use crate::error::check_size;
use crate::ops::{activate, activate_backward};
use crate::parameters::Tensors;
use crate::product::{Product, outer, sum_tokens};
use crate::tiles::Tiles;

/// A head that runs on f32 tiles.
#[derive(Debug, Clone)]
pub struct TrainedHead {
    layers: HeadLayers,
    dense: Option<Product>,
    out: Product,
}

/// What the forward pass of a head keeps for its backward pass.
#[derive(Debug, Clone, Default)]
pub struct HeadSaved {
    /// The hidden states that the head reads: of the first tokens, or of all.
    input: Tiles,
    /// What the last layer reads, if there is a layer before it.
    inner: Tiles,
    /// The derivative of the activation.
    slope: Tiles,
}

impl TrainedHead {
    /// A head with these weights.
    ///
    /// # Errors
    /// Those of [`HeadLayers::new`] and of the kernels.
    pub fn new(weights: &HeadWeights) -> Result<TrainedHead> {
        TrainedHead::of(HeadLayers::new(weights)?)
    }

    fn of(layers: HeadLayers) -> Result<TrainedHead> {
        let dense = layers.dense.as_ref().map(|dense| Product::new(&dense.linear, None, true)).transpose()?;
        let out = Product::new(&layers.out, None, true)?;
        Ok(TrainedHead { layers, dense, out })
    }

    /// The parameters.
    pub fn layers(&self) -> &HeadLayers {
        &self.layers
    }

    /// Changes the parameters.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for layers of other shapes, and errors of the kernels.
    pub fn replace(&mut self, layers: HeadLayers) -> Result<()> {
        let (old, new) = (self.layers.tensors(), layers.tensors());
        check_size("tensors of a head", new.len(), old.len())?;
        old.iter().zip(new).try_for_each(|(old, new)| check_size("elements of a head", new.len(), old.len()))?;
        *self = TrainedHead::of(layers)?;
        Ok(())
    }

    /// Whether it reads the first token of a sequence only: a row of logits is then of a sequence, else of a token.
    pub fn reads_first(&self) -> bool {
        self.layers.dense.is_some()
    }

    /// The logits from the hidden states after the last layer, `[sequences][outputs]` or `[tokens][outputs]`.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for states of another batch or other features.
    pub fn forward(&self, batch: &Batch, states: &Tiles, saved: &mut HeadSaved) -> Result<Matrix> {
        check_size("columns of a head's input", states.columns(), batch.tokens())?;
        check_size("features of a head's input", states.features(), self.layers.inputs())?;
        let HeadSaved { input, inner, slope } = saved;
        let mut logits = Tiles::default();
        let (Some(product), Some(dense)) = (&self.dense, &self.layers.dense) else {
            input.clone_from(states);
            self.out.forward(input, &mut logits)?;
            return Ok(logits.to_rows());
        };
        *input = first_tokens(batch, states);
        product.forward(input, inner)?;
        match dense.activation {
            DenseActivation::Tanh => tanh(inner, slope),
            DenseActivation::Feature(activation) => activate(activation, inner, Some(slope)),
        }
        self.out.forward(inner, &mut logits)?;
        Ok(logits.to_rows())
    }

    /// From the gradient of the logits, in the shape of [`TrainedHead::forward`]: that of the parameters is added to `gradients`, that of
    /// the hidden states to `dx`.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) for other shapes than those of the forward pass.
    pub fn backward(
        &self,
        batch: &Batch,
        saved: &HeadSaved,
        gradient: &Matrix,
        gradients: &mut HeadLayers,
        dx: &mut Tiles,
    ) -> Result<()> {
        check_size("rows of the gradient of logits", gradient.rows, saved.input.columns())?;
        check_size("columns of a gradient", dx.columns(), batch.tokens())?;
        check_size("features of a gradient", dx.features(), self.layers.inputs())?;
        let dy = Tiles::from_rows(gradient);
        let (Some(product), Some(dense)) = (&self.dense, &mut gradients.dense) else {
            linear_backward(&saved.input, &dy, &mut gradients.out)?;
            return self.out.backward(&dy, dx, true);
        };
        check_size("sequences of a head", gradient.rows, batch.sequences())?;
        linear_backward(&saved.inner, &dy, &mut gradients.out)?;
        let (mut dinner, mut dinput) = (Tiles::default(), Tiles::default());
        self.out.backward(&dy, &mut dinner, false)?;
        activate_backward(&mut dinner, &saved.slope);
        linear_backward(&saved.input, &dinner, &mut dense.linear)?;
        product.backward(&dinner, &mut dinput, false)?;
        let features = dx.features();
        for (sequence, range) in batch.ranges().iter().enumerate() {
            for feature in 0..features {
                dx.data_mut()[f32_index(features, feature, range.start)] += dinput.at(feature, sequence);
            }
        }
        Ok(())
    }
}

/// The hidden states of the first token of each sequence.
fn first_tokens(batch: &Batch, states: &Tiles) -> Tiles {
    let mut rows = Matrix::zeros(batch.sequences(), states.features());
    for (sequence, range) in batch.ranges().iter().enumerate() {
        rows.row_mut(sequence).iter_mut().enumerate().for_each(|(feature, x)| *x = states.at(feature, range.start));
    }
    Tiles::from_rows(&rows)
}

/// `x = tanh(x)` and `slope = 1 - tanh(x)^2`.
fn tanh(x: &mut Tiles, slope: &mut Tiles) {
    slope.reshape(x.features(), x.columns());
    for (x, slope) in x.data_mut().iter_mut().zip(slope.data_mut()) {
        *x = x.tanh();
        *slope = x.mul_add(-*x, 1.0);
    }
}

/// `dW += dy x'` and `db += sum dy`.
fn linear_backward(x: &Tiles, dy: &Tiles, gradient: &mut Linear) -> Result<()> {
    outer(dy, x, &mut gradient.weight.data)?;
    sum_tokens(dy, &mut gradient.bias)
}
