//! What a checkpoint belongs to, so that nothing goes on with other options or texts.

use std::path::{Path, PathBuf};

use lacuna_console::error::{Error, Result};
use lacuna_console::output::Target;
use serde::{Deserialize, Serialize};

use super::args::Args;
use super::plan::Plan;
use super::texts::{Texts, Used};

/// The options and texts that decide what a training computes. It lies beside the checkpoint as `OUT.checkpoint.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    model: String,
    teacher: Option<PathBuf>,
    /// What is pruned, as it was asked for.
    goal: String,
    #[serde(default)]
    start_sparsity: Option<f64>,
    /// What is pruned, as it was chosen.
    plan: Option<Plan>,
    batch: usize,
    learning_rate: f64,
    calibration_tokens: usize,
    rounding: String,
    seed: u64,
    steps: Option<usize>,
    #[serde(default)]
    layers: Option<usize>,
    #[serde(default)]
    new_head: bool,
    /// None without a head.
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    embeddings: bool,
    texts: Vec<Used>,
}

impl Identity {
    pub(super) fn of(args: &Args, plan: Option<&Plan>, texts: &Texts, has_head: bool) -> Identity {
        Identity {
            model: args.source.name(),
            teacher: args.teacher.clone(),
            goal: args.goal_text(),
            start_sparsity: args.start_sparsity,
            plan: plan.cloned(),
            batch: args.batch,
            learning_rate: args.learning_rate,
            calibration_tokens: args.calibration_tokens,
            rounding: args.rounding.to_string(),
            seed: args.seed,
            steps: args.steps,
            layers: args.layers,
            new_head: args.new_head,
            temperature: has_head.then_some(args.temperature),
            embeddings: args.train_embeddings,
            texts: texts.used.clone(),
        }
    }

    /// What the run of a checkpoint prunes, if it says so: times that are measured again could choose otherwise.
    pub(super) fn plan(checkpoint: &Path) -> Option<Plan> {
        let bytes = lacuna_files::read(&place(checkpoint), lacuna_files::SETTINGS_LIMIT).ok()?;
        serde_json::from_slice::<Identity>(&bytes).ok()?.plan
    }

    /// # Errors
    /// [`Error::Resume`] for a checkpoint of another run, or one without this file; those of reading.
    pub(super) fn check(&self, checkpoint: &Path) -> Result<()> {
        let path = place(checkpoint);
        let bytes = lacuna_files::read(&path, lacuna_files::SETTINGS_LIMIT).map_err(Error::unread(&path))?;
        let refuse = |found: String| {
            let expected = "those of this run; without --resume the training begins anew".to_owned();
            Err(Error::Resume { path: path.clone(), found, expected })
        };
        match serde_json::from_slice::<Identity>(&bytes) {
            Ok(found) if found == *self => Ok(()),
            Ok(_) => refuse("other options or texts".into()),
            Err(error) => refuse(format!("what is not the options of a training ({error})")),
        }
    }

    pub(super) fn write(&self, checkpoint: &Path) -> Result<()> {
        let target = Target::new(Some(&place(checkpoint)))?;
        target.write(|out| Ok(serde_json::to_writer_pretty(out, self)?))
    }

    /// Removes the file of a training that is complete.
    pub(super) fn remove(checkpoint: &Path) -> Result<()> {
        let path = place(checkpoint);
        std::fs::remove_file(&path).map_err(Error::io(&path, "remove"))
    }
}

fn place(checkpoint: &Path) -> PathBuf {
    let mut name = checkpoint.as_os_str().to_owned();
    name.push(".json");
    name.into()
}
