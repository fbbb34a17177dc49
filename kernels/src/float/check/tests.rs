//! Streams with one changed byte: what is accepted is what packing the matrix in it writes.

use bytes::Bytes;
use lacuna_jit::Isa;
use rand::prelude::*;

use super::super::weights::tests::unpack;
use super::super::{FloatDesc, FloatFacts, FloatWeights};
use super::*;
use crate::{Block, Buffer, KernelError, Sink};

fn aligned(bytes: &[u8]) -> Bytes {
    struct Owner(Buffer<u8>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let mut buffer = Buffer::<u8>::new(bytes.len());
    buffer.copy_from_slice(bytes);
    Bytes::from_owner(Owner(buffer))
}

#[test]
fn every_changed_byte_is_refused_or_is_what_packing_writes() {
    let mut rng = StdRng::seed_from_u64(6);
    let (mut refused, mut accepted) = (0, 0);
    for (m, k, density) in [(4, 8, 0.5), (6, 13, 0.3), (13, 5, 1.0), (3, 4, 0.0)] {
        for (block, dtype) in [Block::Dense, Block::B4x1, Block::B8x1, Block::Unstructured]
            .into_iter()
            .flat_map(|block| DType::ALL.map(|dtype| (block, dtype)))
        {
            let plan = FloatDesc { m, k, dtype, block, sink: Sink::f32(false) }.plan(Isa::Portable).unwrap();
            let weight = |rng: &mut StdRng| if rng.random_bool(density) { rng.random_range(0.5..1.0) } else { 0.0 };
            let weights: Vec<f32> = (0..m * k).map(|_| weight(&mut rng)).collect();
            let bias: Vec<f32> = (0..m).map(|row| row as f32).collect();
            let packed = FloatWeights::pack(&plan, &weights, &bias).unwrap();
            let sections = packed.sections().map(<[u8]>::to_vec);
            // The last section are the biases, of which those inside M may be any finite number.
            for (section, at) in (0..2).flat_map(|section| (0..sections[section].len()).map(move |at| (section, at))) {
                // Not the sign: -0 is a zero like 0.
                for mask in [0x01, 0x08, 0x10, 0x40] {
                    let mut changed = sections.clone();
                    changed[section][at] ^= mask;
                    let read = |facts: FloatFacts| {
                        FloatWeights::from_sections(&plan, facts, changed.each_ref().map(|s| aligned(s)))
                    };
                    let counts = check_stream(&plan, &packed.block_rows, &packed.step_offsets, &changed[0]);
                    let facts = counts.map_or(packed.facts(), |Counts { blocks, nnz }| FloatFacts { blocks, nnz });
                    let Ok(found) = read(facts) else {
                        refused += 1;
                        continue;
                    };
                    accepted += 1;
                    let again = FloatWeights::pack(&plan, &unpack(&plan, &found), &bias).unwrap();
                    let what = format!("{m} x {k}, {block}, {dtype}: byte {at} of section {section}");
                    assert_eq!(again.sections(), found.sections(), "{what}");
                    assert_eq!(again.facts(), found.facts(), "{what}");
                }
            }
        }
    }
    assert!(refused > 500 && accepted > 500, "{refused} refused, {accepted} accepted");
}

#[test]
fn facts_and_padding_that_lie_are_refused() {
    let (m, k) = (6, 5);
    let plan = FloatDesc { m, k, dtype: DType::F32, block: Block::B4x1, sink: Sink::f32(false) };
    let plan = plan.plan(Isa::Portable).unwrap();
    let packed = FloatWeights::pack(&plan, &vec![1.0; m * k], &vec![1.0; m]).unwrap();
    let facts = packed.facts();
    let refused = |facts, sections: [Vec<u8>; 3]| match FloatWeights::from_sections(
        &plan,
        facts,
        sections.each_ref().map(|s| aligned(s)),
    )
    .unwrap_err()
    {
        KernelError::Section { section, .. } => section,
        error => panic!("{error}"),
    };
    let sections = packed.sections().map(<[u8]>::to_vec);
    assert_eq!(refused(FloatFacts { blocks: usize::MAX, ..facts }, sections.clone()), "facts");
    assert_eq!(refused(FloatFacts { nnz: facts.nnz + 1, ..facts }, sections.clone()), "facts");
    let mut changed = sections.clone();
    *changed[2].last_mut().unwrap() = 1; // the bias of an output feature beyond M
    assert_eq!(refused(facts, changed), "bias");
    let mut changed = sections.clone();
    *changed[0].last_mut().unwrap() = 1; // a weight of it
    assert_eq!(refused(facts, changed), "stream");
}
