//! The arithmetic: one tile of up to 64 columns, all row blocks.

use std::arch::x86_64::*;

use super::weights::{GROUP, Group, Linear, Offset, ROWS, Stream};
use crate::{LANES, Sign, TILE, VECTORS};

/// Where a tile of results goes, and as what.
#[derive(Debug, Clone, Copy)]
pub(super) enum TileOut {
    /// A tile of a plain panel.
    Plain(*mut u8, Sign),
    /// A tile of f32, added to what is there if the flag is set.
    F32(*mut f32, bool),
}

/// Computes one tile of Y for `columns` columns, 1 to 64.
///
/// # Safety
/// - The CPU has AVX-512 F, BW and VNNI.
/// - `x` points to a tile of a plain panel with every row that an offset in `stream` names.
/// - `out` points to a tile with 4 rows at every `out` offset in `stream`, which nobody else uses now.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn tile<O: Offset>(stream: &Stream<O>, x: *const u8, out: TileOut, columns: usize) {
    // SAFETY: the caller's promises are those of `row_blocks`.
    unsafe {
        match columns.div_ceil(LANES) {
            // One group adds once to every accumulator. With one or two vectors that is less work than the latency of
            // `vpdpbusd`, so consecutive groups use different sets of accumulators.
            1 => row_blocks::<O, 1, 4>(stream, x, out),
            2 => row_blocks::<O, 2, 2>(stream, x, out),
            3 => row_blocks::<O, 3, 1>(stream, x, out),
            _ => row_blocks::<O, VECTORS, 1>(stream, x, out),
        }
    }
}

/// All row blocks on `V` vectors of 16 columns.
///
/// # Safety
/// - As for [`tile`].
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn row_blocks<O: Offset, const V: usize, const SETS: usize>(stream: &Stream<O>, x: *const u8, out: TileOut) {
    let mut rest = &stream.groups[..];
    for (row, params) in stream.rows.iter().zip(&stream.linear) {
        let (groups, others) = rest.split_at(row.groups);
        rest = others;
        // SAFETY: the caller's promises: offsets of groups are inside x, the row block's 4 rows inside the output.
        unsafe {
            let acc = multiply::<O, V, SETS>(groups, x);
            match out {
                TileOut::Plain(out, sign) => store_plain(&requantize(acc, params), sign, out.add(row.out)),
                TileOut::F32(out, residual) => store_f32(&linear(acc, params), residual, out.add(row.out)),
            }
        }
    }
}

/// `acc[m][v] = sum over groups of W[m] X[16v..16v+16]`.
///
/// # Safety
/// - As for [`tile`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn multiply<O: Offset, const V: usize, const SETS: usize>(
    groups: &[Group<O>],
    x: *const u8,
) -> [[__m512i; V]; ROWS] {
    let mut acc = [[[_mm512_setzero_si512(); V]; ROWS]; SETS];
    let mut chunks = groups.chunks_exact(SETS);
    for chunk in &mut chunks {
        for (acc, group) in acc.iter_mut().zip(chunk) {
            // SAFETY: the caller's promise about offsets.
            unsafe { multiply_group(acc, group, x) };
        }
    }
    for group in chunks.remainder() {
        // SAFETY: as above.
        unsafe { multiply_group(&mut acc[0], group, x) };
    }
    let mut sum = acc[0];
    for part in &acc[1..] {
        for (sum, part) in sum.as_flattened_mut().iter_mut().zip(part.as_flattened()) {
            *sum = _mm512_add_epi32(*sum, *part);
        }
    }
    sum
}

