//! What this machine can do at most, measured around the kernels that are compared with it.

use lacuna_jit::{Avx512Bf16, Isa};
use lacuna_kernels::float::peak::bf16_gflops;
use lacuna_kernels::peak::{copy_gbs, fma_gflops, load_gbs, update_gbs, vnni_gops};

use super::report::{Row, Unit};
use crate::error::Result;

/// Runs of about 50 us whenever a limit is measured.
pub(crate) const RUNS: usize = 8;

/// What kernels are compared with: the instruction that does most of their work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// `vpdpbusd`.
    Vnni,
    /// `vdpbf16ps`.
    Bf16,
    /// `vfmadd231ps`.
    Fma,
}

impl Limit {
    /// All of them.
    pub(super) const ALL: [Limit; 3] = [Limit::Vnni, Limit::Bf16, Limit::Fma];

    /// The best of `runs` runs, in billions of operations per second; nothing on tiers without generated code and on CPUs without
    /// the instruction.
    pub(crate) fn giga(self, isa: Isa, runs: usize) -> Result<Option<f64>> {
        let Isa::Avx512Vnni(proof) = isa else { return Ok(None) };
        Ok(match self {
            Limit::Vnni => Some(vnni_gops(proof, runs)?),
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
pub(super) enum Bandwidth {
    /// Reads.
    Load,
    /// One buffer is read, another written.
    Copy,
    /// A buffer is read and written.
    Update,
}

impl Bandwidth {
    /// All of them.
    pub(super) const ALL: [Bandwidth; 3] = [Bandwidth::Load, Bandwidth::Copy, Bandwidth::Update];

    /// The best of `runs` runs on `bytes` bytes, in GB/s; nothing on tiers without generated code.
    pub(super) fn gb_per_s(self, isa: Isa, bytes: usize, runs: usize) -> Result<Option<f64>> {
        let Isa::Avx512Vnni(proof) = isa else { return Ok(None) };
        Ok(Some(match self {
            Bandwidth::Load => load_gbs(proof, bytes, runs)?,
            Bandwidth::Copy => copy_gbs(proof, bytes, runs)?,
            Bandwidth::Update => update_gbs(proof, bytes, runs)?,
        }))
    }
}

/// The best rates seen so far of the two units that a row kernel needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPeak {
    bandwidth: Bandwidth,
    /// Bytes that are walked.
    bytes: usize,
    gb_per_s: Option<f64>,
    gflops: Option<f64>,
}

impl RowPeak {
    pub(super) fn new(bandwidth: Bandwidth, bytes: usize) -> RowPeak {
        RowPeak { bandwidth, bytes, gb_per_s: None, gflops: None }
    }

    /// Measures both once more.
    pub(super) fn measure(&mut self, isa: Isa) -> Result<()> {
        let better = |best: Option<f64>, new: Option<f64>| best.into_iter().chain(new).reduce(f64::max);
        self.gb_per_s = better(self.gb_per_s, self.bandwidth.gb_per_s(isa, self.bytes, RUNS)?);
        self.gflops = better(self.gflops, Limit::Fma.giga(isa, RUNS)?);
        Ok(())
    }

    /// Adds the rates of moving `bytes` bytes and of `operations` operations in `seconds` to a row, those that `threads` threads
    /// can have at most, which of the two binds, and how near it is.
    pub(super) fn report(&self, row: &mut Row, bytes: f64, operations: f64, seconds: Option<f64>, threads: usize) {
        let [gb_per_s, gflops] = [bytes, operations].map(|count| seconds.map(|seconds| count / seconds * 1e-9));
        let [most_gb_per_s, most_gflops] =
            [self.gb_per_s, self.gflops].map(|rate| rate.map(|rate| rate * threads as f64));
        let share = |found: Option<f64>, most: Option<f64>| found.zip(most).map(|(found, most)| found / most);
        let (memory, arithmetic) = (share(gb_per_s, most_gb_per_s), share(gflops, most_gflops));
        let (fraction, limit) = if arithmetic > memory { (arithmetic, "fma") } else { (memory, "bandwidth") };
        row.figure("gb_per_s", Some("GB/s"), gb_per_s, Unit::Decimals(1));
        row.figure("gflops", Some("GFLOP/s"), gflops, Unit::Decimals(1));
        row.figure("bandwidth_gb_per_s", None, most_gb_per_s, Unit::Decimals(1));
        row.figure("fma_gflops", None, most_gflops, Unit::Decimals(1));
        row.figure("fraction_of_limit", Some("of limit"), fraction, Unit::Percent);
        row.measured("limit", "limit", fraction.map(|_| limit));
    }
}

/// The best rate seen so far: noise only ever slows a run down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peak {
    limit: Limit,
    best: Option<f64>,
}

impl Peak {
    pub(super) fn new(limit: Limit) -> Peak {
        Peak { limit, best: None }
    }

    /// Measures it once more.
    pub(super) fn measure(&mut self, isa: Isa) -> Result<()> {
        self.best = self.best.into_iter().chain(self.limit.giga(isa, RUNS)?).reduce(f64::max);
        Ok(())
    }

    /// Adds the peak of `threads` threads to a row, and the fraction of it that `gops` is.
    pub(super) fn report(&self, row: &mut Row, gops: Option<f64>, threads: usize) {
        let peak = self.best.map(|peak| peak * threads as f64);
        row.figure("peak_gops", None, peak, Unit::Decimals(0));
        let fraction = gops.zip(peak).map(|(gops, peak)| gops / peak);
        row.figure("fraction_of_peak", Some("of peak"), fraction, Unit::Percent);
    }
}
