//! What the group loops execute, counted without emitting them. A test compares these counts with those of the emitted rows.

use lacuna_jit::PortCounts;

use crate::spmm::plan::{IndexWidth, ROW_BLOCK, SpmmPlan};
use crate::spmm::schedule::WeightLoads;
use crate::{Block, VECTORS};

/// What one group on `vectors` vectors executes, and how many of its loads are of X. The scalar instructions of the loop are those of the
/// first group.
pub(super) fn group_counts(plan: &SpmmPlan, vectors: usize) -> (PortCounts, u32) {
    let dot = (ROW_BLOCK * vectors) as u32;
    let vectors = vectors as u32;
    let (x_loads, weight_loads, shuffle) = match plan.cover() {
        Block::B1x4 => (dot, 1, 4),
        Block::B4x4 => (vectors, 4, 0),
        // Two unpacks of bytes for every half of the tile, one of words for every vector.
        _ => (4, 4, vectors + 2 * vectors.div_ceil(2)),
    };
    let indices = match (plan.index(), plan.group_indices() as u32) {
        (IndexWidth::U32, indices) => indices,
        (IndexWidth::U16, 4) => 8, // one load of four, and what takes them apart
        (IndexWidth::U16, _) => 2,
    };
    let load = x_loads + weight_loads;
    let vector = dot + shuffle + load;
    (PortCounts { dot, shuffle, alu: 0, load, store: 0, vector, scalar: indices + 1 }, x_loads)
}

/// What one group on `vectors` vectors executes if its interleaved rows of X are kept.
pub(super) fn keeping_counts(plan: &SpmmPlan, vectors: usize) -> (PortCounts, u32) {
    let (counts, x_loads) = group_counts(plan, vectors);
    let (store, vector) = (vectors as u32, counts.vector + vectors as u32);
    (PortCounts { store, vector, scalar: counts.scalar + 1, ..counts }, x_loads)
}

/// What one group on `vectors` vectors executes if its interleaved rows of X were kept.
pub(super) fn kept_counts(vectors: usize) -> PortCounts {
    let (dot, load) = ((ROW_BLOCK * vectors) as u32, vectors as u32 + 4);
    PortCounts { dot, shuffle: 0, alu: 0, load, store: 0, vector: dot + load, scalar: 2 }
}

/// What one iteration of a narrow tail of `vectors` vectors executes: groups of which two or four share a vector.
pub(super) fn narrow_counts(plan: &SpmmPlan, vectors: usize) -> PortCounts {
    let groups = (VECTORS / vectors) as u32;
    let dot = (ROW_BLOCK * VECTORS) as u32;
    let indices = groups * plan.group_indices() as u32;
    // Eight unpacks; weights of four groups are one load, four shuffles, and one more if two groups share a vector.
    let shuffle = 8 + 4 + u32::from(vectors == 2);
    let inserts = (groups - 1) * 4;
    let load = groups * 4 + 1;
    let vector = dot + shuffle + load; // insertions are loads too
    PortCounts { dot, shuffle, alu: inserts, load, store: 0, vector, scalar: indices + 1 }
}

/// What one iteration over a group of each of several row blocks executes, and how many of its loads are of X. `vectors` of columns, from packed rows
/// if `packed`.
pub(super) fn abreast_counts(plan: &SpmmPlan, vectors: usize, packed: bool) -> (PortCounts, u32) {
    let row_blocks = (VECTORS / vectors) as u32;
    let dot = (ROW_BLOCK * VECTORS) as u32 / row_blocks;
    let (weight_loads, spread) = match plan.schedule().abreast.weights() {
        WeightLoads::Broadcast => (4, 0),
        WeightLoads::Shuffle => (1, 4),
    };
    // Packed: two insertions, and a permutation in two steps. With VBMI it is a copy of a table and one instruction, which counts twice.
    let copies = u32::from(packed && plan.has_byte_permutation());
    let (interleave, inserts) = if packed { (2, 2) } else { (vectors as u32 + 2, 0) };
    let indices = if plan.index() == IndexWidth::U32 { 4 } else { 7 };
    let load = 4 + weight_loads;
    let counts = PortCounts {
        dot: row_blocks * dot,
        shuffle: row_blocks * (interleave + spread),
        alu: row_blocks * (inserts + copies),
        load: row_blocks * load,
        store: 0,
        vector: row_blocks * (dot + interleave + spread + load), // insertions are loads too, and two steps or a copy and one
        scalar: row_blocks * indices + if plan.schedule().prefetch { 6 } else { 3 },
    };
    (counts, row_blocks * 4)
}

#[cfg(test)]
mod tests {
    use lacuna_jit::Isa;

    use super::*;
    use crate::epilogue::Epilogue;
    use crate::spmm::SpmmDesc;
    use crate::{ActivationBits, Generate, LANES, PanelLayout, Sign};

    #[test]
    fn counts_are_those_of_the_emitted_rows() {
        let epilogue = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);
        let mut loops = 0;
        for k in [64, 8200] {
            for block in Block::ALL.into_iter().filter(|&block| block != Block::Dense) {
                let desc = SpmmDesc { m: 8, k, block, epilogue, activation_bits: ActivationBits::Eight };
                for plan in desc.plan(Isa::Portable).unwrap().candidates() {
                    let code = plan.generate().unwrap();
                    for of in &code.loops {
                        let emitted = code.ports(of).unwrap();
                        let vectors = of.columns / LANES;
                        let expected = if of.name == "packed groups" {
                            narrow_counts(&plan, vectors)
                        } else if of.name == "groups of row blocks abreast" {
                            abreast_counts(&plan, vectors, of.columns <= plan.schedule().narrow).0
                        } else {
                            // The loop's own instruction is shared by all groups of an iteration.
                            let one = match of.name {
                                "groups, kept" => keeping_counts(&plan, vectors).0,
                                "kept groups" => kept_counts(vectors),
                                _ => group_counts(&plan, vectors).0,
                            };
                            let mut all = PortCounts::default();
                            (0..of.depth).for_each(|_| all += one);
                            PortCounts { scalar: all.scalar - of.depth as u32 + 1, ..all }
                        };
                        assert_eq!(emitted, expected, "{}: {} on {} columns", code.name, of.name, of.columns);
                        loops += 1;
                    }
                }
            }
        }
        assert!(loops > 1000, "{loops} loops");
    }
}
