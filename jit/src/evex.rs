//! AVX-512 instructions: one table row per instruction, in the manual's notation, with the class of its
//! execution units and the CPU features that it needs.
//!
//! dynasm-rs has no EVEX encodings. [`Evex`] adds them to every [`EvexSink`] as methods named like the mnemonics, operands
//! in Intel order. Suffixes tell apart what the mnemonic does not: `_st` stores, `_x` and `_y` are the 128- and 256-bit
//! forms, `_gpr` takes a general purpose register, `_i` shifts by an immediate.
//!
//! Source: Intel SDM volume 2, sections 2.7 (EVEX prefix) and the instruction pages; AMD APM volume 4.

use dynasmrt::SimpleAssembler;

use crate::encoding::{Encoding, Source, Tuple};
use crate::features::Features;
use crate::ports::PortClass;
use crate::registers::{Dst, Gpr, Mask, Mem, MemDst, Rm, RmBcast, Zmm};
use crate::row::{Form, Row};
use crate::sink::{InstructionSink, emit, emit_store};

/// What takes instructions of 512 bits.
pub trait EvexSink: InstructionSink {}

impl EvexSink for SimpleAssembler {}

/// The method for one row. Every method ends in one call of the encoder with the row's constants.
macro_rules! method {
    (Rvm $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<Dst>, a: Zmm, b: impl Into<Rm>) {
            emit(self, &const { $e }.masked(dst.into()).vector(a).source(b.into().into(), None), $port, $needs);
        }
    };
    (RvmB $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<Dst>, a: Zmm, b: impl Into<RmBcast>) {
            emit(self, &const { $e }.masked(dst.into()).vector(a).source(b.into().into(), None), $port, $needs);
        }
    };
    (RvmI $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<Dst>, a: Zmm, b: impl Into<Rm>, imm: u8) {
            emit(self, &const { $e }.masked(dst.into()).vector(a).source(b.into().into(), Some(imm)), $port, $needs);
        }
    };
    (RvmBI $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<Dst>, a: Zmm, b: impl Into<RmBcast>, imm: u8) {
            emit(self, &const { $e }.masked(dst.into()).vector(a).source(b.into().into(), Some(imm)), $port, $needs);
        }
    };
    (Rm $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<Dst>, src: impl Into<Rm>) {
            emit(self, &const { $e }.masked(dst.into()).source(src.into().into(), None), $port, $needs);
        }
    };
    (RMem $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<Dst>, src: Mem) {
            emit(self, &const { $e }.masked(dst.into()).source(Source::Mem(src), None), $port, $needs);
        }
    };
    (RmB $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<Dst>, src: impl Into<RmBcast>) {
            emit(self, &const { $e }.masked(dst.into()).source(src.into().into(), None), $port, $needs);
        }
    };
    (RmBI $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<Dst>, src: impl Into<RmBcast>, imm: u8) {
            emit(self, &const { $e }.masked(dst.into()).source(src.into().into(), Some(imm)), $port, $needs);
        }
    };
    (Mr $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<MemDst>, src: Zmm) {
            let dst = dst.into();
            emit_store(
                self,
                &const { $e }.register(src.code()).writemask(dst.mask).source(Source::Mem(dst.mem), None),
                $port,
                $needs,
            );
        }
    };
    (MrI $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<MemDst>, src: Zmm, imm: u8) {
            let dst = dst.into();
            emit_store(
                self,
                &const { $e }.register(src.code()).writemask(dst.mask).source(Source::Mem(dst.mem), Some(imm)),
                $port,
                $needs,
            );
        }
    };
    (VmBI $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<Dst>, src: impl Into<RmBcast>, imm: u8) {
            emit(self, &const { $e }.masked_vector(dst.into()).source(src.into().into(), Some(imm)), $port, $needs);
        }
    };
    (VmI $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<Dst>, src: impl Into<Rm>, imm: u8) {
            emit(self, &const { $e }.masked_vector(dst.into()).source(src.into().into(), Some(imm)), $port, $needs);
        }
    };
    (KvmBI $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: Mask, a: Zmm, b: impl Into<RmBcast>, imm: u8) {
            emit(self, &const { $e }.register(dst.code()).vector(a).source(b.into().into(), Some(imm)), $port, $needs);
        }
    };
    (RGpr $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: impl Into<Dst>, src: Gpr) {
            emit(self, &const { $e }.masked(dst.into()).source(Source::Gpr(src), None), $port, $needs);
        }
    };
    (KGpr $name:ident $doc:expr, $e:expr, $port:expr, $needs:expr) => {
        #[doc = $doc]
        #[inline]
        fn $name(&mut self, dst: Mask, src: Gpr) {
            emit(self, &const { $e }.register(dst.code()).source(Source::Gpr(src), None), $port, $needs);
        }
    };
}

