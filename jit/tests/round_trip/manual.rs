//! The instruction column of the manual for every row of the encoder, written down a second time: the encoder's own table
//! holds the opcode column, this one says in the manual's words what a disassembler must show.
//!
//! The macro also makes the call of the public method, so that what is tested is what a generator emits.

use dynasmrt::SimpleAssembler;
use lacuna_jit::{Evex, Form, ROWS, Row, VEX_ROWS};

use crate::operands::Operands;

/// One instruction as the manual spells it, and the encoder's method for it.
pub(crate) struct Instruction {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    /// `mnemonic operand, operand, ..`
    pub(crate) manual: &'static str,
    pub(crate) emit: fn(&mut SimpleAssembler, &Operands),
    /// Whether it is a row of [`VEX_ROWS`], and not of [`ROWS`].
    pub(crate) vex: bool,
}

impl Instruction {
    /// The encoder's row.
    pub(crate) fn row(&self) -> &'static Row {
        let rows = if self.vex { VEX_ROWS } else { ROWS };
        rows.iter().find(|row| row.name == self.name).unwrap()
    }

    /// Vector registers that it can name.
    pub(crate) fn registers(&self) -> u8 {
        if self.vex { 16 } else { 32 }
    }

    pub(crate) fn mnemonic(&self) -> &'static str {
        self.manual.split_once(' ').unwrap().0
    }

    pub(crate) fn operands(&self) -> impl Iterator<Item = &'static str> {
        self.manual.split_once(' ').unwrap().1.split(", ")
    }

    /// The alternatives of the operand that ModRM.rm encodes, such as `zmm3`, `m512`, `m32bcst`.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &'static str> {
        let slot = self.operands().find(|slot| is_source(slot)).unwrap_or("");
        slot.split('/').map(|alternative| alternative.split('{').next().unwrap())
    }

    pub(crate) fn masked(&self) -> bool {
        self.manual.contains("{k1}")
    }

    pub(crate) fn zeroing(&self) -> bool {
        self.manual.contains("{z}")
    }

    pub(crate) fn immediate(&self) -> bool {
        self.manual.ends_with("imm8")
    }
}

/// Whether an operand of the manual is (or may be) memory.
pub(crate) fn is_source(slot: &str) -> bool {
    slot.contains('/') || slot.starts_with('m')
}

macro_rules! call {
    (Rvm $name:ident) => {
        |a, o| a.$name(o.dst(), o.a, o.rm())
    };
    (RvmB $name:ident) => {
        |a, o| a.$name(o.dst(), o.a, o.rm_bcast())
    };
    (RvmI $name:ident) => {
        |a, o| a.$name(o.dst(), o.a, o.rm(), o.imm)
    };
    (RvmBI $name:ident) => {
        |a, o| a.$name(o.dst(), o.a, o.rm_bcast(), o.imm)
    };
    (Rm $name:ident) => {
        |a, o| a.$name(o.dst(), o.rm())
    };
    (RMem $name:ident) => {
        |a, o| a.$name(o.dst(), o.mem())
    };
    (RmB $name:ident) => {
        |a, o| a.$name(o.dst(), o.rm_bcast())
    };
    (RmBI $name:ident) => {
        |a, o| a.$name(o.dst(), o.rm_bcast(), o.imm)
    };
    (Mr $name:ident) => {
        |a, o| a.$name(o.mem_dst(), o.a)
    };
    (MrI $name:ident) => {
        |a, o| a.$name(o.mem_dst(), o.a, o.imm)
    };
    (VmBI $name:ident) => {
        |a, o| a.$name(o.dst(), o.rm_bcast(), o.imm)
    };
    (VmI $name:ident) => {
        |a, o| a.$name(o.dst(), o.rm(), o.imm)
    };
    (KvmBI $name:ident) => {
        |a, o| a.$name(o.k, o.a, o.rm_bcast(), o.imm)
    };
    (RGpr $name:ident) => {
        |a, o| a.$name(o.dst(), o.gpr)
    };
    (KGpr $name:ident) => {
        |a, o| a.$name(o.k, o.gpr)
    };
}

macro_rules! manual {
    ($($name:ident $form:ident $manual:literal;)*) => {
        /// In the order of `lacuna_jit::ROWS`.
        pub(crate) static MANUAL: &[Instruction] = &[
            $(Instruction { name: stringify!($name), form: Form::$form, manual: $manual, emit: call!($form $name), vex: false },)*
        ];
    };
}

