//! What was decided.

use lacuna_jit::Isa;

use super::desc::SpmmDesc;
use super::schedule::{Abreast, Schedule};
use crate::epilogue::{Epilogue, Store};
use crate::layout::padded;
use crate::pattern::{self, BlockPattern};
use crate::{ActivationBits, Block, KernelError, PanelLayout, Plan, TILE, VECTORS};

/// How the weight stream stores an input feature. In both cases the number is feature x 8, so its row of X is at
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

impl SpmmDesc {
    /// Decides how to compute it on `isa`, by fixed rules. [`super::Tuner`] compares more schedules.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M or K is 0 or too large, [`KernelError::Block`] for [`Block::Dense`].
    pub fn plan(&self, isa: Isa) -> Result<SpmmPlan, KernelError> {
        pattern::check_shape("spmm", self.m, self.k)?;
        self.epilogue.check_form("spmm")?;
        pattern::sparse_shape("spmm", self.block)?;
        let schedule = Schedule {
            vectors: self.vectors(),
            unroll: 2,
            narrow: if can_be_narrow(self.block) { 16 } else { 0 },
            abreast: if can_be_narrow(self.block) { Abreast::Shuffle } else { Abreast::No },
            shared: 0,
            prefetch: true,
        };
        let schedule = schedule.on(isa);
        let index = IndexWidth::for_features(self.k);
        let &SpmmDesc { m, k, block, epilogue, activation_bits } = self;
        Ok(SpmmPlan { isa, m, k, block, index, epilogue, activation_bits, schedule })
    }

    /// Vectors per pass. Every dot product with a 1x4 block needs its own load of X, so the part of X that a pass reads should fit
    /// in L1, which has about 48 KB. For large K fewer vectors per pass are faster, although they share less.
    fn vectors(&self) -> usize {
        match (self.block, self.k) {
            (Block::B1x4, 2049..) => 1,
            (Block::B1x4, 1025..) => 2,
            _ => VECTORS,
        }
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
    pub(super) activation_bits: ActivationBits,
    pub(super) schedule: Schedule,
}

/// Output features of a row block: what one epilogue finishes.
pub(super) const ROW_BLOCK: usize = 4;

impl SpmmPlan {
    /// Output features M.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Input features K.
    pub fn k(&self) -> usize {
        self.k
    }

    /// What it was planned for.
    pub fn desc(&self) -> SpmmDesc {
        let &SpmmPlan { m, k, block, epilogue, activation_bits, .. } = self;
        SpmmDesc { m, k, block, epilogue, activation_bits }
    }

    /// The shape of the zeros.
    pub fn block(&self) -> Block {
        self.block
    }

    /// The blocks that are stored and computed, which cover those of [`SpmmPlan::block`]: 4x1 for taller blocks and single weights.
    pub fn cover(&self) -> Block {
        cover(self.block)
    }

    /// Width of the stream's indices.
    pub fn index(&self) -> IndexWidth {
        self.index
    }

    /// What happens to the accumulators.
    pub fn epilogue(&self) -> &Epilogue {
        &self.epilogue
    }

    /// Bits of the codes of x.
    pub fn activation_bits(&self) -> ActivationBits {
        self.activation_bits
    }

    /// How it is computed.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The layout of X: blocks of one input feature gather rows of a plain panel, blocks of four read dwords of a VNNI panel.
    pub fn input(&self) -> PanelLayout {
        input(self.block)
    }

    /// The same kernel computed another way, or nothing if it cannot be. On AVX2 the nearest way that it has.
    pub fn with_schedule(&self, schedule: Schedule) -> Option<SpmmPlan> {
        let Schedule { vectors, unroll, narrow, abreast, shared, .. } = schedule;
        let possible = vectors > 0
            && VECTORS.is_multiple_of(vectors)
            && (1..=2).contains(&unroll)
            && (narrow == 0 || can_be_narrow(self.block) && [16, 32].contains(&narrow))
            && (abreast == Abreast::No || can_be_narrow(self.block) && vectors == VECTORS && narrow < 32)
            && (shared == 0 || shared == equal_lists(self.block) && vectors == VECTORS);
        possible.then_some(SpmmPlan { schedule: schedule.on(self.isa), ..*self })
    }

