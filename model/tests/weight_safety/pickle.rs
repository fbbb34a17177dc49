//! Pickles and archives by hand, as `torch.save` lays them out.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Names and contents of an archive's entries.
pub(crate) type Entries = Vec<(String, Vec<u8>)>;

/// The entries of an archive.
pub(crate) fn entries(archive: &[u8]) -> Entries {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let count = archive.len();
    let entry = |i| {
        let mut entry = archive.by_index(i).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.name().unwrap().into_owned(), bytes)
    };
    (0..count).map(entry).collect()
}

/// An archive of these entries, none compressed.
pub(crate) fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A file with this pickle and one storage, "0", of eight f32: 0, 1, ... 7.
pub(crate) fn file(pickle: &[u8]) -> Vec<u8> {
    let storage = (0..8).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let entry = |name: &str, bytes: Vec<u8>| (format!("archive/{name}"), bytes);
    let entries = [
        entry("data.pkl", pickle.to_vec()),
        entry("byteorder", b"little".to_vec()),
        entry("data/0", storage),
        entry("version", b"3\n".to_vec()),
    ];
    archive(&entries)
}

pub(crate) fn int(value: i64) -> Vec<u8> {
    [&[0x8a, 8][..], &value.to_le_bytes()].concat()
}

pub(crate) fn string(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

pub(crate) fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

pub(crate) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

/// The result of a call.
pub(crate) fn call(module: &str, name: &str, arguments: &[Vec<u8>]) -> Vec<u8> {
    [global(module, name), tuple(arguments), b"R".to_vec()].concat()
}

/// What `_rebuild_tensor_v2` is called with.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) storage: &'static str,
    pub(crate) key: Vec<u8>,
    pub(crate) length: i64,
    pub(crate) offset: i64,
    pub(crate) shape: Vec<i64>,
    pub(crate) strides: Vec<i64>,
    pub(crate) hooks: Vec<u8>,
}

impl Tensor {
    /// All eight values of storage "0", as a vector.
    pub(crate) fn good() -> Self {
        let (storage, key, hooks) = ("FloatStorage", string("0"), call("collections", "OrderedDict", &[]));
        Self { storage, key, length: 8, offset: 0, shape: vec![8], strides: vec![1], hooks }
    }

    pub(crate) fn view(shape: &[i64], strides: &[i64]) -> Self {
        Self { shape: shape.to_vec(), strides: strides.to_vec(), ..Self::good() }
    }

    pub(crate) fn arguments(&self) -> Vec<Vec<u8>> {
        let id = [string("storage"), global("torch", self.storage), self.key.clone(), string("cpu"), int(self.length)];
        let ints = |values: &[i64]| tuple(&values.iter().map(|&v| int(v)).collect::<Vec<_>>());
        let storage = [tuple(&id), b"Q".to_vec()].concat();
        vec![storage, int(self.offset), ints(&self.shape), ints(&self.strides), vec![0x89], self.hooks.clone()]
    }

    pub(crate) fn pickled(&self) -> Vec<u8> {
        call("torch._utils", "_rebuild_tensor_v2", &self.arguments())
    }
}

/// A whole pickle with this root.
pub(crate) fn root(object: &[u8]) -> Vec<u8> {
    [&[0x80, 2][..], object, b"."].concat()
}

/// A whole pickle of a dictionary with string keys.
pub(crate) fn dictionary(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> = entries.iter().flat_map(|(key, value)| [string(key), value.clone()].concat()).collect();
    root(&[b"}(", &items[..], b"u"].concat())
}
