//! From requests to batches: the queue, and the threads that compute.

mod pool;
mod queue;
mod work;

pub(crate) use self::pool::Pool;
pub use self::pool::{PoolOptions, PoolSnapshot};
pub(crate) use self::work::{Output, Sequence, Want};
