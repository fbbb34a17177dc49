//! Tests of the test support: it finds the faults that it is made for.

#[path = "mod.rs"]
mod support;

use support::{Clobbers, Guarded, assert_ulp, garbage, tiers, ulp_distance};

#[test]
fn buffers_are_flush_with_their_guards_and_aligned() {
    for len in [0usize, 1, 2, 3, 15, 16, 17, 1024, 1025, 5000] {
        let end = Guarded::<f32>::new(len, 1);
        let start = Guarded::<f32>::at_start(len, 1);
        assert_eq!((end.len(), start.len()), (len, len));
        if cfg!(unix) {
            assert_eq!(end.as_ptr_range().end as usize % 4096, 0);
        }
        assert_eq!(start.as_ptr() as usize % 64, 0);
        if (len * size_of::<f32>()).is_multiple_of(64) {
            assert_eq!(end.as_ptr() as usize % 64, 0);
        }
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&end), bits(&garbage(len, 1)));
        assert_eq!(bits(&end), bits(&start));
    }
    assert_ne!(*Guarded::<u64>::new(4, 1), *Guarded::<u64>::new(4, 2));
}

#[test]
fn buffers_can_be_filled_and_shared() {
    let mut buffer = Guarded::from_slice(&[1u8, 2, 3]);
    buffer[2] = 9;
    let sum = std::thread::scope(|s| s.spawn(|| buffer.iter().sum::<u8>()).join());
    assert_eq!(sum.unwrap(), 12);
}

#[test]
#[should_panic(expected = "byte -1, counted from the start of a buffer of 60 bytes, was overwritten")]
fn a_write_beside_the_buffer_is_found() {
    let mut buffer = Guarded::<f32>::new(15, 0);
    // SAFETY: the rest of the page before the buffer is writable memory of the same mapping.
    unsafe { buffer.as_mut_ptr().cast::<u8>().sub(1).write(0) };
}

#[cfg(unix)]
mod guards {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// Whether the ignored test `name` dies of a memory fault in a child process.
    fn faults(name: &str) -> bool {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", &format!("guards::{name}"), "--ignored"]).output().unwrap();
        let ran = String::from_utf8_lossy(&output.stdout).contains("running 1 test");
        assert!(ran, "{output:?}");
        matches!(output.status.signal(), Some(libc::SIGSEGV | libc::SIGBUS))
    }

    #[test]
    #[ignore = "dies; runs in a child process of the other tests"]
    fn child_reads_past_the_end() {
        let buffer = Guarded::<u8>::new(100, 0);
        // SAFETY: none; the fault that follows is what the parent expects.
        unsafe { buffer.as_ptr().add(100).read_volatile() };
    }

    #[test]
    #[ignore = "dies; runs in a child process of the other tests"]
    fn child_reads_before_the_start() {
        let buffer = Guarded::<u8>::at_start(100, 0);
        // SAFETY: none; the fault that follows is what the parent expects.
        unsafe { buffer.as_ptr().sub(1).read_volatile() };
    }

    #[test]
    #[ignore = "runs in a child process of the other tests"]
    fn child_reads_all_that_is_there() {
        for buffer in [Guarded::<u8>::new(100, 0), Guarded::<u8>::at_start(100, 0)] {
            // SAFETY: both are inside the buffer.
            unsafe { (buffer.as_ptr().read_volatile(), buffer.as_ptr().add(99).read_volatile()) };
        }
    }

    #[test]
    fn accesses_out_of_bounds_fault() {
        assert!(faults("child_reads_past_the_end"));
        assert!(faults("child_reads_before_the_start"));
        assert!(!faults("child_reads_all_that_is_there"));
    }
}

#[test]
fn the_portable_tier_always_runs() {
    let tiers = tiers();
    assert_eq!(tiers[0], lacuna_jit::Isa::Portable);
    assert!(tiers.contains(&lacuna_jit::Isa::detect()));
}

