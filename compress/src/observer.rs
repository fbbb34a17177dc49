//! What a run says while it goes on.

use std::fmt;
use std::path::PathBuf;

use crate::event::Event;
use crate::plan::Plan;
use crate::times::Times;

/// Is told what happens. `()` hears nothing.
pub trait Observer {
    /// A stage begins. Another one may begin and end within it.
    fn begin(&mut self, stage: &Stage) {
        let _ = stage;
    }

    /// The stage that began last has ended, in whatever way.
    fn end(&mut self) {}

    /// What was inferred or done.
    fn remark(&mut self, text: &str) {
        let _ = text;
    }

    /// What makes the result doubtful.
    fn warning(&mut self, text: &str) {
        let _ = text;
    }

    /// A figure.
    fn event(&mut self, event: &Event) {
        let _ = event;
    }

    /// Kernels were timed, and their times decide what is pruned how.
    fn times(&mut self, times: &Times) {
        let _ = times;
    }

    /// It was decided by measured times what is pruned how.
    fn plan(&mut self, plan: &Plan) {
        let _ = plan;
    }
}

impl Observer for () {}

/// A part of a run that takes a while.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Reading the model in this folder.
    Model(PathBuf),
    /// Reading and tokenizing texts.
    Texts,
    /// Ordering neurons and features of heads.
    Order,
    /// Removing heads and neurons, with an event for each layer.
    Cut,
    /// Timing kernels.
    Kernels,
    /// Timing a model.
    Timing,
    /// Pruning, with events for each matrix and layer.
    Prune,
    /// Training, with an event for each step.
    Train,
    /// Calibrating and packing the result.
    Pack,
    /// Running the result on the pairs or the labelled texts.
    Run,
    /// Writing the result.
    Write,
}

impl Stage {
    /// Its name for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Stage::Model(_) => "model",
            Stage::Texts => "texts",
            Stage::Order => "order",
            Stage::Cut => "cut",
            Stage::Kernels => "kernels",
            Stage::Timing => "timing",
            Stage::Prune => "prune",
            Stage::Train => "train",
            Stage::Pack => "pack",
            Stage::Run => "run",
            Stage::Write => "write",
        }
    }

    /// Whether events or remarks show how far it is.
    pub const fn has_events(&self) -> bool {
        matches!(self, Stage::Cut | Stage::Prune | Stage::Train)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Model(path) => write!(f, "reading {}", path.display()),
            Stage::Texts => f.write_str("reading texts"),
            Stage::Order => f.write_str("ordering neurons and head features"),
            Stage::Cut => f.write_str("removing heads and neurons"),
            Stage::Kernels => f.write_str("timing kernels"),
            Stage::Timing => f.write_str("timing the model"),
            Stage::Prune => f.write_str("pruning"),
            Stage::Train => f.write_str("training"),
            Stage::Pack => f.write_str("calibrating and packing"),
            Stage::Run => f.write_str("running the result"),
            Stage::Write => f.write_str("writing"),
        }
    }
}

/// Does the work of a stage.
pub(crate) fn during<T>(observer: &mut dyn Observer, stage: &Stage, work: impl FnOnce() -> T) -> T {
    observer.begin(stage);
    let done = work();
    observer.end();
    done
}

/// The same for work that has something to say.
pub(crate) fn during_with<T>(
    observer: &mut dyn Observer,
    stage: &Stage,
    work: impl FnOnce(&mut dyn Observer) -> T,
) -> T {
    observer.begin(stage);
    let done = work(observer);
    observer.end();
    done
}
