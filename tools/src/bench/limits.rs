//! What this machine can do at most, measured around the kernels that are compared with it.

use lacuna_console::error::Result;
use lacuna_console::limits::{Bandwidth, Limit, RUNS};
use lacuna_jit::Isa;

use super::report::{Row, Unit};

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

    /// The peak of `threads` threads, in GOP/s.
    pub(super) fn giga(&self, threads: usize) -> Option<f64> {
        self.best.map(|peak| peak * threads as f64)
    }

    /// Adds the peak of `threads` threads to a row, and the fraction of it that `gops` is.
    pub(super) fn report(&self, row: &mut Row, gops: Option<f64>, threads: usize) {
        let peak = self.giga(threads);
        row.figure("peak_gops", None, peak, Unit::Decimals(0));
        let fraction = gops.zip(peak).map(|(gops, peak)| gops / peak);
        row.figure("fraction_of_peak", Some("of peak"), fraction, Unit::Percent);
    }
}
