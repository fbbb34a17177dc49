//! Weight files that want to do harm, or were damaged on the way: never a panic, a hang, memory without bound, or code that runs.

mod bounds;
mod graphs;
mod hostile;
mod mutated;
mod pickle;
// The library's own: its messages are private.
#[allow(dead_code)]
#[path = "../../src/proto.rs"]
mod proto;

#[global_allocator]
static ALLOCATOR: bounds::Counting = bounds::Counting;
