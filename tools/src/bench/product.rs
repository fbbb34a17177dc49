//! The products to measure: those that the options request, planned and packed.

use std::time::{Duration, Instant};

use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::limits::Limit;
use lacuna_console::products::call::{Int8Plan, Matrix};
use lacuna_console::products::float::FloatMatrix;
use lacuna_console::products::int8::{Int8Matrix, TuningArg};
#[cfg(target_arch = "x86_64")]
use lacuna_console::products::intrinsics::in_f32;
use lacuna_console::products::problem::Weights;
use lacuna_jit::Isa;
use lacuna_kernels::cache::AnyPlan;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::float::{DType, FloatDesc, FloatPlan};
use lacuna_kernels::gemm::GemmDesc;
#[cfg(target_arch = "x86_64")]
use lacuna_kernels::intrinsics::IntrinsicsSpmm;
use lacuna_kernels::spmm::SpmmDesc;
use lacuna_kernels::{ActivationBits, Block, PanelLayout, Sign, Sink};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Spmm,
    Gemm,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Spmm => "spmm",
            Kind::Gemm => "gemm",
        }
    }
}

/// Type of weights and activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DTypeArg {
    /// s8 weights, u8 activations, s32 sums
    Int8,
    /// bfloat16, f32 sums
    Bf16,
    /// f32
    F32,
}

impl DTypeArg {
    pub(crate) fn name(self) -> &'static str {
        match self {
            DTypeArg::Int8 => "int8",
            DTypeArg::Bf16 => "bf16",
            DTypeArg::F32 => "f32",
        }
    }

    /// What its products are compared with.
    fn limit(self, bits: ActivationBits) -> Limit {
        match self {
            DTypeArg::Int8 => Limit::of_dots(bits),
            DTypeArg::Bf16 => Limit::Bf16,
            DTypeArg::F32 => Limit::Fma,
        }
    }
}

/// An epilogue by name, of the data types that have one of this name.
#[derive(Debug, Clone)]
pub(crate) struct EpilogueArg {
    name: String,
    int8: Option<Epilogue>,
    float: Option<Sink>,
}

impl EpilogueArg {
    /// For clap.
    pub(crate) fn parse(text: &str) -> Result<EpilogueArg, String> {
        let (int8, float) = (args::epilogue(text), args::float_sink(text).ok());
        match (int8, float) {
            (Err(message), None) => {
                Err(format!("{message}; for --dtype f32 and bf16 {}", args::float_sink_names().join(", ")))
            }
            (int8, float) => Ok(EpilogueArg { name: text.to_owned(), int8: int8.ok(), float }),
        }
    }
}

/// What is measured, for all shapes.
#[derive(Debug)]
pub(crate) struct ProductOptions {
    pub(crate) kind: Kind,
    pub(crate) dtype: DTypeArg,
    pub(crate) block: Block,
    pub(crate) epilogue: Option<EpilogueArg>,
    pub(crate) intrinsics: bool,
    /// All plans that the planner considers, not only the one it picks.
    pub(crate) candidates: bool,
    /// Bits of the activations of int8 products.
    pub(crate) activation_bits: Option<ActivationBits>,
    /// How the planner picks, of int8 products.
    pub(crate) tuning: Option<TuningArg>,
}

impl ProductOptions {
    /// What the products are compared with.
    pub(crate) fn limit(&self) -> Limit {
        self.dtype.limit(self.activation_bits.unwrap_or_default())
    }

