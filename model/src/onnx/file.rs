//! The bytes of a graph and of the files beside it: mapped, counted before they become messages.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use memmap2::Mmap;
use prost::Message;
use prost::bytes::{Buf, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::checkpoint::open_file;
use crate::error::OnnxError;
use crate::error::{Error, Result};
use crate::proto::{ModelProto, TensorProto};

/// Most fields of messages that may become structures: the largest encoders have some 100 000. An empty message of two bytes becomes a
/// structure of hundreds.
const MAX_FIELDS: usize = 4_000_000;
/// Most files beside a graph.
const MAX_FILES: usize = 4096;

/// A graph's file, and the files that hold some of its constants.
pub(super) struct GraphFile {
    pub(super) path: PathBuf,
    others: Mutex<HashMap<PathBuf, Bytes>>,
    /// Bytes of all files that were mapped.
    bytes: AtomicUsize,
}

/// Where the elements of a tensor lie in another file.
struct Place {
    location: String,
    offset: usize,
    length: Option<usize>,
}

impl GraphFile {
    /// Maps a graph and decodes it; constants stay where they are in the file.
    pub(super) fn read(path: &Path) -> Result<(GraphFile, ModelProto)> {
        let bytes = map(path)?;
        let length = AtomicUsize::new(bytes.len());
        let decode = |reason| OnnxError::Decode { path: path.to_owned(), reason };
        let mut fields = MAX_FIELDS;
        match count(&bytes, &MODEL, &mut fields) {
            Some(()) => {}
            None if fields == 0 => {
                let (path, what) = (path.to_owned(), "fields");
                return Err(OnnxError::Limit { path, what, limit: MAX_FIELDS }.into());
            }
            None => return Err(decode("it is cut off, or no protobuf message".into()).into()),
        }
        let model = ModelProto::decode(bytes).map_err(|error| decode(error.to_string()))?;
        Ok((GraphFile { path: path.to_owned(), others: Mutex::default(), bytes: length }, model))
    }

    /// Bytes of the graph's file and of those beside it that were needed so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// The elements of a tensor that lie in another file of the graph's folder.
    pub(super) fn external(&self, tensor: &TensorProto) -> Result<Bytes> {
        let place = self.place(tensor)?;
        let failed = |reason: String| OnnxError::External {
            path: self.path.clone(),
            tensor: tensor.name.clone(),
            location: place.location.clone(),
            reason,
        };
        let location = Path::new(&place.location);
        let plain = location.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || place.location.is_empty() {
            return Err(failed("expected a path that stays in the folder of the graph".into()).into());
        }
        let path = self.path.parent().unwrap_or(Path::new("")).join(location);
        let mut others = self.others.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !others.contains_key(&path) {
            if others.len() >= MAX_FILES {
                let (path, what) = (self.path.clone(), "files beside it");
                return Err(OnnxError::Limit { path, what, limit: MAX_FILES }.into());
            }
            let bytes = map(&path)?;
            self.bytes.fetch_add(bytes.len(), Relaxed);
            others.insert(path.clone(), bytes);
        }
        let bytes = others.get(&path).cloned().unwrap_or_default();
        let end = place.length.map_or(Some(bytes.len()), |length| place.offset.checked_add(length));
        match end {
            Some(end) if place.offset <= end && end <= bytes.len() => Ok(bytes.slice(place.offset..end)),
            _ => {
                let length = place.length.map_or_else(|| "the rest".into(), |length| format!("{length} bytes"));
                Err(failed(format!("found {} bytes; expected {length} from byte {} on", bytes.len(), place.offset))
                    .into())
            }
        }
    }

    fn place(&self, tensor: &TensorProto) -> Result<Place> {
        let mut place = Place { location: String::new(), offset: 0, length: None };
        for entry in &tensor.external_data {
            let number = || {
                entry.value.parse::<usize>().map_err(|_| OnnxError::External {
                    path: self.path.clone(),
                    tensor: tensor.name.clone(),
                    location: String::new(),
                    reason: format!("found {} {:?}; expected a number of bytes", entry.key, entry.value),
                })
            };
            match &*entry.key {
                "location" => place.location.clone_from(&entry.value),
                "offset" => place.offset = number()?,
                "length" => place.length = Some(number()?),
                _ => {} // checksum, basepath
            }
        }
        Ok(place)
    }
}

/// The names of the files beside a graph that hold constants of it, as the graph has them.
#[cfg(feature = "hub")]
pub(crate) fn external_files(path: &Path) -> Result<std::collections::BTreeSet<String>> {
    let (file, model) = GraphFile::read(path)?;
    let graph = model.graph.unwrap_or_default();
    let nodes = model.functions.iter().flat_map(|function| &function.node).chain(&graph.node);
    let constants = nodes.flat_map(|node| node.attribute.iter().filter_map(|attribute| attribute.t.as_ref()));
    let all = graph.initializer.iter().chain(constants).filter(|tensor| !tensor.external_data.is_empty());
    all.map(|tensor| Ok(file.place(tensor)?.location)).collect()
}

fn map(path: &Path) -> Result<Bytes> {
    let (file, length) = open_file(path)?;
    if length == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is read-only and private to the returned value. Its obligation is that nobody truncates or rewrites the
    // file during that time. This is documented at `Model::open`. It matters only until the weights are copied, right after.
    let map = unsafe { Mmap::map(&file) };
    let map = map.map_err(|source| Error::Io { path: path.to_owned(), action: "map into memory", source })?;
    Ok(Bytes::from_owner(map))
}

/// A message whose fields are counted, with those of its fields that are such messages.
struct Counted(&'static [(u32, Counted)]);

const LEAF: Counted = Counted(&[]);
const TENSOR: Counted = Counted(&[(13, LEAF)]);
const ATTRIBUTE: Counted = Counted(&[(5, TENSOR)]);
const NODE: Counted = Counted(&[(5, ATTRIBUTE)]);
const TYPE: Counted = Counted(&[(1, Counted(&[(2, Counted(&[(1, LEAF)]))]))]);
const VALUE: Counted = Counted(&[(2, TYPE)]);
const GRAPH: Counted = Counted(&[(1, NODE), (5, TENSOR), (11, VALUE), (12, VALUE), (13, VALUE)]);
const FUNCTION: Counted = Counted(&[(7, NODE), (11, ATTRIBUTE)]);
static MODEL: Counted = Counted(&[(7, GRAPH), (8, LEAF), (14, LEAF), (25, FUNCTION)]);

/// Subtracts one from `left` for every field of a message and of its parts; `None` if there are too many, or if it is not a message.
fn count(mut bytes: &[u8], message: &Counted, left: &mut usize) -> Option<()> {
    while !bytes.is_empty() {
        *left = left.checked_sub(1)?;
        let (tag, wire) = decode_key(&mut bytes).ok()?;
        match wire {
            WireType::Varint => drop(decode_varint(&mut bytes).ok()?),
            WireType::ThirtyTwoBit if bytes.len() >= 4 => bytes.advance(4),
            WireType::SixtyFourBit if bytes.len() >= 8 => bytes.advance(8),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
                let (inner, rest) = bytes.split_at_checked(length)?;
                if let Some((_, message)) = message.0.iter().find(|(field, _)| *field == tag) {
                    count(inner, message, left)?;
                }
                bytes = rest;
            }
            _ => return None, // groups, which no field here is
        }
    }
    Some(())
}
