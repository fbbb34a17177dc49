//! The list of the kinds of products, and products whose kind is forgotten.

use lacuna_jit::Isa;
use lacuna_kernels::float::FloatKernel;
use lacuna_kernels::gemm::GemmKernel;
use lacuna_kernels::spmm::SpmmKernel;
use lacuna_kernels::{KernelError, Output, Parallel};
use serde::{Deserialize, Serialize};

use super::super::chooser::Chooser;
use super::super::part::{CompiledSet, KernelSet, PackedPart, ReadyPart};
use super::job::{Computes, Job, Offer, Operand, Reads};
use super::kind::{InFile, ProductKind};
use super::{dense, float, sparse};
use crate::container::{PackedError, Sections};
use crate::loaded::ProductReport;

/// The list of the kinds, each with its form in files. If two take the same time, the first is preferred.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($entry:ty): $kernel:ty,)+) => {
        /// What is stored of a product in addition to its sections, under the name of its kind.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(tag = "form", rename_all = "lowercase")]
        pub(crate) enum ProductEntry {
            $($(#[$doc])* $kind($entry),)+
        }

        $(impl From<$entry> for ProductEntry {
            fn from(entry: $entry) -> ProductEntry {
                ProductEntry::$kind(entry)
            }
        })+

        impl ProductEntry {
            /// The product, planned for the instruction set of `file`.
            pub(crate) fn load(&self, file: &InFile<'_>) -> Result<Box<dyn PackedProduct>, PackedError> {
                match self {
                    $(ProductEntry::$kind(entry) => load::<$kernel>(entry, file),)+
                }
            }
        }

        /// Every way to compute a product.
        pub(crate) fn offers(
            job: &Job<'_>,
            chooser: &Chooser<'_>,
        ) -> Result<Vec<Offer<Box<dyn ProductPlan>>>, KernelError> {
            let mut offers = Vec::new();
            $(add_offers::<$kernel>(job, chooser, &mut offers)?;)+
            Ok(offers)
        }
    };
}

kinds! {
    /// Dense, in 8 bit.
    Dense(dense::Entry): GemmKernel,
    /// Sparse, in 8 bit.
    Sparse(sparse::Entry): SpmmKernel,
    /// Sparse or dense, in bf16 or f32.
    Float(float::Entry): FloatKernel,
}

fn load<K: ProductKind<Entry: Into<ProductEntry>>>(
    entry: &K::Entry,
    file: &InFile<'_>,
) -> Result<Box<dyn PackedProduct>, PackedError> {
    let (plan, weights) = K::load(entry, file)?;
    Ok(Box::new(PackedPart::<K, K::Weights> { plan, weights }))
}

fn add_offers<K: ProductKind<Entry: Into<ProductEntry>>>(
    job: &Job<'_>,
    chooser: &Chooser<'_>,
    offers: &mut Vec<Offer<Box<dyn ProductPlan>>>,
) -> Result<(), KernelError> {
    let erased = |Offer { reads, time, plan }| {
        let plan: Box<dyn ProductPlan> = Box::new(PlanOf::<K>(plan));
        Offer { reads, time, plan }
    };
    offers.extend(K::offers(job, chooser)?.into_iter().map(erased));
    Ok(())
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
struct PlanOf<K: ProductKind>(K::Plan);

impl<K: ProductKind<Entry: Into<ProductEntry>>> ProductPlan for PlanOf<K> {
    fn tuned(&self, job: &Job<'_>, chooser: &Chooser<'_>) -> Result<Box<dyn ProductPlan>, KernelError> {
        Ok(Box::new(PlanOf::<K>(K::tuned(self.0, job, chooser)?)))
    }

    fn pack(&self, job: &Job<'_>) -> Result<Box<dyn PackedProduct>, KernelError> {
        let weights = K::pack(&self.0, job)?;
        Ok(Box::new(PackedPart::<K, K::Weights> { plan: self.0, weights }))
    }
}

/// The stored form of a product of some kind: everything except code.
pub(crate) trait PackedProduct: Send + Sync {
    fn shape(&self) -> (usize, usize);
    fn reads(&self) -> Reads;
    fn computes(&self) -> Computes;
    fn save<'a>(&'a self, name: &str, sections: &mut Sections<'a>) -> ProductEntry;
    fn for_isa(&self, isa: Isa) -> Result<Box<dyn PackedProduct>, KernelError>;
    fn request(&self, kernels: &mut KernelSet);
    fn attach(self: Box<Self>, kernels: &CompiledSet) -> Result<Box<dyn Product>, KernelError>;
}

impl<K: ProductKind<Entry: Into<ProductEntry>>> PackedProduct for PackedPart<K, K::Weights> {
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
        entry.into()
    }

    fn for_isa(&self, isa: Isa) -> Result<Box<dyn PackedProduct>, KernelError> {
        let PackedPart::<K, K::Weights> { plan, weights } = PackedPart::for_isa(self, isa)?;
        Ok(Box::new(PackedPart::<K, K::Weights> { weights: K::weights_for(weights, &plan), plan }))
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
