//! A graph in the making.

use super::graph::Graph;
use crate::calibrated::CalibratedModel;
use crate::codes::FileCodes;
use crate::config::EncoderConfig;

/// How linear layers compute.
#[derive(Clone, Copy)]
pub(super) enum Arithmetic<'a> {
    /// In f32.
    Float,
    /// In int8; the range of every activation is found while the model runs.
    Dynamic,
    /// In int8; ranges come from calibration. Every scale of an activation is the same: others are refused before.
    Static(&'a CalibratedModel),
}

impl Arithmetic<'_> {
    /// Bytes of one weight.
    pub(super) fn weight_bytes(self) -> usize {
        match self {
            Arithmetic::Float => 4,
            Arithmetic::Dynamic | Arithmetic::Static(_) => 1,
        }
    }
}

/// A graph that grows from the inputs to the outputs.
pub(super) struct Exporter<'a> {
    pub(super) graph: Graph,
    pub(super) config: &'a EncoderConfig,
    pub(super) arithmetic: Arithmetic<'a>,
    /// Codes of weights that the model came with.
    pub(super) codes: Option<&'a FileCodes>,
}
