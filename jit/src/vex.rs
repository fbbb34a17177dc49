//! AVX2, FMA and AVX-VNNI instructions: one table row per instruction, in the manual's notation, with the class of its execution units
//! and the CPU features that it needs.
//!
//! dynasm-rs has most of these encodings. They are here so that their features and ports are collected like those of
//! AVX-512, and so that one method name serves both widths. Suffixes as in [`crate::Evex`]; `_x` are 128-bit forms. Registers are
//! 0-15: [`crate::RegFile::avx2`] hands out no others.
//!
//! Source: Intel SDM volume 2, section 2.3 (VEX prefix) and the instruction pages; AMD APM volume 4.

use dynasmrt::SimpleAssembler;

use crate::encoding::{Encoding, Source, Tuple};
use crate::features::Features;
use crate::ports::PortClass;
use crate::registers::{Mem, Rm, Zmm};
use crate::row::{Form, Row};
use crate::sink::{InstructionSink, emit, emit_store};

/// What takes instructions of 256 bits.
pub trait VexSink: InstructionSink {}

impl VexSink for SimpleAssembler {}

/// Displacements of VEX instructions are not compressed.
const UNUSED: Tuple = Tuple::FullMem;

/// The method for one row. Every method ends in one call of the encoder with the row's constants.
macro_rules! method {
    (Rvm $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: Zmm, a: Zmm, b: impl Into<Rm>) {
            let code = const { $e }.register(dst.code()).vector(a).source(b.into().into(), None);
            emit(self, &code, $port, $needs);
        }
    };
    (RvmI $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: Zmm, a: Zmm, b: impl Into<Rm>, imm: u8) {
            let code = const { $e }.register(dst.code()).vector(a).source(b.into().into(), Some(imm));
            emit(self, &code, $port, $needs);
        }
    };
    (RvmR $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: Zmm, a: Zmm, b: impl Into<Rm>, c: Zmm) {
            let code = const { $e }.register(dst.code()).vector(a).source(b.into().into(), Some(c.code() << 4));
            emit(self, &code, $port, $needs);
        }
    };
    (Rm $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: Zmm, src: impl Into<Rm>) {
            emit(self, &const { $e }.register(dst.code()).source(src.into().into(), None), $port, $needs);
        }
    };
    (RmI $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: Zmm, src: impl Into<Rm>, imm: u8) {
            emit(self, &const { $e }.register(dst.code()).source(src.into().into(), Some(imm)), $port, $needs);
        }
    };
    (RMem $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: Zmm, src: Mem) {
            emit(self, &const { $e }.register(dst.code()).source(Source::Mem(src), None), $port, $needs);
        }
    };
    (Mr $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: Mem, src: Zmm) {
            emit_store(self, &const { $e }.register(src.code()).source(Source::Mem(dst), None), $port, $needs);
        }
    };
    (VmI $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: Zmm, src: Zmm, imm: u8) {
            emit(self, &const { $e }.digit_and_vector(dst).source(Source::Reg(src), Some(imm)), $port, $needs);
        }
    };
}

macro_rules! instructions {
    ($($name:ident $form:ident $port:ident $feature:ident $spec:literal;)*) => {
        /// The instructions of [`VEX_ROWS`] as methods of every [`VexSink`].
        pub trait Vex: VexSink {
            $(
                method! {
                    $form $name concat!("`", $spec, "`"), Encoding::parse($spec, UNUSED),
                    PortClass::$port,
                    Features::$feature
                }
            )*
        }

        impl<T: VexSink + ?Sized> Vex for T {}

        /// Every instruction with a VEX prefix that the encoder knows, apart from those on writemasks.
        pub static VEX_ROWS: &[Row] = &[
            $(Row {
                name: stringify!($name),
                form: Form::$form,
                encoding: Encoding::parse($spec, UNUSED),
                port: PortClass::$port,
                needs: Features::$feature,
            },)*
        ];
    };
}

