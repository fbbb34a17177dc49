//! Several models in one picture: how well each does a task, against how long it takes.

mod measure;
mod page;
mod points;

pub(super) use self::measure::pareto;
