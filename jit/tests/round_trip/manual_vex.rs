//! As [`crate::manual`], for instructions with a VEX prefix.

use lacuna_jit::{Form, Vex};

use crate::manual::Instruction;

macro_rules! call {
    (Rvm $name:ident) => {
        |a, o| a.$name(o.dst, o.a, o.rm())
    };
    (RvmI $name:ident) => {
        |a, o| a.$name(o.dst, o.a, o.rm(), o.imm)
    };
    (RvmR $name:ident) => {
        |a, o| a.$name(o.dst, o.a, o.rm(), o.c)
    };
    (Rm $name:ident) => {
        |a, o| a.$name(o.dst, o.rm())
    };
    (RmI $name:ident) => {
        |a, o| a.$name(o.dst, o.rm(), o.imm)
    };
    (RMem $name:ident) => {
        |a, o| a.$name(o.dst, o.mem())
    };
    (Mr $name:ident) => {
        |a, o| a.$name(o.mem(), o.a)
    };
    (VmI $name:ident) => {
        |a, o| a.$name(o.dst, o.a, o.imm)
    };
}

macro_rules! manual {
    ($($name:ident $form:ident $manual:literal;)*) => {
        /// In the order of `lacuna_jit::VEX_ROWS`.
        pub(crate) static VEX_MANUAL: &[Instruction] = &[
            $(Instruction {
                name: stringify!($name),
                form: Form::$form,
                manual: $manual,
                emit: call!($form $name),
                vex: true,
            },)*
        ];
    };
}

