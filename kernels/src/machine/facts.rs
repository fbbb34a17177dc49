//! What a core executes per cycle, and its caches.

use serde::{Deserialize, Serialize};

/// What one core does at most. Rates are per cycle, of 512-bit vectors if nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Clock while 512-bit instructions run, in GHz.
    pub ghz: f64,
    /// `vpdpbusd`.
    pub dots: f64,
    /// Cycles from one `vpdpbusd` to the next that adds to the same sums.
    pub dot_latency: f64,
    /// Unpacks.
    pub shuffles: f64,
    /// Dot products and unpacks together, in the mix of which most are executed. `dots + shuffles` if they share nothing.
    pub dots_and_shuffles: f64,
    /// Vector operations of any kind: integer additions, which every vector pipe executes.
    pub operations: f64,
    /// 64-byte loads that hit L1.
    pub zmm_loads: f64,
    /// 32-byte loads that hit L1.
    pub ymm_loads: f64,
    /// 64-byte stores that hit L1.
    pub zmm_stores: f64,
    /// 64-byte loads, in ascending order, that hit L2.
    pub l2_loads: f64,
    /// Instructions of any kind.
    pub instructions: f64,
    /// Cycles that a mispredicted branch costs.
    pub branch_miss: f64,
    /// First level data cache, in bytes.
    pub l1d: usize,
    /// Second level cache, in bytes.
    pub l2: usize,
}

/// A figure that no CPU has.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} is {found}, expected {least} to {most}")]
pub struct Implausible {
    /// Which figure.
    pub field: &'static str,
    /// Its value.
    pub found: f64,
    /// The least value that is believed.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Facts {
    /// Refuses figures that no CPU has, as a damaged file or a machine that stood still gives.
    ///
    /// # Errors
    /// [`Implausible`] for the first such figure.
    pub fn check(&self) -> Result<(), Implausible> {
        /// Least and greatest rate per cycle, and cycles of a latency.
        const RATE: (f64, f64) = (0.05, 32.0);
        const CYCLES: (f64, f64) = (1.0, 200.0);
        /// GHz.
        const CLOCK: (f64, f64) = (0.1, 20.0);
        /// Bytes.
        const CACHE: (f64, f64) = (4096.0, 1e12);
        let figures = [
            ("ghz", self.ghz, CLOCK),
            ("dots", self.dots, RATE),
            ("dot_latency", self.dot_latency, CYCLES),
            ("shuffles", self.shuffles, RATE),
            ("dots_and_shuffles", self.dots_and_shuffles, RATE),
            ("operations", self.operations, RATE),
            ("zmm_loads", self.zmm_loads, RATE),
            ("ymm_loads", self.ymm_loads, RATE),
            ("zmm_stores", self.zmm_stores, RATE),
            ("l2_loads", self.l2_loads, RATE),
            ("instructions", self.instructions, RATE),
            ("branch_miss", self.branch_miss, CYCLES),
            ("l1d", self.l1d as f64, CACHE),
            ("l2", self.l2 as f64, CACHE),
        ];
        // Written so that NaN is refused too.
        let wrong = figures.into_iter().find(|&(_, found, (least, most))| !(least..=most).contains(&found));
        match wrong {
            Some((field, found, (least, most))) => Err(Implausible { field, found, least, most }),
            None => Ok(()),
        }
    }
}
