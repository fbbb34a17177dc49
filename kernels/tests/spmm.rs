//! Every SpMM kernel equals the scalar reference, bit by bit, on every tier of this machine.

mod product;
mod support;

use lacuna_jit::Isa;
use lacuna_kernels::cache::KernelCache;
use lacuna_kernels::epilogue::{Epilogue, RowParams};
use lacuna_kernels::layout::elements;
use lacuna_kernels::pattern::MAX_K;
use lacuna_kernels::spmm::{IndexWidth, SpmmDesc, SpmmKernel, SpmmPlan, SpmmWeights};
use lacuna_kernels::{ActivationBits, Block, KernelError, Output, PanelLayout, Parallel, Plan, Sign, Sink};
use product::{Case, FEATURES, Numbers, Place, TOKENS, check_spmm, weights};
use proptest::prelude::*;
use rand::prelude::*;
use support::{mask_blocks, tiers};

/// Block shapes with code of their own, and what is covered by one of them.
const BLOCKS: &[Block] = &[Block::B4x1, Block::B1x4, Block::B4x4, Block::B8x1, Block::B16x1, Block::Unstructured];

fn plan(isa: Isa, m: usize, k: usize, epilogue: Epilogue) -> SpmmPlan {
    plan_of(ActivationBits::Eight, isa, m, k, epilogue)
}

fn plan_of(activation_bits: ActivationBits, isa: Isa, m: usize, k: usize, epilogue: Epilogue) -> SpmmPlan {
    SpmmDesc { m, k, block: Block::B4x1, epilogue, activation_bits }.plan(isa).unwrap()
}

/// Runs `case` with `epilogue` on `isa` and compares it with the reference.
#[track_caller]
fn check(case: &Case, isa: Isa, epilogue: Epilogue, place: Place, parallel: Parallel) {
    let plan = plan_of(case.bits, isa, case.m, case.k, epilogue);
    let kernel = SpmmKernel::compile(plan).unwrap();
    check_spmm(case, &kernel, place, parallel);
}

fn sparse(m: usize, k: usize, n: usize, density: f64, numbers: Numbers, rng: &mut StdRng) -> Case {
    let mut weights = weights(m * k, numbers, rng);
    mask_blocks(&mut weights, k, 4, density, rng);
    Case::new(m, n, weights, numbers, rng)
}

#[test]
fn every_epilogue_on_every_edge_size() {
    let tiers = tiers();
    let mut rng = StdRng::seed_from_u64(1);
    for (m, bits) in FEATURES.into_iter().flat_map(|m| ActivationBits::ALL.map(|bits| (m, bits))) {
        for k in FEATURES {
            let plans = Epilogue::all()
                .into_iter()
                .flat_map(|epilogue| tiers.iter().map(move |&isa| plan_of(bits, isa, m, k, epilogue)));
            let kernels: Vec<SpmmKernel> = plans.map(|plan| SpmmKernel::compile(plan).unwrap()).collect();
            for n in TOKENS {
                let case = sparse(m, k, n, 0.4, Numbers::Typical, &mut rng).of(bits);
                for kernel in &kernels {
                    check_spmm(&case, kernel, Place::BOTH[(m + n) % 2], Parallel::Serial);
                }
            }
        }
    }
}

#[test]
fn every_token_count_up_to_two_tiles_and_both_guards() {
    let mut rng = StdRng::seed_from_u64(2);
    for n in 1..=129 {
        let case = sparse(9, 14, n, 0.5, Numbers::Typical, &mut rng).of(ActivationBits::ALL[n % 2]);
        for isa in tiers() {
            for (i, epilogue) in Epilogue::all().into_iter().enumerate() {
                check(&case, isa, epilogue, Place::BOTH[i % 2], Parallel::Serial);
                check(&case, isa, epilogue, Place::BOTH[(i + 1) % 2], Parallel::Serial);
            }
        }
    }
}

