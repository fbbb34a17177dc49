//! Every instruction of the encoder, with random operands and at every edge of its addressing modes, is encoded by its public
//! method, decoded by an independent disassembler and compared with text made from the operands alone.

mod manual;
mod manual_vex;
mod operands;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dynasmrt::SimpleAssembler;
use iced_x86::MemorySizeOptions;
use iced_x86::{CpuidFeature, Decoder, DecoderOptions, Formatter, Instruction as Decoded, IntelFormatter};
use lacuna_jit::{
    Asm, Evex, Features, Form, Gpr, JitError, Mask, ROWS, RegFile, Row, Scale, Tier, VEX_ROWS, Vector, Zmm, at, ptr,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use manual::{Instruction, MANUAL};
use manual_vex::VEX_MANUAL;
use operands::{Address, Operands, Source, edge_displacements, every_base_and_index, unit};

/// Replays a failed random run.
const SEED_VARIABLE: &str = "LACUNA_TEST_SEED";

/// The features of a disassembler, as the encoder calls them.
fn named(feature: CpuidFeature) -> Features {
    match feature {
        CpuidFeature::AVX | CpuidFeature::AVX2 => Features::AVX2, // no tier has AVX alone
        CpuidFeature::FMA => Features::FMA,
        CpuidFeature::AVX_VNNI => Features::AVX_VNNI,
        CpuidFeature::AVX512F => Features::AVX512F,
        CpuidFeature::AVX512BW => Features::AVX512BW,
        CpuidFeature::AVX512DQ => Features::AVX512DQ,
        CpuidFeature::AVX512VL => Features::AVX512VL,
        CpuidFeature::AVX512_VNNI => Features::AVX512_VNNI,
        CpuidFeature::AVX512_VBMI => Features::AVX512_VBMI,
        CpuidFeature::AVX512_BF16 => Features::AVX512_BF16,
        other => panic!("the encoder has no name for {other:?}"),
    }
}

/// A disassembler that spells everything out.
struct Disassembler(IntelFormatter);

impl Disassembler {
    fn new() -> Disassembler {
        let mut formatter = IntelFormatter::new();
        let options = formatter.options_mut();
        options.set_hex_prefix("0x");
        options.set_hex_suffix("");
        options.set_uppercase_hex(false);
        options.set_small_hex_numbers_in_decimal(false);
        options.set_space_after_operand_separator(true);
        options.set_always_show_scale(true);
        options.set_memory_size_options(MemorySizeOptions::Always);
        options.set_use_pseudo_ops(false);
        Disassembler(formatter)
    }

    /// The one instruction that `bytes` hold, and its text.
    fn decode(&mut self, bytes: &[u8]) -> (Decoded, String) {
        let instruction = Decoder::new(64, bytes, DecoderOptions::NONE).decode();
        let mut text = String::new();
        self.0.format(&instruction, &mut text);
        (instruction, text)
    }
}

/// Encodes, decodes and compares; panics with what differs.
fn check(disassembler: &mut Disassembler, instruction: &Instruction, operands: &Operands) {
    let mut assembler = SimpleAssembler::new();
    (instruction.emit)(&mut assembler, operands);
    let bytes = assembler.finalize();
    let (decoded, text) = disassembler.decode(&bytes);
    let name = instruction.name;
    assert_eq!(text, operands.text(instruction), "{name}: {bytes:02x?}");
    assert_eq!(decoded.len(), bytes.len(), "{name}: the instruction is shorter than what was emitted: {bytes:02x?}");
    assert_eq!(bytes.len(), operands.length(instruction), "{name}: displacement not compressed: {text}: {bytes:02x?}");
    let needs = decoded.cpuid_features().iter().fold(Features::NONE, |set, &feature| set | named(feature));
    assert_eq!(instruction.row().needs, needs, "{name}");
}

/// Every instruction of the encoder.
fn all() -> impl Iterator<Item = &'static Instruction> {
    MANUAL.iter().chain(VEX_MANUAL)
}

