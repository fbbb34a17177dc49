//! Packed weights from sections of bytes: borrowed, equal to what was packed, and refused where generated code could not rely
//! on them.

mod product;
mod support;

use bytes::Bytes;
use lacuna_jit::Isa;
use lacuna_kernels::epilogue::{Epilogue, Store};
use lacuna_kernels::float::{DType, FloatDesc, FloatInput, FloatKernel, FloatWeights, bf16, pack_bf16_panel};
use lacuna_kernels::gemm::{GemmDesc, GemmKernel, GemmWeights};
use lacuna_kernels::layout::elements;
use lacuna_kernels::spmm::{SpmmDesc, SpmmKernel, SpmmPlan, SpmmWeights};
use lacuna_kernels::{ActivationBits, Block, Buffer, KernelError, Output, PanelLayout, Parallel, Sign, Sink};
use product::{Case, Numbers, Place, weights};
use rand::prelude::*;
use support::{mask_blocks, tiers};

/// Bytes as a mapped file holds them: aligned to cache lines.
fn aligned(bytes: &[u8]) -> Bytes {
    let mut buffer = Buffer::<u8>::new(bytes.len());
    buffer.copy_from_slice(bytes);
    struct Owner(Buffer<u8>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Owner(buffer))
}

fn case(m: usize, k: usize, n: usize, rng: &mut StdRng) -> Case {
    let mut weights = weights(m * k, Numbers::Typical, rng);
    mask_blocks(&mut weights, k, 4, 0.4, rng);
    Case::new(m, n, weights, Numbers::Typical, rng)
}

fn through_sections(plan: &SpmmPlan, packed: &SpmmWeights) -> SpmmWeights {
    let sections = packed.sections().map(aligned);
    let read = SpmmWeights::from_sections(plan, packed.facts(), sections.clone()).unwrap();
    for (i, (read, section)) in read.sections().into_iter().zip(&sections).enumerate() {
        let is_rows = SpmmWeights::SECTIONS[i] == "rows"; // the one that is copied
        assert_eq!(read.as_ptr() == section.as_ptr(), !is_rows, "{}", SpmmWeights::SECTIONS[i]);
        assert_eq!(read, &section[..]);
    }
    assert_eq!((read.facts(), read.stored()), (packed.facts(), packed.stored()));
    read
}

#[test]
fn kernels_run_on_borrowed_sections() {
    let mut rng = StdRng::seed_from_u64(1);
    for (m, k, n) in [(1, 1, 1), (9, 14, 65), (32, 40, 100), (20, 8200, 33)] {
        let case = case(m, k, n, &mut rng);
        for isa in tiers() {
            for epilogue in Epilogue::all() {
                for block in &Block::ALL[..6] {
                    let plan = SpmmDesc { m, k, block: *block, epilogue, activation_bits: ActivationBits::Eight }
                        .plan(isa)
                        .unwrap();
                    assert_eq!(plan.desc().plan(isa).unwrap(), plan);
                    let packed = SpmmWeights::pack(&plan, &case.weights, case.params_of(&epilogue)).unwrap();
                    let read = through_sections(&plan, &packed);
                    let kernel = SpmmKernel::compile(plan).unwrap();
                    let x = case.x_panel(plan.input(), Place::BOTH[n % 2]);
                    case.check(&epilogue, Place::BOTH[n % 2], "borrowed spmm", |out| {
                        kernel.run(&read, &x, n, out, Parallel::Serial)
                    });
                }
                let plan = GemmDesc { m, k, epilogue, activation_bits: ActivationBits::Eight }.plan(isa).unwrap();
                let packed = GemmWeights::pack(&plan, &case.weights, case.params_of(&epilogue)).unwrap();
                let sections = packed.sections().map(aligned);
                let read = GemmWeights::from_sections(&plan, sections.clone()).unwrap();
                assert_eq!(read.sections().map(<[u8]>::as_ptr), sections.map(|section| section.as_ptr()));
                let kernel = GemmKernel::compile(plan).unwrap();
                let x = case.x_panel(PanelLayout::Vnni, Place::BOTH[n % 2]);
                case.check(&epilogue, Place::BOTH[n % 2], "borrowed gemm", |out| {
                    kernel.run(&read, &x, n, out, Parallel::Serial)
                });
            }
        }
    }
}

