//! A packed file, mapped or in memory, and verified.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use bytemuck::Pod;
use bytes::Bytes;
use lacuna_kernels::{ActivationBits, Buffer, SharedSlice};
use memmap2::Mmap;
use rayon::prelude::*;
use serde::de::DeserializeOwned;

use super::deflate::{MOST_GROWTH, inflate};
use super::error::PackedError;
use super::header::{ALIGNMENT, CHUNK, Header, PLAIN, SEVEN_BITS, checksum};
use super::manifest::{Manifest, Section};
use super::writer::replace;

/// A file that is mapped, or part of the program. Its pages are shared by all processes that open it, and stay mapped while anything
/// borrows them.
#[derive(Debug)]
pub(crate) struct PackedFile {
    path: PathBuf,
    bytes: Bytes,
    header: Header,
    sections: Vec<Section>,
    places: HashMap<String, Place>,
}

/// Where a section is, and whether anything asked for it.
#[derive(Debug)]
struct Place {
    range: Range<usize>,
    /// Bytes when inflated, if it is stored deflated.
    inflated: Option<usize>,
    is_read: AtomicBool,
}

impl PackedFile {
    /// Maps a file and reads its manifest, whose checksum is compared; [`PackedFile::verify`] compares the others.
    pub(crate) fn open<M: DeserializeOwned>(path: &Path) -> Result<(PackedFile, M), PackedError> {
        PackedFile::read(path, map(path)?)
    }

    /// The same of a file that is read into memory: it may change afterwards.
    pub(crate) fn copied<M: DeserializeOwned>(path: &Path) -> Result<(PackedFile, M), PackedError> {
        PackedFile::read(path, copy(path)?)
    }

    /// The same of a file that is part of the program. `name` stands for its path.
    pub(crate) fn of_static<M: DeserializeOwned>(
        name: &Path,
        bytes: &'static [u8],
    ) -> Result<(PackedFile, M), PackedError> {
        let found = bytes.as_ptr() as usize % ALIGNMENT;
        if found != 0 {
            return Err(PackedError::Alignment { path: name.to_owned(), found, expected: ALIGNMENT });
        }
        PackedFile::read(name, Bytes::from_static(bytes))
    }

    fn read<M: DeserializeOwned>(path: &Path, bytes: Bytes) -> Result<(PackedFile, M), PackedError> {
        if cfg!(target_endian = "big") {
            return Err(PackedError::BigEndian { path: path.to_owned() });
        }
        let header = Header::read(path, &bytes)?;
        checksum(path, &bytes, header.end as usize..bytes.len(), header.table)?;
        let manifest_bytes = Header::BYTES..Header::BYTES + header.manifest as usize;
        let mut file =
            PackedFile { path: path.to_owned(), bytes, header, sections: Vec::new(), places: HashMap::new() };
        file.verify_range(manifest_bytes.clone())?;
        let manifest: Manifest<M> = serde_json::from_slice(&file.bytes[manifest_bytes])
            .map_err(|source| PackedError::Manifest { path: path.to_owned(), source })?;
        file.places = file.place(&manifest.sections)?;
        file.sections = manifest.sections;
        Ok((file, manifest.model))
    }

    /// Refuses codes of activations of other bits than the version says.
    pub(crate) fn check_activation_bits(&self, found: ActivationBits) -> Result<(), PackedError> {
        let expected = match self.header.version {
            SEVEN_BITS => ActivationBits::Seven,
            _ => ActivationBits::Eight,
        };
        match found == expected {
            true => Ok(()),
            false => {
                let expected = format!("{expected} in a file of version {}", self.header.version);
                Err(self.content_error("activation_bits", found.to_string(), expected))
            }
        }
    }

    /// Compares all checksums, in parallel. The error is that of the first damage in the file.
    pub(crate) fn verify(&self) -> Result<(), PackedError> {
        self.verify_range(Header::BYTES..self.header.end as usize)
    }

    /// Compares the checksums of a section.
    pub(crate) fn verify_section(&self, name: &str) -> Result<(), PackedError> {
        self.places.get(name).map_or(Ok(()), |place| self.verify_range(place.range.clone()))
    }

