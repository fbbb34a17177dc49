//! The modules that follow pooling.

use serde::{Deserialize, Serialize};

use crate::matrix::Matrix;
use crate::reference::{gelu, layer_norm};
use crate::weights::{LayerNorm, Linear};

/// What the module LayerNorm adds to the variance; it has no setting for another value.
pub(crate) const LAYER_NORM_EPSILON: f32 = 1e-5;
/// Partial sums of a dot product: as many as the widest vectors have lanes.
const LANES: usize = 16;

/// A module behind Pooling, from vector to vector.
#[derive(Debug, Clone, PartialEq)]
pub enum SentenceModule {
    /// `activation(W x + b)`.
    Dense(DenseModule),
    /// `gamma (x - mean(x)) / sqrt(var(x) + eps) + beta`.
    LayerNorm(NormModule),
    /// `x / |x|`; a vector of zeros stays one.
    Normalize,
}

/// A linear layer with its activation.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseModule {
    /// `[out][in]` and `[out]`; zeros in place of a bias that the module does not have.
    pub linear: Linear,
    /// What follows it.
    pub activation: ModuleActivation,
}

/// A layer normalisation.
#[derive(Debug, Clone, PartialEq)]
pub struct NormModule {
    /// `[features]` each.
    pub norm: LayerNorm,
    /// Added to the variance.
    pub epsilon: f32,
}

/// The function behind a Dense module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleActivation {
    /// `x`.
    Identity,
    /// `tanh(x)`.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `max(x, 0)`.
    Relu,
    /// `x (1 + erf(x / sqrt(2))) / 2`.
    Gelu,
    /// `x / (1 + exp(-x))`.
    Silu,
}

impl ModuleActivation {
    /// Every function.
    pub const ALL: [ModuleActivation; 6] = [
        ModuleActivation::Identity,
        ModuleActivation::Tanh,
        ModuleActivation::Sigmoid,
        ModuleActivation::Relu,
        ModuleActivation::Gelu,
        ModuleActivation::Silu,
    ];

    /// The names that are understood, for errors.
    pub(super) const NAMES: &str = "Identity, Tanh, Sigmoid, ReLU, GELU and SiLU of torch.nn";

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            ModuleActivation::Identity => "identity",
            ModuleActivation::Tanh => "tanh",
            ModuleActivation::Sigmoid => "sigmoid",
            ModuleActivation::Relu => "relu",
            ModuleActivation::Gelu => "gelu",
            ModuleActivation::Silu => "silu",
        }
    }

    /// Its Python path, as sentence-transformers writes it.
    pub(super) const fn path(self) -> &'static str {
        match self {
            ModuleActivation::Identity => "torch.nn.modules.linear.Identity",
            ModuleActivation::Tanh => "torch.nn.modules.activation.Tanh",
            ModuleActivation::Sigmoid => "torch.nn.modules.activation.Sigmoid",
            ModuleActivation::Relu => "torch.nn.modules.activation.ReLU",
            ModuleActivation::Gelu => "torch.nn.modules.activation.GELU",
            ModuleActivation::Silu => "torch.nn.modules.activation.SiLU",
        }
    }

    /// The function of a Python path: `torch.nn.modules.activation.Tanh`, `torch.nn.Tanh`.
    pub(super) fn from_path(path: &str) -> Option<ModuleActivation> {
        let class = path.strip_prefix("torch.nn.")?.rsplit('.').next()?;
        ModuleActivation::ALL.into_iter().find(|activation| activation.path().rsplit('.').next() == Some(class))
    }

    /// The function, in place.
    pub(crate) fn apply(self, xs: &mut [f32]) {
        let mut each = |f: fn(f32) -> f32| xs.iter_mut().for_each(|x| *x = f(*x));
        match self {
            ModuleActivation::Identity => {}
            ModuleActivation::Tanh => each(f32::tanh),
            ModuleActivation::Sigmoid => each(|x| 1.0 / (1.0 + (-x).exp())),
            ModuleActivation::Relu => each(|x| if x < 0.0 { 0.0 } else { x }),
            ModuleActivation::Gelu => gelu(xs),
            ModuleActivation::Silu => each(|x| x / (1.0 + (-x).exp())),
        }
    }
}

impl SentenceModule {
    /// Features of the vectors that it takes; `None` takes any.
    pub fn inputs(&self) -> Option<usize> {
        match self {
            SentenceModule::Dense(dense) => Some(dense.linear.inputs()),
            SentenceModule::LayerNorm(norm) => Some(norm.norm.gamma.len()),
            SentenceModule::Normalize => None,
        }
    }

    /// Features of the vectors that it gives.
    pub fn outputs(&self, inputs: usize) -> usize {
        match self {
            SentenceModule::Dense(dense) => dense.linear.outputs(),
            SentenceModule::LayerNorm(_) | SentenceModule::Normalize => inputs,
        }
    }

    /// What it does, in a word or two.
    pub fn describe(&self) -> String {
        match self {
            SentenceModule::Dense(DenseModule { linear, activation }) => {
                format!("dense {} to {} with {}", linear.inputs(), linear.outputs(), activation.name())
            }
            SentenceModule::LayerNorm(_) => "layer normalisation".to_owned(),
            SentenceModule::Normalize => "normalised".to_owned(),
        }
    }

    /// Whether its parts have the shapes that it says they have, and finite values.
    pub(super) fn is_whole(&self) -> bool {
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        match self {
            SentenceModule::Normalize => true,
            SentenceModule::Dense(DenseModule { linear: Linear { weight, bias }, .. }) => {
                let is_shaped = weight.rows.checked_mul(weight.cols) == Some(weight.data.len());
                is_shaped && weight.rows > 0 && weight.rows == bias.len() && finite(&weight.data) && finite(bias)
            }
            SentenceModule::LayerNorm(NormModule { norm, epsilon }) => {
                let sizes = norm.gamma.len() == norm.beta.len();
                sizes && finite(&norm.gamma) && finite(&norm.beta) && *epsilon >= 0.0 && *epsilon < 1.0
            }
        }
    }

    /// Its result for a vector of the right length.
    ///
    /// # Numerics
    /// Dot products are f32 sums of 16 partial sums, value i in partial sum i mod 16, so that the result is the same on every machine.
    pub(super) fn apply(&self, mut x: Vec<f32>) -> Vec<f32> {
        match self {
            SentenceModule::Normalize => {
                normalize(&mut x);
                x
            }
            SentenceModule::LayerNorm(NormModule { norm, epsilon }) => {
                let mut row = Matrix { rows: 1, cols: x.len(), data: x };
                layer_norm(&mut row, norm, *epsilon);
                row.data
            }
            SentenceModule::Dense(DenseModule { linear, activation }) => {
                let rows = linear.weight.data.chunks_exact(linear.inputs().max(1));
                let mut y: Vec<f32> = rows.zip(&linear.bias).map(|(row, bias)| dot(row, &x) + bias).collect();
                activation.apply(&mut y);
                y
            }
        }
    }
}

/// Divides a vector by its L2 norm, in place; a vector of zeros stays one.
pub(super) fn normalize(xs: &mut [f32]) {
    let norm = xs.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        xs.iter_mut().for_each(|x| *x /= norm);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter_mut().zip(a_rest.iter().zip(b_rest)).for_each(|(sum, (a, b))| *sum += a * b);
    sums.iter().sum()
}