#[test]
fn products_of_floats_run_on_borrowed_sections() {
    let mut rng = StdRng::seed_from_u64(4);
    for (m, k, n) in [(1, 1, 1), (9, 14, 65), (36, 41, 30)] {
        let weights: Vec<f32> =
            (0..m * k).map(|_| if rng.random_bool(0.4) { rng.random_range(-1.0..1.0) } else { 0.0 }).collect();
        let bias: Vec<f32> = (0..m).map(|row| row as f32).collect();
        let x: Vec<f32> = (0..elements(k, n)).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut x_bf16 = vec![bf16::ZERO; x.len()];
        pack_bf16_panel(&x, k, n, &mut x_bf16, Parallel::Serial).unwrap();
        for isa in tiers() {
            for (dtype, block) in DType::ALL.into_iter().flat_map(|dtype| FLOAT_BLOCKS.map(|block| (dtype, block))) {
                let desc = FloatDesc { m, k, dtype, block, sink: Sink::f32(false) };
                let Ok(plan) = desc.plan(isa) else {
                    println!("skipped {dtype} on {isa}: this CPU has no instructions for it");
                    continue;
                };
                assert_eq!(plan.desc(), desc);
                let packed = FloatWeights::pack(&plan, &weights, &bias).unwrap();
                let sections = packed.sections().map(aligned);
                let read = FloatWeights::from_sections(&plan, packed.facts(), sections.clone()).unwrap();
                assert_eq!(read.sections(), packed.sections());
                assert!(sections[0].is_empty() || read.sections()[0].as_ptr() == sections[0].as_ptr());
                let kernel = FloatKernel::compile(plan).unwrap();
                let run = |weights: &FloatWeights| {
                    let mut out = vec![0.0; elements(m, n)];
                    let x = match dtype {
                        DType::F32 => FloatInput::F32(&x),
                        DType::Bf16 => FloatInput::Bf16(&x_bf16),
                    };
                    kernel.run(weights, x, n, Output::F32(&mut out), Parallel::Serial).unwrap();
                    out.iter().map(|x| x.to_bits()).collect::<Vec<u32>>()
                };
                assert_eq!(run(&read), run(&packed), "{}", desc.block);

                // What the code relies on.
                let refuse = |section: usize, change: &dyn Fn(&mut Vec<u8>)| {
                    let mut sections = packed.sections().map(<[u8]>::to_vec);
                    change(&mut sections[section]);
                    let sections = sections.each_ref().map(|section| aligned(section));
                    let error = FloatWeights::from_sections(&plan, packed.facts(), sections).unwrap_err();
                    let KernelError::Section { section: found, .. } = &error else { panic!("{error}") };
                    assert_eq!(*found, FloatWeights::SECTIONS[section], "{error}");
                };
                for section in 0..3 {
                    refuse(section, &|s| s.push(0));
                }
                // A block row is { steps: u32, offset: u32, row_blocks: u32 }.
                refuse(1, &|s| s[3] = 0x7f);
                refuse(1, &|s| s[4] = 1);
                refuse(1, &|s| s[7] = 0x7f);
                refuse(1, &|s| s[8] = 77);
                refuse(2, &|s| s[..4].fill(0xff));
                if block != Block::Dense && !packed.sections()[0].is_empty() {
                    refuse(0, &|s| s[..2].fill(0xff));
                    refuse(0, &|s| s[0] |= 1);
                }
            }
        }
    }
}

const FLOAT_BLOCKS: [Block; 4] = [Block::Dense, Block::B4x1, Block::B8x1, Block::Unstructured];

/// Any bytes are either refused or harmless: buffers end at pages that cannot be accessed.
#[test]
fn changed_sections_are_refused_or_harmless() {
    let mut rng = StdRng::seed_from_u64(2);
    let (m, k) = (24, 40);
    let (mut refused, mut run) = (0, 0);
    for isa in tiers() {
        for epilogue in Epilogue::all() {
            for block in &Block::ALL[..6] {
                let plan = SpmmDesc { m, k, block: *block, epilogue, activation_bits: ActivationBits::Eight }
                    .plan(isa)
                    .unwrap();
                let kernel = SpmmKernel::compile(plan).unwrap();
                for round in 0..6 {
                    let n = rng.random_range(1..140);
                    let case = case(m, k, n, &mut rng);
                    let packed = SpmmWeights::pack(&plan, &case.weights, case.params_of(&epilogue)).unwrap();
                    let mut sections = packed.sections().map(<[u8]>::to_vec);
                    let section = &mut sections[round % 4];
                    let at = rng.random_range(0..section.len());
                    section[at] = rng.random();
                    let read =
                        SpmmWeights::from_sections(&plan, packed.facts(), sections.each_ref().map(|s| aligned(s)));
                    let Ok(read) = read else {
                        refused += 1;
                        continue;
                    };
                    run += 1;
                    let place = Place::BOTH[n % 2];
                    let x = case.x_panel(plan.input(), place);
                    match epilogue.sink.store {
                        Store::Bytes { .. } => {
                            let mut out = place.buffer::<u8>(elements(m, n), 2);
                            kernel.run(&read, &x, n, Output::Bytes(&mut out), Parallel::Serial).unwrap();
                        }
                        Store::F32 { .. } => {
                            let mut out = place.buffer::<f32>(elements(m, n), 2);
                            out.fill(0.0);
                            kernel.run(&read, &x, n, Output::F32(&mut out), Parallel::Serial).unwrap();
                        }
                        Store::Bf16 => panic!("no integer product stores bf16"),
                    }
                }
            }
        }
    }
    assert!(refused > 50 && run > 50, "{refused} refused, {run} run");
}

