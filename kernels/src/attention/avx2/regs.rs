//! The registers of the kernel, each with its role.

use lacuna_jit::{Avx2, Gpr, JitError, Mem, RegFile, Zmm, ptr};

use super::product::Product;
use crate::LANES;

/// Queries of one vector.
pub(super) const QUERIES: usize = 8;
/// Vectors of queries that are computed together.
pub(super) const VECTORS: usize = LANES / QUERIES;
/// Bytes of one vector.
pub(super) const BYTES: i32 = 4 * QUERIES as i32;

/// REGISTER LAYOUT (vectors)
///
/// | registers | key bias | scores | probabilities | output |
/// | --- | --- | --- | --- | --- |
/// | `acc`, 8 | sum, zero point of Q | `S[j][v]` | 6 of 2^-x, 2 sums of P | `O[d][v]`, then bytes |
/// | `left`, 4 | ones | Q of four features, `[v][part]` | tables of 2^-x | `p`: P of four keys, `[v][part]`; scale, zero point |
/// | `right`, 1 or 2 | K of four keys, `[part]` | K of one key | limit | V of one feature, `[part]`; bytes |
/// | `temp` | product of words | product of words | multiplier | product of words |
/// | `max`, 2 | | largest score per query | `max` | the first is the second of `right` |
///
/// General registers that several roles share:
///
/// | key bias | scores | probabilities | output |
/// | --- | --- | --- | --- |
/// | `bias` | `bias` | `parabolas`: constants of 2^-x | `out_scale`: output scales of the features |
/// | `rows`: K of the head | `rows`: K, or K in words | | `rows`: V of the features |
/// | `at`: offset of the key group | `at` | | `at`; in stores `constants` of the epilogue |
/// | `key_words`: K in words | `scores` | `scores` | `reciprocal`: 1 / sum, in the memory of the scores |
///
/// Where a query chunk begins, `at` is `field`: one of its fields.
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) product: Product,
    pub(super) head: Gpr,
    pub(super) chunk: Gpr,
    /// Vectors of 16 queries of the chunk that are left.
    pub(super) remaining: Gpr,
    /// Which tokens of these vectors belong to the sequence: words, one bit per token.
    pub(super) tokens: Gpr,
    pub(super) q: Gpr,
    pub(super) out: Gpr,
    pub(super) keys: Gpr,
    pub(super) at: Gpr,
    pub(super) field: Gpr,
    pub(super) constants: Gpr,
    pub(super) rows: Gpr,
    pub(super) scores: Gpr,
    pub(super) reciprocal: Gpr,
    pub(super) key_words: Gpr,
    pub(super) probabilities: Gpr,
    pub(super) bias: Gpr,
    pub(super) parabolas: Gpr,
    pub(super) out_scale: Gpr,
    /// Blocks of four features that are left.
    pub(super) blocks: Gpr,
    pub(super) out_rows: Gpr,
    pub(super) acc: Vec<Zmm>,
    pub(super) left: Vec<Zmm>,
    pub(super) right: Vec<Zmm>,
    pub(super) temp: Zmm,
    pub(super) max: Vec<Zmm>,
}

impl Regs {
    pub(super) fn new(token: Avx2) -> Result<Regs, JitError> {
        let product = Product::new(token);
        let mut file = RegFile::avx2();
        let at = file.gpr("offset of the key group; field of the query chunk; constants of the epilogue")?;
        let (keys, q) = (file.gpr("key group")?, file.gpr("Q of 16 queries")?);
        let rows = file.gpr("K of the head; V of four features")?;
        let scores = file.gpr("scores; K in words; 1 / sum of P")?;
        let probabilities = file.gpr("probabilities")?;
        let bias = file.gpr("key bias; constants of 2^-x; output scales")?;
        let (out, out_rows) = (file.gpr("output of 16 queries")?, file.gpr("output of four features")?);
        let blocks = file.gpr("blocks of four features left")?;
        let tokens = file.gpr("tokens that belong to the sequence")?;
        let remaining = file.gpr("vectors of 16 queries left")?;
        let (chunk, head) = (file.gpr("query chunk")?, file.gpr("head")?);
        let acc = file.zmms(4 * VECTORS, "S[j][v]; 2^-x and sums of P; O[d][v]")?;
        let left = file.zmms(2 * VECTORS, "Q; tables of 2^-x; P; scale and zero point")?;
        let first = file.zmm("K of one key; limit of 2^-x; V of one feature")?;
        let temp = file.zmm("product of words; multiplier of 2^-x")?;
        let max = file.zmms(VECTORS, "largest score per query; V of one feature")?;
        Ok(Regs {
            product,
            head,
            chunk,
            remaining,
            tokens,
            q,
            out,
            keys,
            at,
            field: at,
            constants: at,
            rows,
            scores,
            reciprocal: scores,
            key_words: scores,
            probabilities,
            bias,
            parabolas: bias,
            out_scale: bias,
            blocks,
            out_rows,
            acc,
            left,
            right: [first, max[0]][..product.parts()].to_vec(),
            temp,
            max,
            file,
        })
    }

    /// The parts of the left factor of every vector of queries.
    pub(super) fn left_parts(&self) -> impl Iterator<Item = &[Zmm]> {
        self.left.chunks(self.product.parts()).take(VECTORS)
    }

    pub(super) fn arg(&self, offset: usize) -> Mem {
        ptr(self.file.args()) + offset as i32
    }

    pub(super) fn head_param(&self, offset: usize) -> Mem {
        ptr(self.head) + offset as i32
    }

    /// Constants of 2^-x.
    pub(super) fn constant(&self, offset: usize) -> Mem {
        ptr(self.parabolas) + offset as i32
    }
}
