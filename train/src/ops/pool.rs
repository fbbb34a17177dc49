//! From the hidden states of a sequence to its embedding.

use lacuna_kernels::TILE;
use lacuna_kernels::layout::f32_index;
use lacuna_model::{Matrix, Pooling, PoolingMode, SentenceModule};

use super::columns::gather;
use crate::batch::Batch;
use crate::error::check_size;
use crate::tiles::Tiles;
use crate::{Error, Result};

/// The pooling of sequences that can be trained through: one mode, and whether embeddings have a norm of 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    mode: PoolingMode,
    normalise: bool,
}

/// Embeddings and what the backward pass of pooling needs.
#[derive(Debug, Clone, Default)]
pub struct Pooled {
    /// `[sequences][hidden]`.
    pub embeddings: Matrix,
    /// The norms before normalisation, if there is one.
    norms: Vec<f32>,
}

impl Pool {
    /// Mean or first token, with or without normalisation.
    ///
    /// # Errors
    /// [`Error::Setting`] for other modes.
    pub fn new(mode: PoolingMode, normalise: bool) -> Result<Pool> {
        match mode {
            PoolingMode::Mean | PoolingMode::Cls => Ok(Pool { mode, normalise }),
            _ => Err(refused(mode.name().to_owned())),
        }
    }

    /// The pooling of a model. Embeddings are always normalised, because the losses compare directions.
    ///
    /// # Errors
    /// [`Error::Setting`] for several modes, modes other than mean and first token, and modules with weights.
    pub fn of(pooling: &Pooling) -> Result<Pool> {
        match pooling.modes[..] {
            [mode] if pooling.modules.iter().all(|module| *module == SentenceModule::Normalize) => {
                Pool::new(mode, true)
            }
            _ => Err(refused(pooling.describe())),
        }
    }

    /// The embedding of every sequence: `p / |p|` with `p = mean of x[t]`, or `p = x[0]`; without normalisation p.
    ///
    /// # Errors
    /// [`Error::Size`] if `x` is not of the batch.
    pub fn forward(self, batch: &Batch, x: &Tiles) -> Result<Pooled> {
        check_size("columns of pooling", x.columns(), batch.tokens())?;
        let mut pooled = Pooled { embeddings: Matrix::zeros(batch.sequences(), x.features()), norms: Vec::new() };
        let mut rows = vec![0.0f32; x.features() * batch.longest()];
        for (sequence, range) in batch.ranges().iter().enumerate() {
            let range = range.start..range.start + self.tokens(range.len());
            gather(x, &range, &mut rows, range.len());
            let embedding = pooled.embeddings.row_mut(sequence);
            for (p, row) in embedding.iter_mut().zip(rows.chunks_exact(range.len())) {
                *p = row.iter().sum::<f32>() / range.len() as f32;
            }
            if self.normalise {
                let norm = dot(embedding, embedding).sqrt().max(f32::MIN_POSITIVE);
                embedding.iter_mut().for_each(|p| *p /= norm);
                pooled.norms.push(norm);
            }
        }
        Ok(pooled)
    }

    /// The gradient of [`Pool::forward`] is added to `dx`; `gradient` is that of the embeddings, `[sequences][hidden]`.
    ///
    /// With `e = p / |p|`: `dp = (de - e (e . de)) / |p|`; the mean gives each token `dp / n`.
    ///
    /// # Errors
    /// [`Error::Size`] for other shapes than those of the forward pass.
    pub fn backward(self, batch: &Batch, pooled: &Pooled, gradient: &Matrix, dx: &mut Tiles) -> Result<()> {
        check_size("columns of pooling", dx.columns(), batch.tokens())?;
        check_size("rows of the gradient of embeddings", gradient.rows, batch.sequences())?;
        check_size("features of the gradient of embeddings", gradient.cols, dx.features())?;
        let features = dx.features();
        for (sequence, range) in batch.ranges().iter().enumerate() {
            let (e, de) = (pooled.embeddings.row(sequence), gradient.row(sequence));
            let (along, norm) = if self.normalise { (dot(e, de), pooled.norms[sequence]) } else { (0.0, 1.0) };
            let tokens = self.tokens(range.len());
            let scale = 1.0 / (norm * tokens as f32);
            let (mut start, end) = (range.start, range.start + tokens);
            while start < end {
                let stop = end.min((start / TILE + 1) * TILE);
                for (feature, (e, de)) in e.iter().zip(de).enumerate() {
                    let dp = (de - e * along) * scale;
                    let first = f32_index(features, feature, start);
                    dx.data_mut()[first..first + (stop - start)].iter_mut().for_each(|dx| *dx += dp);
                }
                start = stop;
            }
        }
        Ok(())
    }

    /// How many tokens of a sequence count, from the first on.
    fn tokens(self, length: usize) -> usize {
        if self.mode == PoolingMode::Cls { 1 } else { length }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn refused(found: String) -> Error {
    Error::Setting { setting: "pooling of a model to train", found, expected: "mean or cls, alone or normalised" }
}