/// Every block shape, computed in every way there is: the same bits.
#[test]
fn every_block_shape_and_every_schedule() {
    let mut rng = StdRng::seed_from_u64(10);
    let plain = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);
    let vnni = Epilogue::gelu(PanelLayout::Vnni, Sign::Signed);
    for (m, k, density) in
        [(1, 1, 1.0), (4, 5, 0.5), (9, 13, 0.4), (13, 8, 0.4), (17, 40, 0.3), (36, 70, 0.2), (64, 33, 0.6)]
    {
        for &block in BLOCKS {
            for isa in tiers() {
                for epilogue in [plain, vnni, Epilogue::f32(true)] {
                    let activation_bits = ActivationBits::ALL[m % 2];
                    let plans = SpmmDesc { m, k, block, epilogue, activation_bits }.plan(isa).unwrap().candidates();
                    let least = if matches!(isa, Isa::Avx2(_)) { 2 } else { 4 };
                    assert!(plans.len() >= least, "{block}");
                    let kernels: Vec<SpmmKernel> =
                        plans.into_iter().map(|plan| SpmmKernel::compile(plan).unwrap()).collect();
                    for n in TOKENS {
                        let case = sparse(m, k, n, density, Numbers::Typical, &mut rng).of(activation_bits);
                        for kernel in &kernels {
                            check_spmm(&case, kernel, Place::BOTH[n % 2], Parallel::Serial);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn dense_has_no_sparse_kernel() {
    let desc = SpmmDesc {
        m: 4,
        k: 4,
        block: Block::Dense,
        epilogue: Epilogue::f32(false),
        activation_bits: ActivationBits::Eight,
    };
    assert!(matches!(desc.plan(Isa::Portable), Err(KernelError::Block { found: Block::Dense, .. })));
}

#[test]
fn extreme_numbers() {
    let mut rng = StdRng::seed_from_u64(3);
    for (m, k, n) in [(5, 1, 17), (8, 7, 64), (12, 65, 33), (4, 768, 66)] {
        for density in [0.1, 1.0] {
            let numbers = sparse(m, k, n, density, Numbers::Extreme, &mut rng);
            for case in ActivationBits::ALL.map(|bits| numbers.clone().of(bits)) {
                for (isa, epilogue) in
                    tiers().into_iter().flat_map(|isa| Epilogue::all().into_iter().map(move |e| (isa, e)))
                {
                    check(&case, isa, epilogue, Place::AtEnd, Parallel::Serial);
                }
            }
        }
    }
}

/// The largest accumulators there are: nothing may saturate or wrap on the way.
#[test]
fn the_largest_accumulators_are_exact() {
    let (m, n, k) = (4, 17, MAX_K);
    for (weight, bits) in [-128, 127].into_iter().flat_map(|weight| ActivationBits::ALL.map(|bits| (weight, bits))) {
        let mut case = Case::new(m, n, vec![weight; m * k], Numbers::Typical, &mut StdRng::seed_from_u64(4));
        case.x.values.fill(255);
        let case = case.of(bits);
        for isa in tiers() {
            check(&case, isa, Epilogue::f32(false), Place::AtEnd, Parallel::Serial);
        }
    }
}

#[test]
fn special_patterns() {
    let (m, k, n) = (22, 19, 70);
    let mut rng = StdRng::seed_from_u64(5);
    let dense = weights(m * k, Numbers::Typical, &mut rng);
    let patterns = support::special_patterns(&dense, -77);
    for (name, weights) in patterns {
        eprintln!("{name}");
        let case = Case::new(m, n, weights, Numbers::Typical, &mut rng);
        for isa in tiers() {
            for epilogue in Epilogue::all() {
                check(&case, isa, epilogue, Place::AtEnd, Parallel::Serial);
            }
        }
    }
}

#[test]
fn wide_inputs_use_wide_indices() {
    let mut rng = StdRng::seed_from_u64(6);
    for (k, index) in [(8192, IndexWidth::U16), (8193, IndexWidth::U32), (20_001, IndexWidth::U32)] {
        for (m, n) in [(1, 1), (6, 17), (4, 65)] {
            let mut case = sparse(m, k, n, 0.02, Numbers::Typical, &mut rng);
            case.weights[k - 1] = 55; // the largest index there is
            let case = case.recomputed();
            for isa in tiers() {
                assert_eq!(plan(isa, m, k, Epilogue::f32(false)).index(), index);
                for epilogue in [Epilogue::f32(false), Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned)] {
                    check(&case, isa, epilogue, Place::AtEnd, Parallel::Serial);
                }
                for block in [Block::B1x4, Block::B4x4] {
                    let plans = SpmmDesc {
                        m,
                        k,
                        block,
                        epilogue: Epilogue::f32(false),
                        activation_bits: ActivationBits::Eight,
                    }
                    .plan(isa)
                    .unwrap()
                    .candidates();
                    for plan in plans {
                        check_spmm(&case, &SpmmKernel::compile(plan).unwrap(), Place::AtEnd, Parallel::Serial);
                    }
                }
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let mut rng = StdRng::seed_from_u64(7);
    for threads in [1, 2, 3, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for (m, k, n) in [(1, 3, 1), (5, 9, 64), (13, 26, 64), (64, 40, 65), (30, 12, 300)] {
            for density in [0.0, 0.3, 1.0] {
                let case = sparse(m, k, n, density, Numbers::Typical, &mut rng);
                for isa in tiers() {
                    for epilogue in Epilogue::all() {
                        pool.install(|| check(&case, isa, epilogue, Place::AtEnd, Parallel::Rayon));
                    }
                    // Row blocks of scattered outputs.
                    for block in [Block::B1x4, Block::Unstructured] {
                        let plan = SpmmDesc {
                            m,
                            k,
                            block,
                            epilogue: Epilogue::f32(true),
                            activation_bits: ActivationBits::Eight,
                        }
                        .plan(isa)
                        .unwrap();
                        let kernel = SpmmKernel::compile(plan).unwrap();
                        pool.install(|| check_spmm(&case, &kernel, Place::AtEnd, Parallel::Rayon));
                    }
                }
            }
        }
    }
}

/// A row block that is longer than all others together may leave a thread without work, but results must stay right.
#[test]
fn one_long_block_row_among_empty_ones() {
    let (m, k, n) = (40, 200, 20);
    let mut rng = StdRng::seed_from_u64(8);
    let all = weights(m * k, Numbers::Typical, &mut rng);
    for long in [0, 4, 9] {
        let weights = (0..m * k).map(|i| if i / k / 4 == long { all[i] } else { 0 }).collect();
        let case = Case::new(m, n, weights, Numbers::Typical, &mut rng);
        for threads in 2..=10 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for isa in tiers() {
                pool.install(|| check(&case, isa, Epilogue::f32(true), Place::AtEnd, Parallel::Rayon));
            }
        }
    }
}

#[test]
fn many_threads_share_one_kernel() {
    let mut rng = StdRng::seed_from_u64(9);
    let case = sparse(33, 50, 100, 0.5, Numbers::Typical, &mut rng);
    for isa in tiers() {
        let plan = plan(isa, case.m, case.k, Epilogue::gelu(PanelLayout::Vnni, Sign::Unsigned));
        let kernel = SpmmKernel::compile(plan).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| check_spmm(&case, &kernel, Place::AtEnd, Parallel::Serial)));
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_shapes_patterns_and_parameters(
        (m, k, n) in (1usize..80, 1usize..150, 1usize..200),
        density in 0.0..=1.0f64,
        extreme in any::<bool>(),
        bits in prop::sample::select(&ActivationBits::ALL[..]),
        epilogue in prop::sample::select(Epilogue::all()),
        block in prop::sample::select(BLOCKS),
        way in any::<prop::sample::Index>(),
        at_start in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let numbers = if extreme { Numbers::Extreme } else { Numbers::Typical };
        let case = sparse(m, k, n, density, numbers, &mut StdRng::seed_from_u64(seed)).of(bits);
        let place = Place::BOTH[usize::from(at_start)];
        for isa in tiers() {
            let plans = SpmmDesc { m, k, block, epilogue, activation_bits: bits }.plan(isa).unwrap().candidates();
            let kernel = SpmmKernel::compile(*way.get(&plans)).unwrap();
            check_spmm(&case, &kernel, place, Parallel::Serial);
        }
    }
}

/// Weights know which outputs make a row block, and parameters of which arithmetic they hold: both belong to the epilogue.
#[test]
fn weights_of_another_epilogue_or_cover_are_refused() {
    let (m, k) = (8, 8);
    let plan = |block, epilogue| {
        SpmmDesc { m, k, block, epilogue, activation_bits: ActivationBits::Eight }.plan(Isa::Portable).unwrap()
    };
    let pack = |plan| SpmmWeights::pack(&plan, &vec![1; m * k], &vec![RowParams::default(); m]).unwrap();
    let kernel = SpmmKernel::compile(plan(Block::B4x1, Epilogue::f32(false))).unwrap();
    let run = |weights| {
        let mut out = vec![0.0; elements(m, 1)];
        kernel.run(&weights, &vec![0; elements(k, 1)], 1, Output::F32(&mut out), Parallel::Serial)
    };
    for block in [Block::B8x1, Block::B16x1, Block::Unstructured] {
        assert!(run(pack(plan(block, Epilogue::f32(false)))).is_ok(), "{block} is computed as 4x1");
    }
    for other in [
        plan(Block::B4x4, Epilogue::f32(false)),
        plan(Block::B4x1, Epilogue::f32(true)),
        plan(Block::Unstructured, Epilogue::requantize(PanelLayout::Vnni, Sign::Unsigned)),
    ] {
        let error = run(pack(other)).unwrap_err();
        assert!(matches!(error, KernelError::Mismatch { .. }), "{error}");
    }
}

product::errors::product_errors!(
    "spmm",
    SpmmDesc { block: Block::B4x1, activation_bits: ActivationBits::Eight },
    SpmmKernel,
    SpmmWeights
);
