//! What this machine can do at most: the rates of single instructions and of memory.

use lacuna_jit::{Avx512Bf16, Isa};
use lacuna_kernels::ActivationBits;
use lacuna_kernels::float::peak::bf16_gflops;
use lacuna_kernels::peak::{avx2_gops, avx2_twos_gops, copy_gbs, fma_gflops, load_gbs, update_gbs, vnni_gops};

use crate::error::Result;

/// Runs of about 50 us whenever a limit is measured.
pub const RUNS: usize = 8;

/// What kernels are compared with: the instruction that does most of their work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `vpdpbusd`; without any VNNI `vpmaddwd`.
    Dots,
    /// The same for activations of seven bits: `vpdpbusd`; without any VNNI two `vpmaddubsw` for each `vpmaddwd`.
    Dots7,
    /// `vdpbf16ps`.
    Bf16,
    /// `vfmadd231ps`.
    Fma,
}

impl Limit {
    /// All of them.
    pub const ALL: [Limit; 4] = [Limit::Dots, Limit::Dots7, Limit::Bf16, Limit::Fma];

    /// That of integer products with activations of `bits`.
    pub fn of_dots(bits: ActivationBits) -> Limit {
        match bits {
            ActivationBits::Seven => Limit::Dots7,
            ActivationBits::Eight => Limit::Dots,
        }
    }

    /// The instruction that sets it on `isa`.
    pub fn instruction(self, isa: Isa) -> &'static str {
        match (self, isa) {
            (Limit::Dots, Isa::Avx2(proof)) if !proof.vnni() => "vpmaddwd",
            (Limit::Dots7, Isa::Avx2(proof)) if !proof.vnni() => "2 vpmaddubsw, vpmaddwd",
            (Limit::Dots | Limit::Dots7, _) => "vpdpbusd",
            (Limit::Bf16, _) => "vdpbf16ps",
            (Limit::Fma, _) => "vfmadd231ps",
        }
    }

    /// The best of `runs` runs, in billions of operations per second; nothing on tiers without generated code and on CPUs without
    /// the instruction.
    pub fn giga(self, isa: Isa, runs: usize) -> Result<Option<f64>> {
        let proof = match (isa, self) {
            (Isa::Avx512Vnni(proof), _) => proof,
            (Isa::Avx2(proof), Limit::Dots7) if !proof.vnni() => return Ok(Some(avx2_twos_gops(proof, runs)?)),
            (Isa::Avx2(proof), Limit::Dots | Limit::Dots7) => return Ok(Some(avx2_gops(proof, runs)?)),
            (Isa::Avx2(_) | Isa::Portable, _) => return Ok(None),
        };
        Ok(match self {
            Limit::Dots | Limit::Dots7 => Some(vnni_gops(proof, runs)?),
            Limit::Fma => Some(fma_gflops(proof, runs)?),
            Limit::Bf16 => match Avx512Bf16::detect() {
                Some(proof) => Some(bf16_gflops(proof, runs)?),
                None => None,
            },
        })
    }
}

/// How memory is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bandwidth {
    /// Reads.
    Load,
    /// One buffer is read, another written.
    Copy,
    /// A buffer is read and written.
    Update,
}

impl Bandwidth {
    /// All of them.
    pub const ALL: [Bandwidth; 3] = [Bandwidth::Load, Bandwidth::Copy, Bandwidth::Update];

    /// The best of `runs` runs on `bytes` bytes, in GB/s; nothing on tiers without generated code.
    pub fn gb_per_s(self, isa: Isa, bytes: usize, runs: usize) -> Result<Option<f64>> {
        let Isa::Avx512Vnni(proof) = isa else { return Ok(None) };
        Ok(Some(match self {
            Bandwidth::Load => load_gbs(proof, bytes, runs)?,
            Bandwidth::Copy => copy_gbs(proof, bytes, runs)?,
            Bandwidth::Update => update_gbs(proof, bytes, runs)?,
        }))
    }
}