manual! {
    vmovdqu32          Rm    "vmovdqu32 zmm1{k1}{z}, zmm2/m512";
    vmovdqu32_st       Mr    "vmovdqu32 m512{k1}, zmm1";
    vmovdqu64          Rm    "vmovdqu64 zmm1{k1}{z}, zmm2/m512";
    vmovdqu64_st       Mr    "vmovdqu64 m512{k1}, zmm1";
    vmovdqu8           Rm    "vmovdqu8 zmm1{k1}{z}, zmm2/m512";
    vmovdqu8_st        Mr    "vmovdqu8 m512{k1}, zmm1";
    vmovdqa32          Rm    "vmovdqa32 zmm1{k1}{z}, zmm2/m512";
    vmovdqa64          Rm    "vmovdqa64 zmm1{k1}{z}, zmm2/m512";
    vmovups            Rm    "vmovups zmm1{k1}{z}, zmm2/m512";
    vmovups_st         Mr    "vmovups m512{k1}, zmm1";
    vmovdqu32_x        Rm    "vmovdqu32 xmm1{k1}{z}, xmm2/m128";
    vmovdqu32_x_st     Mr    "vmovdqu32 m128{k1}, xmm1";
    vmovdqu32_y        Rm    "vmovdqu32 ymm1{k1}{z}, ymm2/m256";
    vmovdqu32_y_st     Mr    "vmovdqu32 m256{k1}, ymm1";
    vpbroadcastd       Rm    "vpbroadcastd zmm1{k1}{z}, xmm2/m32";
    vpbroadcastd_x     Rm    "vpbroadcastd xmm1{k1}{z}, xmm2/m32";
    vpbroadcastd_y     Rm    "vpbroadcastd ymm1{k1}{z}, xmm2/m32";
    vpbroadcastd_gpr   RGpr  "vpbroadcastd zmm1{k1}{z}, r32";
    vpbroadcastd_x_gpr RGpr  "vpbroadcastd xmm1{k1}{z}, r32";
    vbroadcastss       Rm    "vbroadcastss zmm1{k1}{z}, xmm2/m32";
    vbroadcasti32x4    RMem  "vbroadcasti32x4 zmm1{k1}{z}, m128";
    vpmovzxbd          Rm    "vpmovzxbd zmm1{k1}{z}, xmm2/m128";
    vpmovsxbd          Rm    "vpmovsxbd zmm1{k1}{z}, xmm2/m128";
    vpmovdb_st         Mr    "vpmovdb m128{k1}, zmm1";
    vextracti32x4_st   MrI   "vextracti32x4 m128{k1}, zmm1, imm8";

    vpdpbusd           RvmB  "vpdpbusd zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpdpbusd_x         RvmB  "vpdpbusd xmm1{k1}{z}, xmm2, xmm3/m128/m32bcst";
    vpaddd             RvmB  "vpaddd zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpaddd_x           RvmB  "vpaddd xmm1{k1}{z}, xmm2, xmm3/m128/m32bcst";
    vpsubd             RvmB  "vpsubd zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpmulld            RvmB  "vpmulld zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpmulld_x          RvmB  "vpmulld xmm1{k1}{z}, xmm2, xmm3/m128/m32bcst";
    vpmaxsd            RvmB  "vpmaxsd zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpminsd            RvmB  "vpminsd zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpxord             RvmB  "vpxord zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpxord_x           RvmB  "vpxord xmm1{k1}{z}, xmm2, xmm3/m128/m32bcst";
    vpandd             RvmB  "vpandd zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpandnd            RvmB  "vpandnd zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpord              RvmB  "vpord zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpternlogd         RvmBI "vpternlogd zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst, imm8";
    vpslld_i           VmBI  "vpslld zmm1{k1}{z}, zmm2/m512/m32bcst, imm8";
    vpsrld_i           VmBI  "vpsrld zmm1{k1}{z}, zmm2/m512/m32bcst, imm8";
    vpsrad_i           VmBI  "vpsrad zmm1{k1}{z}, zmm2/m512/m32bcst, imm8";
    vpminud            RvmB  "vpminud zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpmulhrsw          Rvm   "vpmulhrsw zmm1{k1}{z}, zmm2, zmm3/m512";
    vpsrlvw            Rvm   "vpsrlvw zmm1{k1}{z}, zmm2, zmm3/m512";
    vpsllvw            Rvm   "vpsllvw zmm1{k1}{z}, zmm2, zmm3/m512";
    vpsravd            RvmB  "vpsravd zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpsravw            Rvm   "vpsravw zmm1{k1}{z}, zmm2, zmm3/m512";
    vpsraw_i           VmI   "vpsraw zmm1{k1}{z}, zmm2/m512, imm8";
    vpsllw_i           VmI   "vpsllw zmm1{k1}{z}, zmm2/m512, imm8";
    vpsrlw_i           VmI   "vpsrlw zmm1{k1}{z}, zmm2/m512, imm8";
    vpaddb             Rvm   "vpaddb zmm1{k1}{z}, zmm2, zmm3/m512";
    vpminub            Rvm   "vpminub zmm1{k1}{z}, zmm2, zmm3/m512";
    vpsubw             Rvm   "vpsubw zmm1{k1}{z}, zmm2, zmm3/m512";
    vpmaxsw            Rvm   "vpmaxsw zmm1{k1}{z}, zmm2, zmm3/m512";
    vpminsw            Rvm   "vpminsw zmm1{k1}{z}, zmm2, zmm3/m512";
    vpmulhuw           Rvm   "vpmulhuw zmm1{k1}{z}, zmm2, zmm3/m512";

    vpunpcklbw         Rvm   "vpunpcklbw zmm1{k1}{z}, zmm2, zmm3/m512";
    vpunpckhbw         Rvm   "vpunpckhbw zmm1{k1}{z}, zmm2, zmm3/m512";
    vpunpcklwd         Rvm   "vpunpcklwd zmm1{k1}{z}, zmm2, zmm3/m512";
    vpunpckhwd         Rvm   "vpunpckhwd zmm1{k1}{z}, zmm2, zmm3/m512";
    vpunpckldq         RvmB  "vpunpckldq zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpunpckhdq         RvmB  "vpunpckhdq zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpunpcklqdq        RvmB  "vpunpcklqdq zmm1{k1}{z}, zmm2, zmm3/m512/m64bcst";
    vpunpckhqdq        RvmB  "vpunpckhqdq zmm1{k1}{z}, zmm2, zmm3/m512/m64bcst";
    vpackssdw          RvmB  "vpackssdw zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpacksswb          Rvm   "vpacksswb zmm1{k1}{z}, zmm2, zmm3/m512";
    vpackuswb          Rvm   "vpackuswb zmm1{k1}{z}, zmm2, zmm3/m512";
    vpshufb            Rvm   "vpshufb zmm1{k1}{z}, zmm2, zmm3/m512";
    vpshufd            RmBI  "vpshufd zmm1{k1}{z}, zmm2/m512/m32bcst, imm8";
    vpermb             Rvm   "vpermb zmm1{k1}{z}, zmm2, zmm3/m512";
    vpermi2b           Rvm   "vpermi2b zmm1{k1}{z}, zmm2, zmm3/m512";
    vpermd             RvmB  "vpermd zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpermq             RvmB  "vpermq zmm1{k1}{z}, zmm2, zmm3/m512/m64bcst";
    vpermt2d           RvmB  "vpermt2d zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vshufi32x4         RvmBI "vshufi32x4 zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst, imm8";
    vinserti32x4       RvmI  "vinserti32x4 zmm1{k1}{z}, zmm2, xmm3/m128, imm8";
    vinserti64x4       RvmI  "vinserti64x4 zmm1{k1}{z}, zmm2, ymm3/m256, imm8";
    vpblendmd          RvmB  "vpblendmd zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vpermw             Rvm   "vpermw zmm1{k1}{z}, zmm2, zmm3/m512";
    vpermi2w           Rvm   "vpermi2w zmm1{k1}{z}, zmm2, zmm3/m512";
    vpermt2w           Rvm   "vpermt2w zmm1{k1}{z}, zmm2, zmm3/m512";

    vaddps             RvmB  "vaddps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vsubps             RvmB  "vsubps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vmulps             RvmB  "vmulps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vdivps             RvmB  "vdivps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vmaxps             RvmB  "vmaxps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vminps             RvmB  "vminps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vsqrtps            RmB   "vsqrtps zmm1{k1}{z}, zmm2/m512/m32bcst";
    vfmadd132ps        RvmB  "vfmadd132ps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vfmadd213ps        RvmB  "vfmadd213ps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vfmadd231ps        RvmB  "vfmadd231ps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vfnmadd213ps       RvmB  "vfnmadd213ps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vfnmadd231ps       RvmB  "vfnmadd231ps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vscalefps          RvmB  "vscalefps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vreduceps          RmBI  "vreduceps zmm1{k1}{z}, zmm2/m512/m32bcst, imm8";
    vrndscaleps        RmBI  "vrndscaleps zmm1{k1}{z}, zmm2/m512/m32bcst, imm8";
    vcvtdq2ps          RmB   "vcvtdq2ps zmm1{k1}{z}, zmm2/m512/m32bcst";
    vcvtps2dq          RmB   "vcvtps2dq zmm1{k1}{z}, zmm2/m512/m32bcst";
    vcvtne2ps2bf16     RvmB  "vcvtne2ps2bf16 zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vdpbf16ps          RvmB  "vdpbf16ps zmm1{k1}{z}, zmm2, zmm3/m512/m32bcst";
    vcmpps             KvmBI "vcmpps k1, zmm2, zmm3/m512/m32bcst, imm8";
    vpcmpd             KvmBI "vpcmpd k1, zmm2, zmm3/m512/m32bcst, imm8";

    kmovw              KGpr  "kmovw k1, r32";
    kmovd              KGpr  "kmovd k1, r32";
    kmovq              KGpr  "kmovq k1, r64";
}
