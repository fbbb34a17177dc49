//! Where the result goes.

use std::path::{Path, PathBuf};

use lacuna::Model;
use lacuna::PackedModel;
use lacuna::weights::LayerWeights;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::Target;
use lacuna_console::room::check_room;

use super::card::card;
use super::summary::Summary;

/// The place of the result, checked before the work is done.
pub(super) enum Out {
    /// A new folder as the hub has it.
    Folder(PathBuf),
    /// A packed file.
    Packed(Target),
}

impl Out {
    /// Refuses a folder that has something in it, and a file that cannot be made.
    pub(super) fn new(path: &Path) -> Result<Out> {
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("lacuna")) {
            let target = Target::new(Some(path))?;
            target.file("--out")?;
            return Ok(Out::Packed(target));
        }
        let is_free = match std::fs::symlink_metadata(path) {
            Err(_) => true,
            Ok(_) => std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()),
        };
        let found = |found: String| Error::Argument {
            option: "--out",
            found,
            expected: "a folder that does not exist or is empty, or a name that ends in .lacuna".into(),
        };
        if !is_free {
            return Err(found(format!("something in {}", path.display())));
        }
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if !parent.is_dir() {
            return Err(found(format!("{}, whose folder {} does not exist", path.display(), parent.display())));
        }
        Ok(Out::Folder(path.to_owned()))
    }

    /// Refuses a disk without room for the result and, if the model is trained, for its checkpoint: weights, two moments, their average and the
    /// best of them in f32, twice, because the old file stays until the new one is complete.
    pub(super) fn check_room(&self, model: &Model, is_trained: bool, trains_embeddings: bool) -> Result<()> {
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
            Out::Packed(target) => target.file("--out")?,
        };
        check_room(path, (values * size_of::<f32>()) as u64)
    }

    /// Writes the model.
    pub(super) fn write(&self, model: &Model, packed: &PackedModel, summary: &Summary) -> Result<()> {
        match self {
            Out::Packed(target) => {
                packed.write(target.file("--out")?)?;
            }
            Out::Folder(folder) => {
                model.write(folder).map_err(lacuna::Error::from)?;
                let path = folder.join("README.md");
                Target::new(Some(&path))?.write(|out| out.write_all(card(summary).as_bytes()))?;
            }
        }
        Ok(())
    }
}
