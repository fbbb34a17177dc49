//! Models of the Hugging Face hub: fetched once into the hub's cache, then read like any folder.
//!
//! ```no_run
//! use lacuna_model::{Model, hub};
//!
//! # fn main() -> lacuna_model::Result<()> {
//! let name: hub::HubModel = "sentence-transformers/all-MiniLM-L6-v2".parse()?;
//! let snapshot = hub::fetch(&name, &hub::HubOptions::from_env(), &mut ())?;
//! let model = Model::open(&snapshot.folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! Only the files that [`Model::open`](crate::Model::open) and [`Model::head`](crate::Model::head) read are downloaded. The
//! cache is the one that the hub's own tools use (`~/.cache/huggingface/hub`, unless the hub's variables name another), in their layout. Files that they downloaded are not downloaded
//! again. A model that is in the cache is used without a request. If its branch has moved, this is noticed only if the cache
//! has no file of it. If that matters, name a commit as the revision.
//!
//! Needs the cargo feature `hub`, whose TLS library needs a C compiler to build. Without the feature, [`fetch`] is an error that names it.

#[cfg(feature = "hub")]
mod cached;
#[cfg(feature = "hub")]
mod client;
mod env;
mod fetch;
#[cfg(feature = "hub")]
mod files;
mod folder;
mod model;

pub use self::fetch::fetch;
pub use self::folder::model_folder;
pub use self::model::{FetchProgress, HubModel, HubOptions, Snapshot};
