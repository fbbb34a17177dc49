//! A graph, run on a few sample tokens.
//!
//! Tracing understands a graph by its form. Running it finds what form alone does not show: a mask that hides more than padding, positions
//! in another order, a value that was changed behind a layer. Codes are not rounded here, and nothing saturates, so a quantised graph gives
//! what its f32 weights give. Memory and time are bounded by the size of the file.
//!
//! Without numbers, only what does not depend on looked-up rows is computed: masks and positions of long inputs cost little then.

mod elementwise;
mod masks;
mod movement;
mod product;
mod reduce;
mod runner;
mod shapes;
mod value;

pub(super) use self::masks::{hides_nothing, is_even};
pub(super) use self::runner::{Feed, Runner};
pub(super) use self::value::Value;
