//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, Mask, Mem, RegFile, Zmm, ptr};

use crate::VECTORS;

/// REGISTER LAYOUT (vectors; W of them per role and query chunk)
///
/// | registers | scores | probabilities | output |
/// | --- | --- | --- | --- |
/// | acc, 16 | `S[j][v]` | distances from the largest score, then P; constants of 2^-x | `O[d][v]` of 16 / W features |
/// | 4 | `query`: Q of 4 features | ones; constants of 2^-x | `p`: P of 4 keys |
/// | 4 | `key`: K of key j | `group_p`: P of 4 keys | `value`: V of feature d; 1, zero point, byte transpose |
/// | 4 | `max`: largest score per query | `max` | `reciprocal`: 1 / sum |
/// | 4 | | `sum`: sum of P | |
///
/// A short sequence keeps P of its four key groups in `p` from the start: Q is in `key`, and `key`, `max` and `sum` beyond what
/// one vector of queries takes help with 2^-x.
///
/// General registers that several roles share:
///
/// | key bias | scores | probabilities | output |
/// | --- | --- | --- | --- |
/// | `bias` | `bias` | `exponential`: constants of 2^-x | `out_scale`: output scales of the head |
/// | `at`: offset of the key group | `at` | | `at`; in stores `constants` of the epilogue |
///
/// Where a query chunk begins, `at` is `field`: one of its fields.
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
    /// In the register of `bias`, as are the output scales.
    pub(super) exponential: Gpr,
    pub(super) out_scale: Gpr,
    pub(super) scores: Gpr,
    pub(super) probabilities: Gpr,
    pub(super) at: Gpr,
    /// In the register of `at`, as are the constants of the epilogue.
    pub(super) field: Gpr,
    pub(super) constants: Gpr,
    pub(super) acc: Vec<Zmm>,
    pub(super) query: Vec<Zmm>,
    /// In the registers of `query`.
    pub(super) p: Vec<Zmm>,
    pub(super) key: Vec<Zmm>,
    /// In the registers of `key`, as are the values.
    pub(super) group_p: Vec<Zmm>,
    pub(super) value: Vec<Zmm>,
    pub(super) max: Vec<Zmm>,
    /// In the registers of `max`.
    pub(super) reciprocal: Vec<Zmm>,
    pub(super) sum: Vec<Zmm>,
    pub(super) dwords: Mask,
    pub(super) tokens: Vec<Mask>,
}

impl Regs {
    pub(super) fn new() -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        let at = file.gpr("offset of the key group; field of the query chunk; constants of the epilogue")?;
        let (keys, q) = (file.gpr("key group")?, file.gpr("Q of the chunk")?);
        let (k, v) = (file.gpr("K of the head")?, file.gpr("V of the head")?);
        let (scores, probabilities) = (file.gpr("scores")?, file.gpr("probabilities")?);
        let bias = file.gpr("key bias; constants of 2^-x; output scales")?;
        let (out, chunk, head) = (file.gpr("output of the chunk")?, file.gpr("query chunk")?, file.gpr("head")?);
        let acc = file.zmms(16, "S[j][v]; P[j][v]; O[d][v]")?;
        let (query, key) = (file.zmms(4, "Q; P")?, file.zmms(4, "K; P of a key group; V")?);
        let max = file.zmms(VECTORS, "largest score per query; 1 / sum")?;
        let sum = file.zmms(VECTORS, "sum of P per query")?;
        Ok(Regs {
            at,
            field: at,
            constants: at,
            keys,
            q,
            k,
            v,
            scores,
            probabilities,
            bias,
            exponential: bias,
            out_scale: bias,
            out,
            chunk,
            head,
            acc,
            p: query.clone(),
            query,
            group_p: key.clone(),
            value: key.clone(),
            key,
            reciprocal: max.clone(),
            max,
            sum,
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
