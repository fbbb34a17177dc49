//! What the routes of all protocols share.

mod answer;
mod body;
mod dialect;
mod inputs;
mod layers;
#[cfg(feature = "otlp")]
mod traces;

pub(crate) use self::answer::Answer;
pub(crate) use self::body::{Body, bytes, refused};
pub(crate) use self::dialect::Dialect;
pub(crate) use self::inputs::{Inputs, PairInputs};
pub(crate) use self::layers::{
    authorize, deadline, describe_encoding, no_route, observe, panicked, write_errors, wrong_method,
};
