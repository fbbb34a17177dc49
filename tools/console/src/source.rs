//! Where a model comes from: a folder, or the hub.

use std::path::{Path, PathBuf};

use clap::ArgGroup;
use lacuna::PackedModel;
use lacuna::errors::PackedError;
use lacuna::hub::{HubModel, HubOptions, fetch, model_folder};

use crate::error::{Error, Result};
use crate::output::say;
use crate::progress::{Download, Spinner};

/// A folder or a name on the hub. Which of them there must be, the struct that this is flattened into says with
/// [`exactly_one`] or [`at_most_one`].
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct SourceArgs {
    /// Model directory: config.json, weights (model.safetensors, pytorch_model.bin or model.onnx), tokenizer.json or vocab.txt; a model's
    /// folder in the hub's cache (models--OWNER--NAME), whose branch main is then taken; or the path of an
    /// .onnx file with config.json beside it or one folder up; where a model is only run, a file of lacuna pack, too
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,

    /// Model of the Hugging Face hub, which is downloaded once and then taken from the cache; HF_HUB_CACHE, HF_HOME, HF_ENDPOINT, HF_TOKEN and
    /// HF_HUB_OFFLINE are respected. Needs a build with --features hub
    #[arg(long, value_name = "NAME[@REVISION]")]
    from_hub: Option<HubModel>,

    /// Weight file or ONNX graph in the directory or the model of the hub, such as onnx/model_quantized.onnx [default: the first of the
    /// usual names]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,

    /// Take --from-hub from the cache alone
    #[arg(long)]
    offline: bool,
}

/// The group of `--model`, `--from-hub` and `more`, of which exactly one must be given.
pub fn exactly_one(more: &[&'static str]) -> ArgGroup {
    ArgGroup::new("source").required(true).multiple(false).args(["model", "from_hub"]).args(more.iter().copied())
}

/// The same group of commands that have a model of their own where none is named.
pub fn at_most_one() -> ArgGroup {
    ArgGroup::new("source").required(false).multiple(false).args(["model", "from_hub"])
}

impl SourceArgs {
    /// Whether a model is named.
    pub fn is_given(&self) -> bool {
        self.model.is_some() || self.from_hub.is_some()
    }

    /// What was given, for reports; empty if neither was.
    pub fn name(&self) -> String {
        match (&self.model, &self.from_hub) {
            (Some(folder), _) => folder.display().to_string(),
            (None, Some(model)) => model.to_string(),
            (None, None) => String::new(),
        }
    }

    /// The options that say so, for a command that repeats this one.
    pub fn options(&self) -> [(&'static str, Option<String>); 3] {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let hub = self.from_hub.as_ref().map(HubModel::to_string);
        [("--model", path(&self.model)), ("--from-hub", hub), ("--weights", path(&self.weights))]
    }

    /// The last part of the name.
    pub fn short_name(&self) -> String {
        let name = self.name();
        Path::new(&name).file_name().map_or_else(|| name.clone(), |last| last.to_string_lossy().into_owned())
    }

    /// The packed file that `--model` names.
    ///
    /// # Errors
    /// [`PackedError::Decided`] for `--weights` beside it, and those of [`SourceArgs::folder`] for `--offline`.
    pub fn packed_path(&self) -> Result<Option<PathBuf>> {
        let Some(path) = &self.model else { return Ok(None) };
        if !PackedModel::is_meant(path) {
            return Ok(None);
        }
        self.check_offline()?;
        match &self.weights {
            None => Ok(Some(path.clone())),
            Some(file) => Err(lacuna::Error::from(PackedError::Decided {
                option: "--weights",
                found: file.display().to_string(),
            })
            .into()),
        }
    }

    /// Refuses a packed file where the f32 weights of a model are needed. `what` is the command.
    ///
    /// # Errors
    /// [`PackedError::NeedsWeights`]; those of opening the file.
    pub fn refuse_packed(&self, what: &str, remedy: &'static str) -> Result<()> {
        match self.packed_path()? {
            Some(path) => Err(lacuna::Error::from(PackedModel::open(path)?.needs_weights(what, remedy)).into()),
            None => Ok(()),
        }
    }

    /// Not in clap's words: it does not ask for what conflicts with an option that is given.
    fn check_offline(&self) -> Result<()> {
        match self.offline && self.from_hub.is_none() {
            false => Ok(()),
            true => Err(Error::Argument {
                option: "--offline",
                found: "no --from-hub".into(),
                expected: "--from-hub NAME with it: only models of the hub are downloaded".into(),
            }),
        }
    }

    /// The weight file of `--weights` in a folder, or the folder.
    fn weights_in(&self, folder: &Path) -> Result<PathBuf> {
        let Some(file) = &self.weights else { return Ok(folder.to_owned()) };
        let path = folder.join(file);
        match path.exists() {
            true => Ok(path),
            false => Err(Error::Argument {
                option: "--weights",
                found: format!("{}, which is not found", path.display()),
                expected: "a weight file or ONNX graph in the model's folder".into(),
            }),
        }
    }

    /// The folder, or the weight file in it, after fetching what is to be fetched; `None` if neither was given.
    ///
    /// # Errors
    /// [`Error::Argument`] for options that have no meaning here, and for weights that are not there; [`Error::Content`] for another file than
    /// a model's; those of the hub.
    pub fn folder(&self) -> Result<Option<PathBuf>> {
        self.check_offline()?;
        if let (Some(file), None, None) = (&self.weights, &self.model, &self.from_hub) {
            return Err(Error::Argument {
                option: "--weights",
                found: format!("{} without a model", file.display()),
                expected: "--model DIR or --from-hub NAME with it".into(),
            });
        }
        if let Some(folder) = &self.model {
            if is_other_file(folder) {
                let what =
                    "a file that is neither a folder, a packed file nor a weight file; expected a model's folder";
                return Err(Error::Content { path: folder.clone(), what });
            }
            return Ok(Some(self.weights_in(&model_folder(folder)?)?));
        }
        let Some(model) = &self.from_hub else { return Ok(None) };
        let mut options = HubOptions::from_env();
        if let Some(file) = &self.weights {
            options = options.with_weights(file.to_string_lossy());
        }
        let offline = self.offline || options.is_offline();
        let folder = hub_folder(model, &options.with_offline(offline))?;
        Ok(Some(self.weights_in(&folder)?))
    }
}

/// The folder of a model of the hub, which is downloaded first if necessary.
///
/// # Errors
/// Those of the hub.
pub fn hub_folder(model: &HubModel, options: &HubOptions) -> Result<PathBuf> {
    let snapshot = {
        let _spinner = Spinner::new(format!("looking for {model}"));
        fetch(model, options, &mut Download::default())?
    };
    if !snapshot.assumed_absent.is_empty() {
        let files = snapshot.assumed_absent.join(", ");
        say(format_args!("{model}: the cache does not tell whether the model has {files}: taken as absent"));
    }
    Ok(snapshot.folder)
}

/// Whether a path leads to a file that no model has: of another name than weights, and without a `config.json` beside it.
fn is_other_file(path: &Path) -> bool {
    const WEIGHTS: [&str; 7] = ["safetensors", "bin", "pt", "pth", "onnx", "json", "lacuna"];
    let is_named = |ending: &std::ffi::OsStr| WEIGHTS.iter().any(|name| ending.eq_ignore_ascii_case(name));
    path.is_file() && !path.extension().is_some_and(is_named) && !path.with_file_name("config.json").exists()
}