    /// Refuses bytes that nothing reads: sections that were not asked for until now, but for those that `may_wait`, and padding that
    /// is not 0. To be called when the checksums were compared.
    pub(crate) fn check_rest(&self, may_wait: impl Fn(&str) -> bool) -> Result<(), PackedError> {
        let manifest_end = Header::BYTES + self.header.manifest as usize;
        let mut ends = vec![("manifest", manifest_end)];
        for Section { name, .. } in &self.sections {
            let Some(place) = self.places.get(name) else { continue };
            if !place.is_read.load(Relaxed) && !may_wait(name) {
                let found = format!("{} bytes that no part of the model reads", place.range.len());
                return Err(self.section_error(name, found, "no section of this name".into()));
            }
            ends.push((name, place.range.end));
        }
        for (name, end) in ends {
            if self.bytes[end..end.next_multiple_of(ALIGNMENT)].iter().any(|&byte| byte != 0) {
                return Err(self.section_error(name, "padding that is not zero".into(), "zeros behind it".into()));
            }
        }
        Ok(())
    }

    /// Compares the checksums of all chunks that a range touches.
    fn verify_range(&self, range: Range<usize>) -> Result<(), PackedError> {
        let (body, end) = (Header::BYTES, self.header.end as usize);
        let chunks = (range.start - body) / CHUNK..(range.end - body).div_ceil(CHUNK);
        let table = self.bytes[end..].as_chunks::<8>().0;
        let damage = chunks.into_par_iter().find_map_first(|i| {
            let start = body + i * CHUNK;
            checksum(&self.path, &self.bytes, start..end.min(start + CHUNK), u64::from_le_bytes(table[i])).err()
        });
        damage.map_or(Ok(()), Err)
    }

    /// The positions of the sections: one after the other, at multiples of 64, to the end.
    fn place(&self, sections: &[Section]) -> Result<HashMap<String, Place>, PackedError> {
        let (first, end) = (self.header.data(), self.header.end as usize);
        let mut places = HashMap::with_capacity(sections.len());
        let mut next = first;
        for section in sections {
            let range = usize::try_from(section.offset)
                .ok()
                .and_then(|offset| first.checked_add(offset))
                .and_then(|start| Some(start..start.checked_add(usize::try_from(section.length).ok()?)?));
            let Some(range) = range.filter(|range| range.start == next && range.end <= end) else {
                let found = format!("{} bytes at {}", section.length, section.offset);
                let expected =
                    format!("at {}, and at most {} bytes", next.saturating_sub(first), end.saturating_sub(next));
                return Err(self.section_error(&section.name, found, expected));
            };
            next = range.end.next_multiple_of(ALIGNMENT);
            let inflated = self.inflated(section)?;
            let place = Place { range, inflated, is_read: AtomicBool::new(false) };
            if places.insert(section.name.clone(), place).is_some() {
                return Err(self.section_error(&section.name, "the name twice".into(), "every name once".into()));
            }
        }
        if next != end {
            let found = format!("an end of the sections at {next}");
            return Err(self.content_error("manifest", found, format!("{end}, as the header says")));
        }
        Ok(places)
    }

    /// The bytes of a section when inflated, if it is stored deflated: at most [`MOST_GROWTH`] for each byte that is stored.
    fn inflated(&self, section: &Section) -> Result<Option<usize>, PackedError> {
        let Some(inflated) = section.inflated else { return Ok(None) };
        if self.header.version == PLAIN {
            let found = "deflated bytes in a file of version 1".to_owned();
            return Err(self.section_error(&section.name, found, "bytes as they are".into()));
        }
        let most = section.length.saturating_mul(MOST_GROWTH as u64);
        match usize::try_from(inflated) {
            Ok(length) if inflated <= most => Ok(Some(length)),
            _ => {
                let found = format!("{} bytes that become {inflated}", section.length);
                Err(self.section_error(&section.name, found, format!("at most {most} when inflated")))
            }
        }
    }

