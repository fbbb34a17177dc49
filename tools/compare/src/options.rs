//! Options that the comparisons share.

use std::path::PathBuf;
use std::time::Duration;

use lacuna_console::args;

use super::engine::{EngineId, Library};

/// Which engines, and how they are measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Engines by name, or all of a library: lacuna, onednn, onnxruntime, rten, candle, gemm [default: all that are there]
    #[arg(long, value_name = "E,..", value_delimiter = ',', value_parser = EngineSet::parse)]
    engines: Vec<EngineSet>,

    #[command(flatten)]
    pub(crate) libraries: Libraries,

    /// CPUs to run on: an engine with T threads gets the first T of them [default: not bound]
    #[arg(long, value_name = "CPU,..", value_delimiter = ',')]
    pub(crate) pin: Vec<usize>,

    /// Seed of weights, activations and token ids
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Seconds that an engine may take for one answer before it is taken for dead
    #[arg(long, value_name = "S", default_value = "300", value_parser = patience)]
    pub(crate) patience: Duration,

    /// Print as JSON
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,

    /// Print as CSV
    #[arg(long)]
    pub(crate) csv: bool,
}

/// Where shared libraries are.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Libraries {
    /// oneDNN's shared library [default: LACUNA_ONEDNN, the active Python environment, the system's folders]
    #[arg(long, value_name = "FILE")]
    pub(crate) onednn: Option<PathBuf>,

    /// ONNX Runtime's shared library [default: LACUNA_ONNXRUNTIME, the active Python environment, the system's folders]
    #[arg(long, value_name = "FILE")]
    pub(crate) onnxruntime: Option<PathBuf>,
}

/// How long each subject is measured.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Effort {
    /// Rounds per subject; in a round every engine takes a few samples
    #[arg(long, value_name = "R", default_value_t = 25, value_parser = args::at_least_one)]
    pub(crate) rounds: usize,

    /// Seconds per subject after which no new round begins, once there are five
    #[arg(long, value_name = "S", default_value_t = 15.0, allow_hyphen_values = true, value_parser = args::positive)]
    pub(crate) budget: f64,
}

/// A comparison in rounds, and what becomes of it.
#[derive(clap::Args)]
pub(crate) struct Rounds {
    #[command(flatten)]
    pub(crate) effort: Effort,

    /// Write a page with machine facts, tables and charts
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) options: Options,
}

/// What one name in `--engines` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct EngineSet(Vec<EngineId>);

impl EngineSet {
    fn parse(text: &str) -> Result<EngineSet, String> {
        let of = |matches: &dyn Fn(EngineId) -> bool| -> Vec<EngineId> {
            EngineId::all().filter(|&id| matches(id)).collect()
        };
        let one = of(&|id| id.name() == text);
        let family = of(&|id| id.library().name() == text);
        // `lacuna` is an engine and a library: the library's other engines are its own yardsticks.
        match (text == "lacuna", one.is_empty(), family.is_empty()) {
            (true, ..) | (_, true, false) => Ok(EngineSet(family)),
            (_, false, _) => Ok(EngineSet(one)),
            _ => {
                let names: Vec<&str> = EngineId::all().map(EngineId::name).collect();
                Err(format!(
                    "unknown engine {text:?}; expected a library (lacuna, onednn, onnxruntime, rten, candle, gemm) or one of {}",
                    names.join(", ")
                ))
            }
        }
    }
}

impl Options {
    /// The engines that were asked for and can do the work, in the order of reports, each once.
    pub(crate) fn engines(&self, able: impl Fn(EngineId) -> bool) -> Vec<EngineId> {
        let wanted = |id| self.engines.is_empty() || self.engines.iter().any(|set| set.0.contains(&id));
        EngineId::all().filter(|&id| able(id) && wanted(id)).collect()
    }

    /// Those that were asked for by name and cannot do the work.
    pub(crate) fn unable(&self, able: impl Fn(EngineId) -> bool) -> Vec<EngineId> {
        let named = |id| self.engines.iter().any(|set| set.0 == [id]);
        EngineId::all().filter(|&id| !able(id) && named(id)).collect()
    }

    /// What was asked for, each an engine, or those of a library of which at least one must be measured: by name, or through the file of
    /// the library. If it cannot be measured, the command fails.
    pub(crate) fn asked(&self, able: impl Fn(EngineId) -> bool) -> Vec<Vec<EngineId>> {
        let libraries = [
            (Library::OneDnn, self.libraries.onednn.is_some()),
            (Library::OnnxRuntime, self.libraries.onnxruntime.is_some()),
        ];
        let by_file = libraries.into_iter().filter(|(_, given)| *given && self.engines.is_empty());
        let by_file = by_file.map(|(library, _)| EngineId::all().filter(|id| id.library() == library).collect());
        let by_name = self.engines.iter().map(|set| set.0.clone());
        let able = |set: Vec<EngineId>| -> Vec<EngineId> { set.into_iter().filter(|&id| able(id)).collect() };
        by_name.chain(by_file).map(able).filter(|set| !set.is_empty()).collect()
    }
}

/// `--patience`: how long an answer may take.
pub(crate) fn patience(text: &str) -> Result<Duration, String> {
    args::at_least_one(text).map(|seconds| Duration::from_secs(seconds as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_engines_and_for_libraries() {
        let set = |text| EngineSet::parse(text).unwrap().0;
        assert_eq!(set("onednn"), [EngineId::OneDnnInt8, EngineId::OneDnnF32]);
        assert_eq!(set("lacuna-dense"), [EngineId::LacunaDense]);
        assert!(set("lacuna").contains(&EngineId::LacunaF32) && set("lacuna").contains(&EngineId::Lacuna));
        assert!(EngineSet::parse("tensorflow").unwrap_err().contains("onnxruntime-qdq"));
    }
}
