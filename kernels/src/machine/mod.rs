//! The machine that kernels run on: how much of what it executes per cycle, and the bounds that follow from it.
//!
//! | file | holds |
//! | --- | --- |
//! | `facts.rs` | [`Facts`]: rates, caches, clock |
//! | `recorded.rs` | [`RECORDED`]: the facts of CPU families, from public tables |
//! | `assumed.rs` | [`assumed`]: the recorded facts that schedules are picked by on this machine |
//! | `bound.rs` | [`Bound`]: the least cycles of the loops of a call, by the facts |
//! | `loops.rs`, `probe.rs` | [`measure`]: the facts of this machine, measured in at most 30 ms |
//! | `kept.rs` | [`facts`]: the same, kept in a file in the user's cache folder |
//!
//! **Ports.** The model is one of throughput. Each class of operations has a rate, and classes that share execution units have a rate
//! together. On Intel's cores 512-bit dot products run on ports 0 and 5 and shuffles on port 5, so 16 dot products with 8 shuffles take
//! 12 cycles. A bound has no latencies, no misses of caches and no mispredicted branches.

mod assumed;
mod bound;
mod facts;
mod kept;
mod loops;
mod probe;
mod recorded;

pub use assumed::assumed;
pub use bound::{Binds, Bound, Executed, executed};
pub use facts::{Facts, Implausible};
pub use kept::{Identity, Kept, Origin, cache_folder, facts, facts_in};
pub use probe::measure;
pub use recorded::{Family, RECORDED, Source};