manual! {
    vmovdqu        Rm   "vmovdqu ymm1, ymm2/m256";
    vmovdqu_st     Mr   "vmovdqu m256, ymm1";
    vmovdqu_x      Rm   "vmovdqu xmm1, xmm2/m128";
    vmovdqu_x_st   Mr   "vmovdqu m128, xmm1";
    vmovdqa        Rm   "vmovdqa ymm1, ymm2/m256";
    vmovups        Rm   "vmovups ymm1, ymm2/m256";
    vmovups_st     Mr   "vmovups m256, ymm1";
    vmovd_x_st     Mr   "vmovd m32, xmm1";
    vmovq_x_st     Mr   "vmovq m64, xmm1";
    vmovhps_st     Mr   "vmovhps m64, xmm1";
    vpbroadcastd   Rm   "vpbroadcastd ymm1, xmm2/m32";
    vbroadcastss   Rm   "vbroadcastss ymm1, xmm2/m32";
    vbroadcasti128 RMem "vbroadcasti128 ymm1, m128";
    vpmovsxbw      Rm   "vpmovsxbw ymm1, xmm2/m128";
    vpmovzxwq_x    Rm   "vpmovzxwq xmm1, xmm2/m32";
    vpdpbusd       Rvm  "vpdpbusd ymm1, ymm2, ymm3/m256";
    vpmaddwd       Rvm  "vpmaddwd ymm1, ymm2, ymm3/m256";
    vpmaddubsw     Rvm  "vpmaddubsw ymm1, ymm2, ymm3/m256";
    vpaddd         Rvm  "vpaddd ymm1, ymm2, ymm3/m256";
    vpsubd         Rvm  "vpsubd ymm1, ymm2, ymm3/m256";
    vpmulld        Rvm  "vpmulld ymm1, ymm2, ymm3/m256";
    vpmaxsd        Rvm  "vpmaxsd ymm1, ymm2, ymm3/m256";
    vpminud        Rvm  "vpminud ymm1, ymm2, ymm3/m256";
    vpxor          Rvm  "vpxor ymm1, ymm2, ymm3/m256";
    vpand          Rvm  "vpand ymm1, ymm2, ymm3/m256";
    vpandn         Rvm  "vpandn ymm1, ymm2, ymm3/m256";
    vpor           Rvm  "vpor ymm1, ymm2, ymm3/m256";
    vpcmpeqd       Rvm  "vpcmpeqd ymm1, ymm2, ymm3/m256";
    vpslld_i       VmI  "vpslld ymm1, ymm2, imm8";
    vpsrld_i       VmI  "vpsrld ymm1, ymm2, imm8";
    vpsravd        Rvm  "vpsravd ymm1, ymm2, ymm3/m256";
    vpmulhrsw      Rvm  "vpmulhrsw ymm1, ymm2, ymm3/m256";
    vpmulhuw       Rvm  "vpmulhuw ymm1, ymm2, ymm3/m256";
    vpsraw         Rvm  "vpsraw ymm1, ymm2, xmm3/m128";
    vpsraw_i       VmI  "vpsraw ymm1, ymm2, imm8";
    vpsllw_i       VmI  "vpsllw ymm1, ymm2, imm8";
    vpsrlw_i       VmI  "vpsrlw ymm1, ymm2, imm8";
    vpaddb         Rvm  "vpaddb ymm1, ymm2, ymm3/m256";
    vpminub        Rvm  "vpminub ymm1, ymm2, ymm3/m256";
    vpaddw         Rvm  "vpaddw ymm1, ymm2, ymm3/m256";
    vpsubw         Rvm  "vpsubw ymm1, ymm2, ymm3/m256";
    vpmaxsw        Rvm  "vpmaxsw ymm1, ymm2, ymm3/m256";
    vpminsw        Rvm  "vpminsw ymm1, ymm2, ymm3/m256";
    vpunpcklbw     Rvm  "vpunpcklbw ymm1, ymm2, ymm3/m256";
    vpunpckhbw     Rvm  "vpunpckhbw ymm1, ymm2, ymm3/m256";
    vpunpcklwd     Rvm  "vpunpcklwd ymm1, ymm2, ymm3/m256";
    vpunpckhwd     Rvm  "vpunpckhwd ymm1, ymm2, ymm3/m256";
    vpackssdw      Rvm  "vpackssdw ymm1, ymm2, ymm3/m256";
    vpacksswb      Rvm  "vpacksswb ymm1, ymm2, ymm3/m256";
    vpackuswb      Rvm  "vpackuswb ymm1, ymm2, ymm3/m256";
    vpshufb        Rvm  "vpshufb ymm1, ymm2, ymm3/m256";
    vpshufb_x      Rvm  "vpshufb xmm1, xmm2, xmm3/m128";
    vpshufd        RmI  "vpshufd ymm1, ymm2/m256, imm8";
    vpermd         Rvm  "vpermd ymm1, ymm2, ymm3/m256";
    vpermq         RmI  "vpermq ymm1, ymm2/m256, imm8";
    vpblendw       RvmI "vpblendw ymm1, ymm2, ymm3/m256, imm8";
    vblendvps      RvmR "vblendvps ymm1, ymm2, ymm3/m256, ymm4";
    vpblendvb      RvmR "vpblendvb ymm1, ymm2, ymm3/m256, ymm4";
    vaddps         Rvm  "vaddps ymm1, ymm2, ymm3/m256";
    vsubps         Rvm  "vsubps ymm1, ymm2, ymm3/m256";
    vmulps         Rvm  "vmulps ymm1, ymm2, ymm3/m256";
    vdivps         Rvm  "vdivps ymm1, ymm2, ymm3/m256";
    vmaxps         Rvm  "vmaxps ymm1, ymm2, ymm3/m256";
    vminps         Rvm  "vminps ymm1, ymm2, ymm3/m256";
    vsqrtps        Rm   "vsqrtps ymm1, ymm2/m256";
    vfmadd132ps    Rvm  "vfmadd132ps ymm1, ymm2, ymm3/m256";
    vfmadd213ps    Rvm  "vfmadd213ps ymm1, ymm2, ymm3/m256";
    vfmadd231ps    Rvm  "vfmadd231ps ymm1, ymm2, ymm3/m256";
    vfnmadd213ps   Rvm  "vfnmadd213ps ymm1, ymm2, ymm3/m256";
    vfnmadd231ps   Rvm  "vfnmadd231ps ymm1, ymm2, ymm3/m256";
    vcvtdq2ps      Rm   "vcvtdq2ps ymm1, ymm2/m256";
    vcvtps2dq      Rm   "vcvtps2dq ymm1, ymm2/m256";
}
