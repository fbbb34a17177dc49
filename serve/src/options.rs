//! How a server runs, and why it does not start.

use rayon::ThreadPoolBuildError;

use crate::limits::Limits;
use crate::model::ServedModel;
use crate::schedule::PoolOptions;

/// Loads the model of a name again.
pub type Reload = Box<dyn Fn(&str) -> std::result::Result<ServedModel, String> + Send + Sync>;

/// How a server runs.
pub struct ServerOptions {
    /// How many threads compute.
    pub pool: PoolOptions,
    /// What it takes at most.
    pub limits: Limits,
    /// The keys of which requests must give one; empty asks for none.
    pub api_keys: Vec<String>,
    /// How models are loaded again; `None` refuses to.
    pub reload: Option<Reload>,
}

impl Default for ServerOptions {
    /// One instance of one thread for each CPU that the process is granted.
    fn default() -> ServerOptions {
        let instances = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pool = PoolOptions { instances, threads: 1 };
        ServerOptions { pool, limits: Limits::default(), api_keys: Vec::new(), reload: None }
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is nothing to serve.
    #[error("found no model; expected at least one")]
    NoModel,
    /// Two models of one name.
    #[error("found two models of the name {name:?}; expected different names")]
    SameName {
        /// The name.
        name: String,
    },
    /// A request that is allowed would never find room in the queue.
    #[error("queue: found room for {queue} texts; expected at least the {texts} texts that a request may have")]
    ShortQueue {
        /// Texts of the queue.
        queue: usize,
        /// Texts of a request.
        texts: usize,
    },
    /// The model does not compute.
    #[error("measuring instances and threads: {reason}")]
    Tune {
        /// Why.
        reason: String,
    },
    /// The threads.
    #[error("found no threads to compute on: {0}")]
    Threads(#[from] ThreadPoolBuildError),
}