#[test]
fn a_required_tier_may_not_be_skipped() {
    use lacuna_jit::Tier;
    use support::required::check;
    let skipped = [(Tier::Avx512Vnni, "this machine lacks avx512vnni".to_owned())];
    assert_eq!(check("", &skipped), Ok(()));
    assert_eq!(check("avx512vnni", &[]), Ok(()));
    assert_eq!(check("avx2", &skipped), Ok(()));
    let expected = "LACUNA_REQUIRE_TIER requires tier avx512vnni, which is skipped: this machine lacks avx512vnni";
    assert_eq!(check("avx512vnni", &skipped), Err(expected.to_owned()));
    assert!(check("avx1024", &skipped).unwrap_err().contains("names no tier: \"avx1024\""));
}

#[test]
fn distances_between_floats() {
    let next = |x: f32, steps: u32| f32::from_bits(x.to_bits() + steps);
    assert_eq!(ulp_distance(1.0, 1.0), 0);
    assert_eq!(ulp_distance(1.0, next(1.0, 3)), 3);
    assert_eq!(ulp_distance(-1.0, -next(1.0, 3)), 3);
    assert_eq!(ulp_distance(0.0, -0.0), 0);
    assert_eq!(ulp_distance(f32::from_bits(1), -f32::from_bits(1)), 2);
    assert_eq!(ulp_distance(f32::MAX, f32::MIN), 2 * f32::MAX.to_bits());
    assert_eq!(ulp_distance(f32::NAN, -f32::NAN), 0);
    assert_eq!(ulp_distance(f32::INFINITY, f32::INFINITY), 0);
    for (a, b) in
        [(f32::NAN, 1.0), (f32::INFINITY, f32::MAX), (f32::INFINITY, f32::NEG_INFINITY), (f32::NAN, f32::INFINITY)]
    {
        assert_eq!((ulp_distance(a, b), ulp_distance(b, a)), (u32::MAX, u32::MAX), "{a} {b}");
    }
    assert_ulp(&[1.0, next(2.0, 2)], &[1.0, 2.0], 2, "within the bound");
    assert_ulp(&[], &[], 0, "empty");
}

#[test]
#[should_panic(expected = "example: element 1 of 3")]
fn the_worst_distance_is_reported() {
    assert_ulp(&[1.0, 2.0, 3.0], &[1.0, 2.5, f32::from_bits(3f32.to_bits() + 1)], 5, "example");
}

#[cfg(target_arch = "x86_64")]
mod canaries {

    use dynasmrt::{DynasmApi, dynasm};
    use lacuna_jit::{Asm, CodeArena, RegFile};

    use super::support::with_canaries;
    use super::*;

    /// What a function with these instructions clobbers. It must return and may write `args`.
    fn clobbered_by(emit: impl FnOnce(&mut Asm, &mut RegFile), args: *mut u64) -> Clobbers {
        let (mut a, mut regs) = (Asm::new(), RegFile::new());
        emit(&mut a, &mut regs);
        let mut arena = CodeArena::new();
        let id = arena.push(a.finish("test".to_owned(), &regs).unwrap());
        let function = arena.seal().unwrap().function(id).unwrap();
        // SAFETY: the tests below use only features they have detected, and write at most `args`.
        unsafe { with_canaries(&function, args.cast_const()) }
    }

    #[test]
    fn the_argument_arrives_and_a_clean_function_is_clean() {
        let mut answer = 0;
        let clean = |a: &mut Asm, _: &mut RegFile| dynasm!(a ; .arch x64 ; mov QWORD [rdi], 42 ; ret);
        assert_eq!(clobbered_by(clean, &mut answer), Clobbers::NONE);
        assert_eq!(answer, 42);
    }

