//! Options that many requests have.

use lacuna::tokens::TruncationSide;
use serde::Deserialize;

use crate::prepare::{Reading, Truncate};

/// Which end of a long text is cut.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) enum Direction {
    #[serde(alias = "left")]
    Left,
    #[serde(alias = "right")]
    Right,
}

/// How texts are read.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ReadingOptions {
    truncate: Option<bool>,
    truncation_direction: Option<Direction>,
    prompt_name: Option<String>,
}

impl From<ReadingOptions> for Reading {
    fn from(options: ReadingOptions) -> Reading {
        let side = options.truncation_direction.map(|direction| match direction {
            Direction::Left => TruncationSide::Left,
            Direction::Right => TruncationSide::Right,
        });
        let truncate = Truncate { wanted: options.truncate, side };
        Reading { prompt: options.prompt_name, truncate, is_typed: false }
    }
}
