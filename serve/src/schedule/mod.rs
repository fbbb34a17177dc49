//! From requests to batches: the queue, and the threads that compute.

mod options;
mod pool;
mod queue;
mod running;
mod work;

pub use self::options::{PoolOptions, PoolSnapshot};
pub(crate) use self::pool::{Places, Pool};
pub(crate) use self::work::{Output, Sequence, Want};
