//! Which kernels run the linear layers: the layout of their input, the shape of the blocks, the schedule.

use std::sync::{Mutex, PoisonError};

use lacuna_jit::Isa;
use lacuna_kernels::epilogue::{Epilogue, RowParams};
use lacuna_kernels::gemm::GemmDesc;
use lacuna_kernels::pattern::BlockPattern;
use lacuna_kernels::spmm::{SpmmDesc, SpmmWeights, Tuner, Tuning, TuningTable};
use lacuna_kernels::{Block, PanelLayout};

use super::Form;
use super::linear::IntegerPlan;
use crate::error::Result;

/// A linear layer as it will be stored, and what its kernel must do.
pub(super) struct Layer<'a> {
    pub(super) m: usize,
    pub(super) k: usize,
    /// Row-major `[m][k]`.
    pub(super) weights: &'a [i8],
    pub(super) params: &'a [RowParams],
    pub(super) epilogue: Epilogue,
}

/// What the choice of kernels depends on beside the layers.
pub(super) struct Chooser<'a> {
    pub(super) form: Form,
    pub(super) isa: Isa,
    tuner: Tuner,
    tuning: Tuning,
    /// Choices that are kept; without a table and measurement the model alone decides.
    table: Option<Mutex<&'a mut TuningTable>>,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(form: Form, isa: Isa, tuning: Tuning, table: Option<&'a mut TuningTable>) -> Chooser<'a> {
        Chooser { form, isa, tuner: Tuner::default(), tuning, table: table.map(Mutex::new) }
    }

    /// Whether kernels are timed, which is best done with nothing beside it.
    pub(super) fn measures(&self) -> bool {
        self.tuning != Tuning::Fast
    }

    /// The layout of the activation that `layers` read, and their plans: with [`Form::Auto`] the layout whose fastest plans take
    /// the fewest cycles in all.
    ///
    /// A plain panel feeds 4x1 blocks; a VNNI panel feeds 4x4 and 1x4 blocks and dense GEMM. Matrices with 8x1 and 16x1 zeros run
    /// as 4x1, and so do scattered ones, whose rows are reordered.
    pub(super) fn choose(&self, layers: &[Layer<'_>]) -> Result<(PanelLayout, Vec<IntegerPlan>)> {
        let each =
            |choose: &dyn Fn(&Layer<'_>) -> Result<Choice>| layers.iter().map(choose).collect::<Result<Vec<_>>>();
        let (layout, choices) = match self.form {
            Form::Dense => (PanelLayout::Vnni, each(&|layer| self.dense(layer))?),
            Form::Sparse => (PanelLayout::Plain, each(&|layer| self.sparse(layer, Block::B4x1))?),
            Form::Auto => {
                let plain = each(&|layer| self.sparse(layer, Block::B4x1))?;
                let vnni = each(&|layer| {
                    let blocks = self.sparse(layer, Block::B4x4)?.faster(self.sparse(layer, Block::B1x4)?);
                    Ok(self.dense(layer)?.faster(blocks))
                })?;
                let cycles = |choices: &[Choice]| choices.iter().map(|choice| choice.cycles).sum::<f64>();
                match cycles(&plain) < cycles(&vnni) {
                    true => (PanelLayout::Plain, plain),
                    false => (PanelLayout::Vnni, vnni),
                }
            }
        };
        let tuned = layers.iter().zip(choices).map(|(layer, choice)| self.tune(layer, choice.plan));
        Ok((layout, tuned.collect::<Result<_>>()?))
    }

    fn dense(&self, layer: &Layer<'_>) -> Result<Choice> {
        let &Layer { m, k, epilogue, .. } = layer;
        let plan = GemmDesc { m, k, epilogue }.plan(self.isa)?;
        Ok(Choice { plan: IntegerPlan::Dense(plan), cycles: self.tuner.dense_cycles(m, k) })
    }

    fn sparse(&self, layer: &Layer<'_>, block: Block) -> Result<Choice> {
        let &Layer { m, k, epilogue, .. } = layer;
        let pattern = BlockPattern::of(layer.weights, m, k, block)?;
        // Zeros that are not in 4x1 blocks: packing reorders rows so that fewer blocks cover them.
        let scattered = block == Block::B4x1 && pattern.fill_ratio() < SCATTERED;
        let block = if scattered { Block::Unstructured } else { block };
        let plan = SpmmDesc { m, k, block, epilogue }.plan(self.isa)?;
        let (plan, cycles) = self.tuner.fastest(&plan, &pattern);
        Ok(Choice { plan: IntegerPlan::Sparse(plan), cycles })
    }

    /// The schedule of the table, or one measured for it.
    fn tune(&self, layer: &Layer<'_>, plan: IntegerPlan) -> Result<IntegerPlan> {
        match (plan, &self.table) {
            (IntegerPlan::Sparse(plan), Some(table)) => {
                let packed = SpmmWeights::pack(&plan, layer.weights, layer.params)?;
                let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(IntegerPlan::Sparse(table.choose(&self.tuner, &plan, &packed, self.tuning)?))
            }
            _ => Ok(plan),
        }
    }
}

/// Below this fill ratio of 4x1 blocks their zeros are no 4x1 zeros.
const SCATTERED: f64 = 0.75;

/// A plan and its predicted cycles per token.
struct Choice {
    plan: IntegerPlan,
    cycles: f64,
}

impl Choice {
    /// The one with fewer cycles; `self` if they are equal.
    fn faster(self, other: Choice) -> Choice {
        if other.cycles < self.cycles { other } else { self }
    }
}
