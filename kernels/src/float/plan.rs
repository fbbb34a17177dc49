//! What was decided.

use lacuna_jit::{Avx512Bf16, Isa};

use super::desc::{DType, FloatDesc};
use super::sink::check_sink;
use crate::layout::padded;
use crate::{Block, KernelError, LANES, Plan, Sink, Store, TILE, pattern};

/// The most output features that an epilogue finishes together; rows of every buffer come in multiples of it.
const ROW_BLOCK: usize = 4;
/// The most chains: as many as hide the latency of a multiplication with 4 accumulators each.
pub(super) const MAX_CHAINS: usize = 4;

/// What is accumulated in registers at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RegisterTile {
    /// R: output features, 1 or a multiple of [`ROW_BLOCK`].
    pub(super) rows: usize,
    /// V: vectors of 16 columns: 2 or 4, so that a part of a bf16 row is whole vectors.
    pub(super) vectors: usize,
    /// Registers: at least R x V.
    pub(super) accumulators: usize,
}

impl RegisterTile {
    /// A step of 4 multiplications loads 4 vectors of X and a weight.
    pub(super) const SINGLE: RegisterTile = RegisterTile { rows: 1, vectors: 4, accumulators: 16 };
    /// A step of 16 multiplications loads 4 vectors of X and 4 weights.
    pub(super) const WIDE: RegisterTile = RegisterTile { rows: 4, vectors: 4, accumulators: 16 };
    /// A step of 16 multiplications loads 2 vectors of X and 8 weights.
    pub(super) const TALL: RegisterTile = RegisterTile { rows: 8, vectors: 2, accumulators: 16 };
    /// A step of 24 multiplications loads 2 vectors of X and 12 weights.
    pub(super) const DENSE: RegisterTile = RegisterTile { rows: 12, vectors: 2, accumulators: 24 };
}

/// How a step record stores the byte offset of a row of X.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum OffsetWidth {
    /// u16 holding offset / 8.
    U16,
    /// u32 holding the offset.
    U32,
}

impl OffsetWidth {
    /// Bytes of X per unit of an index.
    pub(super) const fn unit(self) -> usize {
        match self {
            OffsetWidth::U16 => 8,
            OffsetWidth::U32 => 1,
        }
    }

    /// Bytes of one index.
    pub(super) const fn bytes(self) -> usize {
        match self {
            OffsetWidth::U16 => 2,
            OffsetWidth::U32 => 4,
        }
    }

    /// The offset that an index with these bytes says.
    #[inline(always)]
    pub(super) fn offset(self, index: &[u8]) -> usize {
        self.unit() * index.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte))
    }
}

/// In which order a product of floats adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SumOrder {
    /// The fastest order for the number of columns. The last bits of a column's results can depend on how many columns share its tile.
    #[default]
    Fastest,
    /// The same order for every column: its results depend only on its own column of X. A part of few columns takes up to
    /// twice as long.
    Fixed,
}

impl FloatDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M or K is 0 or too large, [`KernelError::Block`] for a block shape without a kernel,
    /// [`KernelError::Mismatch`] for 8-bit output,
    /// [`KernelError::Feature`] for bf16 input or output on a CPU without AVX512_BF16 (the portable tier needs none).
    pub fn plan(&self, isa: Isa) -> Result<FloatPlan, KernelError> {
        let candidates = self.plans(isa, Avx512Bf16::detect())?;
        Ok(candidates[0])
    }

    /// Every way to compute it on `isa` that the planner knows; the one it picks is the first.
    ///
    /// # Errors
    /// As [`FloatDesc::plan`].
    pub fn candidates(&self, isa: Isa) -> Result<Vec<FloatPlan>, KernelError> {
        self.plans(isa, Avx512Bf16::detect())
    }

    fn plans(&self, isa: Isa, bf16: Option<Avx512Bf16>) -> Result<Vec<FloatPlan>, KernelError> {
        let isa = isa.or_portable_for_avx2();
        let &FloatDesc { m, k, dtype, block, sink } = self;
        pattern::check_shape("float", m, k)?;
        check_sink(&sink)?;
        let (index, order) = (self.index_width(), SumOrder::default());
        let plan = |tile| FloatPlan { isa, bf16: None, m, k, dtype, block, tile, index, sink, order };
        let plans = self.register_tiles()?.into_iter().map(plan);
        if isa == Isa::Portable || dtype == DType::F32 && sink.store != Store::Bf16 {
            return Ok(plans.collect());
        }
        match bf16 {
            Some(_) => Ok(plans.map(|plan| FloatPlan { bf16, ..plan }).collect()),
            None => Err(KernelError::Feature {
                kernel: plan(RegisterTile::WIDE).name(),
                feature: Avx512Bf16::FEATURE,
                hint: "f32 with f32 output runs here, and the portable tier runs both",
            }),
        }
    }

    /// The narrowest index that reaches every row and leaves weights at multiples of 4 bytes: two u16 for bf16.
    fn index_width(&self) -> OffsetWidth {
        let units = self.k * TILE * self.dtype.bytes() / OffsetWidth::U16.unit();
        if self.dtype == DType::Bf16 && units <= 1 << 16 { OffsetWidth::U16 } else { OffsetWidth::U32 }
    }

    /// Register tiles for the block shape, the best first.
    fn register_tiles(&self) -> Result<Vec<RegisterTile>, KernelError> {
        const WIDE: RegisterTile = RegisterTile::WIDE;
        const TALL: RegisterTile = RegisterTile::TALL;
        const DENSE: RegisterTile = RegisterTile::DENSE;
        match self.block {
            Block::B4x1 => Ok(vec![WIDE]),
            Block::Unstructured => Ok(vec![RegisterTile::SINGLE, WIDE]),
            Block::B8x1 | Block::B16x1 => Ok(vec![TALL, WIDE]),
            Block::Dense => {
                // Percent of the time that a row takes in the tallest, and rows that do not exist take time too.
                let mut tiles = [(DENSE, 100), (TALL, 102), (WIDE, 110)];
                tiles.sort_by_key(|(tile, percent)| self.m.next_multiple_of(tile.rows) * percent);
                Ok(tiles.map(|(tile, _)| tile).to_vec())
            }
            found => {
                let expected = "4x1, 8x1, 16x1, unstructured or dense";
                Err(KernelError::Block { kernel: "float", found, expected })
            }
        }
    }
}