    /// The epilogue of int8 products.
    ///
    /// # Errors
    /// [`Error::Argument`] for one that int8 does not have.
    pub(crate) fn int8_epilogue(&self) -> Result<Epilogue> {
        let Some(wanted) = &self.epilogue else {
            return Ok(Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned).fixed());
        };
        wanted.int8.ok_or_else(|| self.no_epilogue(wanted, Epilogue::all().iter().map(Epilogue::name).collect()))
    }

    /// The sink of float products.
    ///
    /// # Errors
    /// [`Error::Argument`] for one that floats do not have.
    pub(crate) fn float_sink(&self) -> Result<Sink> {
        let Some(wanted) = &self.epilogue else { return Ok(Sink::f32(false)) };
        wanted.float.ok_or_else(|| self.no_epilogue(wanted, args::float_sink_names()))
    }

    /// The name of the epilogue of the data type.
    ///
    /// # Errors
    /// [`Error::Argument`] for one that it does not have.
    pub(crate) fn epilogue_name(&self) -> Result<String> {
        match self.dtype {
            DTypeArg::Int8 => Ok(self.int8_epilogue()?.name()),
            DTypeArg::Bf16 | DTypeArg::F32 => Ok(self.float_sink()?.name()),
        }
    }

    fn no_epilogue(&self, wanted: &EpilogueArg, names: Vec<String>) -> Error {
        let found = format!("{} with --dtype {}", wanted.name, self.dtype.name());
        Error::Argument { option: "--epilogue", found, expected: format!("one of {}", names.join(", ")) }
    }

    /// Plans M x K by rules alone, which finds out whether there is a kernel at all.
    ///
    /// # Errors
    /// Those of planning, and of the epilogue.
    pub(crate) fn plan(&self, m: usize, k: usize, isa: Isa) -> Result<BenchPlan> {
        let dtype = match self.dtype {
            DTypeArg::Int8 => {
                let (epilogue, activation_bits) = (self.int8_epilogue()?, self.activation_bits.unwrap_or_default());
                return Ok(BenchPlan::Int8(match self.kind {
                    Kind::Gemm => Int8Plan::Gemm(GemmDesc { m, k, epilogue, activation_bits }.plan(isa)?),
                    Kind::Spmm => {
                        Int8Plan::Spmm(SpmmDesc { m, k, block: self.block, epilogue, activation_bits }.plan(isa)?)
                    }
                }));
            }
            DTypeArg::Bf16 => DType::Bf16,
            DTypeArg::F32 => DType::F32,
        };
        if let Some(bits) = self.activation_bits {
            let (found, expected) = (format!("{bits} with --dtype {}", self.dtype.name()), "--dtype int8".into());
            return Err(Error::Argument { option: "--activation-bits", found, expected });
        }
        if self.tuning.is_some() {
            let (found, expected) =
                (format!("--dtype {}", self.dtype.name()), "int8, whose schedules can be tuned".into());
            return Err(Error::Argument { option: "--tuning", found, expected });
        }
        let desc = FloatDesc { m, k, dtype, block: self.block, sink: self.float_sink()? };
        let others = if self.candidates { desc.candidates(isa)? } else { Vec::new() };
        Ok(BenchPlan::Float(desc, desc.plan(isa)?, others))
    }

    /// Refuses what the kernel in intrinsics cannot compute, before anything is measured.
    pub(super) fn check_intrinsics(&self, context: &Context) -> Result<()> {
        let wrong = |found: String, expected: &str| {
            Err(Error::Argument { option: "--intrinsics", found, expected: expected.to_owned() })
        };
        if self.block != Block::B4x1 {
            return wrong(format!("--block {}", self.block), "4x1 blocks");
        }
        if self.dtype != DTypeArg::Int8 {
            return wrong(format!("--dtype {}", self.dtype.name()), "int8");
        }
        if context.measuring_threads() != 1 {
            return wrong(format!("--threads {}", context.measuring_threads()), "one thread");
        }
        #[cfg(target_arch = "x86_64")]
        if !IntrinsicsSpmm::has(&in_f32(self.int8_epilogue()?)) {
            let expected = "--epilogue requant-u8-plain, requant-s8-plain, f32 or f32-residual";
            return wrong(format!("--epilogue {}", self.int8_epilogue()?.name()), expected);
        }
        match context.isa() {
            Isa::Portable | Isa::Avx2(_) => wrong(format!("tier {}", context.tier), "tier avx512vnni"),
            Isa::Avx512Vnni(_) => Ok(()),
        }
    }

    /// Given weights, packed for `plan`. A plan of floats has none.
    ///
    /// # Errors
    /// Those of packing and compiling.
    pub(crate) fn matrix_of(
        &self,
        shape: (usize, usize),
        plan: &BenchPlan,
        values: Vec<i8>,
        seed: u64,
        context: &Context,
    ) -> Result<Box<dyn Matrix>> {
        let BenchPlan::Int8(plan) = plan else {
            let (option, found) = ("--dtype", self.dtype.name().to_owned());
            return Err(Error::Argument { option, found, expected: "int8 with --model".to_owned() });
        };
        let epilogue = self.int8_epilogue()?;
        let weights = Weights::of(values, shape, &epilogue, seed);
        let matrix = Int8Matrix::pack(weights, epilogue, plan, self.intrinsics.then_some(context))?;
        Ok(Box::new(matrix.with_schedules(self.tuning.unwrap_or(TuningArg::Fast), self.candidates)))
    }

    /// Seeded weights with the fraction `sparsity` of blocks zero, packed for `plan`.
    ///
    /// # Errors
    /// Those of packing and compiling.
    pub(crate) fn matrix(
        &self,
        (m, k): (usize, usize),
        plan: &BenchPlan,
        sparsity: f64,
        seed: u64,
        context: &Context,
    ) -> Result<Box<dyn Matrix>> {
        Ok(match plan {
            BenchPlan::Float(desc, plan, others) => {
                let others = others.iter().filter(|other| *other != plan);
                let plans: Vec<FloatPlan> = [plan].into_iter().chain(others).copied().collect();
                Box::new(FloatMatrix::seeded(desc, &plans, sparsity, seed)?)
            }
            BenchPlan::Int8(plan) => {
                let epilogue = self.int8_epilogue()?;
                let weights = Weights::seeded(m, k, self.block, sparsity, &epilogue, seed);
                let matrix = Int8Matrix::pack(weights, epilogue, plan, self.intrinsics.then_some(context))?;
                Box::new(matrix.with_schedules(self.tuning.unwrap_or(TuningArg::Fast), self.candidates))
            }
        })
    }
}

/// A planned product.
#[derive(Debug, Clone)]
pub(crate) enum BenchPlan {
    Int8(Int8Plan),
    /// With the other candidates, if they are wanted.
    Float(FloatDesc, FloatPlan, Vec<FloatPlan>),
}

/// Repeats of an emission, of which the fastest counts: it is a few microseconds long.
const EMISSIONS: usize = 5;

/// How long the emitter of a plan takes; nothing where nothing is emitted.
pub(crate) fn emission_time(plan: &AnyPlan) -> Result<Duration> {
    if plan.isa() == Isa::Portable {
        return Ok(Duration::ZERO);
    }
    let mut best = Duration::MAX;
    for _ in 0..EMISSIONS {
        let start = Instant::now();
        let code = plan.emit()?;
        best = best.min(start.elapsed());
        drop(code);
    }
    Ok(best)
}