instructions! {
    // Loads, stores, broadcasts.
    vmovdqu        Rm   Move      AVX2     "VEX.256.F3.0F.W0 6F /r";
    vmovdqu_st     Mr   Move      AVX2     "VEX.256.F3.0F.W0 7F /r";
    vmovdqu_x      Rm   Move      AVX2     "VEX.128.F3.0F.W0 6F /r";
    vmovdqu_x_st   Mr   Move      AVX2     "VEX.128.F3.0F.W0 7F /r";
    vmovdqa        Rm   Move      AVX2     "VEX.256.66.0F.W0 6F /r";
    vmovups        Rm   Move      AVX2     "VEX.256.0F.W0 10 /r";
    vmovups_st     Mr   Move      AVX2     "VEX.256.0F.W0 11 /r";
    vmovd_x_st     Mr   Move      AVX2     "VEX.128.66.0F.W0 7E /r";
    vmovq_x_st     Mr   Move      AVX2     "VEX.128.66.0F.W0 D6 /r";
    vmovhps_st     Mr   Move      AVX2     "VEX.128.0F.W0 17 /r";
    vpbroadcastd   Rm   Broadcast AVX2     "VEX.256.66.0F38.W0 58 /r";
    vbroadcastss   Rm   Broadcast AVX2     "VEX.256.66.0F38.W0 18 /r";
    vbroadcasti128 RMem Broadcast AVX2     "VEX.256.66.0F38.W0 5A /r";
    vpmovsxbw      Rm   Shuffle   AVX2     "VEX.256.66.0F38.W0 20 /r";
    vpmovzxwq_x    Rm   Shuffle   AVX2     "VEX.128.66.0F38.W0 34 /r";

    // Integer arithmetic.
    vpdpbusd       Rvm  Dot       AVX_VNNI "VEX.256.66.0F38.W0 50 /r";
    vpmaddwd       Rvm  Dot       AVX2     "VEX.256.66.0F.W0 F5 /r";
    vpmaddubsw     Rvm  Dot       AVX2     "VEX.256.66.0F38.W0 04 /r";
    vpaddd         Rvm  Alu       AVX2     "VEX.256.66.0F.W0 FE /r";
    vpsubd         Rvm  Alu       AVX2     "VEX.256.66.0F.W0 FA /r";
    vpmulld        Rvm  Dot       AVX2     "VEX.256.66.0F38.W0 40 /r";
    vpmaxsd        Rvm  Alu       AVX2     "VEX.256.66.0F38.W0 3D /r";
    vpminud        Rvm  Alu       AVX2     "VEX.256.66.0F38.W0 3B /r";
    vpxor          Rvm  Alu       AVX2     "VEX.256.66.0F.W0 EF /r";
    vpand          Rvm  Alu       AVX2     "VEX.256.66.0F.W0 DB /r";
    vpandn         Rvm  Alu       AVX2     "VEX.256.66.0F.W0 DF /r";
    vpor           Rvm  Alu       AVX2     "VEX.256.66.0F.W0 EB /r";
    vpcmpeqd       Rvm  Alu       AVX2     "VEX.256.66.0F.W0 76 /r";
    vpslld_i       VmI  Alu       AVX2     "VEX.256.66.0F.W0 72 /6 ib";
    vpsrld_i       VmI  Alu       AVX2     "VEX.256.66.0F.W0 72 /2 ib";
    vpsravd        Rvm  Alu       AVX2     "VEX.256.66.0F38.W0 46 /r";
    vpmulhrsw      Rvm  Dot       AVX2     "VEX.256.66.0F38.W0 0B /r";
    vpmulhuw       Rvm  Dot       AVX2     "VEX.256.66.0F.W0 E4 /r";
    vpsraw         Rvm  Alu       AVX2     "VEX.256.66.0F.W0 E1 /r";
    vpsraw_i       VmI  Alu       AVX2     "VEX.256.66.0F.W0 71 /4 ib";
    vpsllw_i       VmI  Alu       AVX2     "VEX.256.66.0F.W0 71 /6 ib";
    vpsrlw_i       VmI  Alu       AVX2     "VEX.256.66.0F.W0 71 /2 ib";
    vpaddb         Rvm  Alu       AVX2     "VEX.256.66.0F.W0 FC /r";
    vpminub        Rvm  Alu       AVX2     "VEX.256.66.0F.W0 DA /r";
    vpaddw         Rvm  Alu       AVX2     "VEX.256.66.0F.W0 FD /r";
    vpsubw         Rvm  Alu       AVX2     "VEX.256.66.0F.W0 F9 /r";
    vpmaxsw        Rvm  Alu       AVX2     "VEX.256.66.0F.W0 EE /r";
    vpminsw        Rvm  Alu       AVX2     "VEX.256.66.0F.W0 EA /r";

    // Shuffles, packs, blends.
    vpunpcklbw     Rvm  Shuffle   AVX2     "VEX.256.66.0F.W0 60 /r";
    vpunpckhbw     Rvm  Shuffle   AVX2     "VEX.256.66.0F.W0 68 /r";
    vpunpcklwd     Rvm  Shuffle   AVX2     "VEX.256.66.0F.W0 61 /r";
    vpunpckhwd     Rvm  Shuffle   AVX2     "VEX.256.66.0F.W0 69 /r";
    vpackssdw      Rvm  Shuffle   AVX2     "VEX.256.66.0F.W0 6B /r";
    vpacksswb      Rvm  Shuffle   AVX2     "VEX.256.66.0F.W0 63 /r";
    vpackuswb      Rvm  Shuffle   AVX2     "VEX.256.66.0F.W0 67 /r";
    vpshufb        Rvm  Shuffle   AVX2     "VEX.256.66.0F38.W0 00 /r";
    vpshufb_x      Rvm  Shuffle   AVX2     "VEX.128.66.0F38.W0 00 /r";
    vpshufd        RmI  Shuffle   AVX2     "VEX.256.66.0F.W0 70 /r ib";
    vpermd         Rvm  Shuffle   AVX2     "VEX.256.66.0F38.W0 36 /r";
    vpermq         RmI  Shuffle   AVX2     "VEX.256.66.0F3A.W1 00 /r ib";
    vpblendw       RvmI Shuffle   AVX2     "VEX.256.66.0F3A.W0 0E /r ib";
    vblendvps      RvmR Alu       AVX2     "VEX.256.66.0F3A.W0 4A /r ib";
    vpblendvb      RvmR Alu       AVX2     "VEX.256.66.0F3A.W0 4C /r ib";

    // Single precision arithmetic.
    vaddps         Rvm  Alu       AVX2     "VEX.256.0F.W0 58 /r";
    vsubps         Rvm  Alu       AVX2     "VEX.256.0F.W0 5C /r";
    vmulps         Rvm  Dot       AVX2     "VEX.256.0F.W0 59 /r";
    vdivps         Rvm  Dot       AVX2     "VEX.256.0F.W0 5E /r";
    vmaxps         Rvm  Alu       AVX2     "VEX.256.0F.W0 5F /r";
    vminps         Rvm  Alu       AVX2     "VEX.256.0F.W0 5D /r";
    vsqrtps        Rm   Dot       AVX2     "VEX.256.0F.W0 51 /r";
    vfmadd132ps    Rvm  Dot       FMA      "VEX.256.66.0F38.W0 98 /r";
    vfmadd213ps    Rvm  Dot       FMA      "VEX.256.66.0F38.W0 A8 /r";
    vfmadd231ps    Rvm  Dot       FMA      "VEX.256.66.0F38.W0 B8 /r";
    vfnmadd213ps   Rvm  Dot       FMA      "VEX.256.66.0F38.W0 AC /r";
    vfnmadd231ps   Rvm  Dot       FMA      "VEX.256.66.0F38.W0 BC /r";
    vcvtdq2ps      Rm   Alu       AVX2     "VEX.256.0F.W0 5B /r";
    vcvtps2dq      Rm   Alu       AVX2     "VEX.256.66.0F.W0 5B /r";
}
