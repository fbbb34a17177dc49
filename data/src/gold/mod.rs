//! Files of gold answers: how each is read, which task it is for, and what is counted. One file per kind.

mod labelled;
mod line;
mod questions;
mod ranked;
mod tagged;
mod tags;
mod traits;

pub use self::labelled::Labelled;
pub use self::questions::Questions;
pub use self::ranked::RankedQueries;
pub use self::tagged::Tagged;
pub use self::traits::{Gold, Score};