/// A decided product of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FloatPlan {
    pub(super) isa: Isa,
    /// Proof of AVX512_BF16, where generated code needs it.
    pub(super) bf16: Option<Avx512Bf16>,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) dtype: DType,
    pub(super) block: Block,
    pub(super) tile: RegisterTile,
    pub(super) index: OffsetWidth,
    pub(super) sink: Sink,
    pub(super) order: SumOrder,
}

impl FloatPlan {
    /// What it was planned for.
    pub fn desc(&self) -> FloatDesc {
        FloatDesc { m: self.m, k: self.k, dtype: self.dtype, block: self.block, sink: self.sink }
    }

    /// Output features M.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Input features K.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Type of weights and input.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Block shape.
    pub fn block(&self) -> Block {
        self.block
    }

    /// Where the sums go.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Output features per block row: R.
    pub fn rows(&self) -> usize {
        self.tile.rows
    }

    /// The same with sums in another order.
    pub fn with_order(self, order: SumOrder) -> FloatPlan {
        FloatPlan { order, ..self }
    }

    /// In which order sums are added.
    pub fn order(&self) -> SumOrder {
        self.order
    }

    /// Independent sums per output while `vectors` vectors of 16 columns are computed: step i of the first `steps /
    /// chains * chains` belongs to sum `i % chains`, the others to sum 0, which the others are added to in order.
    pub fn chains(&self, vectors: usize) -> usize {
        let vectors = match self.order {
            SumOrder::Fastest => vectors,
            SumOrder::Fixed => self.tile.vectors,
        };
        (self.tile.accumulators / (self.tile.rows * vectors)).min(MAX_CHAINS)
    }

    /// Output features that an epilogue finishes together.
    pub(super) fn row_block(&self) -> usize {
        self.tile.rows.min(ROW_BLOCK)
    }

    /// Whether X is read row by row and not through indices.
    pub(super) fn is_dense(&self) -> bool {
        self.block == Block::Dense
    }

    /// Bytes of the indices of one step.
    pub(super) fn index_bytes(&self) -> usize {
        if self.is_dense() { 0 } else { self.index.bytes() * self.dtype.inputs() }
    }

    /// Bytes of one step: indices and 4 bytes of weights per output feature.
    pub(super) fn record_bytes(&self) -> usize {
        self.index_bytes() + 4 * self.tile.rows
    }

    /// Bytes of one row of X.
    pub(super) fn x_row_bytes(&self) -> usize {
        TILE * self.dtype.bytes()
    }

    /// Elements from one tile of X to the next.
    pub(super) fn x_tile_elements(&self) -> usize {
        padded(self.k) * TILE
    }

    /// Elements from one tile of Y to the next.
    pub(super) fn y_tile_elements(&self) -> usize {
        padded(self.m) * TILE
    }
}

impl std::fmt::Display for FloatPlan {
    /// The decisions in one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let FloatPlan { isa, block, dtype, tile: RegisterTile { rows, vectors, .. }, .. } = self;
        let (columns, inputs) = (vectors * LANES, self.dtype.inputs());
        let form = if self.is_dense() { "dense form" } else { "stream form" };
        write!(
            f,
            "{form} of {block} {dtype} on {isa}: parts of {columns} columns outside, block rows of {rows} outputs inside, \
             {inputs} inputs per step"
        )
    }
}

impl Plan for FloatPlan {
    fn name(&self) -> String {
        let FloatPlan { isa, m, k, dtype, block, tile: RegisterTile { rows, vectors, .. }, sink, .. } = self;
        let kind = if self.is_dense() { "gemm" } else { "spmm" };
        let order = match self.order {
            SumOrder::Fastest => "",
            SumOrder::Fixed => "-fixed",
        };
        format!("{kind}-{dtype}-{isa}-m{m}k{k}n{TILE}-{block}-r{rows}v{vectors}{order}-{}", sink.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}

#[cfg(test)]
mod tests {
    use lacuna_jit::Tier;

    use super::*;

    #[test]
    fn bf16_without_the_feature_is_an_error_that_names_it() {
        let desc = |dtype, sink| FloatDesc { m: 8, k: 8, dtype, block: Block::B4x1, sink };
        let isa = Isa::for_tier(Tier::detect()).or_portable_for_avx2();
        if isa == Isa::Portable {
            crate::support::check_required_tier();
            return eprintln!("skipped: this machine runs the portable tier only");
        }
        let to_f32 = Sink::f32(false);
        for desc in [desc(DType::Bf16, to_f32), desc(DType::F32, Sink::bf16())] {
            let error = desc.plans(isa, None).unwrap_err();
            assert!(matches!(error, KernelError::Feature { feature: "avx512bf16", .. }), "{error}");
            assert!(error.to_string().contains("this CPU lacks avx512bf16"), "{error}");
            assert!(desc.plans(Isa::Portable, None).is_ok());
        }
        assert!(desc(DType::F32, to_f32).plans(isa, None).is_ok());
    }
}
