//! A whole program of scalar and vector instructions, with labels, a loop, a masked tail and saved registers, that runs.

#[path = "../../kernels/tests/support/required.rs"]
mod required;

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Mnemonic};
use lacuna_jit::{Asm, Avx512Vnni, Code, CodeArena, Evex, JitError, RegFile, Scale, ptr};
use proptest::prelude::*;

/// Elements that one `vpdpbusd` multiplies.
const STEP: i32 = 64;
const LANES: usize = 16;

/// What the program reads and writes.
#[repr(C)]
struct DotArgs {
    a: *const u8,
    b: *const i8,
    n: u64,
    /// One sum per lane.
    sums: *mut [i32; LANES],
}

/// `sums[l] = sum of a[i] b[i] over all i with i mod 64 / 4 = l`.
fn dot() -> Result<Code, JitError> {
    let mut regs = RegFile::new();
    let a = regs.gpr("a")?;
    let b = regs.gpr("b")?;
    let i = regs.gpr("i")?;
    let n = regs.gpr("n: elements left")?;
    let tail = regs.gpr("tail bits")?;
    let sums = regs.gpr("sums")?;
    let spare = [(); 8].map(|()| regs.gpr("not needed: makes the program save registers"));
    let acc = regs.zmm("acc[l]")?;
    let x = regs.zmm("a[i..]")?;
    let y = regs.zmm("b[i..]")?;
    let k = regs.mask("tail")?;

    let mut p = Asm::new();
    p.begin_function(&regs);
    p.note("arguments");
    p.load_arg(a, &regs, std::mem::offset_of!(DotArgs, a));
    p.load_arg(b, &regs, std::mem::offset_of!(DotArgs, b));
    p.load_arg(n, &regs, std::mem::offset_of!(DotArgs, n));
    p.load_arg(sums, &regs, std::mem::offset_of!(DotArgs, sums));
    for r in spare {
        let r = r?;
        dynasm!(p ; .arch x64 ; mov Rq(r), -1);
    }
    p.vpxord(acc, acc, acc);
    dynasm!(p ; .arch x64 ; xor Rd(i), Rd(i) ; cmp Rq(n), STEP ; jb >tail);
    p.align_loop(32);
    p.note("whole vectors");
    dynasm!(p ; .arch x64 ; again:);
    p.vmovdqu8(x, ptr(a).index(i, Scale::X1)); // a[i..i+64]
    p.vmovdqu8(y, ptr(b).index(i, Scale::X1)); // b[i..i+64]
    p.vpdpbusd(acc, x, y);
    dynasm!(p ; .arch x64
        ; add Rq(i), STEP
        ; sub Rq(n), STEP
        ; cmp Rq(n), STEP
        ; jae <again
        ; tail:
        ; test Rq(n), Rq(n)
        ; jz >done
    );
    p.note("the last n < 64 elements");
    dynasm!(p ; .arch x64 ; mov Rq(tail), -1 ; bzhi Rq(tail), Rq(tail), Rq(n));
    p.kmovq(k, tail);
    p.vmovdqu8(x.kz(k), ptr(a).index(i, Scale::X1));
    p.vmovdqu8(y.kz(k), ptr(b).index(i, Scale::X1));
    p.vpdpbusd(acc, x, y);
    dynasm!(p ; .arch x64 ; done:);
    p.vmovdqu32_st(ptr(sums), acc);
    p.end_function(&regs);
    p.finish("dot".to_owned(), &regs)
}

fn reference(a: &[u8], b: &[i8]) -> [i32; LANES] {
    let mut sums = [0; LANES];
    for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
        sums[i % STEP as usize / 4] += i32::from(a) * i32::from(b);
    }
    sums
}

#[test]
fn scalar_and_vector_instructions_run_together() {
    if Avx512Vnni::detect().is_none() {
        required::check_required_tier();
        eprintln!("skipped: this machine has no AVX-512 VNNI");
        return;
    }
    let mut arena = CodeArena::new();
    let id = arena.push(dot().unwrap());
    let function = arena.seal().unwrap().function(id).unwrap();
    // SAFETY: `dot` follows the calling convention and reads `DotArgs`.
    let entry = unsafe { function.typed::<DotArgs>() };
    let run = |a: &[u8], b: &[i8]| {
        let mut sums = [i32::MIN; LANES];
        let args = DotArgs { a: a.as_ptr(), b: b.as_ptr(), n: a.len() as u64, sums: &mut sums };
        // SAFETY: the features were detected above; both slices have `n` elements and `sums` all lanes.
        unsafe { entry.call(&args) };
        sums
    };
    for n in [0, 1, 3, 4, 63, 64, 65, 127, 128, 129, 1000] {
        let a: Vec<u8> = (0..n).map(|i| (i * 7) as u8).collect();
        let b: Vec<i8> = (0..n).map(|i| (i * 13) as i8).collect();
        assert_eq!(run(&a, &b), reference(&a, &b), "n = {n}");
    }
    proptest!(|(pairs in prop::collection::vec(any::<(u8, i8)>(), 0..300))| {
        let (a, b): (Vec<u8>, Vec<i8>) = pairs.into_iter().unzip();
        prop_assert_eq!(run(&a, &b), reference(&a, &b));
    });
}

