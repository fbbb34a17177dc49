//! Writes packed files. A file appears in its place only when it is complete.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use bytemuck::Pod;
use lacuna_kernels::ActivationBits;
use lacuna_model::files::{self, WriteError};
use rayon::prelude::*;
use serde::Serialize;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::deflate::deflate;
use super::error::PackedError;
use super::header::{ALIGNMENT, CHUNK, DEFLATED, Header, PLAIN, SEVEN_BITS};
use super::manifest::{Manifest, Section};

/// The sections of a file to be written, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Sections<'a> {
    list: Vec<Part<'a>>,
}

/// A section to be written.
#[derive(Debug)]
struct Part<'a> {
    name: String,
    /// As they are stored.
    bytes: Cow<'a, [u8]>,
    /// Their number when inflated, if they are deflated.
    inflated: Option<u64>,
}

impl<'a> Sections<'a> {
    /// Adds a section of elements.
    pub(crate) fn add<T: Pod>(&mut self, name: impl Into<String>, elements: &'a [T]) {
        let bytes = Cow::Borrowed(bytemuck::cast_slice(elements));
        self.list.push(Part { name: name.into(), bytes, inflated: None });
    }

    /// The same with those deflated that shrink by it, in parallel on the current rayon pool. Such sections are not used in place: they
    /// are inflated when the file is opened.
    pub(crate) fn deflated(mut self) -> Sections<'a> {
        self.list.par_iter_mut().for_each(|part| {
            if let Some(deflated) = deflate(&part.bytes) {
                part.inflated = Some(part.bytes.len() as u64);
                part.bytes = Cow::Owned(deflated);
            }
        });
        self
    }

    /// All of them.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.list.iter().map(|part| (&part.name[..], &part.bytes[..]))
    }

    /// Their positions, and the end of the last one.
    fn places(&self) -> (Vec<Section>, usize) {
        let mut offset = 0;
        let places = self.list.iter().map(|Part { name, bytes, inflated }| {
            let (length, inflated) = (bytes.len() as u64, *inflated);
            let section = Section { name: name.clone(), offset: offset as u64, length, inflated };
            offset = (offset + bytes.len()).next_multiple_of(ALIGNMENT);
            section
        });
        (places.collect(), offset)
    }

    /// Writes them with a manifest to `path`, in the version that the model needs. Returns the length of the file in bytes.
    pub(crate) fn write<M: Serialize>(
        self,
        path: &Path,
        model: M,
        activation_bits: ActivationBits,
    ) -> Result<u64, PackedError> {
        let (sections, end) = self.places();
        let manifest = Manifest { writer: concat!("lacuna ", env!("CARGO_PKG_VERSION")).to_owned(), model, sections };
        let manifest =
            serde_json::to_vec(&manifest).map_err(|source| PackedError::Manifest { path: path.to_owned(), source })?;
        let is_deflated = self.list.iter().any(|part| part.inflated.is_some());
        let version = match (activation_bits, is_deflated) {
            (ActivationBits::Seven, _) => SEVEN_BITS,
            (ActivationBits::Eight, true) => DEFLATED,
            (ActivationBits::Eight, false) => PLAIN,
        };
        let mut header = Header { version, end: 0, manifest: manifest.len() as u64, table: 0 };
        header.end = (header.data() + end) as u64;

        replace(path, |file| {
            let mut out = BufWriter::with_capacity(CHUNK, file);
            out.write_all(&[0; Header::BYTES])?; // its place
            let mut body = Chunks { out, hasher: Xxh3::new(), written: 0, table: Vec::new() };
            body.write(&manifest)?;
            for part in &self.list {
                body.align()?;
                body.write(&part.bytes)?;
            }
            body.align()?;
            let (mut out, table) = body.finish();
            out.write_all(&table)?;
            out.seek(SeekFrom::Start(0))?;
            out.write_all(&Header { table: xxh3_64(&table), ..header }.to_bytes())?;
            out.flush()
        })?;
        Ok(header.end + 8 * header.chunks().unwrap_or(0))
    }
}

/// [`files::replace`] with this module's error: a file appears only when it is complete.
pub(super) fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), PackedError> {
    let failed = |WriteError { action, source }| PackedError::io(path, action)(source);
    files::replace(path, write).map_err(failed)
}

/// Writes bytes and keeps the checksum of every chunk.
struct Chunks<W> {
    out: W,
    hasher: Xxh3,
    written: usize,
    table: Vec<u8>,
}

impl<W: Write> Chunks<W> {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.written % CHUNK));
            self.out.write_all(now)?;
            self.hasher.update(now);
            self.written += now.len();
            if self.written.is_multiple_of(CHUNK) {
                self.end_chunk();
            }
            bytes = later;
        }
        Ok(())
    }

    fn align(&mut self) -> io::Result<()> {
        const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];
        self.write(&ZEROS[..self.written.next_multiple_of(ALIGNMENT) - self.written])
    }

    fn end_chunk(&mut self) {
        self.table.extend(self.hasher.digest().to_le_bytes());
        self.hasher.reset();
    }

    fn finish(mut self) -> (W, Vec<u8>) {
        if !self.written.is_multiple_of(CHUNK) {
            self.end_chunk();
        }
        (self.out, self.table)
    }
}
