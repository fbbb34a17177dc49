//! Dense products in 8 bit.

use lacuna_kernels::gemm::{GemmDesc, GemmKernel, GemmPlan, GemmWeights};
use lacuna_kernels::{KernelError, Output, PanelLayout, Parallel, Plan};
use serde::{Deserialize, Serialize};

use super::super::chooser::{Chooser, Form};
use super::super::part::kernel;
use super::job::{Computes, Job, JobWeights, Offer, Operand, Reads};
use super::kind::{InFile, ProductKind, mismatch};
use crate::container::PackedError;
use crate::loaded::ProductReport;

kernel!(GemmKernel: GemmPlan, |plan, isa| plan.desc().plan(isa));

impl ProductKind for GemmKernel {
    type Weights = GemmWeights;
    type Entry = Entry;

    fn offers(job: &Job<'_>, chooser: &Chooser<'_>) -> Result<Vec<Offer<GemmPlan>>, KernelError> {
        let &Job { m, k, ref weights } = job;
        match weights {
            &JobWeights::Codes { epilogue, activation_bits, .. } if chooser.form != Form::Sparse => {
                let plan = GemmDesc { m, k, epilogue, activation_bits }.plan(chooser.isa)?;
                let (reads, time) = (<GemmKernel as ProductKind>::reads(&plan), chooser.tuner.dense_cycles(&plan));
                Ok(vec![Offer { reads, time, plan }])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn pack(plan: &GemmPlan, job: &Job<'_>) -> Result<GemmWeights, KernelError> {
        match &job.weights {
            JobWeights::Codes { weights, params, .. } => GemmWeights::pack(plan, weights, params),
            JobWeights::Floats { .. } => Err(mismatch(plan.name(), "floats", "codes")),
        }
    }

    fn weights_for(weights: GemmWeights, plan: &GemmPlan) -> GemmWeights {
        weights.for_plan(plan)
    }

    fn shape(plan: &GemmPlan) -> (usize, usize) {
        (plan.m(), plan.k())
    }

    fn reads(_: &GemmPlan) -> Reads {
        Reads::Codes(PanelLayout::Vnni)
    }

    fn computes(plan: &GemmPlan) -> Computes {
        Computes::Codes(plan.activation_bits(), *plan.epilogue())
    }

    fn save<'a>(plan: &GemmPlan, weights: &'a GemmWeights) -> (Entry, Vec<(&'static str, &'a [u8])>) {
        let sections = GemmWeights::SECTIONS.into_iter().zip(weights.sections()).collect();
        (Entry { desc: plan.desc() }, sections)
    }

    fn load(entry: &Entry, file: &InFile<'_>) -> Result<(GemmPlan, GemmWeights), PackedError> {
        let plan = entry.desc.plan(file.isa).map_err(|source| file.failed(source))?;
        let sections = file.sections(GemmWeights::SECTIONS)?;
        let weights = GemmWeights::from_sections(&plan, sections);
        Ok((plan, weights.map_err(|source| file.failed(source))?))
    }

    fn run(
        &self,
        weights: &GemmWeights,
        x: Operand<'_>,
        tokens: usize,
        out: Output<'_>,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        match x {
            Operand::Bytes(x) => self.run(weights, x, tokens, out, parallel),
            Operand::Bf16(_) | Operand::F32(_) => Err(mismatch(self.plan().name(), "floats", "codes")),
        }
    }

    fn report(&self, weights: &GemmWeights) -> ProductReport {
        let plan = self.plan();
        ProductReport {
            m: plan.m(),
            k: plan.k(),
            density: 1.0,
            fill_ratio: 1.0,
            form: "dense",
            kernel: plan.name(),
            weight_bytes: weights.bytes(),
        }
    }
}

/// What is stored in addition to the sections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(flatten)]
    desc: GemmDesc,
}
