//! What a kind of product must implement.

use bytes::Bytes;
use lacuna_jit::Isa;
use lacuna_kernels::{KernelError, Output, Parallel};

use super::super::chooser::Chooser;
use super::super::part::Kernel;
use super::job::{Computes, Job, Offer, Operand, Reads};
use crate::container::{PackedError, PackedFile};
use crate::loaded::ProductReport;

/// A kind of product: its kernel, and everything from the choice of a plan to the report.
pub(crate) trait ProductKind: Kernel<Plan: Copy + Send + Sync> + Send + Sync + 'static {
    /// Packed weights.
    type Weights: Clone + Send + Sync + 'static;

    /// What a file says of a product in addition to its sections.
    type Entry;

    /// The best plans of this kind for a product: at most one for each input that it can read.
    fn offers(job: &Job<'_>, chooser: &Chooser<'_>) -> Result<Vec<Offer<Self::Plan>>, KernelError>;

    /// The plan with the schedule of a table, or one measured for it, if the kind has schedules.
    fn tuned(plan: Self::Plan, job: &Job<'_>, chooser: &Chooser<'_>) -> Result<Self::Plan, KernelError> {
        let _ = (job, chooser);
        Ok(plan)
    }

    /// Packs the weights of the product.
    fn pack(plan: &Self::Plan, job: &Job<'_>) -> Result<Self::Weights, KernelError>;

    /// Packed weights for a plan of another instruction set.
    fn weights_for(weights: Self::Weights, plan: &Self::Plan) -> Self::Weights {
        let _ = plan;
        weights
    }

    /// M and K.
    fn shape(plan: &Self::Plan) -> (usize, usize);

    /// What it reads.
    fn reads(plan: &Self::Plan) -> Reads;

    /// What it computes.
    fn computes(plan: &Self::Plan) -> Computes;

    /// How it is stored: what is known in addition to the sections, the names of the sections, and the sections.
    fn save<'a>(plan: &Self::Plan, weights: &'a Self::Weights) -> (Self::Entry, Vec<(&'static str, &'a [u8])>);

    /// What was stored, planned for the instruction set of `file`.
    fn load(entry: &Self::Entry, file: &InFile<'_>) -> Result<(Self::Plan, Self::Weights), PackedError>;

    /// Computes the product for `tokens` tokens.
    fn run(
        &self,
        weights: &Self::Weights,
        x: Operand<'_>,
        tokens: usize,
        out: Output<'_>,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError>;

    /// How it runs.
    fn report(&self, weights: &Self::Weights) -> ProductReport;
}

/// Where a stored product is read from.
pub(crate) struct InFile<'a> {
    /// The name of its sections.
    pub(crate) name: &'a str,
    pub(crate) file: &'a PackedFile,
    /// What plans are made for until it is known where they run.
    pub(crate) isa: Isa,
}

impl InFile<'_> {
    /// The sections of these names, or the first that is missing.
    pub(super) fn sections<const N: usize>(&self, names: [&str; N]) -> Result<[Bytes; N], PackedError> {
        let mut sections = [const { Bytes::new() }; N];
        for (section, part) in sections.iter_mut().zip(names) {
            *section = self.file.section(&format!("{}.{part}", self.name))?;
        }
        Ok(sections)
    }

    /// For `map_err`.
    pub(super) fn failed(&self, source: KernelError) -> PackedError {
        self.file.weights_error(self.name, source)
    }
}

/// An operand that a kernel cannot read.
pub(super) fn mismatch(kernel: String, found: &str, expected: &str) -> KernelError {
    KernelError::Mismatch { kernel, found: found.into(), expected: expected.into() }
}
