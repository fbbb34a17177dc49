//! From a dense model to a sparse one: pruning, training, packing and measuring as one call.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use lacuna_compress::{Options, Stop, compress};
//!
//! # fn main() -> lacuna_compress::Result<()> {
//! let mut options = Options::new("all-MiniLM-L6-v2", "minilm-80");
//! options.sparsity = Some(0.8);
//! options.data = vec!["texts.txt".into()];
//! let summary = compress(&options, &mut (), Stop::never())?;
//! println!("{:.1} % of the weights are zero", summary.zeros * 1e2);
//! # Ok(())
//! # }
//! ```
//!
//! [`Options`] say what is done, and hold the defaults. An [`Observer`] is told what happens. [`Stop`] ends a run early. The crate writes the result and its
//! checkpoint; it prints nothing and listens to no signal.
//!
//! Messages write an option in backticks, as its field is called: `` `train_pairs` ``. A command replaces that by its own
//! spelling with [`dashed`](lacuna_data::words::dashed); the names are [`OPTIONS`].
//!
//! | file | holds |
//! | --- | --- |
//! | `run.rs` | the steps of a run, in order |
//! | `options.rs`, `bounds.rs`, `checks.rs`, `reach.rs` | what is asked for, and what is refused |
//! | `observer.rs`, `event.rs`, `stop.rs` | what is said while it runs, and how it ends early |
//! | `texts.rs`, `dev.rs` | the texts that are trained on, and those that are measured on |
//! | `choose.rs`, `auto.rs`, `target.rs`, `plan.rs` | which matrix is pruned how |
//! | `pruning.rs`, `structure.rs`, `gradual.rs`, `training.rs`, `heads.rs` | the work |
//! | `times/` | how long a model takes on this machine |
//! | `out.rs`, `card.rs`, `identity.rs`, `summary.rs` | the result and its files |

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]
#![deny(unsafe_code)]

mod auto;
mod bounds;
mod card;
mod checks;
mod choose;
mod dev;
mod error;
mod event;
mod gradual;
mod heads;
mod identity;
mod memory;
mod observer;
mod options;
mod out;
mod plan;
mod pruning;
mod reach;
mod room;
mod run;
mod stop;
mod structure;
mod summary;
mod target;
mod texts;
mod threads;
pub mod times;
mod training;

pub use bounds::HIGHEST;
pub use dev::Metric;
pub use error::{Error, Result};
pub use event::Event;
pub use gradual::Gradual;
pub use observer::{Observer, Stage};
pub use options::{
    BATCH, CALIBRATION_TOKENS, LEARNING_RATE, Method, NEW_HEAD_LEARNING_RATE, OPTIONS, Options, Rounding, SEQ, Shape,
    TEMPERATURE,
};
pub use plan::{Candidate, Plan, Planned};
pub use run::{Prepared, compress, prepare};
pub use stop::Stop;
pub use structure::{Change, Cut};
pub use summary::{Figures, MatrixSummary, Summary};
pub use texts::{Sequence, Source, Texts, Used};
