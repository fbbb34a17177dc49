//! What can go wrong between a plan and callable code.

use crate::features::Features;
use crate::tier::Tier;

/// Errors of feature selection, code generation and executable memory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JitError {
    /// A generator asked for more registers than the machine has.
    #[error("out of {class} registers while allocating {role:?}")]
    OutOfRegisters {
        /// Register class.
        class: &'static str,
        /// What the register was for.
        role: &'static str,
    },
    /// The assembler could not resolve a label or a jump was too far.
    #[error("assembling {name}: {message}")]
    Assemble {
        /// Kernel name.
        name: String,
        /// The assembler's own words.
        message: String,
    },
    /// A scalar instruction whose length is not known, so that a loop cannot be counted.
    #[error("counting the instructions of {name}: the scalar instruction at offset {offset} is not known")]
    UnknownInstruction {
        /// Kernel name.
        name: String,
        /// Offset from the start of the code, in bytes.
        offset: usize,
    },
    /// The operating system refused memory for code.
    #[error("mapping {bytes} bytes for generated code: {source}")]
    Map {
        /// Size asked for.
        bytes: usize,
        /// The system's error.
        source: std::io::Error,
    },
    /// The operating system refused to make the code executable.
    #[error(
        "making {bytes} bytes of generated code executable: {source}; this system forbids run-time code generation, use LACUNA_TIER=portable"
    )]
    ExecutionDenied {
        /// Size of the mapping.
        bytes: usize,
        /// The system's error.
        source: std::io::Error,
    },
    /// Code for another architecture.
    #[error("generated code needs x86-64, this program runs on {found}; use LACUNA_TIER=portable")]
    Architecture {
        /// The architecture of this build.
        found: &'static str,
    },
    /// A tier that this CPU or operating system does not provide was asked for by name.
    #[error("tier {requested} was asked for, this CPU provides {available} (missing: {missing}); choose a lower tier")]
    TierUnavailable {
        /// What was asked for.
        requested: Tier,
        /// The best tier of this machine.
        available: Tier,
        /// Missing features, comma separated.
        missing: String,
    },
    /// Code that uses instructions which this machine cannot execute.
    #[error("{kernel} needs {missing}, which this CPU lacks or LACUNA_MASK_FEATURES masks")]
    MissingFeatures {
        /// Kernel name.
        kernel: String,
        /// The features that the code needs and this machine lacks.
        missing: Features,
    },
    /// A name of a CPU feature that does not exist.
    #[error(
        "unknown CPU feature {found:?} in the environment variable LACUNA_MASK_FEATURES; expected names of {}, comma separated",
        Features::all().map(|feature| feature.to_string()).collect::<Vec<_>>().join(", ")
    )]
    UnknownFeature {
        /// What was written.
        found: String,
    },
    /// A tier name that does not exist.
    #[error("unknown tier {found:?} in {origin}; expected one of avx512vnni, avxvnni, avx2, portable")]
    UnknownTier {
        /// What was written.
        found: String,
        /// Where it was written: an option or an environment variable.
        origin: String,
    },
}
