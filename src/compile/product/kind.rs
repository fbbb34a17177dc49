//! What a kind of product must say of itself, and products whose kind is forgotten.

use bytes::Bytes;
use lacuna_jit::Isa;
use lacuna_kernels::{KernelError, Output, Parallel};

use super::super::choose::Chooser;
use super::super::state::{CompiledSet, Kernel, KernelSet, PackedPart, ReadyPart};
use super::job::{Computes, Job, Offer, Operand, Reads};
use super::list::ProductEntry;
use crate::container::{PackedError, PackedFile, Sections};
use crate::report::ProductReport;

/// A kind of product: its kernel, and everything from the choice of a plan to the report.
pub(crate) trait ProductKind: Kernel<Plan: Copy + Send + Sync> + Send + Sync + 'static {
    /// Packed weights.
    type Weights: Clone + Send + Sync + 'static;

    /// The best plans of this kind for a product: at most one for each input that it can read.
    fn offers(job: &Job<'_>, chooser: &Chooser<'_>) -> Result<Vec<Offer>, KernelError>;

    /// The plan with the schedule of a table, or one measured for it, if the kind has schedules.
    fn tuned(plan: Self::Plan, job: &Job<'_>, chooser: &Chooser<'_>) -> Result<Self::Plan, KernelError> {
        let _ = (job, chooser);
        Ok(plan)
    }

    /// Packs the weights of the product.
    fn pack(plan: &Self::Plan, job: &Job<'_>) -> Result<Self::Weights, KernelError>;

    /// M and K.
    fn shape(plan: &Self::Plan) -> (usize, usize);

    /// What it reads.
    fn reads(plan: &Self::Plan) -> Reads;

    /// What it computes.
    fn computes(plan: &Self::Plan) -> Computes;

    /// How it is stored: what is known beside the sections, the names of the sections, and the sections.
    fn save<'a>(plan: &Self::Plan, weights: &'a Self::Weights) -> (ProductEntry, Vec<(&'static str, &'a [u8])>);

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

/// A product that is decided, and what it is packed from.
pub(crate) struct PlannedProduct<'a> {
    plan: Box<dyn ProductPlan>,
    job: Job<'a>,
}

impl<'a> PlannedProduct<'a> {
    /// Takes the schedule of the tuning table, if there is a table.
    pub(crate) fn new(
        job: Job<'a>,
        plan: Box<dyn ProductPlan>,
        chooser: &Chooser<'_>,
    ) -> Result<PlannedProduct<'a>, KernelError> {
        Ok(PlannedProduct { plan: plan.tuned(&job, chooser)?, job })
    }

    pub(crate) fn pack(self) -> Result<Box<dyn PackedProduct>, KernelError> {
        self.plan.pack(&self.job)
    }
}

/// The plan of a product of some kind.
pub(crate) trait ProductPlan: Send + Sync {
    fn tuned(&self, job: &Job<'_>, chooser: &Chooser<'_>) -> Result<Box<dyn ProductPlan>, KernelError>;
    fn pack(&self, job: &Job<'_>) -> Result<Box<dyn PackedProduct>, KernelError>;
}

/// The plan of a product of kind K.
pub(super) struct PlanOf<K: ProductKind>(pub(super) K::Plan);

impl<K: ProductKind> ProductPlan for PlanOf<K> {
    fn tuned(&self, job: &Job<'_>, chooser: &Chooser<'_>) -> Result<Box<dyn ProductPlan>, KernelError> {
        Ok(Box::new(PlanOf::<K>(K::tuned(self.0, job, chooser)?)))
    }

    fn pack(&self, job: &Job<'_>) -> Result<Box<dyn PackedProduct>, KernelError> {
        let weights = K::pack(&self.0, job)?;
        Ok(Box::new(PackedPart::<K, K::Weights> { plan: self.0, weights }))
    }
}

/// A product of some kind as it is stored: all that it needs but code.
pub(crate) trait PackedProduct: Send + Sync {
    fn shape(&self) -> (usize, usize);
    fn reads(&self) -> Reads;
    fn computes(&self) -> Computes;
    fn save<'a>(&'a self, name: &str, sections: &mut Sections<'a>) -> ProductEntry;
    fn for_isa(&self, isa: Isa) -> Result<Box<dyn PackedProduct>, KernelError>;
    fn request(&self, kernels: &mut KernelSet);
    fn attach(self: Box<Self>, kernels: &CompiledSet) -> Result<Box<dyn Product>, KernelError>;
}

impl<K: ProductKind> PackedProduct for PackedPart<K, K::Weights> {
    fn shape(&self) -> (usize, usize) {
        K::shape(&self.plan)
    }

    fn reads(&self) -> Reads {
        K::reads(&self.plan)
    }

    fn computes(&self) -> Computes {
        K::computes(&self.plan)
    }

    fn save<'a>(&'a self, name: &str, sections: &mut Sections<'a>) -> ProductEntry {
        let (entry, parts) = K::save(&self.plan, &self.weights);
        parts.into_iter().for_each(|(part, bytes)| sections.add(format!("{name}.{part}"), bytes));
        entry
    }

    fn for_isa(&self, isa: Isa) -> Result<Box<dyn PackedProduct>, KernelError> {
        Ok(Box::new(PackedPart::for_isa(self, isa)?))
    }

    fn request(&self, kernels: &mut KernelSet) {
        PackedPart::request(self, kernels);
    }

    fn attach(self: Box<Self>, kernels: &CompiledSet) -> Result<Box<dyn Product>, KernelError> {
        Ok(Box::new(PackedPart::attach(*self, kernels)?))
    }
}

/// A product of some kind, ready to run.
pub(crate) trait Product: Send + Sync {
    /// Computes the product for `tokens` tokens.
    fn run(&self, x: Operand<'_>, tokens: usize, out: Output<'_>, parallel: Parallel<'_>) -> Result<(), KernelError>;

    /// How it runs.
    fn report(&self) -> ProductReport;
}

impl<K: ProductKind> Product for ReadyPart<K, K::Weights> {
    fn run(&self, x: Operand<'_>, tokens: usize, out: Output<'_>, parallel: Parallel<'_>) -> Result<(), KernelError> {
        self.kernel.run(&self.weights, x, tokens, out, parallel)
    }

    fn report(&self) -> ProductReport {
        self.kernel.report(&self.weights)
    }
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

    /// A product that was read.
    pub(super) fn product<K: ProductKind>(
        &self,
        plan: K::Plan,
        weights: Result<K::Weights, KernelError>,
    ) -> Result<Box<dyn PackedProduct>, PackedError> {
        let weights = weights.map_err(|source| self.failed(source))?;
        Ok(Box::new(PackedPart::<K, K::Weights> { plan, weights }))
    }
}

/// An operand that a kernel cannot read.
pub(super) fn mismatch(kernel: String, found: &str, expected: &str) -> KernelError {
    KernelError::Mismatch { kernel, found: found.into(), expected: expected.into() }
}