#[test]
fn code_carries_its_registers_and_notes() {
    let code = dot().unwrap();
    let role = |register: &str| code.registers.iter().find(|r| r.register == register).map(|r| r.role);
    assert_eq!(code.name, "dot");
    assert_eq!(role("rdi"), Some("arguments"));
    assert_eq!(role("zmm0"), Some("acc[l]"));
    assert_eq!(role("k1"), Some("tail"));
    assert_eq!(role("rsp"), None);
    assert!(code.notes.is_sorted_by_key(|note| note.offset));
    // Every note is on the first byte of an instruction, and the loop starts on its alignment.
    let starts: Vec<usize> =
        Decoder::with_ip(64, &code.bytes, 0, DecoderOptions::NONE).iter().map(|i| i.ip() as usize).collect();
    for note in &code.notes {
        assert!(starts.contains(&note.offset), "{note:?}");
    }
    let backward = Decoder::with_ip(64, &code.bytes, 0, DecoderOptions::NONE)
        .iter()
        .find(|i| i.flow_control() == FlowControl::ConditionalBranch && i.near_branch_target() < i.ip())
        .unwrap();
    assert_eq!(backward.near_branch_target() % 32, 0);
}

#[test]
fn padding_is_whole_no_operations() {
    for alignment in [1, 2, 8, 16, 32, 64] {
        for before in 0..64 {
            let mut a = Asm::new();
            for _ in 0..before {
                dynasm!(a ; .arch x64 ; ret);
            }
            a.align_loop(alignment);
            let bytes = a.finish("padding".to_owned(), &RegFile::new()).unwrap().bytes;
            assert_eq!(bytes.len(), (before as usize).next_multiple_of(alignment));
            let mut decoder = Decoder::new(64, &bytes[before as usize..], DecoderOptions::NONE);
            assert!(
                decoder.iter().all(|i| i.mnemonic() == Mnemonic::Nop),
                "{before} bytes to {alignment}: {bytes:02x?}"
            );
        }
    }
}

#[test]
fn an_undefined_label_is_an_error() {
    let mut a = Asm::new();
    dynasm!(a ; .arch x64 ; jmp >nowhere);
    let error = a.finish("broken".to_owned(), &RegFile::new()).unwrap_err();
    assert!(matches!(&error, JitError::Assemble { name, .. } if name == "broken"), "{error}");
}

#[test]
fn every_register_is_handed_out_once() {
    let mut regs = RegFile::new();
    let mut gprs: Vec<u8> = std::iter::from_fn(|| regs.gpr("x").ok().map(|r| r.code())).collect();
    let mut zmms: Vec<u8> = std::iter::from_fn(|| regs.zmm("x").ok().map(|r| r.code())).collect();
    let mut masks: Vec<u8> = std::iter::from_fn(|| regs.mask("x").ok().map(|r| r.code())).collect();
    assert!(matches!(regs.gpr("one more"), Err(JitError::OutOfRegisters { role: "one more", .. })));
    assert!(matches!(regs.zmms(1, "one more"), Err(JitError::OutOfRegisters { role: "one more", .. })));
    let mut saved: Vec<u8> = regs.used_callee_saved().iter().map(|r| r.code()).collect();
    for codes in [&mut gprs, &mut zmms, &mut masks, &mut saved] {
        codes.sort_unstable();
    }
    assert_eq!(gprs, (0..16).filter(|r| ![4, 7].contains(r)).collect::<Vec<_>>(), "all but rsp and rdi");
    assert_eq!(zmms, (0..32).collect::<Vec<_>>());
    assert_eq!(masks, (1..8).collect::<Vec<_>>());
    assert_eq!(saved, [3, 5, 12, 13, 14, 15]);
}
