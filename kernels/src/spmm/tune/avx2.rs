//! The cost model of 256 bits: the operations of a group, and rates that most cores with AVX2 have.
//!
//! | | per cycle |
//! | --- | --- |
//! | vector operations, shuffles among them | 3 |
//! | loads | 2 |
//! | dot products or multiplications | 2 |
//!
//! Source: uops.info for Haswell to Alder Lake. On Zen 5, whose four pipes do not share the work evenly, the same rates give the measured
//! times within a tenth (docs/measurements.md).

use lacuna_jit::{Avx2, PortCounts};

use crate::dot_avx2::VECTORS;
use crate::epilogue::Activation;
use crate::gemm::GemmPlan;
use crate::layout::padded;
use crate::spmm::SpmmPlan;
use crate::spmm::plan::ROW_BLOCK;
use crate::{ActivationBits, Block, LANES, TILE};

const OPERATIONS: f64 = 3.0;
const LOADS: f64 = 2.0;
const DOTS: f64 = 2.0;
/// Cycles of a row block and pass without its groups: loop, list, mispredicted exit, epilogue.
const ROW: f64 = 30.0;
/// Cycles that GELU adds.
const GELU: f64 = 70.0;

/// The instructions of a dot product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DotForm {
    /// `vpdpbusd`.
    Bytes,
    /// `vpmaddubsw`, and `vpmaddwd` with ones.
    Pairs,
    /// Two `vpmaddubsw`, whose sums are added, and one `vpmaddwd` with ones.
    Twos,
    /// `vpmaddwd` of widened factors.
    Words,
}

impl DotForm {
    /// How many groups are computed together.
    fn at_once(self) -> usize {
        match self {
            DotForm::Twos => 2,
            DotForm::Bytes | DotForm::Pairs | DotForm::Words => 1,
        }
    }

    /// Of codes of `bits` with the weights of `cover`.
    fn of(token: Avx2, bits: ActivationBits, cover: Block) -> DotForm {
        match (token.vnni(), bits, cover) {
            (true, ..) => DotForm::Bytes,
            (false, ActivationBits::Seven, Block::B4x1 | Block::Dense) => DotForm::Twos,
            (false, ActivationBits::Seven, _) | (false, _, Block::B4x1) => DotForm::Pairs,
            (false, ActivationBits::Eight, _) => DotForm::Words,
        }
    }
}

/// Cycles of one call on `columns` columns with `groups` groups in all lists.
pub(super) fn cycles(plan: &SpmmPlan, token: Avx2, groups: usize, columns: usize) -> f64 {
    let activation = match plan.epilogue().sink.activation {
        Activation::Identity | Activation::Relu => 0.0,
        Activation::Gelu | Activation::GeluTanh => GELU,
    };
    let rows = plan.rows() as f64 * (ROW + activation);
    // Pairs that fit 16 bits need hardly more groups (docs/measurements.md).
    let form = DotForm::of(token, plan.activation_bits(), plan.cover());
    passes(columns).map(|vectors| rows + groups as f64 * group_cycles(plan.cover(), form, vectors)).sum()
}

/// The same of the dense product.
pub(super) fn dense_cycles(plan: &GemmPlan, token: Avx2, columns: usize) -> f64 {
    let form = DotForm::of(token, plan.activation_bits(), Block::Dense);
    let step = group_cycles(Block::Dense, form, VECTORS);
    let rows = padded(plan.m()) as f64 / ROW_BLOCK as f64;
    passes(columns).map(|_| rows * (ROW + plan.k().div_ceil(4) as f64 * step)).sum()
}

/// The vectors of each pass.
fn passes(columns: usize) -> impl Iterator<Item = usize> {
    let (full, tail) = (columns / TILE, columns % TILE);
    let tail = match tail {
        0 => (0, VECTORS),
        1..=LANES => (2, 1),
        _ if tail <= 2 * LANES => (2, VECTORS),
        _ => (4, VECTORS),
    };
    std::iter::repeat_n(VECTORS, 4 * full).chain(std::iter::repeat_n(tail.1, tail.0))
}

