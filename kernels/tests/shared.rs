//! Row blocks that share interleaved rows of X: the same bits for every block shape, wherever a call begins, and whether lists are equal or not.

mod product;
mod support;

use lacuna_jit::Isa;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::spmm::{SpmmDesc, SpmmKernel, SpmmPlan};
use lacuna_kernels::{ActivationBits, Block, PanelLayout, Parallel, Sign};
use product::{Case, Numbers, Place, check_spmm, weights};
use rand::prelude::*;
use support::{mask_blocks, tiers};

/// Block shapes that cover several row blocks, with the outputs of a block.
const BLOCKS: [(Block, usize); 2] = [(Block::B8x1, 8), (Block::B16x1, 16)];
const COLUMNS: [usize; 8] = [1, 16, 32, 48, 63, 64, 65, 130];

/// All plans whose row blocks share rows of X.
fn plans(m: usize, k: usize, block: Block, epilogue: Epilogue, isa: Isa) -> Vec<SpmmPlan> {
    let all =
        SpmmDesc { m, k, block, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap().candidates();
    all.into_iter().filter(|plan| plan.schedule().shared > 0).collect()
}

fn epilogues() -> [Epilogue; 4] {
    [
        Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned).fixed(),
        Epilogue::requantize(PanelLayout::Vnni, Sign::Signed),
        Epilogue::gelu(PanelLayout::Plain, Sign::Unsigned).fixed(),
        Epilogue::f32(true),
    ]
}

fn check(case: &Case, plan: SpmmPlan, place: Place, parallel: Parallel) {
    check_spmm(case, &SpmmKernel::compile(plan).unwrap(), place, parallel);
}

/// Whole and partial blocks at the end, and weights whose blocks are smaller than the plan's, so that no two lists are equal.
#[test]
fn every_number_of_outputs_and_columns() {
    let mut rng = StdRng::seed_from_u64(1);
    for m in [1, 4, 7, 8, 15, 16, 17, 32, 36, 65] {
        for (i, k) in [1, 16, 19, 70].into_iter().enumerate() {
            for (block, outputs) in BLOCKS {
                for of_pattern in [outputs, 4] {
                    let mut matrix = weights(m * k, Numbers::Typical, &mut rng);
                    mask_blocks(&mut matrix, k, of_pattern, 0.3, &mut rng);
                    for n in [COLUMNS[i], COLUMNS[4 + i]] {
                        let case = Case::new(m, n, matrix.clone(), Numbers::Typical, &mut rng);
                        for isa in tiers() {
                            for plan in plans(m, k, block, epilogues()[(m + i) % 4], isa) {
                                check(&case, plan, Place::BOTH[i % 2], Parallel::Serial);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_epilogue() {
    let (m, k) = (48, 70);
    let mut rng = StdRng::seed_from_u64(2);
    for (block, outputs) in BLOCKS {
        let mut matrix = weights(m * k, Numbers::Extreme, &mut rng);
        mask_blocks(&mut matrix, k, outputs, 0.3, &mut rng);
        for n in [48, 128] {
            let case = Case::new(m, n, matrix.clone(), Numbers::Extreme, &mut rng);
            for isa in tiers() {
                for epilogue in Epilogue::all() {
                    for plan in plans(m, k, block, epilogue, isa) {
                        check(&case, plan, Place::AtEnd, Parallel::Serial);
                    }
                }
            }
        }
    }
}

/// Parts of a call begin at any of the row blocks that share rows.
#[test]
fn parts_begin_inside_a_block() {
    let mut rng = StdRng::seed_from_u64(3);
    for (m, k) in [(64, 40), (100, 33), (144, 90)] {
        for (block, outputs) in BLOCKS {
            let mut matrix = weights(m * k, Numbers::Typical, &mut rng);
            mask_blocks(&mut matrix, k, outputs, 0.3, &mut rng);
            for n in [48, 64] {
                let case = Case::new(m, n, matrix.clone(), Numbers::Typical, &mut rng);
                for threads in 2..=7 {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    for isa in tiers() {
                        for plan in plans(m, k, block, epilogues()[threads % 4], isa) {
                            pool.install(|| check(&case, plan, Place::AtEnd, Parallel::Rayon));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn wide_indices() {
    let (m, k, n) = (32, 8193, 64);
    let mut rng = StdRng::seed_from_u64(4);
    let mut matrix = weights(m * k, Numbers::Typical, &mut rng);
    mask_blocks(&mut matrix, k, 16, 0.01, &mut rng);
    let case = Case::new(m, n, matrix, Numbers::Typical, &mut rng);
    for isa in tiers() {
        for plan in plans(m, k, Block::B16x1, epilogues()[0], isa) {
            check(&case, plan, Place::AtEnd, Parallel::Serial);
        }
    }
}

#[test]
fn only_blocks_of_several_row_blocks_share_rows() {
    let plan = |block| {
        SpmmDesc { m: 16, k: 16, block, epilogue: epilogues()[0], activation_bits: ActivationBits::Eight }
            .plan(Isa::Portable)
            .unwrap()
    };
    let shared = |block| {
        let candidates = plan(block).candidates();
        candidates.iter().map(|plan| plan.schedule().shared).max()
    };
    assert_eq!(shared(Block::B16x1), Some(4));
    assert_eq!(shared(Block::B8x1), Some(2));
    for block in [Block::B4x1, Block::B4x4, Block::B1x4, Block::Unstructured] {
        assert_eq!(shared(block), Some(0), "{block}");
    }
}
