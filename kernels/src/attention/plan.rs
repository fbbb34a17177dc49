//! What was decided.

use lacuna_jit::Isa;

use super::desc::AttentionDesc;
use super::sizes::KEY_PART_BYTES;
use crate::{ActivationBits, KernelError, PanelLayout, Plan, Sign};

impl AttentionDesc {
    /// Largest head size: keeps the unrolled code within a few tens of kilobytes.
    pub const MAX_HEAD_SIZE: usize = 512;

    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if the head size is 0, not a multiple of 4, or above [`Self::MAX_HEAD_SIZE`].
    pub fn plan(&self, isa: Isa) -> Result<AttentionPlan, KernelError> {
        let d = self.head_size;
        if d == 0 || !d.is_multiple_of(4) || d > Self::MAX_HEAD_SIZE {
            return Err(KernelError::Dimension {
                kernel: "attention",
                dimension: "head size",
                found: d,
                expected: "a multiple of 4 from 4 to 512",
            });
        }
        Ok(AttentionPlan { isa, head_size: d, output: self.output, activation_bits: self.activation_bits })
    }
}

/// A decided attention kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttentionPlan {
    pub(super) isa: Isa,
    pub(super) head_size: usize,
    pub(super) output: PanelLayout,
    pub(super) activation_bits: ActivationBits,
}

impl AttentionPlan {
    /// What it was planned for.
    pub fn desc(&self) -> AttentionDesc {
        AttentionDesc { head_size: self.head_size, output: self.output, activation_bits: self.activation_bits }
    }

    /// Features per head.
    pub fn head_size(&self) -> usize {
        self.head_size
    }

    /// Layout of the output.
    pub fn output(&self) -> PanelLayout {
        self.output
    }

    /// What the bytes of the output are.
    pub fn sign(&self) -> Sign {
        Sign::of(self.activation_bits)
    }

    /// Whether sequences of at most 16 tokens have code of their own: unrolled over all keys, so for usual head sizes only.
    pub(super) fn has_short_form(&self) -> bool {
        self.head_size <= 64
    }

    /// Steps of four features in Q K.
    pub(super) fn steps(&self) -> usize {
        self.head_size / 4
    }

    /// Bytes of scratch for `groups` groups of four keys in words, which only AVX2 without `vpdpbusd` needs.
    pub(super) fn key_words_bytes(&self, groups: usize) -> usize {
        match self.isa {
            Isa::Avx2(token) if !token.vnni() => groups * self.steps() * 2 * KEY_PART_BYTES as usize,
            _ => 0,
        }
    }
}

impl Plan for AttentionPlan {
    fn name(&self) -> String {
        format!("attention-u8s8-{}-d{}-{}-{}", self.isa, self.head_size, self.sign().name(), self.output.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
