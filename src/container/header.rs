//! The first bytes of a packed file: what it is, how long, and where its checksums are.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

pub(super) use lacuna_model::packed::MAGIC;

use super::error::PackedError;

/// The version of files in which every section is stored as it is.
pub(super) const PLAIN: u32 = 1;
/// The version of files with deflated sections.
pub(super) const DEFLATED: u32 = 2;
/// The version of files whose activations have codes of seven bits. Sections may be deflated.
pub(super) const SEVEN_BITS: u32 = 3;
/// The newest version.
const NEWEST: u32 = SEVEN_BITS;
/// The versions that are read.
const SUPPORTED: &str = "versions 1 to 3";
/// Bytes per checksum.
pub(super) const CHUNK: usize = 1 << 20;
/// Sections start at multiples of this many bytes: cache lines, the width of a vector.
pub(super) const ALIGNMENT: usize = 64;

/// The 64 bytes at the start, little-endian. [`Header::to_bytes`] has the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// [`PLAIN`], [`DEFLATED`] or [`SEVEN_BITS`]: the least that reads the file, so that older readers read what they can.
    pub(super) version: u32,
    /// Where the sections end and the table of checksums begins.
    pub(super) end: u64,
    /// Bytes of the manifest, which follows the header.
    pub(super) manifest: u64,
    /// Checksum of the table of checksums.
    pub(super) table: u64,
}

impl Header {
    pub(super) const BYTES: usize = 64;

    /// | bytes | holds |
    /// | --- | --- |
    /// | 0..8 | [`MAGIC`] |
    /// | 8..12 | the version |
    /// | 12..16 | [`CHUNK`] |
    /// | 16..24 | where the table of checksums begins |
    /// | 24..32 | bytes of the manifest |
    /// | 32..40 | checksum of the table |
    /// | 40..56 | zeros |
    /// | 56..64 | checksum of bytes 0..56 |
    pub(super) fn to_bytes(self) -> [u8; Header::BYTES] {
        let mut bytes = [0; Header::BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&(CHUNK as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.end.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.manifest.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.table.to_le_bytes());
        let checksum = xxh3_64(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header of `file`, all bytes of a file.
    pub(super) fn read(path: &Path, file: &[u8]) -> Result<Header, PackedError> {
        if file.get(..8) != Some(&MAGIC) {
            let found = match file.len() {
                0 => "an empty file".to_owned(),
                _ => format!("a file that begins with \"{}\"", file[..file.len().min(8)].escape_ascii()),
            };
            return Err(PackedError::NotPacked { path: path.to_owned(), found });
        }
        let length = |expected: usize| PackedError::Length {
            path: path.to_owned(),
            found: file.len() as u64,
            expected: expected as u64,
        };
        let bytes: &[u8; Header::BYTES] = file.first_chunk().ok_or_else(|| length(Header::BYTES))?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let version = number(8) as u32;
        if !(PLAIN..=NEWEST).contains(&version) {
            let remedy = match version > NEWEST {
                true => "read it with the newer lacuna that packed it, or pack the model again with this one",
                false => "pack the model again",
            };
            return Err(PackedError::Version { path: path.to_owned(), found: version, supported: SUPPORTED, remedy });
        }
        checksum(path, file, 0..56, number(56))?;
        let header = Header { version, end: number(16), manifest: number(24), table: number(32) };
        let expected = header.chunks().and_then(|chunks| header.end.checked_add(chunks.checked_mul(8)?));
        if expected != Some(file.len() as u64) {
            let (found, expected) = (file.len() as u64, expected.unwrap_or(u64::MAX));
            return Err(PackedError::Length { path: path.to_owned(), found, expected });
        }
        let field = |field, found, expected| Err(PackedError::Header { path: path.to_owned(), field, found, expected });
        if bytes[12..16] != (CHUNK as u32).to_le_bytes() {
            return field("bytes per checksum", number(12) & 0xffff_ffff, CHUNK.to_string());
        }
        if bytes[40..56].iter().any(|&byte| byte != 0) {
            return field("reserved", number(40).max(number(48)), "0".into());
        }
        if !header.end.is_multiple_of(ALIGNMENT as u64) {
            return field("end of the sections", header.end, format!("a multiple of {ALIGNMENT}"));
        }
        if header.manifest > header.end - Header::BYTES as u64 {
            let room = header.end - Header::BYTES as u64;
            return field("bytes of the manifest", header.manifest, format!("at most {room}"));
        }
        Ok(header)
    }

    /// Checksums in the table: one for every [`CHUNK`] between header and table. `None` if the table would begin in the header.
    pub(super) fn chunks(&self) -> Option<u64> {
        Some(self.end.checked_sub(Header::BYTES as u64)?.div_ceil(CHUNK as u64))
    }

    /// Where the first section may begin, in bytes from the start of the file.
    pub(super) fn data(&self) -> usize {
        (Header::BYTES + self.manifest as usize).next_multiple_of(ALIGNMENT)
    }
}

/// Compares the checksum of some bytes.
pub(super) fn checksum(
    path: &Path,
    file: &[u8],
    range: std::ops::Range<usize>,
    expected: u64,
) -> Result<(), PackedError> {
    let found = xxh3_64(&file[range.clone()]);
    if found == expected {
        return Ok(());
    }
    let (start, end) = (range.start as u64, range.end as u64);
    Err(PackedError::Checksum { path: path.to_owned(), start, end, found, expected })
}
