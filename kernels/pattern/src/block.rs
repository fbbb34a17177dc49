//! Block shapes: how the zeros of a weight matrix are grouped.

use std::fmt;

/// The shape of one block of weights that is kept or dropped as a whole, as `outputs x inputs`.
///
/// A weight matrix is `[M][K]`: M output features, K input features. Model cards on the hub often
/// name the same shapes the other way round: their "1x4 block" is [`Block::B4x1`] here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Block {
    /// 4 output features of one input feature. The shape the SpMM kernels run natively.
    B4x1,
    /// 4 input features of one output feature.
    B1x4,
    /// 4 output features by 4 input features.
    B4x4,
    /// 8 output features of one input feature.
    B8x1,
    /// 16 output features of one input feature.
    B16x1,
    /// Single weights; run as 4x1 with explicit zeros and a reported fill ratio.
    Unstructured,
    /// No zeros are skipped.
    Dense,
}

impl Block {
    /// Every shape the format can say.
    pub const ALL: [Block; 7] =
        [Block::B4x1, Block::B1x4, Block::B4x4, Block::B8x1, Block::B16x1, Block::Unstructured, Block::Dense];

    /// Output features in one block.
    pub fn outputs(self) -> usize {
        match self {
            Block::B4x1 | Block::B4x4 => 4,
            Block::B8x1 => 8,
            Block::B16x1 => 16,
            Block::B1x4 | Block::Unstructured | Block::Dense => 1,
        }
    }

    /// Input features in one block.
    pub fn inputs(self) -> usize {
        match self {
            Block::B1x4 | Block::B4x4 => 4,
            Block::B4x1 | Block::B8x1 | Block::B16x1 | Block::Unstructured | Block::Dense => 1,
        }
    }

    /// The name used in kernel names, options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Block::B4x1 => "4x1",
            Block::B1x4 => "1x4",
            Block::B4x4 => "4x4",
            Block::B8x1 => "8x1",
            Block::B16x1 => "16x1",
            Block::Unstructured => "unstructured",
            Block::Dense => "dense",
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Block> for String {
    fn from(block: Block) -> String {
        block.name().to_owned()
    }
}

impl TryFrom<String> for Block {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl std::str::FromStr for Block {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Block::ALL.into_iter().find(|b| b.name() == s).ok_or_else(|| {
            let known: Vec<&str> = Block::ALL.iter().map(|b| b.name()).collect();
            format!("unknown block shape {s:?}; expected one of {}", known.join(", "))
        })
    }
}
