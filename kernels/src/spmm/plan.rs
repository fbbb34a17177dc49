//! What was decided.

use lacuna_jit::{Code, Isa, JitError};

use super::emit;
use crate::cache::AnyPlan;
use crate::epilogue::Epilogue;
use crate::layout::padded;
use crate::pattern::BlockPattern;
use crate::{Block, PanelLayout, Plan, TILE, VECTORS};

/// How the weight stream stores an input feature. Either way the number is feature x 8, so that its row of X is at
/// `x + 8 * index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexWidth {
    /// u16: K up to 8192.
    U16,
    /// u32.
    U32,
}

impl IndexWidth {
    /// The narrowest width for K = `k`.
    pub fn for_features(k: usize) -> IndexWidth {
        if k <= (1 << 16) / 8 { IndexWidth::U16 } else { IndexWidth::U32 }
    }

    /// Bytes of one index.
    pub fn bytes(self) -> usize {
        match self {
            IndexWidth::U16 => 2,
            IndexWidth::U32 => 4,
        }
    }
}

/// The decisions that change how fast a kernel is, never what it computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Schedule {
    /// Vectors of 16 tokens that one pass over the weights computes: a divisor of 4 with outputs x vectors <= 16.
    pub vectors: usize,
    /// Groups per iteration of the inner loop: 1 or 2.
    pub unroll: usize,
    /// Tails of up to this many tokens (0, 16 or 32) first pack their rows of X densely, so that vectors hold tokens of two or
    /// four groups (4x1 blocks only).
    pub narrow: usize,
    /// Whether the next tile of X is prefetched into L2 while this one is computed.
    pub prefetch: bool,
}

impl Schedule {
    /// The name used in kernel names: `v4u1`, `v4u2-narrow16-prefetch`.
    pub fn name(&self) -> String {
        let Schedule { vectors, unroll, narrow, prefetch } = self;
        let narrow = if *narrow > 0 { format!("-narrow{narrow}") } else { String::new() };
        let prefetch = if *prefetch { "-prefetch" } else { "" };
        format!("v{vectors}u{unroll}{narrow}{prefetch}")
    }
}

/// A decided SpMM kernel in stream form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpmmPlan {
    pub(super) isa: Isa,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) block: Block,
    pub(super) index: IndexWidth,
    pub(super) epilogue: Epilogue,
    pub(super) schedule: Schedule,
}

/// Output features of which one epilogue takes care.
pub(super) const STRIP: usize = 4;

impl SpmmPlan {
    /// Output features M.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Input features K.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The shape of the zeros.
    pub fn block(&self) -> Block {
        self.block
    }

    /// Width of the stream's indices.
    pub fn index(&self) -> IndexWidth {
        self.index
    }

    /// What happens to the accumulators.
    pub fn epilogue(&self) -> &Epilogue {
        &self.epilogue
    }

    /// How it is computed.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The layout of X: blocks of one input feature gather rows of a plain panel, blocks of four read dwords of a VNNI panel.
    pub fn input(&self) -> PanelLayout {
        input(self.block)
    }

    /// The same kernel computed another way, or nothing if it cannot be.
    pub fn with_schedule(&self, schedule: Schedule) -> Option<SpmmPlan> {
        let Schedule { vectors, unroll, narrow, .. } = schedule;
        let possible = vectors > 0
            && VECTORS.is_multiple_of(vectors)
            && self.list_outputs() * vectors <= ACCUMULATORS
            && (1..=2).contains(&unroll)
            && (narrow == 0 || can_be_narrow(self.block) && [16, 32].contains(&narrow));
        possible.then_some(SpmmPlan { schedule, ..*self })
    }

    /// Every way to compute it.
    pub fn candidates(&self) -> Vec<SpmmPlan> {
        let mut plans = Vec::new();
        for vectors in [4, 2, 1] {
            for unroll in [1, 2] {
                for narrow in [0, 16, 32] {
                    for prefetch in [false, true] {
                        plans.extend(self.with_schedule(Schedule { vectors, unroll, narrow, prefetch }));
                    }
                }
            }
        }
        plans
    }

