//! The SpMM in intrinsics equals the scalar reference and the generated kernel, bit by bit.
#![cfg(target_arch = "x86_64")]

mod product;
mod support;

use lacuna_jit::{Avx512Vnni, Isa};
use lacuna_kernels::epilogue::{Epilogue, RowParams};
use lacuna_kernels::intrinsics::IntrinsicsSpmm;
use lacuna_kernels::layout::elements;
use lacuna_kernels::reference::gemm::Matrix;
use lacuna_kernels::spmm::{SpmmDesc, SpmmKernel, SpmmWeights};
use lacuna_kernels::{ActivationBits, Block, KernelError, Output, PanelLayout, Parallel, Sign};
use product::{Case, FEATURES, Numbers, Place, TOKENS, weights};
use proptest::prelude::*;
use rand::prelude::*;

/// The proof that the kernel may run; nothing, said aloud, if this machine cannot.
fn proof() -> Option<Avx512Vnni> {
    let proof = Avx512Vnni::detect();
    if proof.is_none() {
        support::check_required_tier();
        println!("skipped: this CPU has no AVX-512 VNNI");
    }
    proof
}

/// The epilogues that it has.
fn epilogues() -> Vec<Epilogue> {
    Epilogue::all().into_iter().filter(IntrinsicsSpmm::has).collect()
}

fn kernel(proof: Avx512Vnni, case: &Case, epilogue: Epilogue) -> IntrinsicsSpmm {
    IntrinsicsSpmm::new(proof, case.m, case.k, &case.weights, &case.params, epilogue).unwrap()
}

/// Compares `case` with the reference, its buffers flush with a guard page on either side.
#[track_caller]
fn check(proof: Avx512Vnni, case: &Case, place: Place) {
    let x = case.x_panel(PanelLayout::Plain, place);
    for epilogue in epilogues() {
        let kernel = kernel(proof, case, epilogue);
        let what = format!("{} on {} tokens", kernel.name(), case.n);
        case.check(&epilogue, place, &what, |out| kernel.run(&x, case.n, out));
    }
}

fn sparse(m: usize, k: usize, n: usize, density: f64, numbers: Numbers, rng: &mut StdRng) -> Case {
    let mut weights = weights(m * k, numbers, rng);
    support::mask_blocks(&mut weights, k, 4, density, rng);
    Case::new(m, n, weights, numbers, rng)
}

#[test]
fn four_epilogues() {
    let names: Vec<String> = epilogues().iter().map(Epilogue::name).collect();
    assert_eq!(names, ["requant-u8-plain", "requant-s8-plain", "f32", "f32-residual"]);
}

#[test]
fn every_edge_size() {
    let Some(proof) = proof() else { return };
    let mut rng = StdRng::seed_from_u64(1);
    for m in FEATURES {
        for k in FEATURES {
            for n in TOKENS {
                let case = sparse(m, k, n, 0.4, Numbers::Typical, &mut rng);
                check(proof, &case, Place::BOTH[(m + n) % 2]);
            }
        }
    }
}

#[test]
fn every_token_count_up_to_two_tiles() {
    let Some(proof) = proof() else { return };
    let mut rng = StdRng::seed_from_u64(2);
    for n in 1..=129 {
        let case = sparse(9, 14, n, 0.5, Numbers::Extreme, &mut rng);
        Place::BOTH.into_iter().for_each(|place| check(proof, &case, place));
    }
}

