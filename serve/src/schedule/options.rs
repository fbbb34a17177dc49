//! How many threads compute, and what they do at one moment.

/// How many threads compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// Batches that are computed at the same time.
    pub instances: usize,
    /// Threads of each instance.
    pub threads: usize,
}

/// What the pool does at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSnapshot {
    /// Texts that wait.
    pub waiting: usize,
    /// Their tokens.
    pub waiting_tokens: usize,
    /// Batches that are computed.
    pub running: usize,
}
