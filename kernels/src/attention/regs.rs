//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, Mask, Mem, RegFile, Zmm, ptr};

use crate::VECTORS;

/// REGISTER LAYOUT (vectors; W of them per role and query chunk)
///
/// | registers | scores | probabilities | output |
/// | --- | --- | --- | --- |
/// | acc, 16 | `S[j][v]` | distances from the largest score, then P; constants of 2^-x | `O[d][v]` of 16 / W features |
/// | temp, 4 | Q of 4 features | | P of 4 keys, store |
/// | key, 4 | K of key j | | V of feature d |
/// | max, 4 | largest score per query | | 1 / sum |
/// | sum, 4 | | sum of P | |
///
/// In a short sequence, P of its four key groups is in `temp`, and `key` and `sum` help with 2^-x.
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) head: Gpr,
    pub(super) q: Gpr,
    pub(super) k: Gpr,
    pub(super) v: Gpr,
    pub(super) out: Gpr,
    pub(super) keys: Gpr,
    pub(super) chunk: Gpr,
    pub(super) bias: Gpr,
    pub(super) scores: Gpr,
    pub(super) probabilities: Gpr,
    pub(super) at: Gpr,
    pub(super) acc: Vec<Zmm>,
    pub(super) temp: Vec<Zmm>,
    pub(super) key: Vec<Zmm>,
    pub(super) max: Vec<Zmm>,
    pub(super) sum: Vec<Zmm>,
    pub(super) dwords: Mask,
    pub(super) tokens: Vec<Mask>,
}

impl Regs {
    pub(super) fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            at: file.gpr("offset of the key group")?,
            keys: file.gpr("key group")?,
            q: file.gpr("Q of the chunk")?,
            k: file.gpr("K of the head")?,
            v: file.gpr("V of the head")?,
            scores: file.gpr("scores")?,
            probabilities: file.gpr("probabilities")?,
            bias: file.gpr("key bias; output scales; constants")?,
            out: file.gpr("output of the chunk")?,
            chunk: file.gpr("query chunk")?,
            head: file.gpr("head")?,
            acc: file.zmms(16, "S[j][v]; P[j][v]; O[d][v]")?,
            temp: file.zmms(4, "Q; P")?,
            key: file.zmms(4, "K; V")?,
            max: file.zmms(VECTORS, "largest score per query; 1 / sum")?,
            sum: file.zmms(VECTORS, "sum of P per query")?,
            dwords: file.mask("dwords of a plain row that belong to the sequence")?,
            tokens: (0..VECTORS)
                .map(|_| file.mask("tokens of a vector that belong to the sequence"))
                .collect::<Result<_, _>>()?,
            file,
        })
    }

    pub(super) fn arg(&self, offset: usize) -> Mem {
        ptr(self.file.args()) + offset as i32
    }

    pub(super) fn head_param(&self, offset: usize) -> Mem {
        ptr(self.head) + offset as i32
    }
}
