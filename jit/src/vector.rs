//! The mnemonics that AVX-512 and AVX2 have in common, as methods of both assemblers: an emitter that uses only these is written once
//! and emits either width.

use std::borrow::Cow;

use crate::code::Asm;
use crate::evex::Evex;
use crate::registers::{Mem, Rm, Zmm};
use crate::sink::InstructionSink;
use crate::vex::Vex;
use crate::width::{Width, Ymm256, Zmm512};

macro_rules! vector {
    ($($form:ident { $($name:ident $evex:ident $vex:ident;)* })*) => {
        /// Instructions on whole vectors of either width, named as in AVX2.
        pub trait Vector: InstructionSink {
            /// Bytes of a vector.
            const BYTES: i32;
            /// Elements of 32 bits in a vector.
            const LANES: usize;

            /// Remarks on the instructions that follow.
            fn remark(&mut self, text: impl Into<Cow<'static, str>>);

            $($(declare! { $form $name $evex $vex })*)*
        }

        impl Vector for Asm<Zmm512> {
            const BYTES: i32 = Zmm512::BYTES;
            const LANES: usize = Zmm512::LANES;

            fn remark(&mut self, text: impl Into<Cow<'static, str>>) {
                self.note(text);
            }

            $($(define! { $form $name Evex $evex })*)*
        }

        impl Vector for Asm<Ymm256> {
            const BYTES: i32 = Ymm256::BYTES;
            const LANES: usize = Ymm256::LANES;

            fn remark(&mut self, text: impl Into<Cow<'static, str>>) {
                self.note(text);
            }

            $($(define! { $form $name Vex $vex })*)*
        }
    };
}

macro_rules! declare {
    (Rvm $name:ident $evex:ident $vex:ident) => {
        #[doc = concat!("[`Evex::", stringify!($evex), "`] or [`Vex::", stringify!($vex), "`].")]
        fn $name(&mut self, dst: Zmm, a: Zmm, b: impl Into<Rm>);
    };
    (Rm $name:ident $evex:ident $vex:ident) => {
        #[doc = concat!("[`Evex::", stringify!($evex), "`] or [`Vex::", stringify!($vex), "`].")]
        fn $name(&mut self, dst: Zmm, src: impl Into<Rm>);
    };
    (RMem $name:ident $evex:ident $vex:ident) => {
        #[doc = concat!("[`Evex::", stringify!($evex), "`] or [`Vex::", stringify!($vex), "`].")]
        fn $name(&mut self, dst: Zmm, src: Mem);
    };
    (Mr $name:ident $evex:ident $vex:ident) => {
        #[doc = concat!("[`Evex::", stringify!($evex), "`] or [`Vex::", stringify!($vex), "`].")]
        fn $name(&mut self, dst: Mem, src: Zmm);
    };
    (VmI $name:ident $evex:ident $vex:ident) => {
        #[doc = concat!("[`Evex::", stringify!($evex), "`] or [`Vex::", stringify!($vex), "`].")]
        fn $name(&mut self, dst: Zmm, src: Zmm, imm: u8);
    };
}

macro_rules! define {
    (Rvm $name:ident $set:ident $method:ident) => {
        #[inline]
        fn $name(&mut self, dst: Zmm, a: Zmm, b: impl Into<Rm>) {
            $set::$method(self, dst, a, b.into());
        }
    };
    (Rm $name:ident $set:ident $method:ident) => {
        #[inline]
        fn $name(&mut self, dst: Zmm, src: impl Into<Rm>) {
            $set::$method(self, dst, src.into());
        }
    };
    (RMem $name:ident $set:ident $method:ident) => {
        #[inline]
        fn $name(&mut self, dst: Zmm, src: Mem) {
            $set::$method(self, dst, src);
        }
    };
    (Mr $name:ident $set:ident $method:ident) => {
        #[inline]
        fn $name(&mut self, dst: Mem, src: Zmm) {
            $set::$method(self, dst, src);
        }
    };
    (VmI $name:ident $set:ident $method:ident) => {
        #[inline]
        fn $name(&mut self, dst: Zmm, src: Zmm, imm: u8) {
            $set::$method(self, dst, src, imm);
        }
    };
}

vector! {
    Rm {
        vmovdqu        vmovdqu32       vmovdqu;
        vmovdqa        vmovdqa32       vmovdqa;
        vmovups        vmovups         vmovups;
        vpbroadcastd   vpbroadcastd    vpbroadcastd;
        vbroadcastss   vbroadcastss    vbroadcastss;
        vcvtdq2ps      vcvtdq2ps       vcvtdq2ps;
        vcvtps2dq      vcvtps2dq       vcvtps2dq;
        vsqrtps        vsqrtps         vsqrtps;
    }
    RMem {
        vbroadcasti128 vbroadcasti32x4 vbroadcasti128;
    }
    Mr {
        vmovdqu_st     vmovdqu32_st    vmovdqu_st;
        vmovups_st     vmovups_st      vmovups_st;
    }
    Rvm {
        vpaddd         vpaddd          vpaddd;
        vpsubd         vpsubd          vpsubd;
        vpmaxsd        vpmaxsd         vpmaxsd;
        vpxor          vpxord          vpxor;
        vpand          vpandd          vpand;
        vpandn         vpandnd         vpandn;
        vpor           vpord           vpor;
        vpsravd        vpsravd         vpsravd;
        vpmulhrsw      vpmulhrsw       vpmulhrsw;
        vpmulhuw       vpmulhuw        vpmulhuw;
        vpaddb         vpaddb          vpaddb;
        vpminub        vpminub         vpminub;
        vpsubw         vpsubw          vpsubw;
        vpmaxsw        vpmaxsw         vpmaxsw;
        vpminsw        vpminsw         vpminsw;
        vpackssdw      vpackssdw       vpackssdw;
        vpacksswb      vpacksswb       vpacksswb;
        vpackuswb      vpackuswb       vpackuswb;
        vpunpcklbw     vpunpcklbw      vpunpcklbw;
        vpunpckhbw     vpunpckhbw      vpunpckhbw;
        vpunpcklwd     vpunpcklwd      vpunpcklwd;
        vpunpckhwd     vpunpckhwd      vpunpckhwd;
        vpshufb        vpshufb         vpshufb;
        vaddps         vaddps          vaddps;
        vsubps         vsubps          vsubps;
        vmulps         vmulps          vmulps;
        vdivps         vdivps          vdivps;
        vmaxps         vmaxps          vmaxps;
        vminps         vminps          vminps;
        vfmadd132ps    vfmadd132ps     vfmadd132ps;
        vfmadd213ps    vfmadd213ps     vfmadd213ps;
        vfmadd231ps    vfmadd231ps     vfmadd231ps;
        vfnmadd213ps   vfnmadd213ps    vfnmadd213ps;
        vfnmadd231ps   vfnmadd231ps    vfnmadd231ps;
    }
    VmI {
        vpsraw_i       vpsraw_i        vpsraw_i;
        vpsrlw_i       vpsrlw_i        vpsrlw_i;
        vpsllw_i       vpsllw_i        vpsllw_i;
        vpslld_i       vpslld_i        vpslld_i;
        vpsrld_i       vpsrld_i        vpsrld_i;
    }
}
