//! The matrices whose products are measured: random ones of given shapes, or those of a model.

use std::path::Path;

use lacuna::weights::{LINEAR_NAMES, Linear};
use lacuna_console::error::Result;
use lacuna_console::products::shapes::ShapeArgs;

use crate::model::read;

/// A matrix to measure.
pub(super) struct Subject {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) zeros: Zeros,
}

/// Which weights are zero.
pub(super) enum Zeros {
    /// Blocks at random places: this fraction of them.
    Random(f64),
    /// Those of a matrix of a model.
    Real {
        /// Layer and name.
        name: String,
        /// `[m][k]` row-major.
        values: Vec<i8>,
    },
}

impl Subject {
    /// Fraction of its weights (of random ones, of blocks) that is zero.
    pub(super) fn sparsity(&self) -> f64 {
        match &self.zeros {
            Zeros::Random(sparsity) => *sparsity,
            Zeros::Real { values, .. } => {
                values.iter().filter(|&&w| w == 0).count() as f64 / values.len().max(1) as f64
            }
        }
    }

    /// What it is called while it is measured.
    pub(super) fn text(&self) -> String {
        let Subject { m, k, .. } = self;
        let zero = format!("{:.1} % zero", self.sparsity() * 1e2);
        match &self.zeros {
            Zeros::Random(_) => format!("M {m} K {k}, {zero}"),
            Zeros::Real { name, .. } => format!("{name}, M {m} K {k}, {zero}"),
        }
    }

    /// The name of a model's matrix.
    pub(super) fn name(&self) -> Option<&str> {
        match &self.zeros {
            Zeros::Random(_) => None,
            Zeros::Real { name, .. } => Some(name),
        }
    }
}

/// Every shape with every sparsity.
pub(super) fn random(matrices: &[(usize, usize)], sparsities: &[f64]) -> Vec<Subject> {
    let subject = |&(m, k): &(usize, usize), &sparsity: &f64| Subject { m, k, zeros: Zeros::Random(sparsity) };
    matrices.iter().flat_map(|shape| sparsities.iter().map(move |sparsity| subject(shape, sparsity))).collect()
}

/// The linear layers of the model in `folder`, quantised with one scale per output.
///
/// # Errors
/// Those of reading the model, and shapes that this command does not allocate.
pub(super) fn of_model(folder: &Path, shapes: &ShapeArgs) -> Result<Vec<Subject>> {
    let model = read(folder)?;
    let layers = model.weights().layers.iter().enumerate();
    let linears = layers.flat_map(|(layer, weights)| {
        let named = LINEAR_NAMES.into_iter().zip(weights.linears());
        named.map(move |(name, linear)| (format!("{layer}.{name}"), linear))
    });
    let subjects: Vec<Subject> = linears.map(|(name, linear)| of_linear(name, linear)).collect();
    for subject in &subjects {
        shapes.check("spmm", subject.m, subject.k)?;
    }
    Ok(subjects)
}

fn of_linear(name: String, linear: &Linear) -> Subject {
    let (m, k) = (linear.outputs(), linear.inputs());
    let values = (0..m).flat_map(|row| quantized(linear.weight.row(row))).collect();
    Subject { m, k, zeros: Zeros::Real { name, values } }
}

/// A row of weights in s8, the largest as 127.
fn quantized(row: &[f32]) -> impl Iterator<Item = i8> + '_ {
    let largest = row.iter().fold(0.0f32, |largest, w| largest.max(w.abs()));
    let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    row.iter().map(move |w| (w * scale).round_ties_even() as i8)
}
