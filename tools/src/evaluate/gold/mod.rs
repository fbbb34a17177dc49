//! Files of gold answers: how each is read, which task it is for, and what is counted. One file per kind.

mod labelled;
mod line;
mod questions;
mod ranked;
mod tagged;
mod tags;
mod traits;

pub(crate) use self::labelled::Labelled;
pub(super) use self::questions::Questions;
pub(super) use self::ranked::RankedQueries;
pub(super) use self::tagged::Tagged;
pub(crate) use self::traits::Gold;
pub(super) use self::traits::Score;
