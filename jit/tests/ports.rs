//! The execution units of every row, against what uops.info says of the 512-bit forms on Ice Lake.

use dynasmrt::DynasmApi;
use lacuna_jit::{Access, Asm, Evex, PortClass, PortCounts, ROWS, RegFile, VEX_ROWS, ptr};

/// Rows by their ports on Ice Lake, of operands in registers: port 5 alone, port 5 twice, or ports 0 and 5 (port 0 alone for some, which
/// counts as either). Multiplications and dot products are apart, because on AMD they have pipes of their own.
///
/// Source: uops.info, Ice Lake, zmm forms. vdpbf16ps and vcvtne2ps2bf16: Sapphire Rapids.
const PORTS: [(PortClass, &str); 7] = [
    (
        PortClass::Dot,
        "vpdpbusd vpdpbusd_x vpmulld vpmulld_x vpmulhrsw vpmulhuw vmulps vdivps vsqrtps vfmadd132ps vfmadd213ps vfmadd231ps \
         vfnmadd213ps vfnmadd231ps vscalefps vdpbf16ps",
    ),
    (
        PortClass::Shuffle,
        "vpbroadcastd_gpr vpbroadcastd_x_gpr vpmovzxbd vpmovsxbd vextracti32x4_st vpunpcklbw vpunpckhbw vpunpcklwd vpunpckhwd \
         vpunpckldq vpunpckhdq vpunpcklqdq vpunpckhqdq vpackssdw vpacksswb vpackuswb vpshufb vpshufd vpermb vpermd vpermq \
         vpermt2d vshufi32x4 vpermw vcmpps vpcmpd kmovw kmovd kmovq",
    ),
    (PortClass::ShuffleTwice, "vpmovdb_st vpermi2b vpermi2w vpermt2w vcvtne2ps2bf16"),
    (
        PortClass::Alu,
        "vpaddd vpaddd_x vpsubd vpmaxsd vpminsd vpxord vpxord_x vpandd vpandnd vpord vpternlogd vpslld_i vpsrld_i vpsrad_i \
         vpminud vpsrlvw vpsllvw vpsravd vpsravw vpsraw_i vpsllw_i vpsrlw_i vpaddb vpminub vpsubw vpmaxsw vpminsw vpblendmd vaddps \
         vsubps vmaxps vminps vreduceps vrndscaleps vcvtdq2ps vcvtps2dq",
    ),
    (
        PortClass::Move,
        "vmovdqu32 vmovdqu32_st vmovdqu64 vmovdqu64_st vmovdqu8 vmovdqu8_st vmovdqa32 vmovdqa64 vmovups vmovups_st vmovdqu32_x \
         vmovdqu32_x_st vmovdqu32_y vmovdqu32_y_st",
    ),
    (PortClass::Broadcast, "vpbroadcastd vpbroadcastd_x vpbroadcastd_y vbroadcastss vbroadcasti32x4"),
    (PortClass::Insert, "vinserti32x4 vinserti64x4"),
];

/// The same of 256-bit forms on Skylake: port 5 alone, ports 0 and 1, or any of the three.
///
/// Source: uops.info, Skylake, ymm forms. vpdpbusd: Alder Lake.
const VEX_PORTS: [(PortClass, &str); 5] = [
    (
        PortClass::Dot,
        "vpdpbusd vpmaddwd vpmaddubsw vpmulld vpmulhrsw vpmulhuw vmulps vdivps vfmadd213ps vfmadd132ps vfnmadd213ps vsqrtps vfmadd231ps vfnmadd231ps",
    ),
    (
        PortClass::Shuffle,
        "vpmovsxbw vpmovzxwq_x vpunpcklbw vpunpckhbw vpunpcklwd vpunpckhwd vpackssdw vpacksswb vpackuswb \
         vpshufb vpshufb_x vpshufd vpermd vpermq vpblendw",
    ),
    (
        PortClass::Alu,
        "vpaddd vpsubd vpmaxsd vpminud vpxor vpand vpandn vpor vpcmpeqd vpslld_i vpsrld_i vpsravd \
         vpsraw vpsraw_i vpsllw_i vpsrlw_i vpaddb vpaddw vpminub vpsubw vpmaxsw vpminsw vblendvps vpblendvb vaddps \
         vsubps vmaxps vminps vcvtdq2ps vcvtps2dq",
    ),
    (
        PortClass::Move,
        "vmovdqu vmovdqu_st vmovdqu_x vmovdqu_x_st vmovdqa vmovups vmovups_st vmovq_x_st vmovd_x_st vmovhps_st",
    ),
    (PortClass::Broadcast, "vpbroadcastd vbroadcastss vbroadcasti128"),
];