macro_rules! instructions {
    ($($name:ident $form:ident $tuple:ident $port:ident $feature:ident $(+ $more:ident)* $spec:literal;)*) => {
        /// The AVX-512 instructions of [`ROWS`] as methods of every [`EvexSink`].
        pub trait Evex: EvexSink {
            $(
                method! {
                    $form $name concat!("`", $spec, "`"), Encoding::parse($spec, Tuple::$tuple),
                    PortClass::$port,
                    const { Features::$feature$(.with(Features::$more))* }
                }
            )*
        }

        impl<T: EvexSink + ?Sized> Evex for T {}

        /// Every AVX-512 instruction that the encoder knows.
        pub static ROWS: &[Row] = &[
            $(Row {
                name: stringify!($name),
                form: Form::$form,
                encoding: Encoding::parse($spec, Tuple::$tuple),
                port: PortClass::$port,
                needs: Features::$feature$(.with(Features::$more))*,
            },)*
        ];
    };
}

instructions! {
    // Loads, stores, broadcasts.
    vmovdqu32          Rm    FullMem Move         AVX512F                "EVEX.512.F3.0F.W0 6F /r";
    vmovdqu32_st       Mr    FullMem Move         AVX512F                "EVEX.512.F3.0F.W0 7F /r";
    vmovdqu64          Rm    FullMem Move         AVX512F                "EVEX.512.F3.0F.W1 6F /r";
    vmovdqu64_st       Mr    FullMem Move         AVX512F                "EVEX.512.F3.0F.W1 7F /r";
    vmovdqu8           Rm    FullMem Move         AVX512BW               "EVEX.512.F2.0F.W0 6F /r";
    vmovdqu8_st        Mr    FullMem Move         AVX512BW               "EVEX.512.F2.0F.W0 7F /r";
    vmovdqa32          Rm    FullMem Move         AVX512F                "EVEX.512.66.0F.W0 6F /r";
    vmovdqa64          Rm    FullMem Move         AVX512F                "EVEX.512.66.0F.W1 6F /r";
    vmovups            Rm    FullMem Move         AVX512F                "EVEX.512.0F.W0 10 /r";
    vmovups_st         Mr    FullMem Move         AVX512F                "EVEX.512.0F.W0 11 /r";
    vmovdqu32_x        Rm    FullMem Move         AVX512F + AVX512VL     "EVEX.128.F3.0F.W0 6F /r";
    vmovdqu32_x_st     Mr    FullMem Move         AVX512F + AVX512VL     "EVEX.128.F3.0F.W0 7F /r";
    vmovdqu32_y        Rm    FullMem Move         AVX512F + AVX512VL     "EVEX.256.F3.0F.W0 6F /r";
    vmovdqu32_y_st     Mr    FullMem Move         AVX512F + AVX512VL     "EVEX.256.F3.0F.W0 7F /r";
    vpbroadcastd       Rm    Scalar4 Broadcast    AVX512F                "EVEX.512.66.0F38.W0 58 /r";
    vpbroadcastd_x     Rm    Scalar4 Broadcast    AVX512F + AVX512VL     "EVEX.128.66.0F38.W0 58 /r";
    vpbroadcastd_y     Rm    Scalar4 Broadcast    AVX512F + AVX512VL     "EVEX.256.66.0F38.W0 58 /r";
    vpbroadcastd_gpr   RGpr  FullMem Shuffle      AVX512F                "EVEX.512.66.0F38.W0 7C /r";
    vpbroadcastd_x_gpr RGpr  FullMem Shuffle      AVX512F + AVX512VL     "EVEX.128.66.0F38.W0 7C /r";
    vbroadcastss       Rm    Scalar4 Broadcast    AVX512F                "EVEX.512.66.0F38.W0 18 /r";
    vbroadcasti32x4    RMem  Mem16   Broadcast    AVX512F                "EVEX.512.66.0F38.W0 5A /r";
    vpmovzxbd          Rm    Quarter Shuffle      AVX512F                "EVEX.512.66.0F38.W0 31 /r";
    vpmovsxbd          Rm    Quarter Shuffle      AVX512F                "EVEX.512.66.0F38.W0 21 /r";
    vpmovdb_st         Mr    Quarter ShuffleTwice AVX512F                "EVEX.512.F3.0F38.W0 31 /r";
    vextracti32x4_st   MrI   Mem16   Shuffle      AVX512F                "EVEX.512.66.0F3A.W0 39 /r ib";

    // Integer arithmetic.
    vpdpbusd           RvmB  Full    Dot          AVX512_VNNI            "EVEX.512.66.0F38.W0 50 /r";
    vpdpbusd_x         RvmB  Full    Dot          AVX512_VNNI + AVX512VL "EVEX.128.66.0F38.W0 50 /r";
    vpaddd             RvmB  Full    Alu          AVX512F                "EVEX.512.66.0F.W0 FE /r";
    vpaddd_x           RvmB  Full    Alu          AVX512F + AVX512VL     "EVEX.128.66.0F.W0 FE /r";
    vpsubd             RvmB  Full    Alu          AVX512F                "EVEX.512.66.0F.W0 FA /r";
    vpmulld            RvmB  Full    Dot          AVX512F                "EVEX.512.66.0F38.W0 40 /r";
    vpmulld_x          RvmB  Full    Dot          AVX512F + AVX512VL     "EVEX.128.66.0F38.W0 40 /r";
    vpmaxsd            RvmB  Full    Alu          AVX512F                "EVEX.512.66.0F38.W0 3D /r";
    vpminsd            RvmB  Full    Alu          AVX512F                "EVEX.512.66.0F38.W0 39 /r";
    vpxord             RvmB  Full    Alu          AVX512F                "EVEX.512.66.0F.W0 EF /r";
    vpxord_x           RvmB  Full    Alu          AVX512F + AVX512VL     "EVEX.128.66.0F.W0 EF /r";
    vpandd             RvmB  Full    Alu          AVX512F                "EVEX.512.66.0F.W0 DB /r";
    vpandnd            RvmB  Full    Alu          AVX512F                "EVEX.512.66.0F.W0 DF /r";
    vpord              RvmB  Full    Alu          AVX512F                "EVEX.512.66.0F.W0 EB /r";
    vpternlogd         RvmBI Full    Alu          AVX512F                "EVEX.512.66.0F3A.W0 25 /r ib";
    vpslld_i           VmBI  Full    Alu          AVX512F                "EVEX.512.66.0F.W0 72 /6 ib";
    vpsrld_i           VmBI  Full    Alu          AVX512F                "EVEX.512.66.0F.W0 72 /2 ib";
    vpsrad_i           VmBI  Full    Alu          AVX512F                "EVEX.512.66.0F.W0 72 /4 ib";
    vpminud            RvmB  Full    Alu          AVX512F                "EVEX.512.66.0F38.W0 3B /r";
    vpmulhrsw          Rvm   FullMem Dot          AVX512BW               "EVEX.512.66.0F38.W0 0B /r";
    vpsrlvw            Rvm   FullMem Alu          AVX512BW               "EVEX.512.66.0F38.W1 10 /r";
    vpsllvw            Rvm   FullMem Alu          AVX512BW               "EVEX.512.66.0F38.W1 12 /r";
    vpsravd            RvmB  Full    Alu          AVX512F                "EVEX.512.66.0F38.W0 46 /r";
    vpsravw            Rvm   FullMem Alu          AVX512BW               "EVEX.512.66.0F38.W1 11 /r";
    vpsraw_i           VmI   FullMem Alu          AVX512BW               "EVEX.512.66.0F.W0 71 /4 ib";
    vpsllw_i           VmI   FullMem Alu          AVX512BW               "EVEX.512.66.0F.W0 71 /6 ib";
    vpsrlw_i           VmI   FullMem Alu          AVX512BW               "EVEX.512.66.0F.W0 71 /2 ib";
    vpaddb             Rvm   FullMem Alu          AVX512BW               "EVEX.512.66.0F.W0 FC /r";
    vpminub            Rvm   FullMem Alu          AVX512BW               "EVEX.512.66.0F.W0 DA /r";
    vpsubw             Rvm   FullMem Alu          AVX512BW               "EVEX.512.66.0F.W0 F9 /r";
    vpmaxsw            Rvm   FullMem Alu          AVX512BW               "EVEX.512.66.0F.W0 EE /r";
    vpminsw            Rvm   FullMem Alu          AVX512BW               "EVEX.512.66.0F.W0 EA /r";
    vpmulhuw           Rvm   FullMem Dot          AVX512BW               "EVEX.512.66.0F.W0 E4 /r";

    // Shuffles, packs, blends.
    vpunpcklbw         Rvm   FullMem Shuffle      AVX512BW               "EVEX.512.66.0F.W0 60 /r";
    vpunpckhbw         Rvm   FullMem Shuffle      AVX512BW               "EVEX.512.66.0F.W0 68 /r";
    vpunpcklwd         Rvm   FullMem Shuffle      AVX512BW               "EVEX.512.66.0F.W0 61 /r";
    vpunpckhwd         Rvm   FullMem Shuffle      AVX512BW               "EVEX.512.66.0F.W0 69 /r";
    vpunpckldq         RvmB  Full    Shuffle      AVX512F                "EVEX.512.66.0F.W0 62 /r";
    vpunpckhdq         RvmB  Full    Shuffle      AVX512F                "EVEX.512.66.0F.W0 6A /r";
    vpunpcklqdq        RvmB  Full    Shuffle      AVX512F                "EVEX.512.66.0F.W1 6C /r";
    vpunpckhqdq        RvmB  Full    Shuffle      AVX512F                "EVEX.512.66.0F.W1 6D /r";
    vpackssdw          RvmB  Full    Shuffle      AVX512BW               "EVEX.512.66.0F.W0 6B /r";
    vpacksswb          Rvm   FullMem Shuffle      AVX512BW               "EVEX.512.66.0F.W0 63 /r";
    vpackuswb          Rvm   FullMem Shuffle      AVX512BW               "EVEX.512.66.0F.W0 67 /r";
    vpshufb            Rvm   FullMem Shuffle      AVX512BW               "EVEX.512.66.0F38.W0 00 /r";
    vpshufd            RmBI  Full    Shuffle      AVX512F                "EVEX.512.66.0F.W0 70 /r ib";
    vpermb             Rvm   FullMem Shuffle      AVX512_VBMI            "EVEX.512.66.0F38.W0 8D /r";
    vpermi2b           Rvm   FullMem ShuffleTwice AVX512_VBMI            "EVEX.512.66.0F38.W0 75 /r";
    vpermd             RvmB  Full    Shuffle      AVX512F                "EVEX.512.66.0F38.W0 36 /r";
    vpermq             RvmB  Full    Shuffle      AVX512F                "EVEX.512.66.0F38.W1 36 /r";
    vpermt2d           RvmB  Full    Shuffle      AVX512F                "EVEX.512.66.0F38.W0 7E /r";
    vshufi32x4         RvmBI Full    Shuffle      AVX512F                "EVEX.512.66.0F3A.W0 43 /r ib";
    vinserti32x4       RvmI  Mem16   Insert       AVX512F                "EVEX.512.66.0F3A.W0 38 /r ib";
    vinserti64x4       RvmI  Mem32   Insert       AVX512F                "EVEX.512.66.0F3A.W1 3A /r ib";
    vpblendmd          RvmB  Full    Alu          AVX512F                "EVEX.512.66.0F38.W0 64 /r";
    vpermw             Rvm   FullMem Shuffle      AVX512BW               "EVEX.512.66.0F38.W1 8D /r";
    vpermi2w           Rvm   FullMem ShuffleTwice AVX512BW               "EVEX.512.66.0F38.W1 75 /r";
    vpermt2w           Rvm   FullMem ShuffleTwice AVX512BW               "EVEX.512.66.0F38.W1 7D /r";

    // Single precision arithmetic.
    vaddps             RvmB  Full    Alu          AVX512F                "EVEX.512.0F.W0 58 /r";
    vsubps             RvmB  Full    Alu          AVX512F                "EVEX.512.0F.W0 5C /r";
    vmulps             RvmB  Full    Dot          AVX512F                "EVEX.512.0F.W0 59 /r";
    vdivps             RvmB  Full    Dot          AVX512F                "EVEX.512.0F.W0 5E /r";
    vmaxps             RvmB  Full    Alu          AVX512F                "EVEX.512.0F.W0 5F /r";
    vminps             RvmB  Full    Alu          AVX512F                "EVEX.512.0F.W0 5D /r";
    vsqrtps            RmB   Full    Dot          AVX512F                "EVEX.512.0F.W0 51 /r";
    vfmadd132ps        RvmB  Full    Dot          AVX512F                "EVEX.512.66.0F38.W0 98 /r";
    vfmadd213ps        RvmB  Full    Dot          AVX512F                "EVEX.512.66.0F38.W0 A8 /r";
    vfmadd231ps        RvmB  Full    Dot          AVX512F                "EVEX.512.66.0F38.W0 B8 /r";
    vfnmadd213ps       RvmB  Full    Dot          AVX512F                "EVEX.512.66.0F38.W0 AC /r";
    vfnmadd231ps       RvmB  Full    Dot          AVX512F                "EVEX.512.66.0F38.W0 BC /r";
    vscalefps          RvmB  Full    Dot          AVX512F                "EVEX.512.66.0F38.W0 2C /r";
    vreduceps          RmBI  Full    Alu          AVX512DQ               "EVEX.512.66.0F3A.W0 56 /r ib";
    vrndscaleps        RmBI  Full    Alu          AVX512F                "EVEX.512.66.0F3A.W0 08 /r ib";
    vcvtdq2ps          RmB   Full    Alu          AVX512F                "EVEX.512.0F.W0 5B /r";
    vcvtps2dq          RmB   Full    Alu          AVX512F                "EVEX.512.66.0F.W0 5B /r";
    vcvtne2ps2bf16     RvmB  Full    ShuffleTwice AVX512F + AVX512_BF16  "EVEX.512.F2.0F38.W0 72 /r";
    vdpbf16ps          RvmB  Full    Dot          AVX512F + AVX512_BF16  "EVEX.512.F3.0F38.W0 52 /r";
    vcmpps             KvmBI Full    Shuffle      AVX512F                "EVEX.512.0F.W0 C2 /r ib";
    vpcmpd             KvmBI Full    Shuffle      AVX512F                "EVEX.512.66.0F3A.W0 1F /r ib";

    // Writemasks from general purpose registers (VEX).
    kmovw              KGpr  FullMem Shuffle      AVX512F                "VEX.128.0F.W0 92 /r";
    kmovd              KGpr  FullMem Shuffle      AVX512BW               "VEX.128.F2.0F.W0 92 /r";
    kmovq              KGpr  FullMem Shuffle      AVX512BW               "VEX.128.F2.0F.W1 92 /r";
}