    /// Every way to compute it.
    pub fn candidates(&self) -> Vec<SpmmPlan> {
        let mut plans: Vec<SpmmPlan> = Vec::new();
        for vectors in [4, 2, 1] {
            for unroll in [1, 2] {
                for narrow in [0, 16, 32] {
                    for abreast in [Abreast::No, Abreast::Broadcast, Abreast::Shuffle] {
                        for (shared, prefetch) in [(0, false), (0, true), (4, true), (2, true)] {
                            let schedule = Schedule { vectors, unroll, narrow, abreast, shared, prefetch };
                            let plan = self.with_schedule(schedule);
                            plans.extend(plan.filter(|plan| !plans.contains(plan)));
                        }
                    }
                }
            }
        }
        plans
    }

    /// Groups of a full tile for weights with this pattern, or a little less: outputs of 1x4 blocks that share row blocks are
    /// taken to be of one length, and reordering of unstructured zeros is not foreseen.
    pub(super) fn groups(&self, pattern: &BlockPattern) -> usize {
        let groups = |blocks: usize| match self.cover() {
            Block::B4x1 => blocks.div_ceil(4) * pattern.outputs() / ROW_BLOCK, // a taller block is in several row blocks
            _ => blocks,
        };
        let all: usize = (0..pattern.block_rows()).map(|row| groups(pattern.block_row(row).len())).sum();
        if self.cover() == Block::B1x4 { all.div_ceil(ROW_BLOCK) } else { all }
    }

    /// Row blocks: what is finished by one epilogue.
    pub(super) fn rows(&self) -> usize {
        self.m.div_ceil(ROW_BLOCK)
    }

    /// Whether the outputs of a row block may be any four: those of a VNNI panel share its dwords and are four in a row.
    pub(super) fn scatters(&self) -> bool {
        !matches!(self.epilogue.sink.store, Store::Bytes { layout: PanelLayout::Vnni, .. })
    }

    /// Indices of one group: four for a dword of every column, or for four dwords of one output each; one for a 4x4 block.
    pub(super) fn group_indices(&self) -> usize {
        if self.cover() == Block::B4x4 { 1 } else { 4 }
    }

    /// Bytes of the indices of one group.
    pub(super) fn group_index_bytes(&self) -> usize {
        self.group_indices() * self.index.bytes()
    }

    /// Lists are stored as a multiple of this many groups, the last ones with zero weights.
    pub(super) fn stored_multiple(&self) -> usize {
        if can_be_narrow(self.block) { STORED_GROUPS } else { 1 }
    }

    /// Whether a tail of `vectors` vectors computes several row blocks in one loop.
    pub(super) fn runs_abreast(&self, vectors: usize) -> bool {
        self.schedule.abreast != Abreast::No && vectors <= VECTORS / 2
    }

    /// The share of groups whose interleaved rows of X are kept for other row blocks, if row blocks share them.
    pub(super) fn keeping_share(&self) -> Option<f64> {
        (self.schedule.shared > 0).then_some(1.0 / self.schedule.shared as f64)
    }

    /// Whether bytes of two vectors are permuted in one step.
    pub(super) fn has_byte_permutation(&self) -> bool {
        matches!(self.isa, Isa::Avx512Vnni(token) if token.vbmi())
    }

    /// Whether a pass first copies its part of X to rows without gaps, which fit L1 where the whole tile does not. 4x4 blocks
    /// and 4x1 blocks read X so rarely that it does not pay.
    pub(super) fn packs_dwords(&self) -> bool {
        !matches!(self.isa, Isa::Avx2(_)) && self.cover() == Block::B1x4 && self.schedule.vectors < VECTORS
    }

