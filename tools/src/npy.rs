//! NumPy's array file format, as much of it as a matrix of f32 needs.
//!
//! Source: `numpy/lib/format.py`, version 1.0: magic, version, u16 length of a header that is a Python literal, padded with
//! spaces so that the data starts at a multiple of 64 bytes.

use std::io::{self, Write};

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
const ALIGNMENT: usize = 64;

/// Writes `rows`, all of `columns` elements, as a C-ordered little-endian f32 array of shape `(rows, columns)`.
pub(crate) fn write(out: &mut dyn Write, rows: &[impl AsRef<[f32]>], columns: usize) -> io::Result<()> {
    let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {columns}), }}", rows.len());
    let before = MAGIC.len() + size_of::<u16>();
    // The shape of two 64-bit numbers takes at most 40 digits: the header is always below 64 KiB.
    let length = (before + dict.len() + 1).next_multiple_of(ALIGNMENT) - before;
    out.write_all(MAGIC)?;
    out.write_all(&(length as u16).to_le_bytes())?;
    writeln!(out, "{dict:<width$}", width = length - 1)?;
    for row in rows.iter().map(AsRef::as_ref) {
        if row.len() != columns {
            return Err(io::Error::other(format!("a row of {} elements in an array of {columns} columns", row.len())));
        }
        for value in row {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_numpy() {
        let mut bytes = Vec::new();
        write(&mut bytes, &[vec![1.0, -2.0, 0.5], vec![0.0, f32::MIN_POSITIVE, 3e38]], 3).unwrap();
        // What numpy.save writes for the same array.
        assert_eq!(bytes[..10], *b"\x93NUMPY\x01\x00\x76\x00");
        let header = std::str::from_utf8(&bytes[10..128]).unwrap();
        assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
        assert!(header.ends_with(" \n"));
        assert_eq!(bytes.len(), 128 + 24);
        assert_eq!(bytes[128..136], [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    }

    #[test]
    fn data_is_aligned_whatever_the_shape() {
        for columns in [1, 12, 384, 100_000] {
            let mut bytes = Vec::new();
            write(&mut bytes, &[[0.0; 0]; 0], columns).unwrap();
            assert_eq!(bytes.len() % ALIGNMENT, 0);
            assert_eq!(bytes.last(), Some(&b'\n'));
        }
    }

    #[test]
    fn ragged_rows_are_refused() {
        assert!(write(&mut Vec::new(), &[vec![1.0], vec![]], 1).is_err());
    }
}
