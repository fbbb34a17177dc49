//! The messages between the command and its workers: one JSON object per line.
//!
//! A worker opens one engine when it starts and answers [`Reply::Opened`]; then every request gets one reply. Floats that must
//! survive exactly, NaN included, travel as bits.

use serde::{Deserialize, Serialize};

use super::engine::{ModelFiles, OutputKind};

/// From the command to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Make a product ready and check it: [`Reply::ProductReady`].
    Product(ProductSpec),
    /// Load a model: [`Reply::Loaded`].
    Model(ModelFiles),
    /// Make a batch of the loaded model ready and run it once: [`Reply::BatchReady`].
    Batch {
        /// Token ids.
        ids: Vec<Vec<u32>>,
    },
    /// Run what is ready for a while and watch the threads: [`Reply::Proof`].
    Prove {
        /// How long.
        seconds: f64,
    },
    /// Time what is ready: [`Reply::Samples`].
    Sample {
        /// How many samples.
        count: usize,
    },
    /// Run what is ready again and again: [`Reply::Latencies`].
    Run {
        /// How long.
        seconds: f64,
    },
    /// Where the time goes, of engines that can tell: [`Reply::Breakdown`].
    Breakdown,
}

/// From a worker to the command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The engine is there.
    Opened {
        /// As it reports.
        version: String,
        /// CPUs that the worker may run on, as the system lists them.
        cpus: Option<String>,
    },
    /// A product is ready.
    ProductReady {
        /// As the engine reports.
        implementation: String,
        /// How far from the exact result it is.
        agreement: Agreement,
    },
    /// A model is loaded.
    Loaded,
    /// A batch is ready.
    BatchReady {
        /// As the engine reports.
        implementation: String,
        /// The embeddings of the batch, bits of f32.
        embeddings: Vec<Vec<u32>>,
    },
    /// What the threads did.
    Proof(Proof),
    /// Seconds per call, one per sample.
    Samples(Vec<f64>),
    /// Seconds of every call, and of all together.
    Latencies {
        /// Of each call.
        calls: Vec<f64>,
        /// From the first to the last.
        elapsed: f64,
    },
    /// Kind of kernel, and microseconds; nothing from engines that cannot tell.
    Breakdown(Option<Vec<(String, f64)>>),
    /// It did not work, in one line. Later requests may.
    Failed(String),
}

/// Which product; seeded, so that every worker makes the same operands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProductSpec {
    /// M, output features.
    pub(crate) m: usize,
    /// K, input features.
    pub(crate) k: usize,
    /// N, tokens.
    pub(crate) n: usize,
    /// Block shape of the zeros, by name.
    pub(crate) block: String,
    /// Fraction of blocks that are zero.
    pub(crate) sparsity: f64,
    /// What is stored.
    pub(crate) output: OutputKind,
    /// Of weights; activations take the next one.
    pub(crate) seed: u64,
}

/// How far a product is from the exact result, in steps of the 8-bit output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Agreement {
    /// The largest distance. Not a number if the engine stored one.
    pub(crate) max_bits: u64,
    /// The mean distance.
    pub(crate) mean_bits: u64,
    /// The largest that is right.
    pub(crate) bound: f64,
}

impl Agreement {
    pub(crate) fn new(max: f64, mean: f64, bound: f64) -> Agreement {
        Agreement { max_bits: max.to_bits(), mean_bits: mean.to_bits(), bound }
    }

    pub(crate) fn max(&self) -> f64 {
        f64::from_bits(self.max_bits)
    }

    pub(crate) fn mean(&self) -> f64 {
        f64::from_bits(self.mean_bits)
    }

    /// Whether the result is right; never if it is not a number.
    pub(crate) fn holds(&self) -> bool {
        self.max() <= self.bound
    }
}

/// What the threads of a worker did while it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// Threads that computed; nothing where the system does not tell.
    pub(crate) threads: Option<usize>,
    /// CPU time over wall time.
    pub(crate) cores_busy: Option<f64>,
}

/// Cores beyond those asked for that may be noise of the measurement.
const TOLERANCE: f64 = 0.25;

impl Proof {
    /// Whether more was computed at a time than `threads` threads can: an unfair advantage. An engine that divides the work of
    /// T threads among more of them, one waiting while the other computes, has none.
    pub(crate) fn exceeds(&self, threads: usize) -> bool {
        match self.cores_busy {
            Some(cores) => cores > threads as f64 + TOLERANCE,
            None => self.threads.is_some_and(|used| used > threads),
        }
    }
}

/// Floats as bits.
pub(crate) fn to_bits(vectors: &[Vec<f32>]) -> Vec<Vec<u32>> {
    vectors.iter().map(|vector| vector.iter().map(|x| x.to_bits()).collect()).collect()
}

/// Bits as floats.
pub(crate) fn from_bits(vectors: &[Vec<u32>]) -> Vec<Vec<f32>> {
    vectors.iter().map(|vector| vector.iter().map(|&x| f32::from_bits(x)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_take_turns_are_no_advantage() {
        let proof = |threads, cores_busy| Proof { threads, cores_busy };
        assert!(!proof(Some(3), Some(1.9)).exceeds(2) && !proof(Some(1), Some(1.0)).exceeds(2));
        assert!(proof(Some(2), Some(1.9)).exceeds(1) && proof(Some(2), None).exceeds(1));
        assert!(!proof(None, None).exceeds(1));
    }

    #[test]
    fn what_is_not_a_number_travels_and_never_agrees() {
        let agreement = Agreement::new(f64::NAN, f64::INFINITY, 0.6);
        let line = serde_json::to_string(&Reply::ProductReady { implementation: "x".into(), agreement }).unwrap();
        let Reply::ProductReady { agreement: back, .. } = serde_json::from_str(&line).unwrap() else {
            panic!("{line}")
        };
        assert!(back.max().is_nan() && back.mean().is_infinite() && !back.holds());
        assert!(Agreement::new(0.6, 0.2, 0.6).holds() && !Agreement::new(0.61, 0.2, 0.6).holds());
        let vectors = vec![vec![f32::NAN, -0.0], vec![]];
        let back = from_bits(&to_bits(&vectors));
        assert!(back[0][0].is_nan() && back[0][1].is_sign_negative() && back[1].is_empty());
    }
}
