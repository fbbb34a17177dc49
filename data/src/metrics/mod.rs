//! Metrics: numbers from gold and predicted labels, spans, answers and orders. None of them knows a model.

pub(super) mod answers;
pub(super) mod classes;
pub(super) mod ranking;
pub(super) mod spans;
