//! What a product of floats must refuse, and how.

use lacuna_jit::Isa;
use lacuna_kernels::float::{DType, FloatDesc, FloatInput, FloatKernel, FloatPlan, FloatWeights, bf16};
use lacuna_kernels::layout::elements;
use lacuna_kernels::pattern::MAX_K;
use lacuna_kernels::{Block, KernelError, Output, PanelLayout, Parallel, Plan, Sign, Sink};

use crate::case::candidates;
use crate::support::tiers_without_avx2;

const M: usize = 5;
const K: usize = 6;
const N: usize = 7;

fn desc(dtype: DType) -> FloatDesc {
    FloatDesc { m: M, k: K, dtype, block: Block::B4x1, sink: Sink::f32(false) }
}

/// The first candidate of `desc` on every tier that has one.
fn plans(desc: FloatDesc) -> Vec<FloatPlan> {
    tiers_without_avx2().into_iter().filter_map(|isa| candidates(desc, isa).first().copied()).collect()
}

fn run(plan: FloatPlan, x: FloatInput<'_>, tokens: usize, out: Output<'_>) -> String {
    let weights = FloatWeights::pack(&plan, &[1.0; M * K], &[0.0; M]).unwrap();
    let kernel = FloatKernel::compile(plan).unwrap();
    kernel.run(&weights, x, tokens, out, Parallel::Serial).unwrap_err().to_string()
}

#[test]
fn dimensions_out_of_range() {
    for (m, k, dimension, value) in
        [(0, 4, "M", 0), (4, 0, "K", 0), (4, MAX_K + 1, "K", MAX_K + 1), (usize::MAX, 4, "M", usize::MAX)]
    {
        let error = FloatDesc { m, k, ..desc(DType::F32) }.plan(Isa::Portable).unwrap_err();
        assert!(
            matches!(error, KernelError::Dimension { kernel: "float", dimension: d, found, .. } if d == dimension && found == value),
            "{error}"
        );
    }
}

#[test]
fn blocks_without_a_kernel() {
    for block in [Block::B1x4, Block::B4x4] {
        let error = FloatDesc { block, ..desc(DType::F32) }.plan(Isa::Portable).unwrap_err();
        assert!(matches!(error, KernelError::Block { kernel: "float", found, .. } if found == block), "{error}");
    }
}

#[test]
fn codes_are_refused_as_output() {
    let sink = Sink::bytes(PanelLayout::Plain, Sign::Unsigned);
    let error = FloatDesc { sink, ..desc(DType::F32) }.plan(Isa::Portable).unwrap_err();
    assert_eq!(error.to_string(), "float: given u8-plain output of a product of floats, expected f32 or bf16 output");
}

#[test]
fn no_tokens_and_wrong_lengths() {
    for plan in plans(desc(DType::F32)) {
        let name = plan.name();
        let (x, mut out) = (vec![0.0; elements(K, N)], vec![0.0; elements(M, N)]);
        let error = run(plan, FloatInput::F32(&[]), 0, Output::F32(&mut []));
        assert_eq!(error, "float: N is 0, expected at least 1");
        for tokens in [usize::MAX, usize::MAX / 8] {
            let error = run(plan, FloatInput::F32(&x), tokens, Output::F32(&mut out));
            assert!(error.starts_with(&format!("{name}: x has 512 elements, expected ")), "{error}");
        }
        let error = run(plan, FloatInput::F32(&x[1..]), N, Output::F32(&mut out));
        assert_eq!(error, format!("{name}: x has 511 elements, expected 512"));
        let error = run(plan, FloatInput::F32(&x), N, Output::F32(&mut out[1..]));
        assert_eq!(error, format!("{name}: output has 511 elements, expected 512"));
    }
}

#[test]
fn buffers_of_another_type() {
    let (x, mut out) = (vec![0.0; elements(K, N)], vec![0.0; elements(M, N)]);
    let (x_bf16, mut out_bf16) = (vec![bf16::ZERO; elements(K, N)], vec![bf16::ZERO; elements(M, N)]);
    for plan in plans(desc(DType::F32)) {
        let name = plan.name();
        let error = run(plan, FloatInput::Bf16(&x_bf16), N, Output::F32(&mut out));
        assert_eq!(error, format!("{name}: given x of bf16, expected x of f32"));
        let error = run(plan, FloatInput::F32(&x), N, Output::Bf16(&mut out_bf16));
        assert_eq!(error, format!("{name}: given an output of bf16, expected an output of f32"));
    }
}

