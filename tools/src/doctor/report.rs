//! What is reported.

use std::path::PathBuf;

use lacuna_kernels::machine::Facts;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) cpu: Cpu,
    pub(super) tier: TierReport,
    pub(super) features: FeatureReport,
    /// Nothing if the CPU does not say.
    pub(super) caches: Option<CacheReport>,
    pub(super) cpus: CpuReport,
    /// Nothing where no code is generated.
    pub(super) facts: Option<Facts>,
    /// `file` or `measured`.
    pub(super) facts_from: Option<&'static str>,
    /// Where the facts are kept; nothing if they are not.
    pub(super) facts_file: Option<PathBuf>,
    /// Facts of the CPU's family, if it is known.
    pub(super) recorded: Option<Facts>,
    /// `measured` or `tables`.
    pub(super) recorded_source: Option<&'static str>,
    /// The instruction by which 8-bit kernels of this tier multiply.
    pub(super) peak_instruction: Option<&'static str>,
    /// Its rate on one core, by the facts, or measured where there are none: in 10^9 multiplications and additions per second.
    pub(super) peak_gops: Option<f64>,
    pub(super) kernels: Vec<KernelReport>,
    pub(super) remarks: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Cpu {
    pub(super) name: String,
    /// Maker, family, model and stepping.
    pub(super) model: String,
    pub(super) microcode: String,
    pub(super) family: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct TierReport {
    pub(super) used: &'static str,
    /// The best of this machine, with what is masked left out.
    pub(super) best: &'static str,
    pub(super) generates_code: bool,
    /// Those above the one in use.
    pub(super) higher: Vec<HigherTier>,
}

/// A tier that is not used.
#[derive(Debug, Serialize)]
pub(super) struct HigherTier {
    pub(super) name: &'static str,
    /// Features that the machine lacks.
    pub(super) missing: Vec<&'static str>,
    /// Features that it has and that are masked.
    pub(super) masked: Vec<&'static str>,
    /// Why it is not used.
    pub(super) why: String,
}

#[derive(Debug, Serialize)]
pub(super) struct FeatureReport {
    pub(super) present: Vec<&'static str>,
    pub(super) absent: Vec<&'static str>,
    pub(super) masked: Vec<&'static str>,
}

/// Bytes.
#[derive(Debug, Serialize)]
pub(super) struct CacheReport {
    pub(super) l1d: usize,
    pub(super) l2: usize,
    pub(super) l3: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct CpuReport {
    /// Hardware threads that this process is granted.
    pub(super) threads: usize,
    /// The cores that these are on; nothing if the system does not say.
    pub(super) cores: Option<usize>,
    /// What commands use without `--threads`, or with it.
    pub(super) used: usize,
}

/// A kernel on whole tiles of 64 columns: what its inner loop executes for each 16 dot products.
#[derive(Debug, Serialize)]
pub(super) struct KernelReport {
    pub(super) kernel: &'static str,
    pub(super) shuffles: f64,
    pub(super) operations: f64,
    pub(super) loads: f64,
    pub(super) stores: f64,
    pub(super) instructions: f64,
    pub(super) bound_by: &'static str,
    pub(super) share_of_peak: f64,
}
