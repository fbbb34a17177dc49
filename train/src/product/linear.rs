//! The products of a linear layer, on generated kernels.

use lacuna_kernels::float::{DType, FloatDesc, FloatInput, FloatKernel, FloatWeights};
use lacuna_kernels::layout::elements;
use lacuna_kernels::{Block, Output, Parallel, Sink};
use lacuna_model::Linear;

use super::scatter::GroupedWeights;
use crate::cpu::isa;
use crate::error::check_size;
use crate::mask::Mask;
use crate::tiles::Tiles;
use crate::{Error, Result};

/// The density of kept groups of four rows below which the products of a layer leave out what is not kept.
///
/// Measured with the example `products` on a Zen 5 server, one thread, 1920 tokens, 1536 x 384 and 384 x 1536. At a density of 0.6 the
/// sparse products are 1.25 to 1.6 times as fast as the dense ones, at 0.2 three to four times. Their times grow in proportion to the
/// density, so that both are equal near 0.8.
pub const SPARSE_BELOW: f64 = 0.75;

/// Whether a layer with this mask is computed sparsely.
pub fn is_sparse(mask: Option<&Mask>) -> bool {
    mask.is_some_and(|mask| mask.groups().density() < SPARSE_BELOW)
}

/// A linear layer whose weights are packed for `y = W x + b` and, where it is trained, for `dx = W' dy`.
///
/// # Numerics
/// Those of [`lacuna_kernels::float`]. The order of sums depends on the number of columns, never on the number of threads.
#[derive(Debug, Clone)]
pub struct Product {
    outputs: usize,
    inputs: usize,
    forward: Packed,
    backward: Backward,
}

/// The form of the input gradient.
#[derive(Debug, Clone)]
enum Backward {
    /// The layer is not trained.
    None,
    /// Generated code on the transposed weights.
    Dense(Box<Packed>),
    /// The kept weights.
    Sparse(GroupedWeights),
}

/// Packed weights, and kernels that replace or add to their output.
#[derive(Debug, Clone)]
struct Packed {
    replace: FloatKernel,
    add: FloatKernel,
    weights: FloatWeights,
}

impl Packed {
    fn new(m: usize, k: usize, block: Block, weights: &[f32], bias: &[f32]) -> Result<Packed> {
        let (replace, add) = (kernel(m, k, block, false)?, kernel(m, k, block, true)?);
        let weights = FloatWeights::pack(replace.plan(), weights, bias)?;
        Ok(Packed { replace, add, weights })
    }

    fn run(&self, x: &Tiles, y: &mut Tiles, add: bool) -> Result<()> {
        let kernel = if add { &self.add } else { &self.replace };
        kernel.run(
            &self.weights,
            FloatInput::F32(x.data()),
            x.columns(),
            Output::F32(y.data_mut()),
            Parallel::Rayon,
        )?;
        y.clear_padding();
        Ok(())
    }
}

fn kernel(m: usize, k: usize, block: Block, residual: bool) -> Result<FloatKernel> {
    let desc = FloatDesc { m, k, dtype: DType::F32, block, sink: Sink::f32(residual) };
    Ok(FloatKernel::compile(desc.plan(isa()?)?)?)
}

impl Product {
    /// Packs a linear layer; with `trained`, for its gradient too. The weights outside `mask` are zeros.
    ///
    /// # Errors
    /// Those of the kernels: shapes that they cannot have, weights that are not finite.
    pub fn new(linear: &Linear, mask: Option<&Mask>, trained: bool) -> Result<Product> {
        let (m, k) = (linear.outputs(), linear.inputs());
        check_size("biases of a linear layer", linear.bias.len(), m)?;
        check_size("weights of a linear layer", linear.weight.data.len(), m * k)?;
        let sparse = mask.filter(|mask| is_sparse(Some(mask)));
        let block = if sparse.is_some() { Block::B4x1 } else { Block::Dense };
        let forward = Packed::new(m, k, block, &linear.weight.data, &linear.bias)?;
        let backward = match sparse {
            _ if !trained => Backward::None,
            Some(mask) => Backward::Sparse(GroupedWeights::new(mask.groups(), &linear.weight.data)?),
            None => {
                let turned = transpose(&linear.weight.data, m, k);
                Backward::Dense(Box::new(Packed::new(k, m, Block::Dense, &turned, &vec![0.0; k])?))
            }
        };
        Ok(Product { outputs: m, inputs: k, forward, backward })
    }

    /// M, the number of output features.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// K, the number of input features.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// `y = W x + b`.
    ///
    /// # Errors
    /// [`Error::Size`] if `x` does not have K features.
    pub fn forward(&self, x: &Tiles, y: &mut Tiles) -> Result<()> {
        check_size("input features of a linear layer", x.features(), self.inputs)?;
        y.reshape(self.outputs, x.columns());
        self.forward.run(x, y, false)
    }

    /// `dx = W' dy`, or `dx += W' dy` with `add`.
    ///
    /// # Errors
    /// [`Error::Size`] for other shapes; [`Error::Setting`] if the layer is not trained.
    pub fn backward(&self, dy: &Tiles, dx: &mut Tiles, add: bool) -> Result<()> {
        check_size("output features of a linear layer", dy.features(), self.outputs)?;
        if add {
            check_size("elements of a gradient", dx.data().len(), elements(self.inputs, dy.columns()))?;
        } else {
            dx.reshape(self.inputs, dy.columns());
        }
        match &self.backward {
            Backward::Dense(packed) => packed.run(dy, dx, add),
            Backward::Sparse(grouped) => grouped.backward(dy, dx, add),
            Backward::None => {
                let (setting, found) = ("gradient of a linear layer", "not packed for it".to_owned());
                Err(Error::Setting { setting, found, expected: "a trained layer" })
            }
        }
    }

    /// Whether its products leave out weights.
    pub fn is_sparse(&self) -> bool {
        self.forward.replace.plan().block() != Block::Dense
    }
}

/// `[rows][columns]` to `[columns][rows]`, in squares that stay in the first-level cache.
pub(crate) fn transpose(from: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const SIDE: usize = 16;
    let mut to = vec![0.0; rows * columns];
    for row in (0..rows).step_by(SIDE) {
        for column in (0..columns).step_by(SIDE) {
            for c in column..columns.min(column + SIDE) {
                for r in row..rows.min(row + SIDE) {
                    to[c * rows + r] = from[r * columns + c];
                }
            }
        }
    }
    to
}
