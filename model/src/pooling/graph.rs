//! Pooling settings of files beside those of a graph.

use super::module::{DenseModule, SentenceModule};
use super::pooling::{Pooling, PoolingSource};
use crate::error::{OnnxError, Result};

/// Largest difference between weights that are the same, of the largest weight: those of the graph may be f16 or int8.
const TOLERANCE: f32 = 0.01;

impl Pooling {
    /// The settings of files, and the pooling that a graph has itself. Files that say nothing leave it to the graph. A folder without
    /// `modules.json` says nothing about normalisation.
    ///
    /// # Errors
    /// [`OnnxError::Pooling`] if both say something, and not the same.
    pub(crate) fn joined(self, own: Pooling) -> Result<Pooling> {
        let (PoolingSource::File(file), PoolingSource::Graph { path, output }) = (&self.source, &own.source) else {
            return Ok(own);
        };
        if self.is_like(&own) {
            return Ok(self);
        }
        let with_norm = self.changed(None, Some(true));
        if !self.is_normalized() && !has_list(file) && with_norm.is_like(&own) {
            return Ok(own);
        }
        Err(OnnxError::Pooling {
            path: path.clone(),
            output: output.clone(),
            graph: own.describe(),
            file: file.clone(),
            settings: self.describe(),
        }
        .into())
    }

    /// Whether modes and modules are the same, but for rounding.
    fn is_like(&self, other: &Pooling) -> bool {
        let modules = || self.modules.iter().zip(&other.modules);
        self.modes == other.modes
            && self.modules.len() == other.modules.len()
            && modules().all(|(a, b)| match (a, b) {
                (SentenceModule::Normalize, SentenceModule::Normalize) => true,
                (SentenceModule::Dense(a), SentenceModule::Dense(b)) => is_same_layer(a, b),
                (SentenceModule::LayerNorm(a), SentenceModule::LayerNorm(b)) => {
                    is_near(&a.norm.gamma, &b.norm.gamma) && is_near(&a.norm.beta, &b.norm.beta)
                }
                _ => false,
            })
    }
}

/// Whether the folder of a module, or the model's, has a `modules.json`.
fn has_list(settings: &std::path::Path) -> bool {
    let root = settings.parent().and_then(std::path::Path::parent);
    root.is_some_and(|root| root.join("modules.json").exists())
}

fn is_same_layer(a: &DenseModule, b: &DenseModule) -> bool {
    a.activation == b.activation
        && (a.linear.weight.rows, a.linear.weight.cols) == (b.linear.weight.rows, b.linear.weight.cols)
        && is_near(&a.linear.weight.data, &b.linear.weight.data)
        && is_near(&a.linear.bias, &b.linear.bias)
}

fn is_near(a: &[f32], b: &[f32]) -> bool {
    let largest = a.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= TOLERANCE * largest)
}