    #[test]
    fn each_register_is_watched() {
        for (code, name) in [(3, "rbx"), (5, "rbp"), (12, "r12"), (13, "r13"), (14, "r14"), (15, "r15")] {
            let function = |a: &mut Asm, _: &mut RegFile| dynasm!(a ; .arch x64 ; inc Rq(code) ; ret);
            assert_eq!(clobbered_by(function, &mut 0), Clobbers::of(name));
        }
        // Two of them exchanged is two clobbered.
        let function = |a: &mut Asm, _: &mut RegFile| dynasm!(a ; .arch x64 ; xchg rbx, r15 ; ret);
        assert_eq!(clobbered_by(function, &mut 0), Clobbers(Clobbers::of("rbx").0 | Clobbers::of("r15").0));
    }

    #[test]
    fn the_stack_pointer_is_watched() {
        let leaves_a_word = |a: &mut Asm, _: &mut RegFile| dynasm!(a ; .arch x64 ; pop rcx ; push rcx ; push rcx ; ret);
        assert_eq!(clobbered_by(leaves_a_word, &mut 0), Clobbers::of("rsp"));
        let takes_a_word = |a: &mut Asm, _: &mut RegFile| dynasm!(a ; .arch x64 ; ret 8);
        assert_eq!(clobbered_by(takes_a_word, &mut 0), Clobbers::of("rsp"));
    }

    #[test]
    fn flags_and_rounding_are_watched() {
        let backward = |a: &mut Asm, _: &mut RegFile| dynasm!(a ; .arch x64 ; std ; ret);
        assert_eq!(clobbered_by(backward, &mut 0), Clobbers::of("direction flag"));
        let load = |a: &mut Asm, _: &mut RegFile| dynasm!(a ; .arch x64 ; ldmxcsr DWORD [rdi] ; ret);
        for (mxcsr, expected) in [
            (0x1f80, Clobbers::NONE),
            (0x1fa0, Clobbers::NONE),        // an inexact result is remembered: the callee may
            (0x9f80, Clobbers::of("MXCSR")), // results flushed to zero
            (0x1fc0, Clobbers::of("MXCSR")), // subnormal operands taken as zero
            (0x7f80, Clobbers::of("MXCSR")), // rounding toward zero
        ] {
            assert_eq!(clobbered_by(load, &mut { mxcsr }), expected, "{mxcsr:x}");
        }
        let mut now = 0u64;
        let store = |a: &mut Asm, _: &mut RegFile| dynasm!(a ; .arch x64 ; stmxcsr DWORD [rdi] ; ret);
        clobbered_by(store, &mut now);
        assert_eq!(now & 0xffc0, 0x1f80, "put right again");
    }

    #[test]
    fn a_missing_vzeroupper_is_found() {
        if !is_x86_feature_detected!("avx") {
            eprintln!("skipped: this machine has no AVX");
            return;
        }
        for register in [0u8, 7, 15] {
            let dirty =
                |a: &mut Asm, _: &mut RegFile| dynasm!(a ; .arch x64 ; vcmpps Ry(register), ymm0, ymm0, 15 ; ret);
            assert_eq!(clobbered_by(dirty, &mut 0), Clobbers::of("upper halves of ymm0-15"));
        }
    }

    #[test]
    fn begin_and_end_of_a_function_preserve_everything() {
        if !is_x86_feature_detected!("avx") {
            eprintln!("skipped: this machine has no AVX");
            return;
        }
        let everything = |a: &mut Asm, regs: &mut RegFile| {
            let gprs: Vec<u8> = std::iter::from_fn(|| regs.gpr("any").ok().map(|r| r.code())).collect();
            a.begin_function(regs);
            for gpr in gprs {
                dynasm!(a ; .arch x64 ; mov Rq(gpr), -1);
            }
            dynasm!(a ; .arch x64 ; vcmpps ymm3, ymm0, ymm0, 15);
            a.end_function(regs);
        };
        assert_eq!(clobbered_by(everything, &mut 0), Clobbers::NONE);
    }

    #[test]
    fn a_mask_prints_its_names() {
        let two = Clobbers(Clobbers::of("rbx").0 | Clobbers::of("MXCSR").0);
        assert_eq!(format!("{two:?} {:?}", Clobbers::NONE), "{\"rbx\", \"MXCSR\"} {}");
    }
}
