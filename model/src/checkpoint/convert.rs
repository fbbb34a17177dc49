//! Little-endian bytes to f32, in parallel, counting what is not finite.

use rayon::prelude::*;
use safetensors::Dtype;

/// Elements per parallel piece: 1 MiB of f32.
const CHUNK: usize = 1 << 18;

/// Converts a whole tensor and counts its NaN and infinite values.
///
/// The caller has checked that the dtype is F32, F16, BF16 or F64 and that the length fits.
pub(super) fn to_f32(dtype: Dtype, bytes: &[u8]) -> (Vec<f32>, usize) {
    match dtype {
        Dtype::F16 => convert(bytes, |b: [u8; 2]| half::f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => convert(bytes, |b: [u8; 2]| half::bf16::from_le_bytes(b).to_f32()),
        // A value beyond the range of f32 becomes infinite, and is counted.
        Dtype::F64 => convert(bytes, |b: [u8; 8]| f64::from_le_bytes(b) as f32),
        _ => convert(bytes, f32::from_le_bytes),
    }
}

fn convert<const B: usize>(bytes: &[u8], element: impl Fn([u8; B]) -> f32 + Sync) -> (Vec<f32>, usize) {
    let mut values = vec![0.0f32; bytes.len() / B];
    let non_finite = values
        .par_chunks_mut(CHUNK)
        .zip(bytes.par_chunks(CHUNK * B))
        .map(|(to, from)| {
            let (from, _) = from.as_chunks::<B>();
            let mut non_finite = 0u32;
            for (to, from) in to.iter_mut().zip(from) {
                *to = element(*from);
                non_finite += u32::from(!to.is_finite());
            }
            non_finite as usize
        })
        .sum();
    (values, non_finite)
}
