//! Products of all data types behind one face.

use std::time::{Duration, Instant};

use lacuna_jit::Isa;
use lacuna_kernels::cache::AnyPlan;
use lacuna_kernels::epilogue::{Activation, Epilogue};
use lacuna_kernels::float::{self, DType, FloatDesc, FloatPlan};
use lacuna_kernels::gemm::{GemmDesc, GemmPlan};
use lacuna_kernels::spmm::{SpmmDesc, SpmmPlan};
use lacuna_kernels::{Block, PanelLayout, Parallel, Sign, Sink};

use super::float::FloatMatrix;
use super::int8::Int8Matrix;
use super::limits::Limit;
use crate::args;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::timing::Work;

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
    pub(crate) fn limit(self) -> Limit {
        match self {
            DTypeArg::Int8 => Limit::Vnni,
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
        let int8 = args::epilogue(text);
        let float = match Activation::from_name(text) {
            Some(activation) => Some(Sink::f32(false).with(activation)),
            None => float::sinks().into_iter().find(|sink| sink.name() == text),
        };
        match (int8, float) {
            (Err(message), None) => Err(format!("{message}; for --dtype f32 and bf16 {}", float_names().join(", "))),
            (int8, float) => Ok(EpilogueArg { name: text.to_owned(), int8: int8.ok(), float }),
        }
    }
}

fn float_names() -> Vec<String> {
    float::sinks().iter().map(Sink::name).collect()
}

/// What is wanted of all shapes.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) kind: Kind,
    pub(crate) dtype: DTypeArg,
    pub(crate) block: Block,
    pub(crate) epilogue: Option<EpilogueArg>,
    pub(crate) intrinsics: bool,
    /// All plans that the planner considers, not only the one it picks.
    pub(crate) candidates: bool,
    /// How the planner picks, of int8 products.
    pub(crate) tuning: Option<TuningArg>,
}

impl Wanted {
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
        wanted.float.ok_or_else(|| self.no_epilogue(wanted, float_names()))
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
    pub(crate) fn plan(&self, m: usize, k: usize, isa: Isa) -> Result<ProductPlan> {
        let dtype = match self.dtype {
            DTypeArg::Int8 => {
                let epilogue = self.int8_epilogue()?;
                return Ok(ProductPlan::Int8(match self.kind {
                    Kind::Gemm => Int8Plan::Gemm(GemmDesc { m, k, epilogue }.plan(isa)?),
                    Kind::Spmm => Int8Plan::Spmm(SpmmDesc { m, k, block: self.block, epilogue }.plan(isa)?),
                }));
            }
            DTypeArg::Bf16 => DType::Bf16,
            DTypeArg::F32 => DType::F32,
        };
        if self.tuning.is_some() {
            let (found, expected) =
                (format!("--dtype {}", self.dtype.name()), "int8, whose schedules can be tuned".into());
            return Err(Error::Argument { option: "--tuning", found, expected });
        }
        let desc = FloatDesc { m, k, dtype, block: self.block, sink: self.float_sink()? };
        let others = if self.candidates { desc.candidates(isa)? } else { Vec::new() };
        Ok(ProductPlan::Float(desc.plan(isa)?, others))
    }

    /// Seeded weights with the fraction `sparsity` of blocks zero, packed for `plan`.
    ///
    /// # Errors
    /// Those of packing and compiling.
    pub(crate) fn matrix(
        &self,
        (m, k): (usize, usize),
        plan: &ProductPlan,
        sparsity: f64,
        seed: u64,
        context: &Context,
    ) -> Result<Box<dyn Matrix>> {
        Ok(match plan {
            ProductPlan::Float(plan, others) => {
                let others = others.iter().filter(|other| *other != plan);
                let plans: Vec<FloatPlan> = [plan].into_iter().chain(others).copied().collect();
                Box::new(FloatMatrix::new(self, (m, k), &plans, sparsity, seed)?)
            }
            ProductPlan::Int8(plan) => Box::new(Int8Matrix::new(self, (m, k), plan, sparsity, seed, context)?),
        })
    }
}

/// How the planner picks a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TuningArg {
    /// By the block shape alone
    Rules,
    /// By the cost model, for the weights and N
    Fast,
    /// By measuring all candidates for 100 ms, for the weights and N
    Measure,
}

/// A planned product.
#[derive(Debug, Clone)]
pub(crate) enum ProductPlan {
    Int8(Int8Plan),
    /// With the other candidates, if they are wanted.
    Float(FloatPlan, Vec<FloatPlan>),
}

/// A planned int8 product.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Int8Plan {
    Spmm(SpmmPlan),
    Gemm(GemmPlan),
}

/// Weights packed for a plan.
pub(crate) trait Matrix {
    /// Non-zero weights.
    fn nnz(&self) -> usize;

    /// The product with seeded activations: by the plan that is picked, and by all others if they are wanted.
    fn products<'a>(&'a self, tokens: usize, seed: u64, parallel: Parallel<'a>) -> Result<Products<'a>>;
}

/// The ways to compute one product.
pub(crate) struct Products<'a> {
    pub(crate) variants: Vec<Variant<'a>>,
    pub(crate) intrinsics: Option<Box<dyn Call + 'a>>,
}

/// A product by one plan.
pub(crate) struct Variant<'a> {
    pub(crate) key: AnyPlan,
    /// The decisions in one line.
    pub(crate) plan: String,
    /// Bytes of generated code; none on tiers without.
    pub(crate) code_bytes: usize,
    /// Non-zero weights over weights in stored blocks.
    pub(crate) fill_ratio: f64,
    /// What the cost model expects, if there is one.
    pub(crate) predicted_cycles: Option<f64>,
    pub(crate) call: Box<dyn Call + 'a>,
}

/// A product ready to run.
pub(crate) trait Call: Work {
    /// Runs it on an output that holds something else, and compares; what is wrong, if anything is.
    fn check(&mut self) -> Result<Option<String>>;

    /// One element of the result of the last call.
    fn value(&self, row: usize, token: usize) -> f64;
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
