//! Where the result goes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lacuna::Model;
use lacuna::PackedModel;
use lacuna::weights::LayerWeights;
use lacuna_model::files::{self, WriteError};

use crate::card::card;
use crate::error::{Error, Result};
use crate::options::has_packed_name;
use crate::room::check_room;
use crate::summary::Summary;

/// The place of the result, checked before the work is done.
pub(crate) enum Out {
    /// A new folder as the hub has it.
    Folder(PathBuf),
    /// A packed file.
    Packed(PathBuf),
}

impl Out {
    /// Refuses a folder that has something in it, and a file that cannot be made.
    pub(crate) fn new(path: &Path) -> Result<Out> {
        if has_packed_name(path) {
            return packed(path).map(Out::Packed);
        }
        let is_free = match std::fs::symlink_metadata(path) {
            Err(_) => true,
            Ok(_) => std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()),
        };
        let found = |found: String| Error::Argument {
            option: "`out`",
            found,
            expected: "a folder that does not exist or is empty, or a name that ends in .lacuna".into(),
        };
        if !is_free {
            return Err(found(format!("something in {}", path.display())));
        }
        let parent = parent(path);
        if !parent.is_dir() {
            return Err(found(format!("{}, whose folder {} does not exist", path.display(), parent.display())));
        }
        Ok(Out::Folder(path.to_owned()))
    }

    /// Refuses a disk without room for the result and, if the model is trained, for its checkpoint: weights, two moments, their average and the
    /// best of them in f32, twice, because the old file stays until the new one is complete.
    pub(crate) fn check_room(&self, model: &Model, is_trained: bool, trains_embeddings: bool) -> Result<()> {
        let weights = model.weights();
        let linears = weights.layers.iter().flat_map(LayerWeights::linears);
        let linears: usize = linears.map(|linear| linear.weight.data.len()).sum();
        let embeddings = &weights.embeddings;
        let tables = [&embeddings.word, &embeddings.token_type, &embeddings.position];
        let tables: usize = tables.iter().map(|table| table.data.len()).sum();
        let trained_values = linears + if trains_embeddings { tables } else { 0 };
        let values = linears + tables + if is_trained { 2 * 5 * trained_values } else { 0 };
        let path = match self {
            Out::Folder(folder) => folder,
            Out::Packed(path) => path,
        };
        check_room(path, (values * size_of::<f32>()) as u64)
    }

    /// Writes the model.
    pub(crate) fn write(&self, model: &Model, packed: &PackedModel, summary: &Summary) -> Result<()> {
        match self {
            Out::Packed(path) => {
                packed.write(path)?;
            }
            Out::Folder(folder) => {
                model.write(folder).map_err(lacuna::Error::from)?;
                let path = folder.join("README.md");
                let written = files::replace(&path, |file| file.write_all(card(summary).as_bytes()));
                written.map_err(|WriteError { action, source }| Error::io(&path, action)(source))?;
            }
        }
        Ok(())
    }
}

/// The place of a packed file, which can be mapped.
fn packed(path: &Path) -> Result<PathBuf> {
    // Follow links, so that a link stays one.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let failed = |kind| Err(Error::io(&path, "create")(io::Error::from(kind)));
    match path.metadata() {
        Ok(found) if found.is_dir() => failed(io::ErrorKind::IsADirectory),
        Ok(found) if !found.is_file() => {
            let (found, expected) = (path.display().to_string(), "the name of a file, which can be mapped".into());
            Err(Error::Argument { option: "`out`", found, expected })
        }
        _ => match parent(&path).metadata() {
            Ok(found) if found.is_dir() => Ok(path),
            Ok(_) => failed(io::ErrorKind::NotADirectory),
            Err(source) => Err(Error::io(&path, "create")(source)),
        },
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
