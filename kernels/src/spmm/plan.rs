//! What was decided.

use lacuna_jit::{Code, Isa, JitError};

use super::emit;
use crate::cache::AnyPlan;
use crate::epilogue::Epilogue;
use crate::layout::padded;
use crate::{Plan, TILE};

/// How a stream record stores an input feature's row offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexWidth {
    /// u16 holding feature * 8: the address is `x + 8 * index`. K up to 8192.
    U16,
    /// u32 holding feature * 64.
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

    /// Bytes of one group: four indices, 16 weights.
    pub fn record_bytes(self) -> usize {
        4 * self.bytes() + 16
    }
}

/// A decided SpMM kernel in stream form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpmmPlan {
    pub(super) isa: Isa,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) index: IndexWidth,
    pub(super) epilogue: Epilogue,
}

impl SpmmPlan {
    /// Output features M.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Input features K.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Width of the stream's indices.
    pub fn index(&self) -> IndexWidth {
        self.index
    }

    /// What happens to the accumulators.
    pub fn epilogue(&self) -> &Epilogue {
        &self.epilogue
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

impl std::fmt::Display for SpmmPlan {
    /// The decisions in one line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits = 8 * self.index.bytes();
        let isa = self.isa;
        write!(f, "stream form on {isa}: tiles of {TILE} tokens outside, block rows by length inside, u{bits} indices")
    }
}

impl Plan for SpmmPlan {
    fn name(&self) -> String {
        let SpmmPlan { isa, m, k, epilogue, .. } = self;
        format!("spmm-u8s8-{isa}-m{m}k{k}n{TILE}-stream-{}", epilogue.name())
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