    /// Writes the same file to another place. Gives its length in bytes.
    pub(crate) fn copy(&self, path: &Path) -> Result<u64, PackedError> {
        replace(path, |out| std::io::Write::write_all(out, &self.bytes))?;
        Ok(self.bytes.len() as u64)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file is mapped.
    #[cfg(test)]
    pub(crate) fn addresses(&self) -> std::ops::Range<*const u8> {
        self.bytes.as_ptr_range()
    }

    /// All sections.
    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Bytes of the file.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is a section of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The bytes of a section: borrowed, or inflated if they are stored deflated.
    pub(crate) fn section(&self, name: &str) -> Result<Bytes, PackedError> {
        let Some(place) = self.places.get(name) else {
            return Err(self.section_error(name, "none".into(), "one of this name".into()));
        };
        place.is_read.store(true, Relaxed);
        let stored = self.bytes.slice(place.range.clone());
        let Some(length) = place.inflated else { return Ok(stored) };
        match inflate(&stored, length) {
            Ok(inflated) => Ok(Bytes::from_owner(Owned(inflated))),
            Err(found) => Err(self.section_error(name, found, format!("a deflated stream of {length} bytes"))),
        }
    }

    /// The elements of a section, as [`PackedFile::section`] gives them; there must be `expected`.
    pub(crate) fn stored<T: Pod>(&self, name: &str, expected: usize) -> Result<SharedSlice<T>, PackedError> {
        let bytes = self.section(name)?;
        let elements = bytes.len() / size_of::<T>();
        if !bytes.len().is_multiple_of(size_of::<T>()) || elements != expected {
            let found = format!("{} bytes", bytes.len());
            return Err(self.section_error(name, found, format!("{expected} elements of {} bytes", size_of::<T>())));
        }
        SharedSlice::shared(bytes, "", "").map_err(|source| self.weights_error(name, source))
    }

    /// The elements of a small section, copied.
    pub(crate) fn elements<T: Pod>(&self, name: &str, expected: usize) -> Result<Vec<T>, PackedError> {
        Ok(self.stored::<T>(name, expected)?.to_vec())
    }

    pub(crate) fn section_error(&self, section: &str, found: String, expected: String) -> PackedError {
        PackedError::Section { path: self.path.clone(), section: section.to_owned(), found, expected }
    }

    pub(crate) fn content_error(&self, what: &str, found: String, expected: String) -> PackedError {
        PackedError::Content { path: self.path.clone(), what: what.to_owned(), found, expected }
    }

    pub(crate) fn weights_error(&self, what: &str, source: lacuna_kernels::KernelError) -> PackedError {
        PackedError::Weights { path: self.path.clone(), what: what.to_owned(), source: source.into() }
    }
}

/// What keeps the bytes of an inflated section, or of a file that was copied.
struct Owned(Buffer<u8>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A regular file and its length.
fn regular(path: &Path) -> Result<(File, u64), PackedError> {
    // Before the opening, which for a pipe would wait for a writer.
    let kind = std::fs::metadata(path).map_err(PackedError::io(path, "open"))?;
    if !kind.is_file() {
        let found = if kind.is_dir() { "a directory" } else { "a device, pipe or socket" };
        return Err(PackedError::NotPacked { path: path.to_owned(), found: found.into() });
    }
    let file = File::open(path).map_err(PackedError::io(path, "open"))?;
    let length = file.metadata().map_err(PackedError::io(path, "read the size of"))?.len();
    Ok((file, length))
}

fn copy(path: &Path) -> Result<Bytes, PackedError> {
    let (mut file, length) = regular(path)?;
    let no_memory = |_| PackedError::io(path, "read")(std::io::ErrorKind::OutOfMemory.into());
    let mut bytes = Buffer::try_new(usize::try_from(length).unwrap_or(usize::MAX)).map_err(no_memory)?;
    file.read_exact(&mut bytes).map_err(PackedError::io(path, "read"))?;
    Ok(Bytes::from_owner(Owned(bytes)))
}

fn map(path: &Path) -> Result<Bytes, PackedError> {
    let (file, length) = regular(path)?;
    if length == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the mapping is read-only. Its obligation is that nobody truncates or rewrites the file while it is mapped; this is
    // documented at `PackedModel::open`. Writers of this crate never change a file: they put a new one in its place.
    let map = unsafe { Mmap::map(&file) }.map_err(PackedError::io(path, "map into memory"))?;
    Ok(Bytes::from_owner(map))
}