/// Cycles of a group; of a dense product, of a step of a row block.
fn group_cycles(cover: Block, form: DotForm, vectors: usize) -> f64 {
    let counts = group_counts(cover, form, vectors);
    let operations = f64::from(counts.dot + counts.shuffle + counts.alu) / OPERATIONS;
    operations.max(f64::from(counts.load) / LOADS).max(f64::from(counts.dot) / DOTS) / form.at_once() as f64
}

/// What the vector instructions of the groups that are computed together occupy, on `vectors` vectors.
pub(super) fn group_counts(cover: Block, form: DotForm, vectors: usize) -> PortCounts {
    let (outputs, vectors) = (ROW_BLOCK as u32, vectors as u32);
    // Loads of X, shuffles that interleave its rows, and how often dwords of X are made ready.
    let (x, interleave, dwords) = match cover {
        Block::B1x4 => (outputs * vectors, 0, outputs),
        Block::B4x4 | Block::Dense => (vectors, 0, 1),
        _ => (4, 2 + vectors, 0),
    };
    let products = outputs * vectors;
    // What instructions read from memory in addition to what they do.
    let fused = if interleave > 0 { 2 } else { 0 }; // unpacks
    let (counts, memory_operands) = match form {
        DotForm::Bytes => {
            (PortCounts { dot: products, shuffle: interleave, load: x + outputs, ..PortCounts::default() }, fused)
        }
        DotForm::Pairs => {
            let (dot, alu, load) = (2 * products, products, x + outputs);
            (PortCounts { dot, shuffle: interleave, alu, load, ..PortCounts::default() }, fused)
        }
        DotForm::Twos => {
            let (dot, alu, load) = (3 * products, 2 * products, 2 * (x + outputs) + products);
            (PortCounts { dot, shuffle: 2 * interleave, alu, load, ..PortCounts::default() }, 2 * fused + products)
        }
        DotForm::Words => {
            let split = vectors * dwords;
            let counts = PortCounts {
                dot: 2 * products,
                shuffle: 2, // of weights: vpshufb, vpmovsxbw
                alu: 2 * products + 2 * split,
                load: x + 2 + split + 2 * outputs,
                store: 1,
                ..PortCounts::default()
            };
            (counts, 1 + split) // vpshufb, vpand
        }
    };
    let all = counts.dot + counts.shuffle + counts.alu + counts.load + counts.store;
    PortCounts { vector: all - memory_operands, ..counts }
}

#[cfg(test)]
mod tests {
    use lacuna_jit::Isa;

    use super::*;
    use crate::Generate;
    use crate::epilogue::Epilogue;
    use crate::gemm::GemmDesc;
    use crate::spmm::SpmmDesc;

    #[test]
    fn counts_are_those_of_the_emitted_rows() {
        let Some(token) = Avx2::detect() else {
            println!("skipped: no AVX2");
            return;
        };
        for token in [token, token.without_vnni()] {
            let isa = Isa::Avx2(token);
            let mut loops = 0;
            let mut check = |code: lacuna_jit::Code, cover, bits| {
                for of in &code.loops {
                    let form = DotForm::of(token, bits, cover);
                    let together = group_counts(cover, form, of.columns / (LANES / 2));
                    let mut expected = PortCounts::default();
                    (0..of.depth / form.at_once()).for_each(|_| expected += together);
                    let emitted = PortCounts { scalar: 0, ..code.ports(of).unwrap() };
                    assert_eq!(emitted, expected, "{}: {} columns", code.name, of.columns);
                    loops += 1;
                }
            };
            for (k, activation_bits) in [64, 8200].into_iter().flat_map(|k| ActivationBits::ALL.map(|bits| (k, bits))) {
                let epilogue = Epilogue::f32(false);
                for block in [Block::B4x1, Block::B4x4, Block::B1x4] {
                    for plan in (SpmmDesc { m: 8, k, block, epilogue, activation_bits }).plan(isa).unwrap().candidates()
                    {
                        check(plan.generate().unwrap(), plan.cover(), activation_bits);
                    }
                }
                let gemm = GemmDesc { m: 8, k, epilogue, activation_bits }.plan(isa).unwrap();
                check(gemm.generate().unwrap(), Block::Dense, activation_bits);
            }
            assert!(loops > 100, "{loops} loops");
        }
    }
}
