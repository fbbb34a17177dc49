//! Tails that compute several row blocks in one loop: the same bits wherever a call begins and ends, and however long the lists are.

mod product;
mod support;

use lacuna_jit::{Avx512Vnni, Features, Isa};
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::spmm::{Abreast, Schedule, SpmmDesc, SpmmKernel, SpmmPlan};
use lacuna_kernels::{ActivationBits, Block, Generate, PanelLayout, Parallel, Plan, Sign};
use product::{Case, Numbers, Place, check_spmm, weights};
use rand::prelude::*;
use support::{mask_blocks, tiers};

/// One column, one vector and two, with and without full tiles before them.
const COLUMNS: [usize; 8] = [1, 15, 16, 17, 31, 32, 80, 96];

/// The tiers of this machine, and its generated code without VBMI.
fn isas() -> Vec<Isa> {
    let without = Avx512Vnni::detect().map(|token| Isa::Avx512Vnni(token.without_vbmi()));
    let mut isas = tiers();
    isas.extend(without.filter(|without| !isas.contains(without)));
    isas
}

/// All plans whose tails run abreast.
fn plans(m: usize, k: usize, block: Block, epilogue: Epilogue, isa: Isa) -> Vec<SpmmPlan> {
    let all =
        SpmmDesc { m, k, block, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap().candidates();
    all.into_iter().filter(|plan| plan.schedule().abreast != Abreast::No).collect()
}

fn epilogues() -> [Epilogue; 4] {
    [
        Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned).fixed(),
        Epilogue::requantize(PanelLayout::Vnni, Sign::Signed).fixed(),
        Epilogue::gelu(PanelLayout::Plain, Sign::Unsigned),
        Epilogue::f32(true),
    ]
}

fn check(case: &Case, plan: SpmmPlan, place: Place, parallel: Parallel) {
    check_spmm(case, &SpmmKernel::compile(plan).unwrap(), place, parallel);
}

/// Numbers of row blocks around multiples of two and four, with lists of all lengths: empty, equal, and one longer than the others.
#[test]
fn every_number_of_row_blocks_and_every_length() {
    let mut rng = StdRng::seed_from_u64(1);
    for m in [3, 4, 8, 12, 13, 16, 17, 20, 32, 36, 65] {
        for k in [1, 15, 16, 17, 40, 130] {
            let mut cases = Vec::new();
            for density in [0.0, 0.2, 1.0] {
                let mut matrix = weights(m * k, Numbers::Typical, &mut rng);
                mask_blocks(&mut matrix, k, 4, density, &mut rng);
                cases.push(matrix);
            }
            // Row block i has i columns.
            let all = weights(m * k, Numbers::Typical, &mut rng);
            cases.push((0..m * k).map(|i| if i % k < i / k / 4 { all[i] } else { 0 }).collect());
            for (i, matrix) in cases.into_iter().enumerate() {
                let n = COLUMNS[(m + k + i) % COLUMNS.len()];
                let case = Case::new(m, n, matrix, Numbers::Typical, &mut rng);
                for isa in isas() {
                    let epilogue = epilogues()[(m + i) % 4];
                    for plan in plans(m, k, Block::B4x1, epilogue, isa) {
                        check(&case, plan, Place::BOTH[i % 2], Parallel::Serial);
                    }
                }
            }
        }
    }
}

#[test]
fn every_epilogue_and_number_of_columns() {
    let (m, k) = (36, 70);
    let mut rng = StdRng::seed_from_u64(2);
    for n in COLUMNS {
        let mut matrix = weights(m * k, Numbers::Extreme, &mut rng);
        mask_blocks(&mut matrix, k, 4, 0.3, &mut rng);
        let case = Case::new(m, n, matrix, Numbers::Extreme, &mut rng);
        for isa in isas() {
            for epilogue in Epilogue::all() {
                for plan in plans(m, k, Block::B4x1, epilogue, isa).into_iter().filter(|p| !p.schedule().prefetch) {
                    check(&case, plan, Place::AtEnd, Parallel::Serial);
                }
            }
        }
    }
}

/// Parts of a call begin at any row block, and end before the next four.
#[test]
fn parts_begin_anywhere() {
    let mut rng = StdRng::seed_from_u64(3);
    for (m, k) in [(64, 40), (100, 33), (132, 90)] {
        let mut matrix = weights(m * k, Numbers::Typical, &mut rng);
        mask_blocks(&mut matrix, k, 4, 0.3, &mut rng);
        for n in [16, 32] {
            let case = Case::new(m, n, matrix.clone(), Numbers::Typical, &mut rng);
            for threads in 2..=7 {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                for isa in isas() {
                    let epilogue = epilogues()[threads % 4];
                    for plan in plans(m, k, Block::B4x1, epilogue, isa) {
                        pool.install(|| check(&case, plan, Place::AtEnd, Parallel::Rayon));
                    }
                }
            }
        }
    }
}

/// Wide indices, blocks that 4x1 covers, and row blocks of scattered outputs.
#[test]
fn wide_indices_and_other_blocks() {
    let mut rng = StdRng::seed_from_u64(4);
    for (k, density) in [(96, 0.3), (8193, 0.01)] {
        for block in [Block::B4x1, Block::B16x1, Block::Unstructured] {
            let m = 40;
            let mut matrix = weights(m * k, Numbers::Typical, &mut rng);
            mask_blocks(&mut matrix, k, 4, density, &mut rng);
            for n in [16, 32] {
                let case = Case::new(m, n, matrix.clone(), Numbers::Typical, &mut rng);
                for isa in isas() {
                    for plan in plans(m, k, block, epilogues()[0], isa) {
                        check(&case, plan, Place::AtEnd, Parallel::Serial);
                    }
                }
            }
        }
    }
}

#[test]
fn only_4x1_and_whole_tiles_have_such_tails() {
    let plan = |block| {
        SpmmDesc { m: 16, k: 16, block, epilogue: epilogues()[0], activation_bits: ActivationBits::Eight }
            .plan(Isa::Portable)
            .unwrap()
    };
    let schedule = Schedule { vectors: 4, unroll: 1, narrow: 0, abreast: Abreast::Shuffle, shared: 0, prefetch: false };
    assert!(plan(Block::B4x1).with_schedule(schedule).is_some());
    assert!(plan(Block::B4x1).with_schedule(Schedule { vectors: 2, ..schedule }).is_none());
    assert!(plan(Block::B4x1).with_schedule(Schedule { narrow: 32, ..schedule }).is_none());
    assert!(plan(Block::B4x4).with_schedule(schedule).is_none());
    assert!(plan(Block::B1x4).with_schedule(schedule).is_none());
}

/// Packed rows are interleaved by VBMI where the plan has it.
#[test]
fn packed_rows_need_vbmi_where_they_are_planned_with_it() {
    for isa in isas() {
        for plan in plans(16, 16, Block::B4x1, Epilogue::f32(false), isa) {
            let vbmi = matches!(isa, Isa::Avx512Vnni(token) if token.vbmi());
            let needs = plan.generate().unwrap().features.contains(Features::AVX512_VBMI);
            assert_eq!(needs, vbmi && plan.schedule().narrow > 0, "{}", plan.name());
        }
    }
}