    /// Whether it reads a stream of [`super::paired`]: without an exact dot product of bytes, and where features may be stored in any
    /// order.
    pub(super) fn needs_pairs(&self) -> bool {
        matches!(self.isa, Isa::Avx2(token) if !token.vnni()) && self.cover() == Block::B4x1
    }

    /// Whether it adds the sums of two groups in 16 bits: of pairs that fit with codes of eight bits, two fit with codes of seven.
    pub(super) fn adds_in_twos(&self) -> bool {
        self.needs_pairs() && self.activation_bits == ActivationBits::Seven
    }

    /// Whether the second of two groups adds to accumulators of its own, in a pass over `vectors` vectors.
    pub(super) fn has_second_accumulators(&self, vectors: usize) -> bool {
        self.input() == PanelLayout::Vnni && self.schedule.unroll == 2 && 2 * ROW_BLOCK * vectors <= ACCUMULATORS
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
/// Bytes of the weights of one group: a dword for each output.
pub(super) const GROUP_WEIGHT_BYTES: usize = 4 * ROW_BLOCK;
/// Lists of 4x1 blocks are stored in multiples of this: the groups that share a vector when 16 columns are computed.
pub(super) const STORED_GROUPS: usize = 4;

/// The layout of X for a block shape.
pub(super) fn input(block: Block) -> PanelLayout {
    if block.inputs() == 4 { PanelLayout::Vnni } else { PanelLayout::Plain }
}

/// Whether there is code for narrow tails.
pub(super) fn can_be_narrow(block: Block) -> bool {
    cover(block) == Block::B4x1
}

/// Row blocks that a block covers, which have equal lists; 0 if it covers one or less.
fn equal_lists(block: Block) -> usize {
    match block {
        Block::B8x1 => 2,
        Block::B16x1 => 4,
        _ => 0,
    }
}

/// The blocks that are computed. A taller block is four outputs at a time: with 16 accumulators that leaves four vectors of
/// columns for each. So a group of rows of X is loaded and interleaved once per 16 dot products, for every block shape.
fn cover(block: Block) -> Block {
    match block {
        Block::B1x4 | Block::B4x4 => block,
        _ => Block::B4x1,
    }
}

impl std::fmt::Display for SpmmPlan {
    /// The decisions in one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Schedule { vectors, unroll, narrow, abreast, shared, prefetch } = self.schedule;
        let (bits, isa, block) = (8 * self.index.bytes(), self.isa, self.cover());
        write!(f, "stream of {block} blocks on {isa}: tiles of {TILE} columns outside, row blocks by length inside, ")?;
        write!(f, "{} columns per pass, {unroll} groups per iteration, u{bits} indices", vectors * crate::LANES)?;
        if narrow > 0 {
            write!(f, ", tails of up to {narrow} columns packed")?;
        }
        match abreast {
            Abreast::No => {}
            Abreast::Broadcast => write!(f, ", tails of several row blocks abreast")?,
            Abreast::Shuffle => write!(f, ", tails of several row blocks abreast with shuffled weights")?,
        }
        if shared > 0 {
            write!(f, ", rows of X interleaved once for {shared} row blocks")?;
        }
        if self.packs_dwords() {
            write!(f, ", X copied without gaps for each pass")?;
        }
        if prefetch {
            write!(f, ", next tile prefetched")?;
        }
        Ok(())
    }
}

impl Plan for SpmmPlan {
    fn name(&self) -> String {
        let SpmmPlan { isa, m, k, epilogue, schedule, activation_bits, .. } = self;
        let block = self.cover();
        format!(
            "spmm-{}s8-{isa}-m{m}k{k}n{TILE}-{block}-stream-{}-{}",
            activation_bits.name(),
            schedule.name(),
            epilogue.name()
        )
    }

    fn isa(&self) -> Isa {
        self.isa
    }

    /// The code is that of the cover.
    fn canonical(&self) -> SpmmPlan {
        SpmmPlan { block: self.cover(), ..*self }
    }
}
