//! The facts of CPU families, so that bounds and picks can be tested for CPUs that are not there.
//!
//! Port counts are whole numbers of execution units, not what a measurement reaches of them (1.95 to 1.98 of 2).

use super::facts::Facts;

/// A family of server CPUs with AVX-512 VNNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// AMD Zen 4 (Genoa).
    Zen4,
    /// AMD Zen 5 (Turin).
    Zen5,
    /// Intel Cascade Lake, with two 512-bit units. Cooper Lake is the same here.
    CascadeLake,
    /// Intel Ice Lake.
    IceLake,
    /// Intel Sapphire Rapids. Emerald Rapids is the same here.
    SapphireRapids,
}

/// Where facts are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Measured by this project: shared in docs/measurements.md.
    Measured,
    /// Public tables of instructions and manuals of the makers, named beside the figures. They were written down without the tables at hand:
    /// compare them before you rely on one. The probe measures this machine's own.
    Tables,
}

/// All families.
pub const RECORDED: [Family; 5] =
    [Family::Zen4, Family::Zen5, Family::CascadeLake, Family::IceLake, Family::SapphireRapids];

impl Family {
    /// The name of the family.
    pub fn name(self) -> &'static str {
        match self {
            Family::Zen4 => "Zen 4",
            Family::Zen5 => "Zen 5",
            Family::CascadeLake => "Cascade Lake",
            Family::IceLake => "Ice Lake",
            Family::SapphireRapids => "Sapphire Rapids",
        }
    }

    /// The family of a CPU by the numbers of CPUID leaf 1 and its maker; nothing for others.
    ///
    /// Source: Intel SDM volume 4, table 2-1; AMD processor programming references of families 19h and 1Ah.
    pub fn find(vendor: &str, family: u8, model: u8) -> Option<Family> {
        match (vendor, family, model) {
            ("AuthenticAMD", 0x19, 0x10..=0x1f | 0x60..=0x7f | 0xa0..=0xaf) => Some(Family::Zen4),
            ("AuthenticAMD", 0x1a, _) => Some(Family::Zen5),
            ("GenuineIntel", 6, 0x55) => Some(Family::CascadeLake), // and Skylake, which has no VNNI
            ("GenuineIntel", 6, 0x6a | 0x6c) => Some(Family::IceLake),
            ("GenuineIntel", 6, 0x8f | 0xcf) => Some(Family::SapphireRapids),
            _ => None,
        }
    }

    /// Where the facts are from.
    pub fn source(self) -> Source {
        match self {
            Family::Zen5 | Family::IceLake => Source::Measured,
            Family::Zen4 | Family::CascadeLake | Family::SapphireRapids => Source::Tables,
        }
    }

    /// What a core of the family does per cycle.
    pub fn facts(self) -> Facts {
        match self {
            Family::Zen4 => ZEN4,
            Family::Zen5 => ZEN5,
            Family::CascadeLake => CASCADE_LAKE,
            Family::IceLake => ICE_LAKE,
            Family::SapphireRapids => SAPPHIRE_RAPIDS,
        }
    }
}

/// Every 512-bit operation takes two halves of 256 bits. Dot products run on pipes 0 and 1, shuffles on 1 and 2, additions on all four.
///
/// Source: uops.info (Zen 4, zmm forms); AMD, Software Optimization Guide for Zen 4 (57647), sections 2.8 to 2.12: 6 operations
/// dispatched, two 256-bit loads and one store per cycle, 13 cycles of a mispredicted branch in the common case, 32 bytes from L2.
const ZEN4: Facts = Facts {
    ghz: 3.7,
    dots: 1.0,
    dot_latency: 4.0,
    shuffles: 1.0,
    dots_and_shuffles: 1.5,
    operations: 2.0,
    zmm_loads: 1.0,
    ymm_loads: 2.0,
    zmm_stores: 0.5,
    l2_loads: 0.5,
    instructions: 6.0,
    branch_miss: 13.0,
    l1d: 32 << 10,
    l2: 1 << 20,
};

