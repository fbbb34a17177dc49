//! Which files of a model are read, in one place for the cache and for the hub.

use std::path::{Component, Path, PathBuf};

use crate::calibrate::CALIBRATION_FILE;
use crate::checkpoint::{shard_names, weight_names};
use crate::error::HubError;
use crate::error::Result;
#[cfg(feature = "onnx")]
use crate::onnx::external_files;
use crate::pooling::module_paths;
use crate::settings::{SENTENCE_FILE, TOKENIZER_FILE, TRANSFORMER_FILES};
use crate::tokenize::{TOKEN_FILES, VOCABULARY_FILES};

/// Something that has files of one revision of a model: the cache, or the hub with the cache.
pub(super) trait Files {
    /// The model, for errors.
    fn model(&self) -> String;

    /// A file in the cache; `None` if the model has none of that name.
    fn find(&mut self, file: &str) -> Result<Option<PathBuf>>;

    /// The error for a file that is not there and must be.
    fn missing(&self, file: &str, expected: &str) -> HubError;
}

/// Looks for everything that is read of a model, so that afterwards all of it is in the cache.
///
/// # Errors
/// Those of finding; [`HubError::FileName`], [`HubError::MissingFile`]; those of reading `modules.json` and an index.
pub(super) fn visit(files: &mut dyn Files, chosen: Option<&str>) -> Result<()> {
    let mut encoder = String::new();
    files.find(SENTENCE_FILE)?;
    match files.find("modules.json")? {
        None => {
            files.find("1_Pooling/config.json")?;
        }
        Some(path) => {
            for module in module_paths(&path)? {
                let folder = check(files, "modules.json", module.path)?;
                if module.is_encoder {
                    encoder.clone_from(&folder);
                }
                if module.has_settings {
                    require(files, &join(&folder, "config.json"), "the settings that modules.json names")?;
                }
                if module.has_weights {
                    weights(files, &folder)?;
                }
            }
        }
    }
    require(files, &join(&encoder, "config.json"), "config.json")?;
    for optional in ["tokenizer.json", TOKENIZER_FILE, CALIBRATION_FILE].into_iter().chain(TOKEN_FILES) {
        files.find(&join(&encoder, optional))?;
    }
    vocabulary(files, &encoder)?;
    // The settings of the encoder under the first of their names.
    for name in TRANSFORMER_FILES {
        if files.find(&join(&encoder, name))?.is_some() {
            break;
        }
    }
    match chosen {
        None => weights(files, &encoder),
        Some(file) => {
            let file = check(files, "the weight file asked for", file.to_owned())?;
            let path = require(files, &file, "the weight file asked for")?;
            companions(files, &file, &path)
        }
    }
}

/// The files that stand for a `tokenizer.json`, if there is none.
fn vocabulary(files: &mut dyn Files, encoder: &str) -> Result<()> {
    if files.find(&join(encoder, "tokenizer.json"))?.is_none() {
        for optional in VOCABULARY_FILES {
            files.find(&join(encoder, optional))?;
        }
    }
    Ok(())
}

/// The first of the weight files that there is, with those that belong to it.
fn weights(files: &mut dyn Files, encoder: &str) -> Result<()> {
    let names = weight_names();
    for name in &names {
        let file = join(encoder, name);
        if let Some(path) = files.find(&file)? {
            return companions(files, &file, &path);
        }
    }
    let expected = format!("one of {}", names.join(", "));
    Err(files.missing(&join(encoder, names[0]), &expected).into())
}

/// The files of an index, and those that hold constants of a graph.
fn companions(files: &mut dyn Files, file: &str, path: &Path) -> Result<()> {
    let folder = Path::new(file).parent().and_then(Path::to_str).unwrap_or_default();
    if file.ends_with(".index.json") {
        for shard in shard_names(path)? {
            require(files, &join(folder, &shard), "all files that its index of weights names")?;
        }
    }
    #[cfg(feature = "onnx")]
    if crate::checkpoint::is_graph(Path::new(file)) {
        for outside in external_files(path)? {
            let outside = check(files, "an ONNX graph", outside)?;
            require(files, &join(folder, &outside), "all files that its graph names")?;
        }
    }
    Ok(())
}

fn require(files: &mut dyn Files, file: &str, expected: &str) -> Result<PathBuf> {
    files.find(file)?.ok_or_else(|| files.missing(file, expected).into())
}

/// A folder of the model: relative, and not through a parent.
fn check(files: &dyn Files, file: &'static str, found: String) -> Result<String> {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    match Path::new(&found).components().all(is_plain) && !found.contains(['\\', ':']) {
        true => Ok(found.trim_end_matches('/').to_owned()),
        false => Err(HubError::FileName { model: files.model(), file, found }.into()),
    }
}

fn join(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}
