//! An embedding table with a byte per value, for small files.

use lacuna_kernels::{Buffer, SharedSlice};
use rayon::prelude::*;

use crate::container::{PackedError, PackedFile, Sections};

/// The largest code: codes are symmetric, so that 0 stays 0.
const LARGEST: f32 = 127.0;
/// Rows that a thread computes at a time.
const ROWS: usize = 256;

/// A table whose values are `scale[row] * code[row][feature]`.
///
/// **Numerics**: the scale of a row is its largest magnitude / 127, codes round to nearest even. An error is at most half a scale, which is
/// 1/254 of the row's largest value. The values are exact f32 products, so they are the same wherever they are computed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ByteTable {
    features: usize,
    /// `[rows][features]`
    codes: SharedSlice<i8>,
    /// `[rows]`
    scales: Vec<f32>,
}

impl ByteTable {
    /// Rounds a table of `features` columns.
    pub(crate) fn of(table: &[f32], features: usize) -> ByteTable {
        let rows = table.chunks_exact(features.max(1));
        let scales: Vec<f32> =
            rows.clone().map(|row| row.iter().fold(0.0, |max: f32, x| max.max(x.abs())) / LARGEST).collect();
        let codes = rows.zip(&scales).flat_map(|(row, &scale)| {
            let code =
                move |x: &f32| if scale > 0.0 { (x / scale).round_ties_even().clamp(-LARGEST, LARGEST) } else { 0.0 };
            row.iter().map(move |x| code(x) as i8)
        });
        ByteTable { features, codes: codes.collect(), scales }
    }

    /// The values, computed in parallel on the current rayon pool.
    pub(crate) fn values(&self) -> SharedSlice<f32> {
        let features = self.features.max(1);
        let mut values = Buffer::new(self.codes.len());
        let codes = self.codes.par_chunks(ROWS * features);
        let parts = values.par_chunks_mut(ROWS * features).zip(codes).zip(self.scales.par_chunks(ROWS));
        parts.for_each(|((values, codes), scales)| {
            let rows = values.chunks_exact_mut(features).zip(codes.chunks_exact(features));
            for ((values, codes), &scale) in rows.zip(scales) {
                values.iter_mut().zip(codes).for_each(|(value, &code)| *value = scale * f32::from(code));
            }
        });
        values.into()
    }

    /// Adds the sections `NAME.codes` and `NAME.scales`.
    pub(crate) fn save<'a>(&'a self, name: &str, sections: &mut Sections<'a>) {
        sections.add(codes_of(name), &self.codes[..]);
        sections.add(scales_of(name), &self.scales);
    }

    /// Whether a file has the table in this form.
    pub(crate) fn is_in(file: &PackedFile, name: &str) -> bool {
        file.has(&codes_of(name))
    }

    /// # Errors
    /// [`PackedError::Section`] for sections of another size, and for what [`ByteTable::of`] never gives.
    pub(crate) fn load(file: &PackedFile, name: &str, rows: usize, features: usize) -> Result<ByteTable, PackedError> {
        let codes: SharedSlice<i8> = file.stored(&codes_of(name), rows.saturating_mul(features))?;
        let scales: Vec<f32> = file.elements(&scales_of(name), rows)?;
        if codes.contains(&i8::MIN) {
            return Err(file.section_error(&codes_of(name), "a code of -128".into(), "-127 to 127".into()));
        }
        if let Some(found) = scales.iter().find(|scale| !(**scale >= 0.0 && **scale <= f32::MAX / 128.0)) {
            return Err(file.section_error(
                &scales_of(name),
                format!("a scale of {found}"),
                "0 or more, and finite values".into(),
            ));
        }
        Ok(ByteTable { features, codes, scales })
    }
}

fn codes_of(name: &str) -> String {
    format!("{name}.codes")
}

fn scales_of(name: &str) -> String {
    format!("{name}.scales")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_within_half_a_scale_and_zeros_stay() {
        let table: Vec<f32> = (0..70).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013).chain([0.0; 7]).collect();
        let bytes = ByteTable::of(&table, 7);
        let values = bytes.values();
        assert_eq!(values.len(), table.len());
        for ((row, found), scale) in table.chunks(7).zip(values.chunks(7)).zip(&bytes.scales) {
            assert!(row.iter().zip(found).all(|(x, y)| (x - y).abs() <= 0.5001 * scale), "{row:?} {found:?}");
        }
        assert!(values[70..].iter().all(|x| *x == 0.0));
        assert_eq!(ByteTable::of(&values, 7).values(), values);
        assert_eq!(ByteTable::of(&[], 7).values().len(), 0);
    }
}