/// Source: measured by this project on one core of a server at 4.0 GHz (docs/measurements.md): `vpdpbusd` 1.98, unpacks 3.9, and
/// 16 of each in 8.0 cycles, loads 2.0, L2 0.7 to 0.97, one 512-bit store per cycle. Dispatch of 8: AMD, Software Optimization Guide
/// for Zen 5 (58455).
const ZEN5: Facts = Facts {
    ghz: 4.0,
    dots: 2.0,
    dot_latency: 4.0,
    shuffles: 4.0,
    dots_and_shuffles: 4.0,
    operations: 4.0,
    zmm_loads: 2.0,
    ymm_loads: 2.0,
    zmm_stores: 1.0,
    l2_loads: 0.85,
    instructions: 8.0,
    branch_miss: 15.0,
    l1d: 48 << 10,
    l2: 1 << 20,
};

/// The 512-bit units are port 0 (with port 1) and port 5. Shuffles run on port 5 only.
///
/// Source: uops.info (Cascade Lake, zmm forms); Agner Fog, The microarchitecture of Intel, AMD and VIA CPUs, chapter on Skylake: four
/// instructions per cycle, branch miss 16 to 20; Intel optimisation manual: L2 sustains about 48 bytes of its 64 per cycle.
const CASCADE_LAKE: Facts = Facts {
    ghz: 2.8,
    dots: 2.0,
    dot_latency: 5.0,
    shuffles: 1.0,
    dots_and_shuffles: 2.0,
    operations: 2.0,
    zmm_loads: 2.0,
    ymm_loads: 2.0,
    zmm_stores: 1.0,
    l2_loads: 0.6,
    instructions: 4.0,
    branch_miss: 16.5,
    l1d: 32 << 10,
    l2: 1 << 20,
};

/// Source: measured by this project in a virtual machine at 3.45 GHz: `vpdpbusd` 1.95, unpacks 1, additions 1.97, zmm loads 1.1 (a
/// machine of its own may do 2), ymm loads 2.0, L2 0.58. Five instructions per cycle and the branch miss: Agner Fog, chapter on Ice Lake.
const ICE_LAKE: Facts = Facts {
    ghz: 3.45,
    dots: 2.0,
    dot_latency: 5.0,
    shuffles: 1.0,
    dots_and_shuffles: 2.0,
    operations: 2.0,
    zmm_loads: 1.1,
    ymm_loads: 2.0,
    zmm_stores: 1.0,
    l2_loads: 0.58,
    instructions: 5.0,
    branch_miss: 17.0,
    l1d: 48 << 10,
    l2: 1280 << 10,
};

/// Source: uops.info (Alder Lake P, zmm forms, the same core); Intel optimisation manual, Golden Cove: 6 instructions, two 512-bit or three
/// 256-bit loads and one 512-bit store per cycle, 17 cycles of a mispredicted branch.
const SAPPHIRE_RAPIDS: Facts = Facts {
    ghz: 3.0,
    dots: 2.0,
    dot_latency: 5.0,
    shuffles: 1.0,
    dots_and_shuffles: 2.0,
    operations: 2.0,
    zmm_loads: 2.0,
    ymm_loads: 3.0,
    zmm_stores: 1.0,
    l2_loads: 0.6,
    instructions: 6.0,
    branch_miss: 17.0,
    l1d: 48 << 10,
    l2: 2 << 20,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_facts_are_plausible() {
        for family in RECORDED {
            let facts = family.facts();
            assert_eq!(facts.check(), Ok(()), "{}", family.name());
            assert!(facts.dots_and_shuffles >= facts.dots.max(facts.shuffles), "{}", family.name());
            assert!(facts.operations >= facts.dots_and_shuffles, "{}", family.name());
            assert!(facts.ymm_loads >= facts.zmm_loads && facts.l2_loads <= facts.zmm_loads, "{}", family.name());
        }
    }

    #[test]
    fn families_are_found_by_their_numbers() {
        assert_eq!(Family::find("AuthenticAMD", 0x19, 0x11), Some(Family::Zen4));
        assert_eq!(Family::find("AuthenticAMD", 0x19, 0x01), None); // Zen 3
        assert_eq!(Family::find("AuthenticAMD", 0x1a, 0x02), Some(Family::Zen5));
        assert_eq!(Family::find("GenuineIntel", 6, 207), Some(Family::SapphireRapids));
        assert_eq!(Family::find("GenuineIntel", 6, 106), Some(Family::IceLake));
        assert_eq!(Family::find("GenuineIntel", 6, 85), Some(Family::CascadeLake));
        assert_eq!(Family::find("GenuineIntel", 6, 60), None);
    }
}
