//! What instructions occupy while they execute: classes of execution units, and counts of them.
//!
//! Every row of the encoder has a class. A count of the classes of a loop, with how many of each a CPU executes per cycle, gives the
//! least number of cycles that the loop can take.
//!
//! The classes are as fine as the inner loops of kernels need. What a class leaves out makes a count too small, never too large:
//! shifts and conversions count as any vector operation, and a division counts as one multiplication.
//!
//! Source: uops.info for Ice Lake and Zen 4, 512-bit forms, and docs/measurements.md for Zen 5.

use std::ops::{AddAssign, Sub};

/// The class of execution units that an instruction needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortClass {
    /// Dot products and multiplications: ports 0 and 5 of Intel's cores, two of AMD's four pipes.
    Dot,
    /// Unpacks, packs, permutations, and results in mask registers: port 5 of Intel's cores, two of Zen 4's four pipes.
    Shuffle,
    /// Two shuffles, as permutations of words and bytes of two registers are.
    ShuffleTwice,
    /// Any other vector operation.
    Alu,
    /// A load, a store, or a copy of a register.
    Move,
    /// A broadcast: of memory a load, of a register a shuffle.
    Broadcast,
    /// An insertion of a part: of memory a load and a blend, of a register a shuffle.
    Insert,
}

/// How an instruction uses memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Registers only.
    None,
    /// It reads an operand.
    Load,
    /// It writes its result.
    Store,
}

impl PortClass {
    /// What one vector instruction of this class counts.
    #[inline]
    pub const fn counts(self, access: Access) -> PortCounts {
        let load = matches!(access, Access::Load);
        let (mut dot, mut shuffle, mut alu) = (0, 0, 0);
        match self {
            PortClass::Dot => dot = 1,
            PortClass::Shuffle => shuffle = 1,
            PortClass::ShuffleTwice => shuffle = 2,
            PortClass::Alu => alu = 1,
            PortClass::Move => alu = matches!(access, Access::None) as u32,
            PortClass::Broadcast => shuffle = !load as u32,
            PortClass::Insert if load => alu = 1,
            PortClass::Insert => shuffle = 1,
        }
        let store = matches!(access, Access::Store) as u32;
        PortCounts { dot, shuffle, alu, load: load as u32, store, vector: 1, scalar: 0 }
    }
}

/// Operations of some code by class, and its instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortCounts {
    /// Dot products and multiplications.
    pub dot: u32,
    /// Shuffles.
    pub shuffle: u32,
    /// Other vector operations.
    pub alu: u32,
    /// Loads of vectors, and of elements that are broadcast or inserted.
    pub load: u32,
    /// Stores of vectors.
    pub store: u32,
    /// Vector instructions. One instruction may be a load and an operation.
    pub vector: u32,
    /// Scalar instructions. A conditional jump is not counted, because it executes together with the instruction before it.
    pub scalar: u32,
}

impl PortCounts {
    /// All instructions.
    pub fn instructions(self) -> u32 {
        self.vector + self.scalar
    }
}

impl AddAssign for PortCounts {
    #[inline]
    fn add_assign(&mut self, other: PortCounts) {
        self.dot += other.dot;
        self.shuffle += other.shuffle;
        self.alu += other.alu;
        self.load += other.load;
        self.store += other.store;
        self.vector += other.vector;
        self.scalar += other.scalar;
    }
}

impl Sub for PortCounts {
    type Output = PortCounts;

    /// What was counted since `earlier`.
    fn sub(self, earlier: PortCounts) -> PortCounts {
        PortCounts {
            dot: self.dot - earlier.dot,
            shuffle: self.shuffle - earlier.shuffle,
            alu: self.alu - earlier.alu,
            load: self.load - earlier.load,
            store: self.store - earlier.store,
            vector: self.vector - earlier.vector,
            scalar: self.scalar - earlier.scalar,
        }
    }
}
