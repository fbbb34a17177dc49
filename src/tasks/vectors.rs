//! Smaller embeddings: fewer features, fewer bits.

use std::fmt;

/// The first `dimensions` features, divided by their L2 norm if `normalize` says so: for models that are trained to keep most of what a vector says in
/// its first features (Matryoshka). A vector of zeros stays one.
pub fn shorten(vector: &mut Vec<f32>, dimensions: usize, normalize: bool) {
    vector.truncate(dimensions);
    if normalize {
        let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        if norm > 0.0 {
            vector.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        }
    }
}

/// How the values of embeddings are stored: what sentence-transformers calls the precision of embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VectorPrecision {
    /// As they are.
    #[default]
    F32,
    /// 256 steps from the least to the largest value of each feature, from -128.
    Int8,
    /// The same, from 0.
    Uint8,
    /// One bit per feature, whether it is above 0; eight in a byte, the first in the highest bit; less 128.
    Binary,
    /// The same, without the subtraction.
    Ubinary,
}

/// The least and the largest value of each feature.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorRanges {
    /// The least.
    pub least: Vec<f32>,
    /// The largest.
    pub largest: Vec<f32>,
}

/// The values of an embedding in a [`VectorPrecision`].
#[derive(Debug, Clone, PartialEq)]
pub enum VectorValues {
    /// [`VectorPrecision::F32`]
    F32(Vec<f32>),
    /// [`VectorPrecision::Int8`], [`VectorPrecision::Binary`]
    I8(Vec<i8>),
    /// [`VectorPrecision::Uint8`], [`VectorPrecision::Ubinary`]
    U8(Vec<u8>),
}

impl VectorPrecision {
    /// Whether values depend on [`VectorRanges`].
    pub fn needs_ranges(self) -> bool {
        matches!(self, VectorPrecision::Int8 | VectorPrecision::Uint8)
    }

    /// Whether eight features are one byte.
    pub fn packs_bits(self) -> bool {
        matches!(self, VectorPrecision::Binary | VectorPrecision::Ubinary)
    }

    /// Values per vector of this many features.
    pub fn values(self, features: usize) -> usize {
        if self.packs_bits() { features.div_ceil(8) } else { features }
    }

    /// The values of a vector.
    ///
    /// # Numerics
    /// As `quantize_embeddings` of sentence-transformers 6: with `step = (largest - least) / 255` in f32, or 1 for a feature of one value only, the code
    /// is `(x - least) / step`, rounded down and clipped to 0 to 255. uint8 is the code, int8 the code less 128. A NaN has the code 0, and so has
    /// everything without ranges, which int8 and uint8 need.
    pub fn quantize(self, vector: &[f32], ranges: Option<&VectorRanges>) -> VectorValues {
        let code = |i: usize, x: f32| {
            let range = ranges.and_then(|ranges| Some((*ranges.least.get(i)?, *ranges.largest.get(i)?)));
            let (least, largest) = range.unwrap_or((f32::NAN, f32::NAN));
            let step = (largest - least) / 255.0;
            let step = if step == 0.0 { 1.0 } else { step };
            ((x - least) / step) as u8 // rounds positive values down, clips, and takes NaN for 0
        };
        let codes = || vector.iter().enumerate().map(|(i, x)| code(i, *x));
        match self {
            VectorPrecision::F32 => VectorValues::F32(vector.to_vec()),
            VectorPrecision::Int8 => VectorValues::I8(codes().map(|code| (code ^ 0x80).cast_signed()).collect()),
            VectorPrecision::Uint8 => VectorValues::U8(codes().collect()),
            VectorPrecision::Binary => VectorValues::I8(bits(vector).map(|byte| (byte ^ 0x80).cast_signed()).collect()),
            VectorPrecision::Ubinary => VectorValues::U8(bits(vector).collect()),
        }
    }
}

fn bits(vector: &[f32]) -> impl Iterator<Item = u8> {
    vector.chunks(8).map(|eight| eight.iter().enumerate().fold(0, |byte, (i, x)| byte | u8::from(*x > 0.0) << (7 - i)))
}