#[test]
fn what_generated_code_relies_on_is_checked() {
    let (m, k) = (10, 21);
    let mut rng = StdRng::seed_from_u64(3);
    let case = case(m, k, 4, &mut rng);
    let plain = Epilogue::f32(false);
    let vnni = Epilogue::gelu(PanelLayout::Vnni, Sign::Unsigned).fixed();
    for (block, epilogue) in [Block::B4x1, Block::B1x4, Block::B4x4].into_iter().flat_map(|b| [(b, plain), (b, vnni)]) {
        let plan =
            SpmmDesc { m, k, block, epilogue, activation_bits: ActivationBits::Eight }.plan(Isa::Portable).unwrap();
        let packed = SpmmWeights::pack(&plan, &case.weights, case.params_of(&epilogue)).unwrap();
        let inputs = plan.cover().inputs();
        let refuse = |section: usize, expected: &str, change: &dyn Fn(&mut Vec<u8>)| {
            let mut sections = packed.sections().map(<[u8]>::to_vec);
            change(&mut sections[section]);
            let sections = sections.each_ref().map(|section| aligned(section));
            let error = SpmmWeights::from_sections(&plan, packed.facts(), sections).unwrap_err();
            let KernelError::Section { section: found, .. } = &error else { panic!("{error}") };
            assert_eq!(*found, SpmmWeights::SECTIONS[section]);
            assert!(error.to_string().contains(expected), "{error} does not say {expected:?}");
        };
        let index = move |feature: usize| (feature as u16 * 8).to_le_bytes();
        let beyond = k.div_ceil(inputs) * inputs; // the first block behind K
        refuse(0, &format!("found index {}", beyond * 8), &|s| s[..2].copy_from_slice(&index(beyond)));
        refuse(0, "no multiple", &|s| s[0] |= 4);
        refuse(0, "padding", &|s| *s.last_mut().unwrap() = 1);
        for section in 0..4 {
            refuse(section, "bytes, expected", &|s| s.truncate(s.len() - 1));
            refuse(section, "bytes, expected", &|s| s.push(0));
            refuse(section, "bytes, expected", &|s| s.clear());
        }
        // A row block is { groups: u32, outputs: [u32; 4] }.
        refuse(2, "groups in row block 0", &|s| s[..4].copy_from_slice(&[255; 4]));
        refuse(2, "output offset", &|s| s[4..8].copy_from_slice(&(12 * 64u32).to_le_bytes()));
        refuse(2, "output offset 4294967295", &|s| s[4..8].copy_from_slice(&[255; 4]));
        refuse(2, "output offset", &|s| s.copy_within(4..8, 8)); // an output twice
        refuse(2, "output offset", &|s| s[4] = 1);
        if epilogue == vnni {
            refuse(2, "four outputs in a row", &|s| {
                s.copy_within(4..8, 20);
                s.copy_within(8..12, 4);
                s.copy_within(20..24, 8);
            });
            refuse(3, "no parameters", &|s| s[16..20].copy_from_slice(&32u32.to_le_bytes())); // a shift
        }
    }
    let plan = SpmmDesc { m, k, block: Block::B4x1, epilogue: plain, activation_bits: ActivationBits::Eight }
        .plan(Isa::Portable)
        .unwrap();
    let packed = SpmmWeights::pack(&plan, &case.weights, case.params_of(&plain)).unwrap();
    let mut sections = packed.sections().map(aligned);
    sections[3] = aligned(&vec![255; sections[3].len()]); // NaN
    let error = SpmmWeights::from_sections(&plan, packed.facts(), sections).unwrap_err();
    assert!(matches!(error, KernelError::Parameter { parameter: "multiplier", .. }), "{error}");

    let plan = GemmDesc { m, k, epilogue: vnni, activation_bits: ActivationBits::Eight }.plan(Isa::Portable).unwrap();
    let packed = GemmWeights::pack(&plan, &case.weights, case.params_of(&vnni)).unwrap();
    for section in 0..2 {
        for len in [0, 1, packed.sections()[section].len() - 1] {
            let mut sections = packed.sections().map(aligned);
            sections[section].truncate(len);
            let error = GemmWeights::from_sections(&plan, sections).unwrap_err();
            assert!(
                matches!(error, KernelError::Section { section: s, .. } if s == GemmWeights::SECTIONS[section]),
                "{error}"
            );
        }
    }
}
