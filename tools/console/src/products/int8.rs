//! Products of s8 weights and u8 activations.

use std::rc::Rc;
use std::time::{Duration, Instant};

use lacuna_jit::Code;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::gemm::{GemmKernel, GemmWeights};
use lacuna_kernels::machine::Executed;
use lacuna_kernels::reference::gemm::Matrix as Dense;
use lacuna_kernels::spmm::{SpmmKernel, SpmmPlan, SpmmWeights, Tuner, Tuning};
use lacuna_kernels::{ActivationBits, Buffer, Generate, KernelError, Output, PanelLayout, Parallel, Team};

use super::call::{Call, Int8Plan, Matrix, Products, Variant};
use super::intrinsics::{Intrinsics, in_f32};
use super::problem::{Out, Weights, activations, checked_rows};
use crate::context::Context;
use crate::error::Result;
use crate::timing::Work;

/// How the planner picks a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TuningArg {
    /// By the block shape alone
    Rules,
    /// By the cost model, for the weights and N
    Fast,
    /// By measuring all candidates for 100 ms, for the weights and N
    Measure,
}

/// How long `--tuning measure` looks for the best schedule of one product.
const MEASURE: Tuning = Tuning::Measure { budget: Duration::from_millis(100) };

impl TuningArg {
    /// The schedule for the weights and the numbers of tokens of `tuner`.
    ///
    /// # Errors
    /// Those of compiling and running what is measured.
    pub fn pick(self, tuner: &Tuner, plan: &SpmmPlan, weights: &SpmmWeights) -> Result<SpmmPlan> {
        Ok(match self {
            TuningArg::Rules => *plan,
            TuningArg::Fast => tuner.choose(plan, weights, Tuning::Fast)?,
            TuningArg::Measure => tuner.choose(plan, weights, MEASURE)?,
        })
    }
}

/// Weights of one product, packed for its kernel.
pub struct Int8Matrix {
    weights: Weights,
    epilogue: Epilogue,
    packed: Packed,
    intrinsics: Option<Intrinsics>,
    tuning: TuningArg,
    candidates: bool,
}

enum Packed {
    Spmm(SpmmPlan, SpmmWeights),
    Gemm(GemmKernel, GemmWeights),
}

impl Int8Matrix {
    /// Packs weights for `plan`, and for the kernel in intrinsics if a context for it is given.
    pub fn pack(
        weights: Weights,
        epilogue: Epilogue,
        plan: &Int8Plan,
        intrinsics: Option<&Context>,
    ) -> Result<Int8Matrix> {
        let (values, params) = (&weights.values, &weights.params);
        let packed = match plan {
            Int8Plan::Gemm(plan) => Packed::Gemm(GemmKernel::compile(*plan)?, GemmWeights::pack(plan, values, params)?),
            Int8Plan::Spmm(plan) => Packed::Spmm(*plan, SpmmWeights::pack(plan, values, params)?),
        };
        let intrinsics = intrinsics.map(|context| Intrinsics::new(&weights, epilogue, context)).transpose()?;
        Ok(Int8Matrix { weights, epilogue, packed, intrinsics, tuning: TuningArg::Fast, candidates: false })
    }

    /// Picks schedules as `tuning` says, and makes kernels of all `candidates`.
    pub fn with_schedules(self, tuning: TuningArg, candidates: bool) -> Int8Matrix {
        Int8Matrix { tuning, candidates, ..self }
    }

    /// The plan that is picked for `tokens` tokens, all others behind it if they are wanted, with the cycles that the model
    /// expects.
    fn schedules(&self, plan: &SpmmPlan, weights: &SpmmWeights, tokens: usize) -> Result<Vec<(SpmmPlan, f64)>> {
        let tuner = Tuner::for_columns(&[tokens]);
        let picked = self.tuning.pick(&tuner, plan, weights)?;
        let all = tuner.predict(plan, weights, tokens).into_iter().map(|c| (c.plan, c.predicted_cycles));
        let (mut schedules, others): (Vec<_>, Vec<_>) = all.partition(|(plan, _)| *plan == picked);
        if self.candidates {
            schedules.extend(others);
        }
        Ok(schedules)
    }
}

impl Matrix for Int8Matrix {
    fn nnz(&self) -> usize {
        self.weights.nnz()
    }

    fn products<'a>(&'a self, tokens: usize, seed: u64, parallel: Parallel<'a>) -> Result<Products<'a>> {
        self.products_of(Rc::new(activations(self.weights.k, tokens, self.activation_bits(), seed)), parallel)
    }
}

impl Int8Matrix {
    /// Bits of the activations.
    fn activation_bits(&self) -> ActivationBits {
        match &self.packed {
            Packed::Spmm(plan, _) => plan.activation_bits(),
            Packed::Gemm(kernel, _) => kernel.plan().activation_bits(),
        }
    }

