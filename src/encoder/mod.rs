//! The compiled encoder: sentences in, embeddings out.

mod buffers;
#[allow(clippy::module_inception)]
mod encoder;
mod forward;
mod pool;
mod profile;
mod run;
mod session;

pub use self::encoder::{Embeddings, Encoder, Truncation};
pub use self::profile::Profile;
pub use self::session::{Cancel, Session};

pub(crate) use self::encoder::EncoderParts;
