//! Every dense GEMM kernel equals the scalar reference, bit by bit, on every tier of this machine.

mod product;
mod support;

use lacuna_jit::Isa;
use lacuna_kernels::cache::KernelCache;
use lacuna_kernels::epilogue::{Epilogue, RowParams};
use lacuna_kernels::gemm::{GemmDesc, GemmKernel, GemmPlan, GemmWeights};
use lacuna_kernels::layout::elements;
use lacuna_kernels::pattern::MAX_K;
use lacuna_kernels::{ActivationBits, KernelError, Output, PanelLayout, Parallel, Plan, Sign, Sink};
use product::{Case, FEATURES, Numbers, Place, TOKENS, weights};
use proptest::prelude::*;
use rand::prelude::*;
use support::tiers;

const X: PanelLayout = PanelLayout::Vnni;

fn plan(isa: Isa, m: usize, k: usize, epilogue: Epilogue) -> GemmPlan {
    plan_of(ActivationBits::Eight, isa, m, k, epilogue)
}

fn plan_of(activation_bits: ActivationBits, isa: Isa, m: usize, k: usize, epilogue: Epilogue) -> GemmPlan {
    GemmDesc { m, k, epilogue, activation_bits }.plan(isa).unwrap()
}

/// Runs `case` with `epilogue` on `isa` and compares it with the reference.
#[track_caller]
fn check(case: &Case, isa: Isa, epilogue: Epilogue, place: Place, parallel: Parallel) {
    let plan = plan_of(case.bits, isa, case.m, case.k, epilogue);
    let kernel = GemmKernel::compile(plan).unwrap();
    check_kernel(case, &kernel, place, parallel);
}

#[track_caller]
fn check_kernel(case: &Case, kernel: &GemmKernel, place: Place, parallel: Parallel) {
    let plan = kernel.plan();
    let packed = GemmWeights::pack(plan, &case.weights, case.params_of(plan.epilogue())).unwrap();
    let x = case.x_panel(X, place);
    let what = format!("{} on {} tokens, {parallel:?}", plan.name(), case.n);
    case.check(plan.epilogue(), place, &what, |out| kernel.run(&packed, &x, case.n, out, parallel));
}

fn dense(m: usize, k: usize, n: usize, numbers: Numbers, rng: &mut StdRng) -> Case {
    Case::new(m, n, weights(m * k, numbers, rng), numbers, rng)
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
            let kernels: Vec<GemmKernel> = plans.map(|plan| GemmKernel::compile(plan).unwrap()).collect();
            for n in TOKENS {
                let case = dense(m, k, n, Numbers::Typical, &mut rng).of(bits);
                for kernel in &kernels {
                    check_kernel(&case, kernel, Place::BOTH[(m + n) % 2], Parallel::Serial);
                }
            }
        }
    }
}

#[test]
fn every_token_count_up_to_two_tiles_and_both_guards() {
    let mut rng = StdRng::seed_from_u64(2);
    for n in 1..=129 {
        let case = dense(9, 14, n, Numbers::Typical, &mut rng).of(ActivationBits::ALL[n % 2]);
        for isa in tiers() {
            for (i, epilogue) in Epilogue::all().into_iter().enumerate() {
                check(&case, isa, epilogue, Place::BOTH[i % 2], Parallel::Serial);
                check(&case, isa, epilogue, Place::BOTH[(i + 1) % 2], Parallel::Serial);
            }
        }
    }
}

#[test]
fn extreme_numbers() {
    let mut rng = StdRng::seed_from_u64(3);
    for (m, k, n) in [(5, 1, 17), (8, 7, 64), (12, 65, 33), (4, 768, 66)] {
        let numbers = dense(m, k, n, Numbers::Extreme, &mut rng);
        for case in ActivationBits::ALL.map(|bits| numbers.clone().of(bits)) {
            for (isa, epilogue) in
                tiers().into_iter().flat_map(|isa| Epilogue::all().into_iter().map(move |e| (isa, e)))
            {
                check(&case, isa, epilogue, Place::AtEnd, Parallel::Serial);
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
fn deep_products() {
    let mut rng = StdRng::seed_from_u64(5);
    for (m, k, n) in [(13, 768, 40), (5, 3071, 17), (24, 8193, 33)] {
        let case = dense(m, k, n, Numbers::Typical, &mut rng);
        for isa in tiers() {
            for epilogue in [Epilogue::f32(true), Epilogue::gelu(PanelLayout::Plain, Sign::Unsigned)] {
                check(&case, isa, epilogue, Place::AtEnd, Parallel::Serial);
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let mut rng = StdRng::seed_from_u64(7);
    for threads in [1, 2, 3, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for (m, k, n) in [(1, 3, 1), (5, 9, 64), (13, 26, 64), (64, 40, 65), (100, 40, 20), (30, 12, 300)] {
            let case = dense(m, k, n, Numbers::Typical, &mut rng);
            for isa in tiers() {
                for epilogue in Epilogue::all() {
                    pool.install(|| check(&case, isa, epilogue, Place::AtEnd, Parallel::Rayon));
                }
            }
        }
    }
}

#[test]
fn many_threads_share_one_kernel() {
    let mut rng = StdRng::seed_from_u64(9);
    let case = dense(33, 50, 100, Numbers::Typical, &mut rng);
    for isa in tiers() {
        let plan = plan(isa, case.m, case.k, Epilogue::gelu(PanelLayout::Vnni, Sign::Unsigned));
        let kernel = GemmKernel::compile(plan).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| check_kernel(&case, &kernel, Place::AtEnd, Parallel::Serial)));
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_shapes_and_parameters(
        (m, k, n) in (1usize..80, 1usize..150, 1usize..200),
        extreme in any::<bool>(),
        bits in prop::sample::select(&ActivationBits::ALL[..]),
        epilogue in prop::sample::select(Epilogue::all()),
        at_start in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let numbers = if extreme { Numbers::Extreme } else { Numbers::Typical };
        let case = dense(m, k, n, numbers, &mut StdRng::seed_from_u64(seed)).of(bits);
        let place = Place::BOTH[usize::from(at_start)];
        for isa in tiers() {
            check(&case, isa, epilogue, place, Parallel::Serial);
        }
    }
}

product::errors::product_errors!("gemm", GemmDesc { activation_bits: ActivationBits::Eight }, GemmKernel, GemmWeights);
