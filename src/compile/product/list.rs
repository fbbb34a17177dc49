//! The list of the kinds of products.

use lacuna_kernels::KernelError;
use serde::{Deserialize, Serialize};

use super::super::choose::Chooser;
use super::job::{Job, Offer};
use super::kind::{InFile, PackedProduct, ProductKind};
use super::{dense, float, sparse};
use crate::container::PackedError;

/// What is stored of a product beside its sections: one variant per kind, under the kind's name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "lowercase")]
pub(crate) enum ProductEntry {
    /// Sparse, in 8 bit.
    Sparse(sparse::Entry),
    /// Dense, in 8 bit.
    Dense(dense::Entry),
    /// Sparse or dense, in bf16 or f32.
    Float(float::Entry),
}

impl ProductEntry {
    /// The product, with plans for the instruction set of `file`.
    pub(crate) fn load(&self, file: &InFile<'_>) -> Result<Box<dyn PackedProduct>, PackedError> {
        match self {
            ProductEntry::Sparse(entry) => entry.load(file),
            ProductEntry::Dense(entry) => entry.load(file),
            ProductEntry::Float(entry) => entry.load(file),
        }
    }
}

/// Every way to compute a product; of two that take the same time the first is preferred.
pub(crate) fn offers(job: &Job<'_>, chooser: &Chooser<'_>) -> Result<Vec<Offer>, KernelError> {
    let kinds = [dense::Kind::offers, sparse::Kind::offers, float::Kind::offers];
    let offers: Vec<Vec<Offer>> = kinds.into_iter().map(|offers| offers(job, chooser)).collect::<Result<_, _>>()?;
    Ok(offers.into_iter().flatten().collect())
}