/// `acc[m][v] += W[m][k_0..k_3] X[k_0..k_3][16v..16v+16]`.
///
/// # Safety
/// - As for [`tile`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn multiply_group<O: Offset, const V: usize>(acc: &mut [[__m512i; V]; ROWS], group: &Group<O>, x: *const u8) {
    let mut row = [_mm512_setzero_si512(); GROUP];
    for (row, offset) in row.iter_mut().zip(group.offsets) {
        // SAFETY: the caller's promise about offsets; rows have 64 bytes.
        *row = unsafe { _mm512_loadu_si512(x.add(offset.bytes()).cast()) };
    }
    let low = [_mm512_unpacklo_epi8(row[0], row[1]), _mm512_unpacklo_epi8(row[2], row[3])];
    let high = [_mm512_unpackhi_epi8(row[0], row[1]), _mm512_unpackhi_epi8(row[2], row[3])];
    let dwords: [__m512i; VECTORS] = [
        _mm512_unpacklo_epi16(low[0], low[1]),
        _mm512_unpackhi_epi16(low[0], low[1]),
        _mm512_unpacklo_epi16(high[0], high[1]),
        _mm512_unpackhi_epi16(high[0], high[1]),
    ];
    for (acc, &weights) in acc.iter_mut().zip(&group.weights) {
        let weights = _mm512_set1_epi32(weights);
        for (acc, &x) in acc.iter_mut().zip(&dwords) {
            *acc = _mm512_dpbusd_epi32(*acc, x, weights);
        }
    }
}

/// `y = acc * multiplier + addend`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn linear<const V: usize>(acc: [[__m512i; V]; ROWS], params: &Linear) -> [[__m512; V]; ROWS] {
    let mut y = [[_mm512_setzero_ps(); V]; ROWS];
    for (m, (y, acc)) in y.iter_mut().zip(&acc).enumerate() {
        let (multiplier, addend) = (_mm512_set1_ps(params.multiplier[m]), _mm512_set1_ps(params.addend[m]));
        for (y, &acc) in y.iter_mut().zip(acc) {
            *y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc), multiplier, addend);
        }
    }
    y
}

/// [`linear`], rounded to nearest even.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn requantize<const V: usize>(acc: [[__m512i; V]; ROWS], params: &Linear) -> [[__m512i; V]; ROWS] {
    let mut rounded = acc;
    for (rounded, y) in rounded.as_flattened_mut().iter_mut().zip(linear(acc, params).as_flattened()) {
        *rounded = _mm512_cvtps_epi32(*y);
    }
    rounded
}

/// Four rows of a plain panel, saturated to 8 bits. Vectors that were not computed repeat others: their columns are padding.
///
/// # Safety
/// - `out` points to 4 x 64 bytes that nobody else uses now.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn store_plain<const V: usize>(y: &[[__m512i; V]; ROWS], sign: Sign, out: *mut u8) {
    for (m, y) in y.iter().enumerate() {
        let low = _mm512_packs_epi32(y[0], y[1 % V]);
        let high = _mm512_packs_epi32(y[2 % V], y[3 % V]);
        let bytes = match sign {
            Sign::Unsigned => _mm512_packus_epi16(low, high),
            Sign::Unsigned7 => _mm512_min_epu8(_mm512_packus_epi16(low, high), _mm512_set1_epi8(i8::MAX)),
            Sign::Signed => _mm512_packs_epi16(low, high),
        };
        // SAFETY: the caller's promise; m is below 4.
        unsafe { _mm512_storeu_si512(out.add(m * TILE).cast(), bytes) };
    }
}

/// Four rows of an f32 tile, as many vectors as were computed.
///
/// # Safety
/// - `out` points to 4 x 64 f32 that nobody else uses now.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn store_f32<const V: usize>(y: &[[__m512; V]; ROWS], residual: bool, out: *mut f32) {
    for (m, y) in y.iter().enumerate() {
        for (v, &y) in y.iter().enumerate() {
            // SAFETY: the caller's promise; m and v are below 4, 16 v + 16 at most 64.
            unsafe {
                let out = out.add(m * TILE + v * LANES);
                let y = if residual { _mm512_add_ps(y, _mm512_loadu_ps(out)) } else { y };
                _mm512_storeu_ps(out, y);
            }
        }
    }
}
