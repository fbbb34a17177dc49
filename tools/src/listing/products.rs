//! Kernels of products: which plan is shown.

use clap::ValueEnum;
use lacuna_console::args;
use lacuna_console::error::{Error, Result};
use lacuna_console::products::int8::TuningArg;
use lacuna_console::products::problem::Weights;
use lacuna_console::products::shapes::check_weights;
use lacuna_jit::Isa;
use lacuna_kernels::cache::AnyPlan;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::float::{DType, FloatDesc};
use lacuna_kernels::gemm::GemmDesc;
use lacuna_kernels::spmm::{Schedule, SpmmDesc, SpmmPlan, SpmmWeights, Tuner};
use lacuna_kernels::{ActivationBits, Block, Generate, Sink};

/// Sparse int8 products.
#[derive(clap::Args)]
pub(super) struct SpmmArgs {
    #[command(flatten)]
    product: ProductArgs,

    /// Block shape of the zeros, outputs x inputs: 4x1, 8x1, 16x1, 1x4, 4x4, unstructured. The input is a plain panel; of 1x4 and
    /// 4x4 a VNNI panel
    #[arg(long, default_value = "4x1")]
    block: Block,

    /// Schedule by its name, which is in the kernel's name: v4u2-narrow16-prefetch [default: by the block shape alone]
    #[arg(long, value_name = "NAME", conflicts_with = "tuning")]
    schedule: Option<String>,

    /// How the planner picks a schedule, for random weights [default: rules]
    #[arg(long, value_enum)]
    tuning: Option<TuningArg>,

    /// N, the tokens that --tuning tunes for; a comma-separated list, with equal weight
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "128",
        requires = "tuning",
        value_parser = args::at_least_one
    )]
    n: Vec<usize>,

    /// Fraction of zero blocks of the weights that --tuning tunes for, 0 <= S < 1
    #[arg(
        long,
        value_name = "S",
        default_value_t = 0.9,
        requires = "tuning",
        allow_hyphen_values = true,
        value_parser = args::sparsity
    )]
    sparsity: f64,

    /// Seed of those weights
    #[arg(long, default_value_t = 1, requires = "tuning")]
    seed: u64,
}

/// Int8 products.
#[derive(clap::Args)]
pub(super) struct ProductArgs {
    /// M, output features
    #[arg(long, value_name = "M", default_value_t = 768)]
    m: usize,
    /// K, input features
    #[arg(long, value_name = "K", default_value_t = 768)]
    k: usize,
    /// requant, relu, gelu, gelutanh; each, or with 16 behind it, before -{u8,u7,s8}-{plain,vnni}; f32, f32-residual, and an
    /// activation before either
    #[arg(long, value_parser = args::epilogue, default_value = "requant")]
    epilogue: Epilogue,
    /// Bits of the activations: 8 or 7
    #[arg(long, value_name = "BITS", default_value_t = ActivationBits::Eight)]
    activation_bits: ActivationBits,
}

/// Products of floats.
#[derive(clap::Args)]
pub(super) struct FloatArgs {
    /// M, output features
    #[arg(long, value_name = "M", default_value_t = 768)]
    m: usize,
    /// K, input features
    #[arg(long, value_name = "K", default_value_t = 768)]
    k: usize,
    /// Type of weights and activations
    #[arg(long, value_enum, default_value = "f32")]
    dtype: FloatType,
    /// Block shape of the zeros, outputs x inputs: 4x1, 8x1, 16x1, unstructured, or dense
    #[arg(long, default_value = "dense")]
    block: Block,
    /// f32, f32-residual, bf16, and an activation (relu, gelu, gelutanh) before each
    #[arg(long, value_parser = args::float_sink, default_value = "f32")]
    epilogue: Sink,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FloatType {
    /// IEEE single precision
    F32,
    /// bfloat16, f32 sums
    Bf16,
}

impl From<FloatType> for DType {
    fn from(dtype: FloatType) -> DType {
        match dtype {
            FloatType::F32 => DType::F32,
            FloatType::Bf16 => DType::Bf16,
        }
    }
}

impl SpmmArgs {
    pub(super) fn plan(&self, isa: Isa) -> Result<AnyPlan> {
        let ProductArgs { m, k, epilogue, activation_bits } = self.product;
        let plan = SpmmDesc { m, k, block: self.block, epilogue, activation_bits }.plan(isa)?;
        Ok(match (&self.schedule, self.tuning) {
            (Some(name), _) => scheduled(&plan, name)?.key(),
            (None, Some(tuning)) => self.tuned(&plan, tuning)?.key(),
            (None, None) => plan.key(),
        })
    }

    fn tuned(&self, plan: &SpmmPlan, tuning: TuningArg) -> Result<SpmmPlan> {
        let ProductArgs { m, k, epilogue, .. } = self.product;
        check_weights(m, k)?;
        let weights = Weights::seeded(m, k, self.block, self.sparsity, &epilogue, self.seed);
        let packed = SpmmWeights::pack(plan, &weights.values, &weights.params)?;
        tuning.pick(&Tuner::for_columns(&self.n), plan, &packed)
    }
}

/// The plan with the schedule of a name.
fn scheduled(plan: &SpmmPlan, name: &str) -> Result<SpmmPlan> {
    let candidates = plan.candidates();
    candidates.iter().find(|candidate| candidate.schedule().name() == name).copied().ok_or_else(|| {
        let names: Vec<String> = candidates.iter().map(SpmmPlan::schedule).map(Schedule::name).collect();
        Error::Argument {
            option: "--schedule",
            found: name.to_owned(),
            expected: format!("one of {}", names.join(", ")),
        }
    })
}

impl ProductArgs {
    /// The dense product.
    pub(super) fn dense(&self, isa: Isa) -> Result<AnyPlan> {
        let &ProductArgs { m, k, epilogue, activation_bits } = self;
        Ok(GemmDesc { m, k, epilogue, activation_bits }.plan(isa)?.key())
    }
}

impl FloatArgs {
    pub(super) fn plan(&self, isa: Isa) -> Result<AnyPlan> {
        let FloatArgs { m, k, dtype, block, epilogue } = *self;
        Ok(FloatDesc { m, k, dtype: dtype.into(), block, sink: epilogue }.plan(isa)?.key())
    }
}