#[test]
fn every_row_has_its_line_of_the_manual() {
    for (rows, manual, file) in [(ROWS, MANUAL, "manual.rs"), (VEX_ROWS, VEX_MANUAL, "manual_vex.rs")] {
        let rows: Vec<(&str, Form)> = rows.iter().map(|row| (row.name, row.form)).collect();
        let manual: Vec<(&str, Form)> = manual.iter().map(|i| (i.name, i.form)).collect();
        assert_eq!(rows, manual, "a new row of the encoder needs a line in jit/tests/round_trip/{file}");
    }
}

/// Features that the tier does not include are used by the kernels that need them.
#[test]
fn most_rows_need_what_the_tier_promises() {
    let beyond = |row: &&Row| !Tier::Avx512Vnni.features().contains(row.needs);
    let beyond: Vec<&str> = ROWS.iter().filter(beyond).map(|row| row.name).collect();
    assert_eq!(beyond, ["vpermb", "vpermi2b", "vcvtne2ps2bf16", "vdpbf16ps"]);
}

#[test]
fn code_collects_what_its_instructions_need() {
    let mut regs = RegFile::new();
    let zmm = regs.zmm("any").unwrap();
    let mut a = Asm::new();
    a.begin_function(&regs);
    a.vpermi2w(zmm, zmm, zmm);
    a.vpaddd_x(zmm, zmm, zmm);
    a.end_function(&regs);
    let code = a.finish("three".to_owned(), &regs).unwrap();
    let (needs, vl) = (Features::AVX512BW | Features::AVX512F | Features::AVX512VL, Features::AVX512VL);
    assert_eq!(code.features, needs);
    assert!(code.check(needs | Features::AVX512_VBMI).is_ok());
    let error = code.check(needs.without(vl)).unwrap_err();
    assert!(error.to_string().starts_with("three needs avx512vl, which this CPU lacks"), "{error}");
    assert!(matches!(error, JitError::MissingFeatures { missing, .. } if missing == vl));
    assert_eq!(Asm::new().finish("none".to_owned(), &regs).unwrap().features, Features::NONE);
}

/// An emitter that is written once emits either width.
#[test]
fn common_mnemonics_are_those_of_the_width() {
    fn emit(a: &mut impl Vector, regs: &mut RegFile) {
        let (x, y) = (regs.zmm("x").unwrap(), regs.zmm("y").unwrap());
        a.vmovdqu(x, ptr(regs.args()));
        a.vpxor(y, y, y);
        a.vpaddd(x, x, y);
        a.vpsraw_i(x, x, 3);
        a.vmovups_st(ptr(regs.args()) + 64, x);
    }
    fn shown<W>(mut a: Asm<W>, mut regs: RegFile) -> (Vec<String>, Features)
    where
        Asm<W>: Vector,
    {
        emit(&mut a, &mut regs);
        let code = a.finish("common".to_owned(), &regs).unwrap();
        let mut text = Disassembler::new();
        let decoder = Decoder::new(64, &code.bytes, DecoderOptions::NONE);
        let lines = decoder.into_iter().map(|instruction| {
            let mut line = String::new();
            text.0.format(&instruction, &mut line);
            line
        });
        (lines.collect(), code.features)
    }
    let (wide, features) = shown(Asm::new(), RegFile::new());
    assert_eq!(features, Features::AVX512F | Features::AVX512BW);
    assert_eq!(
        wide,
        [
            "vmovdqu32 zmm0, zmmword ptr [rdi]",
            "vpxord zmm1, zmm1, zmm1",
            "vpaddd zmm0, zmm0, zmm1",
            "vpsraw zmm0, zmm0, 0x3",
            "vmovups zmmword ptr [rdi+0x40], zmm0",
        ]
    );
    let (narrow, features) = shown(Asm::avx2(), RegFile::avx2());
    assert_eq!(features, Features::AVX2);
    assert_eq!(
        narrow,
        [
            "vmovdqu ymm0, ymmword ptr [rdi]",
            "vpxor ymm1, ymm1, ymm1",
            "vpaddd ymm0, ymm0, ymm1",
            "vpsraw ymm0, ymm0, 0x3",
            "vmovups ymmword ptr [rdi+0x40], ymm0",
        ]
    );
}