#[test]
fn every_row_has_the_class_of_the_table() {
    for (rows, table) in [(ROWS, &PORTS[..]), (VEX_ROWS, &VEX_PORTS[..])] {
        let mut listed = 0;
        for &(class, names) in table {
            for name in names.split_whitespace() {
                let row = rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"));
                assert_eq!(row.port, class, "{name}");
                listed += 1;
            }
        }
        assert_eq!(listed, rows.len(), "a new row of the encoder needs a place in this table");
    }
}

/// What both widths have is of one class.
#[test]
fn both_widths_agree() {
    let mut both = 0;
    for row in VEX_ROWS {
        let Some(wide) = ROWS.iter().find(|wide| wide.name == row.name) else { continue };
        assert_eq!(row.port, wide.port, "{}", row.name);
        both += 1;
    }
    assert!(both > 40, "{both} rows");
}

#[test]
fn memory_counts_as_a_load_or_a_store() {
    let counts = |dot, shuffle, alu, load, store| PortCounts { dot, shuffle, alu, load, store, vector: 1, scalar: 0 };
    let expected = [
        (PortClass::Dot, [counts(1, 0, 0, 0, 0), counts(1, 0, 0, 1, 0), counts(1, 0, 0, 0, 1)]),
        (PortClass::Shuffle, [counts(0, 1, 0, 0, 0), counts(0, 1, 0, 1, 0), counts(0, 1, 0, 0, 1)]),
        (PortClass::ShuffleTwice, [counts(0, 2, 0, 0, 0), counts(0, 2, 0, 1, 0), counts(0, 2, 0, 0, 1)]),
        (PortClass::Alu, [counts(0, 0, 1, 0, 0), counts(0, 0, 1, 1, 0), counts(0, 0, 1, 0, 1)]),
        (PortClass::Move, [counts(0, 0, 1, 0, 0), counts(0, 0, 0, 1, 0), counts(0, 0, 0, 0, 1)]),
        (PortClass::Broadcast, [counts(0, 1, 0, 0, 0), counts(0, 0, 0, 1, 0), counts(0, 1, 0, 0, 1)]),
        (PortClass::Insert, [counts(0, 1, 0, 0, 0), counts(0, 0, 1, 1, 0), counts(0, 1, 0, 0, 1)]),
    ];
    for (class, all) in expected {
        assert_eq!([Access::None, Access::Load, Access::Store].map(|access| class.counts(access)), all, "{class:?}");
    }
}

/// The encoder knows which operands are in memory.
#[test]
fn a_marked_loop_counts_what_was_emitted_in_it() {
    let mut regs = RegFile::new();
    let (source, zmm) = (regs.gpr("source").unwrap(), regs.zmm("any").unwrap());
    let mut a = Asm::new();
    a.begin_function(&regs);
    a.vpxord(zmm, zmm, zmm);
    a.begin_loop("test", 4, 16, 2);
    a.vpdpbusd(zmm, zmm, zmm);
    a.vpdpbusd(zmm, zmm, ptr(source));
    a.vpdpbusd(zmm, zmm, ptr(source).bcast());
    a.vpbroadcastd(zmm, ptr(source));
    a.vinserti32x4(zmm, zmm, ptr(source), 1);
    a.vinserti32x4(zmm, zmm, zmm, 1);
    a.vmovdqu32_st(ptr(source), zmm);
    dynasmrt::dynasm!(a ; .arch x64 ; add Rq(source), 8 ; movzx eax, cx ; dec rcx);
    a.end_loop();
    a.vpaddd(zmm, zmm, zmm);
    a.end_function(&regs);
    let code = a.finish("test".to_owned(), &regs).unwrap();
    let of = &code.loops[0];
    assert_eq!((of.name, of.outputs, of.columns, of.depth, code.loops.len()), ("test", 4, 16, 2, 1));
    let expected = PortCounts { dot: 3, shuffle: 1, alu: 1, load: 4, store: 1, vector: 7, scalar: 3 };
    assert_eq!(code.ports(of).unwrap(), expected);
    assert_eq!(expected.instructions(), 10);
}
