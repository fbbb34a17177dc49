//! Validation of a safetensors header, with errors that name the tensor.
//!
//! The `safetensors` crate decides whether a file is valid. Where its error does not say which
//! tensor and which numbers are wrong, the header is read once more here to find out.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::Metadata;
use safetensors::{SafeTensorError, SafeTensors};
use serde::Deserialize;

use crate::error::{Error, Result, WeightError};

/// A safetensors file begins with the length of its JSON header as a little-endian u64.
const LENGTH_BYTES: usize = 8;
/// The format's own limit on the header.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Checks that a file of `length` bytes can have a header at all; an empty file cannot even be mapped.
pub(super) fn check_length(path: &Path, length: u64) -> Result<()> {
    match length < LENGTH_BYTES as u64 {
        true => Err(Error::Weights(WeightError::CheckpointLength {
            path: path.to_owned(),
            found: length,
            expected: format!("at least {LENGTH_BYTES} for the header length"),
        })),
        false => Ok(()),
    }
}

/// The header of a file, and the index of the first byte after it.
///
/// The tensors' byte ranges are in the file, contiguous, and as long as shape and dtype need.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<(Metadata, usize)> {
    check_header_length(path, bytes)?;
    let (length, header) = SafeTensors::read_metadata(bytes).map_err(|error| diagnose(path, bytes, error))?;
    Ok((header, LENGTH_BYTES + length))
}

fn check_header_length(path: &Path, bytes: &[u8]) -> Result<()> {
    check_length(path, bytes.len() as u64)?;
    let header = u64::from_le_bytes(bytes.first_chunk::<LENGTH_BYTES>().copied().unwrap_or_default());
    if header > MAX_HEADER_BYTES {
        return Err(Error::Weights(WeightError::CheckpointHeader {
            path: path.to_owned(),
            reason: format!("found a header length of {header} bytes; expected at most {MAX_HEADER_BYTES}"),
        }));
    }
    if header > (bytes.len() - LENGTH_BYTES) as u64 {
        return Err(Error::Weights(WeightError::CheckpointLength {
            path: path.to_owned(),
            found: bytes.len() as u64,
            expected: format!("at least {} for the header alone", header + LENGTH_BYTES as u64),
        }));
    }
    Ok(())
}

/// One tensor's entry, with only what the byte ranges depend on.
#[derive(Deserialize)]
struct Entry {
    dtype: safetensors::Dtype,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Turns the library's error into one that says what was found and what was expected.
fn diagnose(path: &Path, bytes: &[u8], error: SafeTensorError) -> Error {
    let header_error = |reason: String| Error::Weights(WeightError::CheckpointHeader { path: path.to_owned(), reason });
    let Some(entries) = entries(bytes) else {
        return header_error(error.to_string());
    };
    let data = (bytes.len() - data_start(bytes)) as u64;
    let mut expected_start = 0;
    for (name, entry) in &entries {
        let (start, end) = entry.data_offsets;
        let offsets = |found: String, expected: String| {
            Error::Weights(WeightError::TensorOffsets { path: path.to_owned(), tensor: name.clone(), found, expected })
        };
        let found = format!("{start}..{end}");
        let elements = entry.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        let size = elements.and_then(|n| n.checked_mul(entry.dtype.bitsize() as u64));
        let Some(size) = size.map(|bits| bits / 8) else {
            return offsets(format!("shape {:?}", entry.shape), "a shape whose size fits in 64 bits".into());
        };
        if start != expected_start {
            let relation = if start < expected_start { "overlaps" } else { "leaves a gap after" };
            return offsets(
                format!("{found}, which {relation} the tensor before it"),
                format!("a start of {expected_start}"),
            );
        }
        if end < start || end - start != size {
            return offsets(found, format!("{size} bytes for {:?} {:?}", entry.dtype, entry.shape));
        }
        expected_start = end;
    }
    if expected_start != data {
        return Error::Weights(WeightError::CheckpointLength {
            path: path.to_owned(),
            found: bytes.len() as u64,
            expected: format!("{}", data_start(bytes) as u64 + expected_start),
        });
    }
    header_error(error.to_string())
}

/// All entries in the order of their byte ranges, or `None` when the header is no JSON of that form.
fn entries(bytes: &[u8]) -> Option<Vec<(String, Entry)>> {
    let json = bytes.get(LENGTH_BYTES..data_start(bytes))?;
    let values: HashMap<String, serde_json::Value> = serde_json::from_slice(json).ok()?;
    let mut entries = values
        .into_iter()
        .filter(|(name, _)| name != "__metadata__")
        .map(|(name, value)| Some((name, serde_json::from_value::<Entry>(value).ok()?)))
        .collect::<Option<Vec<_>>>()?;
    entries.sort_by(|a, b| (a.1.data_offsets, &a.0).cmp(&(b.1.data_offsets, &b.0)));
    Some(entries)
}

/// Index of the first byte after the header; its length has been checked.
fn data_start(bytes: &[u8]) -> usize {
    let prefix = bytes.first_chunk::<LENGTH_BYTES>().copied().unwrap_or_default();
    LENGTH_BYTES.saturating_add(u64::from_le_bytes(prefix) as usize).min(bytes.len())
}