#[test]
fn registers_of_avx2_are_sixteen_and_no_masks() {
    let mut regs = RegFile::avx2();
    assert_eq!(regs.zmms(16, "all").unwrap().last(), Zmm::new(15).as_ref());
    assert!(regs.zmm("one more").is_err());
    assert!(regs.mask("any").is_err());
    assert_eq!(regs.roles().last().unwrap().register, "ymm0-15");
}

#[test]
fn displacement_unit_is_the_size_of_the_memory_operand() {
    for (row, instruction) in ROWS.iter().zip(MANUAL).chain(VEX_ROWS.iter().zip(VEX_MANUAL)) {
        for source in instruction.sources().filter(|s| s.starts_with('m')) {
            let broadcast = source.ends_with("bcst");
            assert_eq!(row.encoding.disp8_unit(broadcast), unit(instruction, broadcast), "{} {source}", row.name);
        }
    }
}

#[test]
fn every_address() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut disassembler = Disassembler::new();
    for instruction in all() {
        for source in instruction.sources().filter(|s| s.starts_with('m')) {
            let broadcast = source.ends_with("bcst");
            let displacements = edge_displacements(unit(instruction, broadcast));
            for address in every_base_and_index() {
                for disp in displacements {
                    let address = Address { disp, ..address };
                    let source = if broadcast { Source::Bcast(address) } else { Source::Mem(address) };
                    check(
                        &mut disassembler,
                        instruction,
                        &Operands { source, ..Operands::random(&mut rng, instruction) },
                    );
                }
            }
        }
    }
}

#[test]
fn random_operands() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut disassembler = Disassembler::new();
    for instruction in all() {
        for _ in 0..2000 {
            check(&mut disassembler, instruction, &Operands::random(&mut rng, instruction));
        }
    }
}

/// A new seed in every run, for a second. The seed is printed when the test fails; set `LACUNA_TEST_SEED` to it to replay.
#[test]
fn random_operands_for_a_second() {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var(SEED_VARIABLE).map_or(clock, |s| s.parse().expect("LACUNA_TEST_SEED is a number"));
    println!("{SEED_VARIABLE}={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut disassembler = Disassembler::new();
    let all: Vec<&Instruction> = all().collect();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        for _ in 0..1000 {
            let instruction = all[rng.random_range(0..all.len())];
            check(&mut disassembler, instruction, &Operands::random(&mut rng, instruction));
        }
    }
}

/// The conversions that let a generator write `zmm`, `zmm.k(..)`, `[mem]` or a broadcast where an operand is expected.
#[test]
fn operands_as_a_generator_writes_them() {
    let zmm = |code| Zmm::new(code).unwrap();
    let gpr = |code| Gpr::new(code).unwrap();
    let k = Mask::new(3).unwrap();
    let mut disassembler = Disassembler::new();
    let mut shown = |emit: &dyn Fn(&mut SimpleAssembler)| {
        let mut assembler = SimpleAssembler::new();
        emit(&mut assembler);
        disassembler.decode(&assembler.finalize()).1
    };
    let address = at(gpr(12), 64).index(gpr(1), Scale::X8) - 128;
    assert_eq!(shown(&|a| a.vpaddd(zmm(31), zmm(16), zmm(8))), "vpaddd zmm31, zmm16, zmm8");
    assert_eq!(
        shown(&|a| a.vpaddd(zmm(0).k(k), zmm(1), address)),
        "vpaddd zmm0{k3}, zmm1, zmmword ptr [r12+rcx*8-0x40]"
    );
    assert_eq!(
        shown(&|a| a.vpaddd(zmm(0).kz(k), zmm(1), address.bcast())),
        "vpaddd zmm0{k3}{z}, zmm1, dword ptr [r12+rcx*8-0x40]{1to16}"
    );
    assert_eq!(shown(&|a| a.vmovdqu8_st(address.k(k), zmm(20))), "vmovdqu8 zmmword ptr [r12+rcx*8-0x40]{k3}, zmm20");
    // The hardware has no rsp as an index.
    assert_eq!(
        shown(&|a| a.vmovups(zmm(2), at(gpr(3), 1).index(gpr(4), Scale::X1))),
        "vmovups zmm2, zmmword ptr [rbx+0x1]"
    );
}
