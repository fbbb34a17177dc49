//! What a checkpoint belongs to, so that nothing goes on with other options or texts.

use std::path::{Path, PathBuf};

use lacuna::config::Activation;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::Target;
use serde::{Deserialize, Serialize};

use super::args::Args;
use super::texts::{Texts, Used};

/// The options and texts that decide what a training computes. It lies beside the checkpoint as `OUT.checkpoint.json`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    model: String,
    teacher: Option<PathBuf>,
    sparsity: Option<f64>,
    block: String,
    // Files of earlier versions have none of these.
    #[serde(default)]
    heads: Option<usize>,
    #[serde(default)]
    ffn: Option<usize>,
    #[serde(default)]
    activation: Option<String>,
    batch: usize,
    learning_rate: f64,
    calibration_tokens: usize,
    seed: u64,
    steps: Option<usize>,
    texts: Vec<Used>,
}

impl Identity {
    pub(super) fn of(args: &Args, texts: &Texts) -> Identity {
        Identity {
            model: args.source.name(),
            teacher: args.teacher.clone(),
            sparsity: args.sparsity,
            block: args.block.to_string(),
            heads: args.heads,
            ffn: args.ffn,
            activation: args.activation.map(|name| Activation::from(name).to_string()),
            batch: args.batch,
            learning_rate: args.learning_rate,
            calibration_tokens: args.calibration_tokens,
            seed: args.seed,
            steps: args.steps,
            texts: texts.used.clone(),
        }
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
