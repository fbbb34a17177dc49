//! How the vectors of the tokens become one.

use serde::{Deserialize, Serialize};

use crate::matrix::Matrix;

/// How the hidden states of a text become one vector. `x[t]` is the hidden state of token t, and `first` the first token that counts:
/// 0, or the first one behind a prompt that does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolingMode {
    /// `x[first]`: the first token.
    Cls,
    /// `max x[t]` per feature, special tokens included.
    Max,
    /// `sum x[t] / n` over the n tokens that count, special tokens included.
    Mean,
    /// `sum x[t] / sqrt(n)` over the n tokens that count.
    MeanSqrtLen,
    /// `sum (t + 1) x[t] / sum (t + 1)`: later tokens weigh more. The number of a token does not depend on `first`.
    WeightedMean,
    /// The last token.
    LastToken,
}

impl PoolingMode {
    /// Every mode, in the order in which sentence-transformers joins the results of several.
    pub const ALL: [PoolingMode; 6] = [
        PoolingMode::Cls,
        PoolingMode::Max,
        PoolingMode::Mean,
        PoolingMode::MeanSqrtLen,
        PoolingMode::WeightedMean,
        PoolingMode::LastToken,
    ];

    /// Its name in the files of sentence-transformers.
    pub const fn name(self) -> &'static str {
        match self {
            PoolingMode::Cls => "cls",
            PoolingMode::Max => "max",
            PoolingMode::Mean => "mean",
            PoolingMode::MeanSqrtLen => "mean_sqrt_len_tokens",
            PoolingMode::WeightedMean => "weightedmean",
            PoolingMode::LastToken => "lasttoken",
        }
    }

    /// The setting of older files that turns it on.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            PoolingMode::Cls => "pooling_mode_cls_token",
            PoolingMode::Max => "pooling_mode_max_tokens",
            PoolingMode::Mean => "pooling_mode_mean_tokens",
            PoolingMode::MeanSqrtLen => "pooling_mode_mean_sqrt_len_tokens",
            PoolingMode::WeightedMean => "pooling_mode_weightedmean_tokens",
            PoolingMode::LastToken => "pooling_mode_lasttoken",
        }
    }

    /// The mode of a name.
    pub fn from_name(name: &str) -> Option<PoolingMode> {
        PoolingMode::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Pools the tokens from `first` on of hidden states `[N][features]` into `pooled`, `[features]`. There is at least one such token.
    ///
    /// # Numerics
    /// f32 sums in token order.
    pub(super) fn pool(self, hidden: &Matrix, first: usize, pooled: &mut [f32]) {
        let rows = || (first..hidden.rows).map(|token| (token, hidden.row(token)));
        let count = hidden.rows.saturating_sub(first) as f32;
        match self {
            PoolingMode::Cls => pooled.copy_from_slice(hidden.row(first)),
            PoolingMode::LastToken => pooled.copy_from_slice(hidden.row(hidden.rows - 1)),
            PoolingMode::Max => {
                pooled.fill(f32::NEG_INFINITY);
                rows().for_each(|(_, row)| pooled.iter_mut().zip(row).for_each(|(p, x)| *p = p.max(*x)));
            }
            PoolingMode::Mean | PoolingMode::MeanSqrtLen => {
                pooled.fill(0.0);
                rows().for_each(|(_, row)| pooled.iter_mut().zip(row).for_each(|(p, x)| *p += x));
                let divisor = if self == PoolingMode::Mean { count } else { count.sqrt() };
                let scale = 1.0 / divisor;
                pooled.iter_mut().for_each(|p| *p *= scale);
            }
            PoolingMode::WeightedMean => {
                pooled.fill(0.0);
                let mut weights = 0.0;
                for (token, row) in rows() {
                    let weight = (token + 1) as f32;
                    weights += weight;
                    pooled.iter_mut().zip(row).for_each(|(p, x)| *p += weight * x);
                }
                pooled.iter_mut().for_each(|p| *p /= weights);
            }
        }
    }
}