    /// Groups in all lists of weights with this pattern.
    pub(super) fn groups(&self, pattern: &BlockPattern) -> usize {
        let lists = 0..pattern.block_rows();
        lists.map(|list| pattern.block_row(list).len().div_ceil(self.group_indices())).sum()
    }

    /// Output features that share one list of input features.
    pub(super) fn list_outputs(&self) -> usize {
        self.block.outputs()
    }

    /// Output features between two epilogues: the lists of four single outputs share one.
    pub(super) fn row_outputs(&self) -> usize {
        self.list_outputs().max(STRIP)
    }

    /// Lists between two epilogues.
    pub(super) fn lists_per_row(&self) -> usize {
        self.row_outputs() / self.list_outputs()
    }

    /// Row blocks: what is finished by one round of epilogues.
    pub(super) fn rows(&self) -> usize {
        self.m.div_ceil(self.row_outputs())
    }

    /// Indices of one group: the rows of X that make one dword per token.
    pub(super) fn group_indices(&self) -> usize {
        match self.input() {
            PanelLayout::Plain => 4,
            PanelLayout::Vnni => 1,
        }
    }

    /// Bytes of the indices of one group.
    pub(super) fn group_index_bytes(&self) -> usize {
        self.group_indices() * self.index.bytes()
    }

    /// Bytes of the weights of one group: four inputs of every output.
    pub(super) fn group_weight_bytes(&self) -> usize {
        4 * self.list_outputs()
    }

    /// Lists are stored as a multiple of this many groups, the last ones with zero weights.
    pub(super) fn stored_multiple(&self) -> usize {
        if can_be_narrow(self.block) { NARROW_GROUPS } else { 1 }
    }

    /// Bytes from one tile of X to the next.
    pub(super) fn x_tile_bytes(&self) -> usize {
        padded(self.k) * TILE
    }

    /// Elements from one tile of Y to the next.
    pub(super) fn y_tile_elements(&self) -> usize {
        padded(self.m) * TILE
    }
}

/// Vector registers that accumulate.
pub(super) const ACCUMULATORS: usize = 16;
/// Groups that share a vector when 16 tokens are computed.
pub(super) const NARROW_GROUPS: usize = 4;

/// The layout of X for a block shape.
pub(super) fn input(block: Block) -> PanelLayout {
    if block.inputs() == 4 { PanelLayout::Vnni } else { PanelLayout::Plain }
}

/// Whether there is code for narrow tails.
pub(super) fn can_be_narrow(block: Block) -> bool {
    (block.outputs(), block.inputs()) == (4, 1)
}

impl std::fmt::Display for SpmmPlan {
    /// The decisions in one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Schedule { vectors, unroll, narrow, prefetch } = self.schedule;
        let (bits, isa, block) = (8 * self.index.bytes(), self.isa, self.block);
        write!(f, "stream of {block} blocks on {isa}: tiles of {TILE} tokens outside, block rows by length inside, ")?;
        write!(f, "{} tokens per pass, {unroll} groups per iteration, u{bits} indices", vectors * crate::LANES)?;
        if narrow > 0 {
            write!(f, ", tails of up to {narrow} tokens packed")?;
        }
        if prefetch {
            write!(f, ", next tile prefetched")?;
        }
        Ok(())
    }
}

impl Plan for SpmmPlan {
    fn name(&self) -> String {
        let SpmmPlan { isa, m, k, block, epilogue, schedule, .. } = self;
        format!("spmm-u8s8-{isa}-m{m}k{k}n{TILE}-{block}-stream-{}-{}", schedule.name(), epilogue.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }

    fn generate(&self) -> Result<Code, JitError> {
        emit::emit(self)
    }

    fn key(&self) -> AnyPlan {
        AnyPlan::Spmm(*self)
    }
}
