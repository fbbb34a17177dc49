//! The least time that loops can take, by the counts of their ports.

use std::fmt;

use lacuna_jit::{Code, JitError, Loop, PortCounts};

use super::facts::Facts;

/// A loop that a call runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Executed {
    /// What one iteration occupies.
    pub ports: PortCounts,
    /// Iterations.
    pub iterations: f64,
}

/// `iterations` iterations of a loop of `code`.
///
/// # Errors
/// [`JitError::UnknownInstruction`] if an instruction of the loop cannot be counted.
pub fn executed(code: &Code, of: &Loop, iterations: f64) -> Result<Executed, JitError> {
    Ok(Executed { ports: code.ports(of)?, iterations })
}

/// What a loop waits for, if it runs as fast as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binds {
    /// Dot products.
    Dots,
    /// Shuffles.
    Shuffles,
    /// Dot products and shuffles, which share execution units.
    DotsAndShuffles,
    /// Vector operations of all kinds.
    Operations,
    /// Loads.
    Loads,
    /// Stores.
    Stores,
    /// Instructions of all kinds.
    Instructions,
}

impl Binds {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Binds::Dots => "dot products",
            Binds::Shuffles => "shuffles",
            Binds::DotsAndShuffles => "dot products and shuffles",
            Binds::Operations => "vector operations",
            Binds::Loads => "loads",
            Binds::Stores => "stores",
            Binds::Instructions => "instructions",
        }
    }
}

impl fmt::Display for Binds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Facts {
    /// The least cycles that operations of these counts take, and what takes them.
    pub fn least_cycles(&self, ports: &PortCounts) -> (f64, Binds) {
        let PortCounts { dot, shuffle, alu, load, store, .. } = *ports;
        let limits = [
            (Binds::Dots, dot, self.dots),
            (Binds::Shuffles, shuffle, self.shuffles),
            (Binds::DotsAndShuffles, dot + shuffle, self.dots_and_shuffles),
            (Binds::Operations, dot + shuffle + alu, self.operations),
            (Binds::Loads, load, self.zmm_loads),
            (Binds::Stores, store, self.zmm_stores),
            (Binds::Instructions, ports.instructions(), self.instructions),
        ];
        let cycles = limits.map(|(binds, count, rate)| (f64::from(count) / rate, binds));
        // Of equal ones the first: dot products alone are the peak itself.
        cycles.into_iter().fold((0.0, Binds::Dots), |most, other| if other.0 > most.0 { other } else { most })
    }
}

/// The least cycles of the inner loops of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// Cycles.
    pub cycles: f64,
    /// Dot products that are executed in them, of padding too.
    pub dots: f64,
    /// What binds the loop that takes most of them.
    pub binds: Binds,
}

impl Bound {
    /// The bound of the loops of a call on a machine; nothing if they have no dot products.
    pub fn of(loops: &[Executed], facts: &Facts) -> Option<Bound> {
        let mut bound = Bound { cycles: 0.0, dots: 0.0, binds: Binds::Dots };
        let mut most = 0.0;
        for Executed { ports, iterations } in loops {
            let (cycles, binds) = facts.least_cycles(ports);
            let cycles = cycles * iterations;
            bound.cycles += cycles;
            bound.dots += f64::from(ports.dot) * iterations;
            if cycles > most {
                (most, bound.binds) = (cycles, binds);
            }
        }
        (bound.dots > 0.0).then_some(bound)
    }

    /// The share of the peak of dot products that the loops reach at most.
    pub fn share_of_peak(&self, facts: &Facts) -> f64 {
        self.dots / facts.dots / self.cycles
    }

    /// The least seconds on a machine whose measured peak is `peak_gops`, in 10^9 multiplications and additions per second.
    pub fn seconds(&self, facts: &Facts, peak_gops: f64) -> f64 {
        /// Multiply and add of four bytes in each of 16 lanes.
        const OPERATIONS: f64 = 2.0 * 4.0 * crate::LANES as f64;
        self.dots * OPERATIONS / (peak_gops * 1e9) / self.share_of_peak(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Family;

    fn ports(dot: u32, shuffle: u32, load: u32) -> PortCounts {
        PortCounts { dot, shuffle, load, vector: dot + shuffle + load, ..PortCounts::default() }
    }

    #[test]
    fn what_binds_is_the_slowest() {
        let (intel, amd) = (Family::IceLake.facts(), Family::Zen5.facts());
        assert_eq!(intel.least_cycles(&ports(16, 8, 0)), (12.0, Binds::DotsAndShuffles));
        assert_eq!(intel.least_cycles(&ports(0, 8, 0)), (8.0, Binds::Shuffles));
        assert_eq!(intel.least_cycles(&ports(16, 0, 0)), (8.0, Binds::Dots));
        assert_eq!(intel.least_cycles(&ports(1, 0, 11)), (10.0, Binds::Loads));
        assert_eq!(amd.least_cycles(&ports(16, 8, 0)), (8.0, Binds::Dots));
        assert_eq!(
            intel.least_cycles(&PortCounts { scalar: 50, ..PortCounts::default() }),
            (10.0, Binds::Instructions)
        );
        assert_eq!(intel.least_cycles(&PortCounts::default()), (0.0, Binds::Dots));
    }

    #[test]
    fn a_bound_is_a_sum_of_loops() {
        let facts = Family::IceLake.facts();
        let loops = [
            Executed { ports: ports(16, 8, 0), iterations: 10.0 },
            Executed { ports: ports(16, 0, 0), iterations: 5.0 },
        ];
        let bound = Bound::of(&loops, &facts).unwrap();
        assert_eq!((bound.cycles, bound.dots, bound.binds), (160.0, 240.0, Binds::DotsAndShuffles));
        assert_eq!(bound.share_of_peak(&facts), 0.75);
        // 240 dot products of 128 operations, at three quarters of 1000 GOP/s.
        assert!((bound.seconds(&facts, 1000.0) - 240.0 * 128.0 / 750e9).abs() < 1e-18);
        assert_eq!(Bound::of(&[], &facts), None);
    }
}