#[test]
fn weights_of_another_plan() {
    let f32 = desc(DType::F32);
    let others = [
        (FloatDesc { k: K + 1, ..f32 }, "sparse f32 weights of M=5 K=7 in rows of 4"),
        (FloatDesc { m: M + 1, ..f32 }, "sparse f32 weights of M=6 K=6 in rows of 4"),
        (FloatDesc { dtype: DType::Bf16, ..f32 }, "sparse bf16 weights of M=5 K=6 in rows of 4"),
        (FloatDesc { block: Block::B8x1, ..f32 }, "sparse f32 weights of M=5 K=6 in rows of 8"),
        (FloatDesc { block: Block::Dense, ..f32 }, "dense f32 weights of M=5 K=6 in rows of 8"),
    ];
    let (x, mut out) = (vec![0.0; elements(K, N)], vec![0.0; elements(M, N)]);
    for plan in plans(f32) {
        let kernel = FloatKernel::compile(plan).unwrap();
        for (other, found) in others {
            let other = other.plan(Isa::Portable).unwrap();
            let weights = FloatWeights::pack(&other, &vec![1.0; other.m() * other.k()], &vec![0.0; other.m()]).unwrap();
            let (x, out) = (FloatInput::F32(&x), Output::F32(&mut out));
            let error = kernel.run(&weights, x, N, out, Parallel::Serial).unwrap_err().to_string();
            let expected = "expected sparse f32 weights of M=5 K=6 in rows of 4";
            assert_eq!(error, format!("{}: given {found}, {expected}", plan.name()));
        }
    }
}

#[test]
fn weights_that_do_not_fit() {
    let plan = desc(DType::F32).plan(Isa::Portable).unwrap();
    for wrong in [0, M * K - 1, M * K + 1] {
        let error = FloatWeights::pack(&plan, &vec![1.0; wrong], &[0.0; M]).unwrap_err();
        assert!(matches!(error, KernelError::Length { buffer: "weights", found, expected: 30, .. } if found == wrong));
    }
    for wrong in [0, M - 1, M + 1] {
        let error = FloatWeights::pack(&plan, &[1.0; M * K], &vec![0.0; wrong]).unwrap_err();
        assert!(matches!(error, KernelError::Length { buffer: "bias", found, expected: M, .. } if found == wrong));
    }
}

#[test]
fn numbers_that_are_not_finite() {
    for dtype in DType::ALL {
        let plan = desc(dtype).plan(Isa::Portable).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut weights, mut bias) = ([1.0; M * K], [0.0; M]);
            weights[3 * K + 2] = bad;
            let error = FloatWeights::pack(&plan, &weights, &bias).unwrap_err();
            assert!(matches!(error, KernelError::Parameter { parameter: "weight", row: 3, .. }), "{error}");
            assert!(error.to_string().ends_with(&format!("weight of row 3 is {bad}, expected a finite number")));
            bias[4] = bad;
            let error = FloatWeights::pack(&plan, &[1.0; M * K], &bias).unwrap_err();
            assert!(matches!(error, KernelError::Parameter { parameter: "bias", row: 4, .. }), "{error}");
        }
        let large = FloatWeights::pack(&plan, &[f32::MAX; M * K], &[f32::MAX; M]);
        match dtype {
            DType::F32 => assert!(large.is_ok()),
            DType::Bf16 => {
                let error = large.unwrap_err().to_string();
                assert!(error.ends_with("expected a number that is finite in bf16"), "{error}");
            }
        }
    }
}

#[test]
fn code_of_another_plan() {
    use lacuna_kernels::cache::{Compiled, KernelCache};
    for plan in plans(desc(DType::F32)).into_iter().filter(|plan| plan.isa() != Isa::Portable) {
        let other = FloatDesc { m: M + 1, ..desc(DType::F32) }.plan(plan.isa()).unwrap();
        let compiled = KernelCache::global().compile_one(&other).unwrap();
        assert!(matches!(FloatKernel::new(plan, compiled), Err(KernelError::Mismatch { .. })));
        assert!(matches!(FloatKernel::new(plan, Compiled::NONE), Err(KernelError::Mismatch { .. })));
    }
}
