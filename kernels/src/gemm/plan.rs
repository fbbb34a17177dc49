//! What was decided.

use lacuna_jit::Isa;

use super::desc::GemmDesc;
use crate::epilogue::Epilogue;
use crate::layout::padded;
use crate::{ActivationBits, KernelError, Plan, TILE, pattern};

/// Output features per row block: what one epilogue call finishes.
pub(super) const ROW_BLOCK: usize = 4;
/// Row blocks per register block.
pub(super) const ROW_BLOCKS: usize = 3;

impl GemmDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M or K is 0 or too large, [`KernelError::Mismatch`] for f32 output in 16-bit arithmetic.
    pub fn plan(&self, isa: Isa) -> Result<GemmPlan, KernelError> {
        pattern::check_shape("gemm", self.m, self.k)?;
        self.epilogue.check_form("gemm")?;
        let steps = self.k.div_ceil(4);
        let unroll = [4, 2, 1].into_iter().find(|u| steps.is_multiple_of(*u)).unwrap_or(1);
        let &GemmDesc { m, k, epilogue, activation_bits } = self;
        Ok(GemmPlan { isa, m, k, unroll, epilogue, activation_bits })
    }
}

/// A decided dense GEMM kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GemmPlan {
    pub(super) isa: Isa,
    pub(super) m: usize,
    pub(super) k: usize,
    /// Steps of four input features per iteration of the inner loop; divides K / 4.
    pub(super) unroll: usize,
    pub(super) epilogue: Epilogue,
    pub(super) activation_bits: ActivationBits,
}

impl GemmPlan {
    /// Output features M.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Input features K.
    pub fn k(&self) -> usize {
        self.k
    }

    /// What it was planned for.
    pub fn desc(&self) -> GemmDesc {
        GemmDesc { m: self.m, k: self.k, epilogue: self.epilogue, activation_bits: self.activation_bits }
    }

    /// What happens to the accumulators.
    pub fn epilogue(&self) -> &Epilogue {
        &self.epilogue
    }

    /// Bits of the codes of x.
    pub fn activation_bits(&self) -> ActivationBits {
        self.activation_bits
    }

    /// Whether it reads weights as [`super::twos`] has them.
    pub(super) fn needs_twos(&self) -> bool {
        matches!(self.isa, Isa::Avx2(token) if !token.vnni()) && self.activation_bits == ActivationBits::Seven
    }

    /// Steps of four input features.
    pub(super) fn steps(&self) -> usize {
        self.k.div_ceil(4)
    }

    /// Row blocks of four output features.
    pub(super) fn row_blocks(&self) -> usize {
        self.m.div_ceil(ROW_BLOCK)
    }

    /// Register blocks; the last may have fewer row blocks.
    pub(super) fn blocks(&self) -> usize {
        self.row_blocks().div_ceil(ROW_BLOCKS)
    }

    /// Bytes of W of a whole register block.
    pub(super) fn block_bytes(&self) -> usize {
        self.steps() * ROW_BLOCKS * ROW_BLOCK * 4
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

impl std::fmt::Display for GemmPlan {
    /// The decisions in one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let GemmPlan { isa, unroll, .. } = self;
        let rows = ROW_BLOCK * ROW_BLOCKS;
        write!(
            f,
            "dense form on {isa}: half-tiles of {} columns outside, blocks of {rows} outputs inside, {unroll} steps of 4 inputs",
            TILE / 2
        )
    }
}

impl Plan for GemmPlan {
    fn name(&self) -> String {
        let GemmPlan { isa, m, k, unroll, epilogue, activation_bits } = self;
        let x = activation_bits.name();
        format!("gemm-{x}s8-{isa}-m{m}k{k}n{TILE}-dense-u{unroll}-{}", epilogue.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