#[test]
fn wide_inputs() {
    let Some(proof) = proof() else { return };
    let mut rng = StdRng::seed_from_u64(3);
    for k in [8192, 8193, 20_001] {
        let mut case = sparse(6, k, 33, 0.02, Numbers::Typical, &mut rng);
        case.weights[k - 1] = 55; // the largest offset there is
        check(proof, &case.recomputed(), Place::AtEnd);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_shapes_give_the_bits_of_the_reference_and_of_the_generated_kernel(
        (m, k, n) in (1usize..80, 1usize..150, 1usize..200),
        density in 0.0..=1.0f64,
        extreme in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let Some(proof) = proof() else { return Ok(()) };
        let numbers = if extreme { Numbers::Extreme } else { Numbers::Typical };
        let case = sparse(m, k, n, density, numbers, &mut StdRng::seed_from_u64(seed));
        check(proof, &case, Place::AtEnd);

        let epilogue = Epilogue::requantize(PanelLayout::Plain, Sign::Signed);
        let x = case.x.to_panel(PanelLayout::Plain);
        let plan = SpmmDesc { m, k, block: Block::B4x1, epilogue, activation_bits: ActivationBits::Eight }.plan(Isa::Avx512Vnni(proof)).unwrap();
        let packed = SpmmWeights::pack(&plan, &case.weights, &case.params).unwrap();
        let [mut intrinsics, mut generated] = [vec![0; elements(m, n)], vec![0; elements(m, n)]];
        kernel(proof, &case, epilogue).run(&x, n, Output::Bytes(&mut intrinsics)).unwrap();
        let run = SpmmKernel::compile(plan).unwrap();
        run.run(&packed, &x, n, Output::Bytes(&mut generated), Parallel::Serial).unwrap();
        let elements = |panel: &[u8]| Matrix::from_panel(PanelLayout::Plain, m, n, panel);
        prop_assert_eq!(elements(&intrinsics), elements(&generated));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(proof) = proof() else { return };
    let (m, k, n) = (8, 12, 20);
    let case = sparse(m, k, n, 0.5, Numbers::Typical, &mut StdRng::seed_from_u64(4));
    let bytes = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);
    let new = |m, k, weights: &[i8], params: &[RowParams], epilogue| {
        IntrinsicsSpmm::new(proof, m, k, weights, params, epilogue).unwrap_err().to_string()
    };
    let (w, p) = (&case.weights[..], &case.params[..]);
    assert_eq!(new(0, k, w, p, bytes), "spmm: M is 0, expected 1 to 4194304");
    let name = "spmm-u8s8-intrinsics-m8k12n64-requant-u8-plain";
    assert_eq!(new(m, k, &w[1..], p, bytes), format!("{name}: weights has 95 elements, expected 96"));
    assert_eq!(new(m, k, w, &p[1..], bytes), format!("{name}: row parameters has 7 elements, expected 8"));
    let nan = [&[RowParams { addend: f32::NAN, ..p[0] }], &p[1..]].concat();
    assert_eq!(new(m, k, w, &nan, bytes), format!("{name}: addend of row 0 is NaN, expected a finite number"));
    let vnni = new(m, k, w, p, Epilogue::requantize(PanelLayout::Vnni, Sign::Unsigned));
    assert!(vnni.contains("given the epilogue requant-u8-vnni, expected requant-u8-plain,"), "{vnni}");

    let kernel = kernel(proof, &case, bytes);
    let (x, mut out) = (vec![0; elements(k, n)], vec![0; elements(m, n)]);
    let mut run = |x: &[u8], n| kernel.run(x, n, Output::Bytes(&mut out)).unwrap_err();
    assert!(matches!(run(&x, 0), KernelError::Dimension { dimension: "N", .. }));
    assert!(matches!(run(&x[1..], n), KernelError::Length { buffer: "x", found: 767, expected: 768, .. }));
    assert!(matches!(run(&x, 65), KernelError::Length { buffer: "x", .. }));
    let error = kernel.run(&x, n, Output::Bytes(&mut out[1..])).unwrap_err();
    assert!(matches!(error, KernelError::Length { buffer: "output", found: 511, .. }));
    let error = kernel.run(&x, n, Output::F32(&mut [])).unwrap_err().to_string();
    assert_eq!(error, format!("{name}: given an output of f32, expected an output of bytes"));
}
