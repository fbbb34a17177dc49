//! What a checkpoint belongs to, so that nothing goes on with other options or texts.

use std::io::Write;
use std::path::{Path, PathBuf};

use lacuna_model::files::{self, WriteError};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::options::Options;
use crate::plan::Plan;
use crate::texts::{Texts, Used};

/// The options and texts that decide what a training computes. It lies beside the checkpoint as `OUT.checkpoint.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
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
    pub(crate) fn of(options: &Options, plan: Option<&Plan>, texts: &Texts, has_head: bool) -> Identity {
        Identity {
            model: options.name.clone(),
            teacher: options.teacher.clone(),
            goal: options.goal_text(),
            start_sparsity: options.start_sparsity,
            plan: plan.cloned(),
            batch: options.batch,
            learning_rate: options.rate(),
            calibration_tokens: options.calibration_tokens,
            rounding: options.rounding.to_string(),
            seed: options.seed,
            steps: options.steps,
            layers: options.layers,
            new_head: options.new_head,
            temperature: has_head.then_some(options.temperature),
            embeddings: options.train_embeddings,
            texts: texts.used.clone(),
        }
    }

    /// What the run of a checkpoint prunes, if it says so: times that are measured again could choose otherwise.
    pub(crate) fn plan(checkpoint: &Path) -> Option<Plan> {
        let bytes = lacuna_files::read(&place(checkpoint), lacuna_files::SETTINGS_LIMIT).ok()?;
        serde_json::from_slice::<Identity>(&bytes).ok()?.plan
    }

    /// # Errors
    /// [`Error::Resume`] for a checkpoint of another run, or one without this file; those of reading.
    pub(crate) fn check(&self, checkpoint: &Path) -> Result<()> {
        let path = place(checkpoint);
        let bytes = lacuna_files::read(&path, lacuna_files::SETTINGS_LIMIT)
            .map_err(|error| Error::io(&path, "read")(error.into()))?;
        let refuse = |found: String| {
            let expected = "those of this run; without `resume` the training begins anew".to_owned();
            Err(Error::Resume { path: path.clone(), found, expected })
        };
        match serde_json::from_slice::<Identity>(&bytes) {
            Ok(found) if found == *self => Ok(()),
            Ok(_) => refuse("other options or texts".into()),
            Err(error) => refuse(format!("what is not the options of a training ({error})")),
        }
    }

    pub(crate) fn write(&self, checkpoint: &Path) -> Result<()> {
        let path = place(checkpoint);
        let written = files::replace(&path, |file| file.write_all(&serde_json::to_vec_pretty(self)?));
        written.map_err(|WriteError { action, source }| Error::io(&path, action)(source))
    }

    /// Removes the file of a training that is complete.
    pub(crate) fn remove(checkpoint: &Path) -> Result<()> {
        let path = place(checkpoint);
        std::fs::remove_file(&path).map_err(Error::io(&path, "remove"))
    }
}

fn place(checkpoint: &Path) -> PathBuf {
    let mut name = checkpoint.as_os_str().to_owned();
    name.push(".json");
    name.into()
}
