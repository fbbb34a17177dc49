//! Which file of a folder holds the weights, and whether a path is a file that can.

use std::fs::{File, read_dir, symlink_metadata};
use std::io::{ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use lacuna_files::ReadError;

use crate::error::{Error, Result, WeightError};

/// The names of weight files, in the order in which they are looked for: the order of `transformers`.
const NAMES: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// The names of ONNX graphs. They are tried if none of [`NAMES`] is there.
const GRAPHS: [&str; 5] =
    ["model.onnx", "onnx/model.onnx", "model_quantized.onnx", "onnx/model_quantized.onnx", "deployment/model.onnx"];

/// All names that are looked for, in order.
pub(crate) fn weight_names() -> Vec<&'static str> {
    [&NAMES[..], &GRAPHS].concat()
}

/// What holds the weights of a folder.
#[derive(Debug, Clone)]
pub(crate) enum WeightPath {
    /// A file of named tensors, or an index of such files.
    Tensors(PathBuf),
    /// An ONNX graph.
    Graph(PathBuf),
}

impl WeightPath {
    /// A file by its ending.
    pub(crate) fn of(path: PathBuf) -> WeightPath {
        match is_graph(&path) {
            true => WeightPath::Graph(path),
            false => WeightPath::Tensors(path),
        }
    }

    /// The first that a folder has of the names of weight files, then of those of graphs.
    pub(crate) fn locate(folder: &Path) -> Result<WeightPath> {
        first(folder, &NAMES)?
            .or(first(folder, &GRAPHS)?)
            .map(WeightPath::of)
            .ok_or_else(|| none(folder, &weight_names()))
    }
}

/// Whether a path ends in `.onnx`.
pub(crate) fn is_graph(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"))
}

/// The `config.json` in the folder of a graph, or in the folder above. If neither exists, the path in the graph's own folder.
pub(crate) fn graph_config(graph: &Path) -> PathBuf {
    let folder = graph.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let above = folder.parent().filter(|above| *above != Path::new(""));
    let above = above.map_or_else(|| folder.join(".."), Path::to_owned);
    let (beside, above) = (folder.join("config.json"), above.join("config.json"));
    if !beside.exists() && above.exists() { above } else { beside }
}

/// Extensions of weight files in any format, so that an error can list what a folder has instead.
const WEIGHT_ENDINGS: [&str; 10] =
    ["safetensors", "bin", "pt", "pth", "ckpt", "h5", "msgpack", "onnx", "gguf", "index.json"];

/// How many file names an error lists.
const LISTED: usize = 8;

/// How a Git LFS pointer begins: the text in place of a file that was not downloaded.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The first of [`NAMES`] that the folder has.
pub(super) fn locate(folder: &Path) -> Result<PathBuf> {
    first(folder, &NAMES)?.ok_or_else(|| none(folder, &NAMES))
}

fn first(folder: &Path, names: &[&str]) -> Result<Option<PathBuf>> {
    for name in names {
        let path = folder.join(name);
        // A link whose target is gone counts as present, so that opening it gives an error with its name.
        match symlink_metadata(&path) {
            Ok(_) => return Ok(Some(path)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(source) => return Err(Error::Io { path, action: "look for", source }),
        }
    }
    Ok(None)
}

fn none(folder: &Path, names: &[&str]) -> Error {
    Error::Weights(WeightError::NoCheckpoint {
        path: folder.to_owned(),
        looked_for: names.join(", "),
        present: others(folder),
    })
}

/// The files of the folder that look like weights, or "nothing".
fn others(folder: &Path) -> String {
    let is_weights = |name: &String| WEIGHT_ENDINGS.iter().any(|ending| name.ends_with(&format!(".{ending}")));
    let entries = read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = entries.filter(is_weights).collect();
    names.sort();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    match (names.is_empty(), more) {
        (true, _) => "nothing of the kind".into(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

/// Opens a regular file that is no Git LFS pointer, at its start; gives its length in bytes too.
pub(crate) fn open_file(path: &Path) -> Result<(File, u64)> {
    let io = |action| move |source| Error::Io { path: path.to_owned(), action, source };
    let (mut file, length) = lacuna_files::open(path).map_err(|error| match error {
        ReadError::Kind { found } => not_weights(path, found.into(), "a regular file"),
        ReadError::Io { action, source } => io(action)(source),
        other => io("open")(other.into()),
    })?;
    let mut start = Vec::new();
    file.by_ref().take(LFS_POINTER.len() as u64).read_to_end(&mut start).map_err(io("read"))?;
    if start == LFS_POINTER {
        let expected = "the file it points to: fetch it with git lfs pull, or download the file itself";
        return Err(not_weights(path, "a Git LFS pointer".into(), expected));
    }
    file.rewind().map_err(io("read"))?;
    Ok((file, length))
}

/// The error for a path that no reader is tried on.
pub(super) fn not_weights(path: &Path, found: String, expected: &'static str) -> Error {
    Error::Weights(WeightError::NotWeights { path: path.to_owned(), found, expected })
}
