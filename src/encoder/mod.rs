//! The compiled encoder: sentences in, embeddings out.

mod buffers;
mod counts;
#[allow(clippy::module_inception)]
mod encoder;
mod forward;
mod pool;
mod profile;
mod run;
mod saturation;
mod session;

pub use self::encoder::{Embeddings, Encoder, Truncation};
pub use self::profile::Profile;
pub use self::saturation::{Saturation, TensorSaturation};
pub use self::session::{Cancel, Session};

pub(crate) use self::encoder::EncoderParts;
