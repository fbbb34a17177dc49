//! The 16-bit GELU looks its tables up with VBMI where the CPU has it, and without: both give the bits of the scalar reference.

mod product;
mod support;

use lacuna_jit::{Avx512Vnni, Features, Isa};
use lacuna_kernels::epilogue::{Activation, Epilogue, Store};
use lacuna_kernels::gemm::{GemmDesc, GemmKernel, GemmWeights};
use lacuna_kernels::spmm::{Abreast, Schedule, SpmmDesc, SpmmKernel, SpmmWeights};
use lacuna_kernels::{ActivationBits, Block, Generate, PanelLayout, Parallel, Plan, Sign};
use product::{Case, Numbers, Place, TOKENS, weights};
use rand::prelude::*;

/// The generated instruction sets of this machine, with and without VBMI.
fn isas() -> Vec<Isa> {
    let Some(token) = Avx512Vnni::detect() else {
        support::tiers(); // says what is skipped
        return Vec::new();
    };
    let mut isas = vec![Isa::Avx512Vnni(token.without_vbmi())];
    match token.vbmi() {
        true => isas.push(Isa::Avx512Vnni(token)),
        false => eprintln!("skipped: this machine lacks {}", Features::AVX512_VBMI),
    }
    isas
}

fn epilogues() -> impl Iterator<Item = Epilogue> {
    let layouts = [PanelLayout::Plain, PanelLayout::Vnni];
    let stores =
        layouts.into_iter().flat_map(|layout| [Sign::Unsigned, Sign::Signed].map(|sign| Store::Bytes { layout, sign }));
    stores.flat_map(|store| [Activation::Gelu, Activation::GeluTanh].map(|gelu| Epilogue::new(gelu, store).fixed()))
}

#[test]
fn gelu_has_the_same_bits_with_and_without_vbmi() {
    let mut rng = StdRng::seed_from_u64(1);
    for isa in isas() {
        for numbers in [Numbers::Typical, Numbers::Extreme] {
            for (m, k) in [(1, 3), (9, 14), (24, 65)] {
                for n in TOKENS {
                    let case = Case::new(m, n, weights(m * k, numbers, &mut rng), numbers, &mut rng);
                    for epilogue in epilogues() {
                        check(&case, isa, epilogue);
                    }
                }
            }
        }
    }
}

fn check(case: &Case, isa: Isa, epilogue: Epilogue) {
    let (m, k, params) = (case.m, case.k, case.params_of(&epilogue));
    let what = |name: String| format!("{name} on {} tokens", case.n);

    let plan = GemmDesc { m, k, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap();
    let (kernel, packed) =
        (GemmKernel::compile(plan).unwrap(), GemmWeights::pack(&plan, &case.weights, params).unwrap());
    let x = case.x_panel(PanelLayout::Vnni, Place::AtEnd);
    case.check(&epilogue, Place::AtEnd, &what(plan.name()), |out| {
        kernel.run(&packed, &x, case.n, out, Parallel::Serial)
    });

    let plan =
        SpmmDesc { m, k, block: Block::B4x1, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap();
    let (kernel, packed) =
        (SpmmKernel::compile(plan).unwrap(), SpmmWeights::pack(&plan, &case.weights, params).unwrap());
    let x = case.x_panel(plan.input(), Place::AtEnd);
    case.check(&epilogue, Place::AtEnd, &what(plan.name()), |out| {
        kernel.run(&packed, &x, case.n, out, Parallel::Serial)
    });
}

/// VBMI is needed by the 16-bit GELU and by packed tails alone, and only where they are planned with it.
#[test]
fn vbmi_is_needed_where_it_is_used() {
    for isa in isas() {
        let Isa::Avx512Vnni(token) = isa else { panic!("{isa} is not generated") };
        for epilogue in Epilogue::all() {
            let looks_up = epilogues().any(|gelu| gelu == epilogue);
            let sparse = SpmmDesc { m: 8, k: 8, block: Block::B4x1, epilogue, activation_bits: ActivationBits::Eight }
                .plan(isa)
                .unwrap();
            let mut plans = vec![(
                GemmDesc { m: 8, k: 8, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap().key(),
                looks_up,
            )];
            plans.extend(sparse.candidates().into_iter().map(|plan| {
                let Schedule { narrow, abreast, .. } = *plan.schedule();
                (plan.key(), looks_up || narrow > 0 && abreast != Abreast::No)
            }));
            for (plan, permutes_bytes) in plans {
                let needs = plan.emit().unwrap().features.contains(Features::AVX512_VBMI);
                assert_eq!(needs, permutes_bytes && token.vbmi(), "{}", plan.name());
            }
        }
    }
}

/// Plans with and without VBMI are two plans: two keys of the cache, two names.
#[test]
fn plans_say_whether_they_use_vbmi() {
    let epilogue = epilogues().next().unwrap();
    let isas = isas();
    let plans: Vec<_> = isas
        .iter()
        .map(|&isa| GemmDesc { m: 8, k: 8, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap().key())
        .collect();
    for (isa, plan) in isas.iter().zip(&plans) {
        let Isa::Avx512Vnni(token) = isa else { panic!("{isa} is not generated") };
        assert_eq!(plan.name().contains("-avx512vnni-novbmi-"), !token.vbmi(), "{}", plan.name());
        assert!(plans.iter().all(|other| (other == plan) == (other.name() == plan.name())));
    }
}
