//! Sparse products in 8 bit. Matrices with 8x1 and 16x1 zeros run as 4x1, and so do scattered ones, whose rows are reordered.

use lacuna_kernels::pattern::BlockPattern;
use lacuna_kernels::spmm::{Schedule, SpmmDesc, SpmmFacts, SpmmKernel, SpmmPlan, SpmmWeights};
use lacuna_kernels::{Block, KernelError, Output, Parallel, Plan};
use serde::{Deserialize, Serialize};

use super::super::chooser::{Chooser, Form};
use super::super::part::kernel;
use super::job::{Computes, Job, JobWeights, Offer, Operand, Reads};
use super::kind::{InFile, ProductKind, mismatch};
use crate::container::PackedError;
use crate::loaded::ProductReport;

/// Below this fill ratio of 4x1 blocks their zeros are no 4x1 zeros.
const SCATTERED: f64 = 0.75;

kernel!(SpmmKernel: SpmmPlan, |plan, isa| {
    let wanted = plan.desc().plan(isa)?;
    wanted.with_schedule(*plan.schedule()).ok_or_else(|| KernelError::Mismatch {
        kernel: wanted.name(),
        found: format!("schedule {}", plan.schedule().name()),
        expected: "one that the kernel can have".into(),
    })
});

impl ProductKind for SpmmKernel {
    type Weights = SpmmWeights;
    type Entry = Entry;

    fn offers(job: &Job<'_>, chooser: &Chooser<'_>) -> Result<Vec<Offer<SpmmPlan>>, KernelError> {
        let &JobWeights::Codes { ref weights, epilogue, activation_bits, .. } = &job.weights else {
            return Ok(Vec::new());
        };
        let blocks = match chooser.form {
            Form::Dense => &[][..],
            Form::Sparse => &[Block::B4x1],
            Form::Auto => &[Block::B4x1, Block::B4x4, Block::B1x4],
        };
        let offer = |&block: &Block| {
            let &Job { m, k, .. } = job;
            let pattern = BlockPattern::of(weights, m, k, block)?;
            // Zeros that are not in 4x1 blocks: packing reorders rows so that fewer blocks cover them.
            let scattered = block == Block::B4x1 && pattern.fill_ratio() < SCATTERED;
            let block = if scattered { Block::Unstructured } else { block };
            let plan = SpmmDesc { m, k, block, epilogue, activation_bits }.plan(chooser.isa)?;
            let (plan, time) = chooser.tuner.fastest(&plan, &pattern);
            Ok(Offer { reads: Reads::Codes(plan.input()), time, plan })
        };
        blocks.iter().map(offer).collect()
    }

    fn tuned(plan: SpmmPlan, job: &Job<'_>, chooser: &Chooser<'_>) -> Result<SpmmPlan, KernelError> {
        chooser.tuned(plan, || Self::pack(&plan, job))
    }

    fn pack(plan: &SpmmPlan, job: &Job<'_>) -> Result<SpmmWeights, KernelError> {
        match &job.weights {
            JobWeights::Codes { weights, params, .. } => SpmmWeights::pack(plan, weights, params),
            JobWeights::Floats { .. } => Err(mismatch(plan.name(), "floats", "codes")),
        }
    }

    fn weights_for(weights: SpmmWeights, plan: &SpmmPlan) -> SpmmWeights {
        weights.for_plan(plan)
    }

    fn shape(plan: &SpmmPlan) -> (usize, usize) {
        (plan.m(), plan.k())
    }

    fn reads(plan: &SpmmPlan) -> Reads {
        Reads::Codes(plan.input())
    }

    fn computes(plan: &SpmmPlan) -> Computes {
        Computes::Codes(plan.activation_bits(), *plan.epilogue())
    }

    fn save<'a>(plan: &SpmmPlan, weights: &'a SpmmWeights) -> (Entry, Vec<(&'static str, &'a [u8])>) {
        let sections = SpmmWeights::SECTIONS.into_iter().zip(weights.sections()).collect();
        let entry = Entry { desc: plan.desc(), schedule: *plan.schedule(), facts: weights.facts() };
        (entry, sections)
    }

    fn load(entry: &Entry, file: &InFile<'_>) -> Result<(SpmmPlan, SpmmWeights), PackedError> {
        let Entry { desc, schedule, facts } = entry;
        let plan = desc.plan(file.isa).map_err(|source| file.failed(source))?;
        let plan = plan.with_schedule(*schedule).ok_or_else(|| {
            let (what, expected) =
                (format!("{}: schedule", file.name), format!("one that {} blocks can have", desc.block));
            file.file.content_error(&what, schedule.name(), expected)
        })?;
        let sections = file.sections(SpmmWeights::SECTIONS)?;
        let weights = SpmmWeights::from_sections(&plan, *facts, sections);
        Ok((plan, weights.map_err(|source| file.failed(source))?))
    }

    fn run(
        &self,
        weights: &SpmmWeights,
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

    fn report(&self, weights: &SpmmWeights) -> ProductReport {
        let plan = self.plan();
        ProductReport {
            m: plan.m(),
            k: plan.k(),
            density: weights.density(),
            fill_ratio: weights.fill_ratio(),
            form: match plan.block() {
                Block::B1x4 => "sparse 1x4",
                Block::B4x4 => "sparse 4x4",
                Block::Unstructured => "sparse 4x1 reordered",
                _ => "sparse 4x1",
            },
            kernel: plan.name(),
            weight_bytes: weights.bytes(),
        }
    }
}

/// What is stored in addition to the sections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(flatten)]
    desc: SpmmDesc,
    schedule: Schedule,
    facts: SpmmFacts,
}
