//! Products of all data types behind one face.

use lacuna_kernels::Parallel;
use lacuna_kernels::cache::AnyPlan;
use lacuna_kernels::gemm::GemmPlan;
use lacuna_kernels::machine::Executed;
use lacuna_kernels::spmm::SpmmPlan;

use crate::error::Result;
use crate::timing::Work;

/// A planned int8 product.
#[derive(Debug, Clone, Copy)]
pub enum Int8Plan {
    /// Of sparse weights.
    Spmm(SpmmPlan),
    /// Of dense weights.
    Gemm(GemmPlan),
}

/// Weights packed for a plan.
pub trait Matrix {
    /// Non-zero weights.
    fn nnz(&self) -> usize;

    /// The product with seeded activations: by the plan that is picked, and by all others if they are wanted.
    fn products<'a>(&'a self, tokens: usize, seed: u64, parallel: Parallel<'a>) -> Result<Products<'a>>;
}

/// The ways to compute one product.
pub struct Products<'a> {
    /// By the plan that is picked, and by all others if they are wanted.
    pub variants: Vec<Variant<'a>>,
    /// In compiler intrinsics, if that is wanted.
    pub intrinsics: Option<Box<dyn Call + 'a>>,
}

/// A product by one plan.
pub struct Variant<'a> {
    /// The plan.
    pub key: AnyPlan,
    /// The decisions in one line.
    pub plan: String,
    /// Bytes of generated code; none on tiers without.
    pub code_bytes: usize,
    /// Non-zero weights over weights in stored blocks.
    pub fill_ratio: f64,
    /// What the cost model expects, if there is one.
    pub predicted_cycles: Option<f64>,
    /// The inner loops that the product runs, for its bound; none where they are not counted.
    pub loops: Vec<Executed>,
    /// The product itself.
    pub call: Box<dyn Call + 'a>,
}

/// A product ready to run.
pub trait Call: Work {
    /// Runs it on an output filled with other values, and compares. Returns the first difference, if any.
    fn check(&mut self) -> Result<Option<String>>;

    /// One element of the result of the last call.
    fn value(&self, row: usize, token: usize) -> f64;
}
