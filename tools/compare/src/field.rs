//! Which engines take part: those that are asked for, can do the work, and are there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lacuna_console::context::{Context, cores};
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Spinner;
use lacuna_jit::Tier;

use super::engine::{EngineId, Library};
use super::error::EngineError;
use super::launch::{Launch, NoAnswer};
use super::locate::{Found, SharedLibrary, Surroundings, locate};
use super::measure::Slot;
use super::options::{Libraries, Options};
use super::threads::check_cpus;

/// The engines of a comparison, and why others are not among them.
pub(crate) struct Field {
    present: Vec<(EngineId, Option<PathBuf>)>,
    /// Engine, and how to get it.
    pub(crate) absent: Vec<(String, String)>,
    /// [`Options::asked`].
    pub(crate) asked: Vec<Vec<EngineId>>,
    pin: Vec<usize>,
    patience: std::time::Duration,
    tier: Tier,
}

/// Where an engine's code comes from.
#[derive(Debug, Clone)]
pub(crate) enum Presence {
    /// Built into this command.
    BuiltIn,
    /// A shared library.
    File(Found),
}

/// Looks for an engine.
///
/// # Errors
/// [`EngineError::NotBuilt`], [`EngineError::NotFound`].
pub(crate) fn presence(
    id: EngineId,
    libraries: &Libraries,
    surroundings: &Surroundings,
) -> Result<Presence, EngineError> {
    let library = id.library();
    if let Some(feature) = library.feature().filter(|_| !library.is_built()) {
        return Err(EngineError::NotBuilt { engine: id.name(), feature });
    }
    let file = match library {
        Library::OneDnn => locate(SharedLibrary::OneDnn, libraries.onednn.as_deref(), surroundings),
        Library::OnnxRuntime => locate(SharedLibrary::OnnxRuntime, libraries.onnxruntime.as_deref(), surroundings),
        Library::Lacuna | Library::Rten | Library::Candle | Library::Gemm => return Ok(Presence::BuiltIn),
    };
    Ok(Presence::File(file?))
}

impl Field {
    /// Finds the engines that `able` holds for; starts none.
    ///
    /// # Errors
    /// [`Error::Argument`] for CPUs that do not fit or that this process may not use, for engines that were asked for and are not
    /// there, and if no engine is left.
    pub(crate) fn new(options: &Options, context: &Context, able: impl Fn(EngineId) -> bool + Copy) -> Result<Field> {
        let most_threads = context.thread_counts().iter().copied().max().unwrap_or(1);
        if !options.pin.is_empty() && options.pin.len() < most_threads {
            let (found, expected) =
                (super::threads::list(&options.pin), format!("a CPU for each of {most_threads} threads"));
            return Err(Error::Argument { option: "--pin", found, expected });
        }
        check_cpus(&options.pin)?;
        let surroundings = Surroundings::of_process();
        let mut field = Field {
            present: Vec::new(),
            absent: Vec::new(),
            asked: options.asked(able),
            pin: options.pin.clone(),
            patience: options.patience,
            tier: context.tier,
        };
        if let Some(id) = options.unable(able).first() {
            let expected = "an engine that takes part in this comparison".to_owned();
            return Err(Error::Argument { option: "--engines", found: id.name().to_owned(), expected });
        }
        let mut reasons: BTreeMap<Library, String> = BTreeMap::new();
        for id in options.engines(able) {
            match presence(id, &options.libraries, &surroundings) {
                Ok(Presence::BuiltIn) => field.present.push((id, None)),
                Ok(Presence::File(found)) => field.present.push((id, Some(found.path))),
                Err(error) => {
                    reasons.entry(id.library()).or_insert_with(|| error.to_string());
                }
            }
        }
        let is_there = |id: &EngineId| field.present.iter().any(|(present, _)| present == id);
        if let Some(missing) = field.asked.iter().find(|set| !set.iter().any(is_there)) {
            let (id, why) = (missing[0], reasons.get(&missing[0].library()));
            let (found, expected) = (
                format!("{}, which is not there", id.name()),
                format!("an engine that is there: {}", why.cloned().unwrap_or_default()),
            );
            return Err(Error::Argument { option: "--engines", found, expected });
        }
        field.absent.extend(reasons.into_iter().map(|(library, reason)| (library.name().to_owned(), reason)));
        match field.present.is_empty() {
            false => Ok(field),
            true => Err(Error::Argument {
                option: "--engines",
                found: "none that can run".to_owned(),
                expected: field
                    .absent
                    .iter()
                    .map(|(name, why)| format!("{name}: {why}"))
                    .collect::<Vec<_>>()
                    .join("; "),
            }),
        }
    }

    /// The names of [`Field::asked`].
    pub(crate) fn asked_names(&self) -> Vec<Vec<&'static str>> {
        self.asked.iter().map(|set| set.iter().map(|id| id.name()).collect()).collect()
    }

    /// The engines that are there.
    pub(crate) fn engines(&self) -> impl Iterator<Item = EngineId> {
        self.present.iter().map(|(id, _)| *id)
    }

    /// Starts a worker for every engine. Those that cannot be opened are absent from now on.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; [`Error::Check`] if none is left.
    pub(crate) fn start(&mut self, threads: usize) -> Result<Vec<Slot>> {
        let mut slots = Vec::with_capacity(self.present.len());
        let mut lost = Vec::new();
        for (id, library) in &self.present {
            let _spinner = Spinner::new(format!("opening {}", id.name()));
            match Slot::start(self.launch(*id, library.clone(), threads, 0)) {
                Ok(slot) => slots.push(slot),
                Err(NoAnswer::Interrupted) => return Err(Error::Interrupted),
                Err(NoAnswer::Failed(why) | NoAnswer::Lost(why)) => lost.push((*id, why)),
            }
        }
        self.present.retain(|(id, _)| lost.iter().all(|(lost, _)| lost != id));
        self.absent.extend(lost.into_iter().map(|(id, why)| (id.name().to_owned(), why)));
        match slots.is_empty() {
            false => Ok(slots),
            true => Err(Error::Check(format!(
                "no engine could be opened: {}",
                self.absent.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ")
            ))),
        }
    }

    /// Starts `instances` workers of one engine, each on CPUs of its own if they are bound.
    pub(crate) fn start_instances(
        &self,
        id: EngineId,
        threads: usize,
        instances: usize,
    ) -> Result<Vec<Slot>, NoAnswer> {
        let library = self.present.iter().find(|(present, _)| *present == id).and_then(|(_, library)| library.clone());
        (0..instances).map(|instance| Slot::start(self.launch(id, library.clone(), threads, instance))).collect()
    }

    fn launch(&self, engine: EngineId, library: Option<PathBuf>, threads: usize, instance: usize) -> Launch {
        let pin = self.pin.iter().skip(instance * threads).take(threads).copied().collect();
        Launch { engine, library, threads, pin, tier: self.tier, patience: self.patience }
    }

    /// CPUs that instances may share.
    pub(crate) fn cores(&self) -> usize {
        if self.pin.is_empty() { cores() } else { self.pin.len() }
    }
}
