//! Streams with one changed byte: what is accepted is what packing the matrix in it writes.

use bytes::Bytes;
use lacuna_jit::Isa;
use rand::prelude::*;

use super::super::sections::check_order;
use super::super::weights::tests::unpack;
use super::super::{SpmmDesc, SpmmFacts, SpmmWeights};
use super::*;
use crate::epilogue::{Epilogue, RowParams};
use crate::{ActivationBits, Buffer, KernelError, PanelLayout, Plan, Sign};

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

/// Some weights, with rows and columns of zeros.
fn matrix(m: usize, k: usize, density: f64, rng: &mut StdRng) -> Vec<i8> {
    let mut weights: Vec<i8> =
        (0..m * k).map(|_| if rng.random_bool(density) { rng.random_range(1..=127) } else { 0 }).collect();
    weights[..k].fill(0);
    weights.chunks_exact_mut(k).for_each(|row| row[k / 2] = 0);
    weights
}

/// The sections with the facts that their stream has, so that no change is refused for its facts alone.
fn read(plan: &SpmmPlan, facts: SpmmFacts, sections: &[Vec<u8>; 4]) -> Result<SpmmWeights, KernelError> {
    let read = |facts| SpmmWeights::from_sections(plan, facts, sections.each_ref().map(|s| aligned(s)));
    match read(facts) {
        Err(KernelError::Section { section: "facts", expected, .. }) => {
            let field = |name: &str| {
                let rest = expected.split_once(&format!("{name}: ")).unwrap().1;
                rest.split([',', ' ']).next().unwrap().parse::<f64>().unwrap()
            };
            read(SpmmFacts {
                nnz: field("nnz") as usize,
                density: field("density"),
                fill_ratio: field("fill_ratio"),
                fill_ratio_in_order: field("fill_ratio_in_order"),
            })
        }
        other => other,
    }
}

#[test]
fn every_changed_byte_is_refused_or_is_what_packing_writes() {
    let mut rng = StdRng::seed_from_u64(5);
    let (mut refused, mut accepted) = (0, 0);
    let epilogues = [Epilogue::f32(false), Epilogue::requantize(PanelLayout::Vnni, Sign::Unsigned)];
    for (m, k, density) in [(4, 8, 0.5), (6, 13, 0.6), (9, 22, 0.2), (5, 6, 1.0), (8, 9, 0.0)] {
        for (block, epilogue) in Block::ALL[..6].iter().flat_map(|block| epilogues.map(|epilogue| (*block, epilogue))) {
            let plan =
                SpmmDesc { m, k, block, epilogue, activation_bits: ActivationBits::Eight }.plan(Isa::Portable).unwrap();
            let params = vec![RowParams { multiplier: 0.01, ..RowParams::default() }; m];
            let packed = SpmmWeights::pack(&plan, &matrix(m, k, density, &mut rng), &params).unwrap();
            let sections = packed.sections().map(<[u8]>::to_vec);
            read(&plan, packed.facts(), &sections).unwrap();
            for (section, at) in (0..3).flat_map(|section| (0..sections[section].len()).map(move |at| (section, at))) {
                for mask in [0x01, 0x08, 0x10, 0x80, 0xff] {
                    let mut changed = sections.clone();
                    changed[section][at] ^= mask;
                    let Ok(found) = read(&plan, packed.facts(), &changed) else {
                        refused += 1;
                        continue;
                    };
                    accepted += 1;
                    // Which rows of scattered zeros share a row block is free.
                    if block == Block::Unstructured && plan.scatters() {
                        continue;
                    }
                    let again = SpmmWeights::pack(&plan, &unpack(&plan, &found), &params).unwrap();
                    let what = format!("{m} x {k}, {block}, {}: byte {at} of section {section}", epilogue.name());
                    assert_eq!(again.sections()[..3], found.sections()[..3], "{what}");
                    assert_eq!(again.facts(), found.facts(), "{what}");
                }
            }
        }
    }
    assert!(refused > 1000 && accepted > 1000, "{refused} refused, {accepted} accepted");
}

