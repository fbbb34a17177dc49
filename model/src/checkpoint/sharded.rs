//! Weights in several files with an index: `model.safetensors.index.json`, `pytorch_model.bin.index.json`.
//!
//! ```text
//! {"metadata": {"total_size": 123}, "weight_map": {"embeddings.word_embeddings.weight": "model-00001-of-00002.safetensors", ...}}
//! ```
//!
//! The files must hold every tensor that the index lists, in the file that it names. Tensors that it does not list are read as well, since
//! that is what the libraries do that write such files; a note names them. `total_size` is often stale, and a note says so.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::file::WeightFile;
use super::locate::open_file;
use crate::error::{Error, Result, WeightError};
use crate::json::read_json_within;

/// Far beyond the index of any model: a million tensors need half of it.
const MAX_INDEX_BYTES: u64 = 100_000_000;

#[derive(serde::Deserialize)]
struct RawIndex {
    metadata: Option<RawMetadata>,
    weight_map: WeightMap,
}

#[derive(serde::Deserialize)]
struct RawMetadata {
    total_size: Option<serde_json::Value>,
}

/// Tensor and file name of every entry, unchanged. A map would keep only one of two equal names.
struct WeightMap(Vec<(String, String)>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = WeightMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensor names and file names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<WeightMap, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(WeightMap(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The files of an index.
pub(super) struct Shards {
    /// In the order of their names.
    pub(super) files: Vec<WeightFile>,
    /// Which of them holds each tensor.
    pub(super) owners: BTreeMap<String, usize>,
    /// What the index does not say right.
    pub(super) notes: Vec<String>,
}

/// Opens an index and its files.
pub(super) fn open(path: &Path) -> Result<Shards> {
    let RawIndex { metadata, weight_map } = read(path)?;
    let index = Index::new(path, &weight_map.0)?;
    let files = index.shards.iter().map(|(name, first)| index.open(name, first)).collect::<Result<Vec<_>>>()?;
    let owners = index.owners(&files)?;
    let total = metadata.and_then(|metadata| metadata.total_size);
    let stale = total.and_then(|total| stale_total(path, &files, &owners, &total));
    let notes = index.unlisted(&owners).into_iter().chain(stale).collect();
    Ok(Shards { files, owners, notes })
}

/// The names of the files of an index, which are names and no paths.
#[cfg(feature = "hub")]
pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
    let RawIndex { weight_map, .. } = read(path)?;
    let index = Index::new(path, &weight_map.0)?;
    Ok(index.shards.keys().map(|&name| name.to_owned()).collect())
}

fn read(path: &Path) -> Result<RawIndex> {
    // A Git LFS pointer in its place has an error of its own.
    open_file(path)?;
    read_json_within(path, MAX_INDEX_BYTES)
}

/// A `weight_map` whose names are unique and stay in the folder.
struct Index<'a> {
    path: &'a Path,
    /// File of every tensor.
    map: BTreeMap<&'a str, &'a str>,
    /// Every file, with one of the tensors that are said to be in it.
    shards: BTreeMap<&'a str, &'a str>,
}

impl<'a> Index<'a> {
    fn new(path: &'a Path, entries: &'a [(String, String)]) -> Result<Self> {
        let mut index = Self { path, map: BTreeMap::new(), shards: BTreeMap::new() };
        for (tensor, shard) in entries {
            // Not so for "", "..", "a/b", "/a" and what else is more or less than a file's name.
            if Path::new(shard).file_name() != Some(OsStr::new(shard)) {
                let (tensor, found) = (tensor.clone(), shard.clone());
                return Err(Error::Weights(WeightError::ShardName { path: path.to_owned(), tensor, found }));
            }
            if let Some(other) = index.map.insert(tensor, shard) {
                let places = format!("twice in weight_map, for {other} and for {shard}");
                return Err(Error::Weights(WeightError::DuplicateTensor {
                    path: path.to_owned(),
                    tensor: tensor.clone(),
                    places,
                }));
            }
            index.shards.entry(shard).or_insert(tensor);
        }
        if index.map.is_empty() {
            let (found, expected) = ("an empty weight_map".into(), "at least one tensor".into());
            return Err(Error::Weights(WeightError::ShardIndex { path: path.to_owned(), found, expected }));
        }
        Ok(index)
    }

    fn open(&self, shard: &str, tensor: &str) -> Result<WeightFile> {
        // The parent of a plain file name is "".
        let path = self.path.parent().unwrap_or(Path::new("")).join(shard);
        match WeightFile::open(&path) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Err(Error::Weights(WeightError::MissingShard {
                    path: self.path.to_owned(),
                    shard: shard.to_owned(),
                    tensor: tensor.to_owned(),
                    tensors: self.map.values().filter(|&&other| other == shard).count(),
                }))
            }
            opened => opened,
        }
    }

    /// Compares what the files hold with what the index says.
    fn owners(&self, files: &[WeightFile]) -> Result<BTreeMap<String, usize>> {
        let (path, shards) = (|| self.path.to_owned(), self.shards.keys().copied().collect::<Vec<_>>());
        let shard = |file: usize| shards.get(file).copied().unwrap_or_default();
        let mut owners = BTreeMap::new();
        for (file, held) in files.iter().enumerate() {
            for tensor in held.names() {
                if let Some(other) = owners.insert(tensor.clone(), file) {
                    let places = format!("in {} and in {}", shard(other), shard(file));
                    return Err(Error::Weights(WeightError::DuplicateTensor { path: path(), tensor, places }));
                }
            }
        }
        for (&tensor, &expected) in &self.map {
            let found = owners.get(tensor).map_or("no file", |&file| shard(file));
            if found != expected {
                let (tensor, found, expected) = (tensor.to_owned(), found.to_owned(), expected.to_owned());
                return Err(Error::Weights(WeightError::ShardTensor { path: path(), tensor, found, expected }));
            }
        }
        Ok(owners)
    }

    /// A note on the tensors that the index does not list.
    fn unlisted(&self, owners: &BTreeMap<String, usize>) -> Option<String> {
        let mut unlisted = owners.iter().filter(|(tensor, _)| !self.map.contains_key(tensor.as_str()));
        let (tensor, &file) = unlisted.next()?;
        let shard = self.shards.keys().nth(file)?;
        Some(match unlisted.count() {
            0 => format!("{}: the index does not list tensor {tensor} of {shard}", self.path.display()),
            more => {
                format!("{}: the index does not list tensor {tensor} of {shard} and {more} more", self.path.display())
            }
        })
    }
}

/// A note if the bytes of all tensors are not `total_size`.
///
/// Not for what `torch.save` writes: there the number counts storages, which tensors may share or use in part.
fn stale_total(
    path: &Path,
    files: &[WeightFile],
    owners: &BTreeMap<String, usize>,
    total: &serde_json::Value,
) -> Option<String> {
    if !files.iter().all(|file| matches!(file, WeightFile::Mapped(_))) {
        return None;
    }
    let stored = owners.iter().filter_map(|(name, &file)| files.get(file)?.tensor(name));
    let bytes = stored.map(|tensor| tensor.bytes as u64).sum::<u64>();
    // Some writers give a float.
    let agrees = total.as_u64() == Some(bytes) || total.as_f64() == Some(bytes as f64);
    (!agrees).then(|| {
        let total: String = total.to_string().chars().take(40).collect();
        format!("{}: total_size is {total}, but the files hold {bytes} bytes of tensors", path.display())
    })
}