impl VectorRanges {
    /// Of all vectors; `None` without any.
    pub fn of<'a>(mut vectors: impl Iterator<Item = &'a [f32]>) -> Option<VectorRanges> {
        let first = vectors.next()?.to_vec();
        let mut ranges = VectorRanges { least: first.clone(), largest: first };
        for vector in vectors {
            ranges.least.iter_mut().zip(vector).for_each(|(least, x)| *least = least.min(*x));
            ranges.largest.iter_mut().zip(vector).for_each(|(largest, x)| *largest = largest.max(*x));
        }
        Some(ranges)
    }
}

impl fmt::Display for VectorPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VectorPrecision::F32 => "f32",
            VectorPrecision::Int8 => "int8",
            VectorPrecision::Uint8 => "uint8",
            VectorPrecision::Binary => "binary",
            VectorPrecision::Ubinary => "ubinary",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_features_are_normalised_again() {
        let mut vector = vec![3.0, -4.0, 5.0];
        shorten(&mut vector, 2, true);
        assert_eq!(vector, [0.6, -0.8]);
        let mut vector = vec![3.0, -4.0, 5.0];
        shorten(&mut vector, 2, false);
        assert_eq!(vector, [3.0, -4.0]);
        let mut vector = vec![0.0, 0.0, 1.0];
        shorten(&mut vector, 2, true);
        assert_eq!(vector, [0.0, 0.0]);
    }

    /// The values that NumPy computes with the formulas of sentence-transformers.
    #[test]
    fn codes_are_those_of_numpy() {
        let vectors = [[0.1_f32, -0.5, 2.0], [0.2, 0.5, 2.0], [0.16, 0.25, 2.0]];
        let ranges = VectorRanges::of(vectors.iter().map(|vector| &vector[..])).unwrap();
        assert_eq!((&ranges.least[..], &ranges.largest[..]), (&[0.1, -0.5, 2.0][..], &[0.2, 0.5, 2.0][..]));
        let of = |precision: VectorPrecision, i: usize| precision.quantize(&vectors[i], Some(&ranges));
        assert_eq!(of(VectorPrecision::Uint8, 0), VectorValues::U8(vec![0, 0, 0]));
        assert_eq!(of(VectorPrecision::Uint8, 1), VectorValues::U8(vec![255, 254, 0]));
        assert_eq!(of(VectorPrecision::Uint8, 2), VectorValues::U8(vec![152, 191, 0]));
        assert_eq!(of(VectorPrecision::Int8, 0), VectorValues::I8(vec![-128, -128, -128]));
        assert_eq!(of(VectorPrecision::Int8, 1), VectorValues::I8(vec![127, 126, -128]));
        assert_eq!(of(VectorPrecision::Int8, 2), VectorValues::I8(vec![24, 63, -128]));
        let outside = VectorPrecision::Uint8.quantize(&[9.0, -9.0, 3.5], Some(&ranges));
        assert_eq!(outside, VectorValues::U8(vec![255, 0, 1]));
        // Codes below 128 are rounded down, too: 100.5 is 100, and -28 as int8.
        let between = VectorRanges { least: vec![0.0], largest: vec![255.0] };
        assert_eq!(VectorPrecision::Int8.quantize(&[100.5], Some(&between)), VectorValues::I8(vec![-28]));
        assert_eq!(VectorPrecision::Int8.quantize(&[100.5], None), VectorValues::I8(vec![-128]));
    }

    #[test]
    fn bits_are_packed_from_the_highest() {
        let vector = [1.0, -1.0, 0.0, 0.5, -0.5, 2.0, f32::NAN, 1e-9, 1.0];
        assert_eq!(VectorPrecision::Ubinary.quantize(&vector, None), VectorValues::U8(vec![0b1001_0101, 0b1000_0000]));
        assert_eq!(VectorPrecision::Binary.quantize(&vector, None), VectorValues::I8(vec![21, 0]));
        assert_eq!((VectorPrecision::Binary.values(384), VectorPrecision::Int8.values(384)), (48, 384));
        let none = VectorPrecision::Binary.quantize(&[-1.0; 8], None);
        assert_eq!(none, VectorValues::I8(vec![-128]));
    }
}
