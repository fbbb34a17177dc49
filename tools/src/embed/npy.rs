//! NumPy's array file format, as much of it as a matrix needs.
//!
//! Source: `numpy/lib/format.py`, version 1.0: magic, version, u16 length of a header that is a Python literal, padded with
//! spaces so that the data starts at a multiple of 64 bytes.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use lacuna::tasks::{EmbedRecord, VectorPrecision, VectorRanges, VectorValues};
use lacuna_console::error::{Error, Result};
use lacuna_console::stream::Stream;

use super::format::Format;
use crate::task::BadLine;

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// Bytes before the data: room for a shape of two 64-bit numbers, so that the rows can be counted last.
const HEADER: usize = 128;

/// An array of one row per text.
pub(super) struct Npy {
    precision: VectorPrecision,
    columns: usize,
    rows: u64,
    /// Rows for an output whose beginning cannot be changed later: standard output, a pipe.
    waiting: Option<BufWriter<File>>,
}

/// The bytes before the data of a C-ordered little-endian array of shape `(rows, columns)`.
fn header(precision: VectorPrecision, rows: u64, columns: usize) -> [u8; HEADER] {
    let kind = match precision {
        VectorPrecision::F32 => "<f4",
        VectorPrecision::Int8 | VectorPrecision::Binary => "|i1",
        VectorPrecision::Uint8 | VectorPrecision::Ubinary => "|u1",
    };
    let dict = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let mut header = [b' '; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..10].copy_from_slice(&((HEADER - 10) as u16).to_le_bytes());
    header[10..10 + dict.len()].copy_from_slice(dict.as_bytes());
    header[HEADER - 1] = b'\n';
    header
}

impl Npy {
    pub(super) fn new(precision: VectorPrecision, columns: usize) -> Npy {
        Npy { precision, columns, rows: 0, waiting: None }
    }

    fn write(&mut self, out: &mut Stream, bytes: &[u8]) -> io::Result<()> {
        self.rows += 1;
        match &mut self.waiting {
            Some(waiting) => waiting.write_all(bytes),
            None => out.write_all(bytes),
        }
    }
}

impl Format for Npy {
    fn begin(&mut self, out: &mut Stream) -> io::Result<()> {
        match out.is_file() {
            true => {
                out.write_all(&header(self.precision, 0, self.columns))?;
                out.end_head()
            }
            false => {
                self.waiting = Some(BufWriter::new(tempfile::tempfile()?));
                Ok(())
            }
        }
    }

    fn resume(&mut self, rows: u64) {
        self.rows = rows;
    }

    fn row(&mut self, out: &mut Stream, _: &EmbedRecord, values: &VectorValues) -> io::Result<()> {
        let bytes: Vec<u8> = match values {
            VectorValues::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            VectorValues::I8(values) => values.iter().map(|value| value.cast_unsigned()).collect(),
            VectorValues::U8(values) => values.clone(),
        };
        self.write(out, &bytes)
    }

    /// A row of NaN.
    fn null(&mut self, out: &mut Stream, _: &BadLine) -> io::Result<()> {
        let bytes = f32::NAN.to_le_bytes().repeat(self.columns);
        self.write(out, &bytes)
    }

    fn finish(&mut self, out: &mut Stream) -> io::Result<()> {
        let header = header(self.precision, self.rows, self.columns);
        if let Some(waiting) = self.waiting.take() {
            let mut rows = waiting.into_inner()?;
            rows.seek(SeekFrom::Start(0))?;
            out.write_all(&header)?;
            return io::copy(&mut rows, out).map(|_| ());
        }
        if let Some(file) = out.seekable()? {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header)?;
            file.seek(SeekFrom::End(0))?;
        }
        Ok(())
    }
}

/// The least and the largest value of each feature: a little-endian f32 array of shape `(2, features)`, as `numpy.save` writes it.
///
/// # Errors
/// [`Error::Io`]; [`Error::Argument`] for another array.
pub(super) fn read_ranges(path: &Path, features: usize) -> Result<VectorRanges> {
    /// Bytes of ranges for more features than any model has.
    const MOST: u64 = 1 << 24;
    let bytes = lacuna_files::read(path, MOST).map_err(Error::unread(path))?;
    let refuse = |found: String| Error::Argument {
        option: "--ranges",
        found: format!("{}: {found}", path.display()),
        expected: format!(
            "an array of shape (2, {features}) in f32, the least and the largest value of each feature: numpy.save(FILE, \
             numpy.stack([v.min(axis=0), v.max(axis=0)]).astype('float32'))"
        ),
    };
    let not_npy = || refuse("no NumPy array of version 1".into());
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(not_npy)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(not_npy)?;
    let (dict, data) = rest.split_at_checked(u16::from_le_bytes(*length).into()).ok_or_else(not_npy)?;
    let dict: String = String::from_utf8_lossy(dict).chars().filter(|c| !c.is_whitespace()).collect();
    let is_right = dict.contains("'descr':'<f4'")
        && dict.contains("'fortran_order':False")
        && dict.contains(&format!("'shape':(2,{features})"));
    if !is_right || data.len() != 2 * 4 * features {
        return Err(refuse(format!("{} bytes of {dict}", data.len())));
    }
    let values: Vec<f32> = data.as_chunks().0.iter().map(|bytes: &[u8; 4]| f32::from_le_bytes(*bytes)).collect();
    let (least, largest) = values.split_at(features);
    if let Some(i) =
        (0..features).find(|&i| !(least[i].is_finite() && largest[i].is_finite() && least[i] <= largest[i]))
    {
        return Err(refuse(format!("{} to {} for feature {i}", least[i], largest[i])));
    }
    Ok(VectorRanges { least: least.to_vec(), largest: largest.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_numpy() {
        // What numpy.save writes for the same array.
        let bytes = header(VectorPrecision::F32, 2, 3);
        assert_eq!(bytes[..10], *b"\x93NUMPY\x01\x00\x76\x00");
        let text = std::str::from_utf8(&bytes[10..]).unwrap();
        assert_eq!(text.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
        assert!(text.ends_with(" \n"));
        let largest = header(VectorPrecision::Ubinary, u64::MAX, usize::MAX);
        assert!(String::from_utf8_lossy(&largest[10..]).contains("'|u1'") && largest.ends_with(b" \n"));
    }

    #[test]
    fn ranges_are_read_and_others_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ranges.npy");
        let floats = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let write = |header: &[u8], values: &[f32]| std::fs::write(&path, [header, &floats(values)].concat()).unwrap();
        write(&header(VectorPrecision::F32, 2, 2), &[-1.0, 0.0, 1.0, 0.5]);
        let expected = VectorRanges { least: vec![-1.0, 0.0], largest: vec![1.0, 0.5] };
        assert_eq!(read_ranges(&path, 2).unwrap(), expected);
        assert!(read_ranges(&path, 3).unwrap_err().to_string().contains("(2, 3)"));
        write(&header(VectorPrecision::F32, 2, 2), &[-1.0, 0.0, 1.0]);
        assert!(read_ranges(&path, 2).is_err());
        write(&header(VectorPrecision::F32, 2, 2), &[-1.0, 0.0, -2.0, 0.5]);
        assert!(read_ranges(&path, 2).unwrap_err().to_string().contains("-1 to -2 for feature 0"));
        write(b"text", &[]);
        assert!(read_ranges(&path, 2).is_err());
    }
}
