//! Products in f32 or bf16, sparse or dense.

use lacuna_kernels::float::{FloatDesc, FloatFacts, FloatInput, FloatKernel, FloatPlan, FloatWeights, SumOrder};
use lacuna_kernels::pattern::nonzero_blocks;
use lacuna_kernels::{Block, KernelError, Output, Parallel, Plan};
use serde::{Deserialize, Serialize};

use super::super::chooser::{Chooser, Form};
use super::super::part::kernel;
use super::job::{Computes, Job, JobWeights, Offer, Operand, Reads};
use super::kind::{InFile, ProductKind, mismatch};
use crate::container::PackedError;
use crate::loaded::ProductReport;

/// Time of a stored weight, dense ones take 1: from the shares of the peak that the kernels reach. 16x1 zeros run as 8x1.
///
/// | block | why |
/// | --- | --- |
/// | dense | 12 output features share a vector of the input |
/// | 8x1 | 8 do, and rows of the input are found through indices |
/// | 4x1 | 4 do |
/// | unstructured | every multiplication loads a vector of its own |
const TIME_PER_WEIGHT: [(Block, f64); 4] =
    [(Block::Dense, 1.0), (Block::B8x1, 1.05), (Block::B4x1, 1.1), (Block::Unstructured, 3.0)];

kernel!(FloatKernel: FloatPlan, |plan, isa| Ok(plan.desc().plan(isa)?.with_order(plan.order())));

impl ProductKind for FloatKernel {
    type Weights = FloatWeights;
    type Entry = Entry;

    /// With [`Form::Auto`] the block shape that is predicted to be fastest, with [`Form::Sparse`] the fastest sparse one. Sums are added
    /// in an order that does not depend on a token's neighbours.
    fn offers(job: &Job<'_>, chooser: &Chooser<'_>) -> Result<Vec<Offer<FloatPlan>>, KernelError> {
        let &Job { m, k, ref weights } = job;
        let &JobWeights::Floats { ref weights, dtype, sink, .. } = weights else { return Ok(Vec::new()) };
        let (block, time) = fastest(chooser.form, k, weights);
        let plan = FloatDesc { m, k, dtype, block, sink }.plan(chooser.isa)?.with_order(SumOrder::Fixed);
        Ok(vec![Offer { reads: Reads::Floats, time, plan }])
    }

    fn pack(plan: &FloatPlan, job: &Job<'_>) -> Result<FloatWeights, KernelError> {
        match &job.weights {
            JobWeights::Floats { weights, bias, .. } => FloatWeights::pack(plan, weights, bias),
            JobWeights::Codes { .. } => Err(mismatch(plan.name(), "codes", "floats")),
        }
    }

    fn shape(plan: &FloatPlan) -> (usize, usize) {
        (plan.m(), plan.k())
    }

    fn reads(_: &FloatPlan) -> Reads {
        Reads::Floats
    }

    fn computes(plan: &FloatPlan) -> Computes {
        Computes::Floats(plan.dtype(), *plan.sink())
    }

    fn save<'a>(plan: &FloatPlan, weights: &'a FloatWeights) -> (Entry, Vec<(&'static str, &'a [u8])>) {
        let sections = FloatWeights::SECTIONS.into_iter().zip(weights.sections()).collect();
        (Entry { desc: plan.desc(), order: plan.order(), facts: weights.facts() }, sections)
    }

    fn load(entry: &Entry, file: &InFile<'_>) -> Result<(FloatPlan, FloatWeights), PackedError> {
        let plan = entry.desc.plan(file.isa).map_err(|source| file.failed(source))?.with_order(entry.order);
        let sections = file.sections(FloatWeights::SECTIONS)?;
        let weights = FloatWeights::from_sections(&plan, entry.facts, sections);
        Ok((plan, weights.map_err(|source| file.failed(source))?))
    }

    fn run(
        &self,
        weights: &FloatWeights,
        x: Operand<'_>,
        tokens: usize,
        out: Output<'_>,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        let x = match x {
            Operand::Bf16(x) => FloatInput::Bf16(x),
            Operand::F32(x) => FloatInput::F32(x),
            Operand::Bytes(_) => return Err(mismatch(self.plan().name(), "codes", "floats")),
        };
        self.run(weights, x, tokens, out, parallel)
    }

    fn report(&self, weights: &FloatWeights) -> ProductReport {
        let plan = self.plan();
        let (form, density, fill_ratio) = match plan.block() {
            Block::Dense => ("dense", 1.0, 1.0),
            block => {
                let form = match block {
                    Block::Unstructured => "sparse unstructured",
                    Block::B4x1 => "sparse 4x1",
                    _ => "sparse 8x1",
                };
                (form, weights.density(), weights.fill_ratio())
            }
        };
        let (m, k, kernel, weight_bytes) = (plan.m(), plan.k(), plan.name(), weights.bytes());
        ProductReport { m, k, density, fill_ratio, form, kernel, weight_bytes }
    }
}

/// The fastest block shape for row-major `[m][k]` weights, and its time.
fn fastest(form: Form, k: usize, weights: &[f32]) -> (Block, f64) {
    let allowed = TIME_PER_WEIGHT.into_iter().filter(|(block, _)| match form {
        Form::Auto => true,
        Form::Dense => *block == Block::Dense,
        Form::Sparse => *block != Block::Dense,
    });
    let time = |(block, time): (Block, f64)| (block, time * stored(weights, k, block) as f64);
    let fastest = allowed.map(time).min_by(|(_, a), (_, b)| a.total_cmp(b));
    fastest.unwrap_or((Block::Dense, weights.len() as f64))
}

/// Weights in blocks that are not all zero.
fn stored(weights: &[f32], k: usize, block: Block) -> usize {
    let rows = block.outputs();
    match block {
        Block::Dense => weights.len(),
        _ => {
            let kept = |block_row: &[f32]| nonzero_blocks(block_row, k, 1).count();
            weights.chunks(rows * k).map(kept).sum::<usize>() * rows
        }
    }
}

/// What is stored in addition to the sections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(flatten)]
    desc: FloatDesc,
    order: SumOrder,
    facts: FloatFacts,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zeros in blocks of some rows, one column of four kept.
    fn weights(m: usize, k: usize, rows: usize) -> Vec<f32> {
        (0..m * k).map(|i| f32::from((i % k + i / k / rows).is_multiple_of(4))).collect()
    }

    #[test]
    fn zeros_find_the_form_they_pay_in() {
        let (m, k) = (48, 64);
        let block = |form, weights: &[f32]| fastest(form, k, weights).0;
        for (rows, expected) in [(16, Block::B8x1), (8, Block::B8x1), (4, Block::B4x1), (1, Block::Unstructured)] {
            let weights = weights(m, k, rows);
            assert_eq!(block(Form::Auto, &weights), expected, "blocks of {rows}");
            assert_eq!(block(Form::Sparse, &weights), expected, "blocks of {rows}");
            assert_eq!(block(Form::Dense, &weights), Block::Dense, "blocks of {rows}");
        }
        let full = vec![1.0; m * k];
        assert_eq!(block(Form::Auto, &full), Block::Dense);
        assert_eq!(block(Form::Sparse, &full), Block::B8x1);
    }
}
