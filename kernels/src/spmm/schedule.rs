//! The decisions that change how fast a kernel is.

use lacuna_jit::Isa;

/// The decisions that change how fast a kernel is, never what it computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Schedule {
    /// Vectors of 16 columns that one pass over the weights computes: a divisor of 4. With 1x4 blocks and fewer than 4, a pass
    /// first copies its part of X to rows without gaps.
    pub vectors: usize,
    /// Groups per iteration of the inner loop: 1 or 2.
    pub unroll: usize,
    /// Tails of up to this many columns (0, 16 or 32) first pack their rows of X densely (4x1 blocks only). One row block at a time, vectors
    /// then hold columns of two or four groups.
    pub narrow: usize,
    /// Whether tails of up to 32 columns compute several row blocks in one loop (4x1 blocks only).
    #[serde(default)]
    pub abreast: Abreast,
    /// Row blocks that share interleaved rows of X where their lists are equal: 4 for 16x1 blocks, 2 for 8x1 blocks, else 0.
    #[serde(default)]
    pub shared: usize,
    /// Whether the next tile of X is prefetched into L2 while this one is computed, and in loops over several row blocks the lists of the next.
    pub prefetch: bool,
}

/// Whether tails of up to 32 columns compute several row blocks in one loop: four of 16 columns, two of 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Abreast {
    /// One row block after the other.
    #[default]
    No,
    /// Several, with a broadcast for the weights of each output.
    Broadcast,
    /// Several, with one load for the weights of all outputs, which shuffles take apart.
    Shuffle,
}

impl Abreast {
    /// How weights are loaded.
    pub(super) fn weights(self) -> WeightLoads {
        match self {
            Abreast::No | Abreast::Broadcast => WeightLoads::Broadcast,
            Abreast::Shuffle => WeightLoads::Shuffle,
        }
    }
}

/// How the weights of a group are brought to all lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WeightLoads {
    /// A broadcast for each output.
    Broadcast,
    /// One load for all, and a shuffle for each.
    Shuffle,
}

impl Schedule {
    /// The schedule that `isa` has for this one. With 256 bits a pass is always 16 columns wide, one row block follows the other, tails are
    /// not packed, and nothing is prefetched.
    pub(super) fn on(self, isa: Isa) -> Schedule {
        match isa {
            Isa::Avx2(_) => Schedule {
                vectors: 1,
                narrow: 0,
                abreast: Abreast::No,
                shared: 0,
                prefetch: false,
                unroll: self.unroll,
            },
            Isa::Avx512Vnni(_) | Isa::Portable => self,
        }
    }

    /// The name used in kernel names: `v4u1`, `v4u2-narrow16-abreast-shuffle-prefetch`.
    pub fn name(&self) -> String {
        let Schedule { vectors, unroll, narrow, abreast, shared, prefetch } = self;
        let narrow = if *narrow > 0 { format!("-narrow{narrow}") } else { String::new() };
        let abreast = match abreast {
            Abreast::No => "",
            Abreast::Broadcast => "-abreast",
            Abreast::Shuffle => "-abreast-shuffle",
        };
        let shared = if *shared > 0 { format!("-shared{shared}") } else { String::new() };
        let prefetch = if *prefetch { "-prefetch" } else { "" };
        format!("v{vectors}u{unroll}{narrow}{abreast}{shared}{prefetch}")
    }
}