    /// The products with given activations, K x N.
    pub fn products_of<'a>(&'a self, x: Rc<Dense<u8>>, parallel: Parallel<'a>) -> Result<Products<'a>> {
        let tokens = x.columns;
        let input = match &self.packed {
            Packed::Spmm(plan, _) => plan.input(),
            Packed::Gemm(..) => PanelLayout::Vnni,
        };
        let panel = Rc::new(x.to_panel(input));
        let call = |kernel: Kernel<'a>| -> Box<dyn Call + 'a> {
            let (x, panel) = (Rc::clone(&x), Rc::clone(&panel));
            let epilogue = match kernel {
                Kernel::Intrinsics(_) => in_f32(self.epilogue),
                Kernel::Spmm(..) | Kernel::Gemm(..) => self.epilogue,
            };
            let out = Out::new(self.weights.m, tokens, &epilogue);
            Box::new(Int8Call { weights: &self.weights, epilogue, kernel, x, panel, out, parallel })
        };
        let code_bytes = |code: Option<&Code>| code.map_or(0, |code| code.bytes.len());
        let mut variants = Vec::new();
        match &self.packed {
            Packed::Gemm(kernel, weights) => variants.push(Variant {
                key: kernel.plan().key(),
                plan: kernel.plan().to_string(),
                code_bytes: code_bytes(kernel.code()),
                fill_ratio: self.nnz() as f64 / (self.weights.m * self.weights.k) as f64,
                predicted_cycles: None,
                loops: executed(kernel.code(), |code| kernel.plan().executed(code, tokens))?,
                call: call(Kernel::Gemm(kernel, weights)),
            }),
            Packed::Spmm(plan, weights) => {
                for (plan, cycles) in self.schedules(plan, weights, tokens)? {
                    let kernel = SpmmKernel::compile(plan)?;
                    variants.push(Variant {
                        key: plan.key(),
                        plan: plan.to_string(),
                        code_bytes: code_bytes(kernel.code()),
                        fill_ratio: weights.fill_ratio(),
                        predicted_cycles: Some(cycles),
                        loops: executed(kernel.code(), |code| plan.executed(code, weights.groups(), tokens))?,
                        call: call(Kernel::Spmm(kernel, weights)),
                    });
                }
            }
        }
        let intrinsics = self.intrinsics.as_ref().map(|intrinsics| call(Kernel::Intrinsics(intrinsics)));
        Ok(Products { variants, intrinsics })
    }
}

/// The inner loops of a call, where there is code.
fn executed(
    code: Option<&Code>,
    loops: impl FnOnce(&Code) -> std::result::Result<Vec<Executed>, KernelError>,
) -> Result<Vec<Executed>> {
    Ok(code.map(loops).transpose()?.unwrap_or_default())
}

enum Kernel<'a> {
    Spmm(SpmmKernel, &'a SpmmWeights),
    Gemm(&'a GemmKernel, &'a GemmWeights),
    Intrinsics(&'a Intrinsics),
}

struct Int8Call<'a> {
    weights: &'a Weights,
    epilogue: Epilogue,
    kernel: Kernel<'a>,
    x: Rc<Dense<u8>>,
    panel: Rc<Buffer<u8>>,
    out: Out,
    parallel: Parallel<'a>,
}

impl Kernel<'_> {
    fn run(&self, x: &[u8], tokens: usize, out: Output<'_>, parallel: Parallel<'_>) -> Result<()> {
        match self {
            Kernel::Spmm(kernel, weights) => kernel.run(weights, x, tokens, out, parallel)?,
            Kernel::Gemm(kernel, weights) => kernel.run(weights, x, tokens, out, parallel)?,
            Kernel::Intrinsics(kernel) => kernel.run(x, tokens, out)?,
        }
        Ok(())
    }
}

impl Work for Int8Call<'_> {
    fn call(&mut self) -> Result<()> {
        self.kernel.run(&self.panel, self.x.columns, self.out.as_output(), self.parallel)
    }

    /// On several threads in one team, as the layers of a model are: its threads are awake when the clock starts.
    fn time(&mut self, calls: u32) -> Result<Duration> {
        let (kernel, panel, tokens, out): (_, &[u8], _, _) = (&self.kernel, &self.panel, self.x.columns, &mut self.out);
        let threads = self.parallel.threads();
        Team::run(threads, |team| {
            let parallel = if threads == 1 { Parallel::Serial } else { Parallel::Team(team) };
            let mut run = || kernel.run(panel, tokens, out.as_output(), parallel);
            run()?;
            let start = Instant::now();
            for _ in 0..calls {
                run()?;
            }
            Ok(start.elapsed())
        })
    }
}

impl Call for Int8Call<'_> {
    fn check(&mut self) -> Result<Option<String>> {
        self.out = Out::new(self.weights.m, self.x.columns, &self.epilogue);
        self.call()?;
        let rows = checked_rows(self.weights.m, self.weights.k * self.x.columns);
        Ok(self.out.check(self.weights, &self.x, &self.epilogue, &rows))
    }

    fn value(&self, row: usize, token: usize) -> f64 {
        self.out.value(self.weights.m, &self.epilogue, row, token)
    }
}
