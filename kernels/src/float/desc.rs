//! What the caller wants.

use std::fmt;

use lacuna_jit::{Avx512Bf16, Isa};

use super::epilogue::check_sink;
use super::plan::{FloatPlan, OffsetWidth, RegisterTile, SumOrder};
use crate::{Block, KernelError, Plan, Sink, Store, TILE, pattern};

/// The type of weights and activations. Sums are f32 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// bfloat16: the upper half of an f32.
    Bf16,
}

impl DType {
    /// Both.
    pub const ALL: [DType; 2] = [DType::F32, DType::Bf16];

    /// The name used in kernel names, options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::Bf16 => "bf16",
        }
    }

    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::Bf16 => 2,
        }
    }

    /// C: input features that one multiplication takes; together 4 bytes.
    pub(super) const fn inputs(self) -> usize {
        4 / self.bytes()
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A product wanted: shape, types, block shape and sink. The pattern belongs to the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct FloatDesc {
    /// Output features M.
    pub m: usize,
    /// Input features K.
    pub k: usize,
    /// Type of weights and input.
    pub dtype: DType,
    /// How zeros are grouped: 4x1, 8x1, 16x1, unstructured (single weights) or dense. Any matrix can be packed for any
    /// of them; one whose zeros come in these blocks leaves the most work out.
    pub block: Block,
    /// Where the sums go: f32 or bf16 output. Its activation is computed in f32 for either: [`crate::math::gelu`], not the coarse form.
    #[serde(rename = "epilogue")]
    pub sink: Sink,
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

#[cfg(test)]
mod tests {
    use lacuna_jit::Tier;

    use super::*;

    #[test]
    fn bf16_without_the_feature_is_an_error_that_names_it() {
        let desc = |dtype, sink| FloatDesc { m: 8, k: 8, dtype, block: Block::B4x1, sink };
        let isa = Isa::for_tier(Tier::detect());
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
