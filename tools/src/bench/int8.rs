//! Products of s8 weights and u8 activations.

use std::rc::Rc;

use lacuna_jit::Code;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::gemm::{GemmKernel, GemmWeights};
use lacuna_kernels::reference::gemm::Matrix as Dense;
use lacuna_kernels::spmm::{SpmmKernel, SpmmWeights};
use lacuna_kernels::{Buffer, Output, PanelLayout, Parallel};

use super::intrinsics::{Intrinsics, in_f32};
use super::problem::{Out, Weights, activations, checked_rows};
use super::product::{Call, Matrix, ProductPlan, Wanted};
use crate::context::Context;
use crate::error::Result;
use crate::timing::Work;

pub(super) struct Int8Matrix {
    weights: Weights,
    epilogue: Epilogue,
    /// The layout of X.
    input: PanelLayout,
    kernels: Vec<Kernel>,
}

enum Kernel {
    Spmm(SpmmKernel, SpmmWeights),
    Gemm(GemmKernel, GemmWeights),
    Intrinsics(Intrinsics),
}

impl Int8Matrix {
    pub(super) fn new(
        wanted: &Wanted,
        (m, k): (usize, usize),
        plans: &[ProductPlan],
        sparsity: f64,
        seed: u64,
        context: &Context,
    ) -> Result<Int8Matrix> {
        let epilogue = wanted.int8_epilogue()?;
        let weights = Weights::seeded(m, k, wanted.block, sparsity, &epilogue, seed);
        let (values, params) = (&weights.values, &weights.params);
        let mut kernels = Vec::with_capacity(plans.len() + 1);
        for plan in plans {
            match plan {
                ProductPlan::Spmm(plan) => {
                    let packed = SpmmWeights::pack(plan, values, params)?;
                    kernels.push(Kernel::Spmm(SpmmKernel::compile(*plan)?, packed));
                }
                ProductPlan::Gemm(plan) => {
                    let packed = GemmWeights::pack(plan, values, params)?;
                    kernels.push(Kernel::Gemm(GemmKernel::compile(*plan)?, packed));
                }
                ProductPlan::Float(_) => {}
            }
        }
        if wanted.intrinsics {
            kernels.push(Kernel::Intrinsics(Intrinsics::new(&weights, epilogue, context)?));
        }
        let input = match plans.first() {
            Some(ProductPlan::Spmm(plan)) => plan.input(),
            _ => PanelLayout::Vnni,
        };
        Ok(Int8Matrix { weights, epilogue, input, kernels })
    }
}

impl Matrix for Int8Matrix {
    fn nnz(&self) -> usize {
        self.weights.nnz()
    }

    fn fill_ratio(&self, plan: usize) -> f64 {
        match &self.kernels[plan] {
            Kernel::Spmm(_, weights) => weights.fill_ratio(),
            Kernel::Gemm(..) | Kernel::Intrinsics(_) => self.nnz() as f64 / (self.weights.m * self.weights.k) as f64,
        }
    }

    fn code_bytes(&self, plan: usize) -> usize {
        let code: Option<&Code> = match &self.kernels[plan] {
            Kernel::Spmm(kernel, _) => kernel.code(),
            Kernel::Gemm(kernel, _) => kernel.code(),
            Kernel::Intrinsics(_) => None,
        };
        code.map_or(0, |code| code.bytes.len())
    }

    fn calls<'a>(&'a self, tokens: usize, seed: u64, parallel: Parallel<'a>) -> Vec<Box<dyn Call + 'a>> {
        let x = Rc::new(activations(self.weights.k, tokens, seed));
        let panel = Rc::new(x.to_panel(self.input));
        let call = |kernel| -> Box<dyn Call + 'a> {
            let (x, panel) = (Rc::clone(&x), Rc::clone(&panel));
            let out = Out::new(self.weights.m, tokens, &self.epilogue);
            Box::new(Int8Call { matrix: self, kernel, x, panel, out, parallel })
        };
        self.kernels.iter().map(call).collect()
    }
}

struct Int8Call<'a> {
    matrix: &'a Int8Matrix,
    kernel: &'a Kernel,
    x: Rc<Dense<u8>>,
    panel: Rc<Buffer<u8>>,
    out: Out,
    parallel: Parallel<'a>,
}

impl Work for Int8Call<'_> {
    fn call(&mut self) -> Result<()> {
        let (x, tokens): (&[u8], usize) = (&self.panel, self.x.tokens);
        let out: Output<'_> = self.out.as_output();
        match self.kernel {
            Kernel::Spmm(kernel, weights) => kernel.run(weights, x, tokens, out, self.parallel)?,
            Kernel::Gemm(kernel, weights) => kernel.run(weights, x, tokens, out, self.parallel)?,
            Kernel::Intrinsics(kernel) => kernel.run(x, tokens, out)?,
        }
        Ok(())
    }
}

impl Call for Int8Call<'_> {
    fn check(&mut self) -> Result<Option<String>> {
        let weights = &self.matrix.weights;
        let epilogue = &match self.kernel {
            Kernel::Intrinsics(_) => in_f32(self.matrix.epilogue),
            Kernel::Spmm(..) | Kernel::Gemm(..) => self.matrix.epilogue,
        };
        self.out = Out::new(weights.m, self.x.tokens, epilogue);
        self.call()?;
        let rows = checked_rows(weights.m, weights.k * self.x.tokens);
        Ok(self.out.check(weights, &self.x, epilogue, &rows))
    }
}
