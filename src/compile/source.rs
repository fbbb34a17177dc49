//! A linear layer of the model, as its kernel stores it.

use std::borrow::Cow;

use lacuna_model::{Linear, QuantizedLinear};

use super::heads::Heads;

/// A linear layer, quantised and in f32, and where its features are stored.
#[derive(Clone, Copy)]
pub(super) struct LinearSource<'a> {
    /// With weights rounded for its input's scales.
    pub(super) quantized: &'a QuantizedLinear,
    pub(super) float: &'a Linear,
    pub(super) order: FeatureOrder,
}

/// Where features are stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum FeatureOrder {
    /// As the model has them.
    AsIs,
    /// Output features in padded heads.
    Rows(Heads),
    /// Input features in padded heads.
    Columns(Heads),
}

impl<'a> LinearSource<'a> {
    /// K, as stored.
    pub(super) fn k(self) -> usize {
        match self.order {
            FeatureOrder::Columns(heads) => heads.features(),
            FeatureOrder::AsIs | FeatureOrder::Rows(_) => self.quantized.k,
        }
    }

    /// s8 weights, row-major `[m][k]`.
    pub(super) fn integers(self) -> Cow<'a, [i8]> {
        self.spread(&self.quantized.weight)
    }

    /// f32 weights, row-major `[m][k]`.
    pub(super) fn floats(self) -> Cow<'a, [f32]> {
        self.spread(&self.float.weight.data)
    }

    fn spread<T: Copy + Default>(self, weights: &'a [T]) -> Cow<'a, [T]> {
        let k = self.quantized.k;
        match self.order {
            FeatureOrder::AsIs => Cow::Borrowed(weights),
            FeatureOrder::Rows(heads) => Cow::Owned(heads.spread_rows(weights, k)),
            FeatureOrder::Columns(heads) => Cow::Owned(heads.spread_columns(weights, k)),
        }
    }

    /// What belongs to the output features, as stored; zeros for padding.
    pub(super) fn per_output<T: Copy + Default>(self, values: Vec<T>) -> Vec<T> {
        match self.order {
            FeatureOrder::Rows(heads) => heads.spread(&values, T::default()),
            FeatureOrder::AsIs | FeatureOrder::Columns(_) => values,
        }
    }
}
