//! Embedding and layernorm of each tile while it is in the cache.

use super::kernel::EmbeddingKernel;
use super::params::{EmbeddingIds, EmbeddingTables};
use crate::layernorm::{LayerNormKernel, NormRows};
use crate::parallel::SharedMut;
use crate::rows::for_each_tile;
use crate::{KernelError, Parallel, Plan};

/// An embedding followed by a layernorm, tile by tile: the layernorm reads what the embedding has just written.
#[derive(Debug, Clone)]
pub struct EmbedLayerNorm {
    embedding: EmbeddingKernel,
    layernorm: LayerNormKernel,
}

impl EmbedLayerNorm {
    /// Pairs the two kernels.
    ///
    /// # Errors
    /// [`KernelError::Mismatch`] unless they are of the same width.
    pub fn new(embedding: EmbeddingKernel, layernorm: LayerNormKernel) -> Result<EmbedLayerNorm, KernelError> {
        let (found, expected) = (layernorm.plan().features(), embedding.plan().features());
        if found != expected {
            return Err(KernelError::Mismatch {
                kernel: embedding.plan().name(),
                found: format!("a layernorm of {found} features"),
                expected: format!("one of {expected}"),
            });
        }
        Ok(EmbedLayerNorm { embedding, layernorm })
    }

    /// The layernorm.
    pub fn layernorm(&self) -> &LayerNormKernel {
        &self.layernorm
    }

    /// Embeds the tokens of N = `columns` columns, normalises them into `x` and quantises them into `panel`, as the layernorm's output
    /// says.
    ///
    /// Shapes as for [`EmbeddingKernel::run`] and [`LayerNormKernel::run`].
    ///
    /// # Errors
    /// Those of the two.
    #[allow(clippy::too_many_arguments)]
    pub fn run(
        &self,
        tables: &EmbeddingTables<'_>,
        ids: &EmbeddingIds<'_>,
        params: &NormRows,
        x: &mut [f32],
        panel: Option<&mut [u8]>,
        columns: usize,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        self.embedding.check(tables, ids, x, columns)?;
        self.layernorm.check(params, x, panel.as_deref(), columns)?;
        let (x, panel) = (SharedMut::new(x), SharedMut::new(panel.unwrap_or_default()));
        for_each_tile(parallel, columns, |tile, columns| {
            let at = tile * self.embedding.plan().tile_elements();
            // SAFETY: both kernels' checks passed, for the same shape; each task has its own tile of both buffers.
            unsafe {
                self.embedding.run_tile(tables, ids, tile, x.at(at), columns);
                self.layernorm.run_tile(params, x.at(at), panel.at(at), columns);
            }
        });
        Ok(())
    }
}
