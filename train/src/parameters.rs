//! The parameters of the layers, one by one.

use lacuna_model::{EmbeddingWeights, LayerNorm, LayerWeights, Linear, Matrix};

/// The number of linear layers in an encoder layer.
pub const LINEARS: usize = 6;

/// One of the six linear layers of an encoder layer, in the order they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LinearKind {
    /// Query projection.
    Q,
    /// Key projection.
    K,
    /// Value projection.
    V,
    /// Attention output projection.
    O,
    /// First feed-forward projection.
    Up,
    /// Second feed-forward projection.
    Down,
}

impl LinearKind {
    /// All six, in the order of [`LayerWeights::linears`].
    pub const ALL: [LinearKind; LINEARS] =
        [LinearKind::Q, LinearKind::K, LinearKind::V, LinearKind::O, LinearKind::Up, LinearKind::Down];

    /// Its linear layer.
    pub fn of(self, layer: &LayerWeights) -> &Linear {
        layer.linears()[self as usize]
    }

    /// Its linear layer.
    pub fn of_mut(self, layer: &mut LayerWeights) -> &mut Linear {
        match self {
            LinearKind::Q => &mut layer.q,
            LinearKind::K => &mut layer.k,
            LinearKind::V => &mut layer.v,
            LinearKind::O => &mut layer.o,
            LinearKind::Up => &mut layer.up,
            LinearKind::Down => &mut layer.down,
        }
    }
}

/// Tensors beside the layers of the encoder that are trained together: those of a head, or the embeddings.
pub trait Tensors: Clone {
    /// What they are, in errors and checkpoints.
    const NAME: &'static str;
    /// Names of the tensors in checkpoints, in the order of [`Tensors::tensors`].
    const TENSORS: &'static [&'static str];

    /// Their elements, in a fixed order.
    fn tensors(&self) -> Vec<&[f32]>;

    /// [`Tensors::tensors`], to be changed.
    fn tensors_mut(&mut self) -> Vec<&mut [f32]>;

    /// Whether weight decay applies to a tensor.
    fn decays(tensor: usize) -> bool;

    /// Zeros of the same shapes.
    fn zeros_like(&self) -> Self {
        let mut zeros = self.clone();
        zeros.tensors_mut().into_iter().for_each(|values| values.fill(0.0));
        zeros
    }
}

/// Word, position and type embeddings, and their normalisation. A projection is not trained. None of them decays: words that no text has
/// would lose what they mean.
impl Tensors for EmbeddingWeights {
    const NAME: &'static str = "embeddings";
    const TENSORS: &'static [&'static str] = &["word", "position", "token_type", "norm.gamma", "norm.beta"];

    fn tensors(&self) -> Vec<&[f32]> {
        let EmbeddingWeights { word, position, token_type, norm, projection: _ } = self;
        vec![&word.data, &position.data, &token_type.data, &norm.gamma, &norm.beta]
    }

    fn tensors_mut(&mut self) -> Vec<&mut [f32]> {
        let EmbeddingWeights { word, position, token_type, norm, projection: _ } = self;
        vec![&mut word.data, &mut position.data, &mut token_type.data, &mut norm.gamma, &mut norm.beta]
    }

    fn decays(_tensor: usize) -> bool {
        false
    }
}

/// Zeros in the shape of some layers' parameters: gradients, or moments of an optimiser.
pub fn zeros_like(layers: &[LayerWeights]) -> Vec<LayerWeights> {
    let mut zeros = layers.to_vec();
    for tensor in tensors_mut(&mut zeros) {
        tensor.values.fill(0.0);
    }
    zeros
}

/// What a tensor of the parameters is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorKind {
    /// The weights of a linear layer.
    Weight(LinearKind),
    /// The biases of a linear layer.
    Bias(LinearKind),
    /// Scale or shift of a normalisation.
    Norm,
}

/// One tensor of the parameters, of gradients or of moments.
#[derive(Debug)]
pub struct TensorMut<'a> {
    /// The layer.
    pub layer: usize,
    /// What it is.
    pub kind: TensorKind,
    /// Its elements.
    pub values: &'a mut [f32],
}

/// Names of a layer's tensors in checkpoints, in the order of [`tensors_mut`].
pub const TENSOR_NAMES: [&str; 16] = [
    "q.weight",
    "q.bias",
    "k.weight",
    "k.bias",
    "v.weight",
    "v.bias",
    "o.weight",
    "o.bias",
    "up.weight",
    "up.bias",
    "down.weight",
    "down.bias",
    "attention_norm.gamma",
    "attention_norm.beta",
    "output_norm.gamma",
    "output_norm.beta",
];

/// All tensors of some layers, layer by layer, in a fixed order: weights and biases of the six linear layers, then the normalisations.
pub fn tensors_mut(layers: &mut [LayerWeights]) -> Vec<TensorMut<'_>> {
    let mut tensors = Vec::with_capacity(layers.len() * TENSOR_NAMES.len());
    for (layer, weights) in layers.iter_mut().enumerate() {
        let LayerWeights { q, k, v, o, up, down, attention_norm, output_norm } = weights;
        for (kind, linear) in LinearKind::ALL.into_iter().zip([q, k, v, o, up, down]) {
            let Linear { weight, bias } = linear;
            tensors.push(TensorMut { layer, kind: TensorKind::Weight(kind), values: &mut weight.data });
            tensors.push(TensorMut { layer, kind: TensorKind::Bias(kind), values: bias });
        }
        for LayerNorm { gamma, beta } in [attention_norm, output_norm] {
            tensors.push(TensorMut { layer, kind: TensorKind::Norm, values: gamma });
            tensors.push(TensorMut { layer, kind: TensorKind::Norm, values: beta });
        }
    }
    tensors
}

/// The elements of all tensors of some layers, in the order of [`tensors_mut`].
pub fn tensors(layers: &[LayerWeights]) -> Vec<&[f32]> {
    let mut tensors: Vec<&[f32]> = Vec::with_capacity(layers.len() * TENSOR_NAMES.len());
    for layer in layers {
        for Linear { weight: Matrix { data, .. }, bias } in layer.linears() {
            tensors.extend([&data[..], &bias[..]]);
        }
        for LayerNorm { gamma, beta } in [&layer.attention_norm, &layer.output_norm] {
            tensors.extend([&gamma[..], &beta[..]]);
        }
    }
    tensors
}