/// Each kind of byte that no kernel, or not every kernel, reads.
#[test]
fn redundant_bytes_are_named() {
    let params = [RowParams { multiplier: 0.01, ..RowParams::default() }; 6];
    let (m, k) = (6, 9);
    for (block, weights, section, at, expected) in [
        // Four columns are one group of 16 bytes, stored as four.
        (Block::B4x1, [1, 1, 1, 1, 0, 0, 0, 0, 0], 1, 16, "0 in groups that are stored but not computed"),
        (Block::B4x1, [1, 1, 1, 1, 0, 0, 0, 0, 0], 0, 8, "behind the end of a list its last one"),
        // Five are two groups: the last three columns repeat the fifth.
        (Block::B4x1, [1, 1, 1, 1, 1, 0, 0, 0, 0], 1, 17, "behind the end of a list its last one"),
        (Block::B4x1, [1, 1, 1, 1, 1, 0, 0, 0, 0], 0, 10, "behind the end of a list its last one"),
        // The last block of four features has one inside K.
        (Block::B1x4, [0, 0, 0, 0, 0, 0, 0, 0, 1], 1, 1, "0 for features beyond M and K"),
        (Block::B4x4, [0, 0, 0, 0, 0, 0, 0, 0, 1], 1, 1, "0 for features beyond M and K"),
    ] {
        let plan = SpmmDesc {
            m,
            k,
            block,
            epilogue: Epilogue::requantize(PanelLayout::Vnni, Sign::Unsigned),
            activation_bits: ActivationBits::Eight,
        };
        let plan = plan.plan(Isa::Portable).unwrap();
        let packed = SpmmWeights::pack(&plan, &weights.repeat(m), &params).unwrap();
        let mut sections = packed.sections().map(<[u8]>::to_vec);
        sections[section][at] ^= 8;
        let error = read(&plan, packed.facts(), &sections).unwrap_err().to_string();
        assert!(error.contains(expected), "{block}: {error}");
        let last = sections[1].len() - 1;
        for (section, at) in [(1, last), (0, sections[0].len() - 1)] {
            let mut sections = packed.sections().map(<[u8]>::to_vec);
            sections[section][at] = 1;
            let error = read(&plan, packed.facts(), &sections).unwrap_err().to_string();
            assert!(error.contains("zeros behind the last group"), "{block}: {error}");
        }
    }
}

#[test]
fn row_blocks_in_another_order_are_refused() {
    let (m, k) = (12, 8);
    for block in [Block::B4x1, Block::B1x4, Block::B4x4] {
        let plan = SpmmDesc { m, k, block, epilogue: Epilogue::f32(false), activation_bits: ActivationBits::Eight }
            .plan(Isa::Portable)
            .unwrap();
        let packed = SpmmWeights::pack(&plan, &vec![1; m * k], &vec![RowParams::default(); m]).unwrap();
        let mut rows = packed.rows.clone();
        check_order(&plan, &rows, &packed.group_offsets, &packed.weights).unwrap();
        rows.swap(0, 2);
        let error = check_order(&plan, &rows, &packed.group_offsets, &packed.weights).unwrap_err();
        assert!(error.to_string().starts_with(&plan.name()), "{error}");
    }
}

#[test]
fn facts_that_lie_are_refused() {
    let plan = SpmmDesc {
        m: 4,
        k: 8,
        block: Block::B4x1,
        epilogue: Epilogue::f32(false),
        activation_bits: ActivationBits::Eight,
    }
    .plan(Isa::Portable)
    .unwrap();
    let packed = SpmmWeights::pack(&plan, &[1; 32], &[RowParams::default(); 4]).unwrap();
    let facts = packed.facts();
    for wrong in [
        SpmmFacts { nnz: usize::MAX, ..facts },
        SpmmFacts { density: f64::NAN, ..facts },
        SpmmFacts { fill_ratio: 0.5, ..facts },
        SpmmFacts { fill_ratio_in_order: 1e300, ..facts },
    ] {
        let sections = packed.sections().map(aligned);
        let error = SpmmWeights::from_sections(&plan, wrong, sections).unwrap_err();
        assert!(matches!(error, KernelError::Section { section: "facts", .. }), "{error}");
    }
}
