//! Sums of outer products over tokens: `A B'`, with A and B features by tokens.
//!
//! These are the weight gradients `dW = dY X'` and the second moments `X X'`. Both operands hold 64 tokens of a feature side by side, so
//! vectors run along the tokens, and nothing is transposed or packed anew: a *block* of 4 rows of A and 6 rows of B has 24 vector
//! accumulators, and each step of 16 tokens loads 10 vectors for 24 multiplications. After 16 tiles of tokens the lanes of the
//! accumulators are summed and added to the result. The rows of B in a block need not be neighbours, so one kernel computes the whole
//! result and the kept blocks of a sparse one.

use lacuna_kernels::{ChunksMut, Parallel, TILE};
use lacuna_model::Matrix;

use super::groups::{GROUP, RowGroups};
use crate::Result;
#[cfg(target_arch = "x86_64")]
use crate::cpu::{Level, level};
use crate::error::check_size;
use crate::tiles::Tiles;

/// Rows of A in a block.
const ROWS: usize = GROUP;
/// Rows of B in a block.
const COLS: usize = 6;
/// Tiles whose tokens are summed in registers: 1024 tokens.
const CHUNK: usize = 16;
/// f32 lanes of a vector.
const LANES: usize = 16;
/// Rows of A that one task computes: 16 tiles of them fit in the second-level cache.
const PANEL: usize = 64;
/// Rows of B that one task goes through before the next rows of A: 16 tiles of them fit in the second-level cache.
const SPARSE_COLUMNS: usize = 192;

/// One operand: where its rows are.
#[derive(Clone, Copy)]
struct Rows<'a> {
    data: &'a [f32],
    /// Elements from one tile to the next.
    stride: usize,
}

impl<'a> Rows<'a> {
    fn of(tiles: &'a Tiles) -> Rows<'a> {
        Rows { data: tiles.data(), stride: tiles.tile_elements() }
    }
}

/// `out += a b'`: `out[m][k] += sum_n a[m][n] b[k][n]` over all tokens n.
///
/// # Shapes
/// `a` is M x N, `b` is K x N, `out` is `[M][K]`, row-major.
///
/// # Numerics
/// f32, in an order that depends on N only: the same bits on any number of threads.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) for other shapes.
pub fn outer(a: &Tiles, b: &Tiles, out: &mut [f32]) -> Result<()> {
    check(a, b, out)?;
    let (m, k) = (a.features(), b.features());
    let (rows_a, rows_b) = (Rows::of(a), Rows::of(b));
    Parallel::Rayon.for_each_chunk(ChunksMut::new(out, PANEL * k), |panel, out| {
        let first = panel * PANEL;
        let rows = PANEL.min(m - first);
        for tiles in chunks(a.count()) {
            for column in (0..k).step_by(COLS) {
                let columns: [usize; COLS] = std::array::from_fn(|i| (column + i).min(k - 1));
                let used = COLS.min(k - column);
                for row in (0..rows).step_by(ROWS) {
                    let sums = block(rows_a, rows_at(first + row, m), rows_b, columns, tiles.clone());
                    for (out, sums) in out[row * k..].chunks_mut(k).zip(&sums) {
                        out[column..column + used].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                    }
                }
            }
        }
    });
    Ok(())
}

/// [`outer`], for the kept columns of each group of rows only. The other elements of `out` stay as they are.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) for other shapes.
pub fn outer_kept(a: &Tiles, b: &Tiles, kept: &RowGroups, out: &mut [f32]) -> Result<()> {
    check(a, b, out)?;
    let (m, k) = (a.features(), b.features());
    check_size("rows of the pattern", kept.rows(), m)?;
    check_size("columns of the pattern", kept.columns(), k)?;
    let (rows_a, rows_b) = (Rows::of(a), Rows::of(b));
    Parallel::Rayon.for_each_chunk(ChunksMut::new(out, PANEL * k), |panel, out| {
        let first = panel * PANEL;
        let rows = PANEL.min(m - first);
        for tiles in chunks(a.count()) {
            for start in (0..k).step_by(SPARSE_COLUMNS) {
                for row in (0..rows).step_by(ROWS) {
                    let list = kept.group((first + row) / ROWS);
                    let from = list.partition_point(|&column| (column as usize) < start);
                    let to = list.partition_point(|&column| (column as usize) < start + SPARSE_COLUMNS);
                    for some in list[from..to].chunks(COLS) {
                        let columns = std::array::from_fn(|i| some[i.min(some.len() - 1)] as usize);
                        let sums = block(rows_a, rows_at(first + row, m), rows_b, columns, tiles.clone());
                        for (out, sums) in out[row * k..].chunks_mut(k).zip(&sums) {
                            some.iter().zip(sums).for_each(|(&column, sum)| out[column as usize] += sum);
                        }
                    }
                }
            }
        }
    });
    Ok(())
}

/// The second moments `x x'` over all tokens, `[K][K]`.
///
/// # Errors
/// None for any activation; the result shares the type of [`outer`].
pub fn gram(x: &Tiles) -> Result<Matrix> {
    let mut out = Matrix::zeros(x.features(), x.features());
    outer(x, x, &mut out.data)?;
    Ok(out)
}

/// `out[m] += sum_n a[m][n]` over all tokens n.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) if `out` does not have an element per feature.
pub fn sum_tokens(a: &Tiles, out: &mut [f32]) -> Result<()> {
    check_size("sums over tokens", out.len(), a.features())?;
    if a.count() == 0 {
        return Ok(());
    }
    for tile in a.data().chunks_exact(a.tile_elements()) {
        for (row, out) in tile.as_chunks::<TILE>().0.iter().zip(out.iter_mut()) {
            let mut lanes = [0.0f32; LANES];
            for part in row.as_chunks::<LANES>().0 {
                lanes.iter_mut().zip(part).for_each(|(lane, x)| *lane += x);
            }
            *out += tree(&lanes);
        }
    }
    Ok(())
}

fn check(a: &Tiles, b: &Tiles, out: &[f32]) -> Result<()> {
    check_size("tokens of an outer product", b.columns(), a.columns())?;
    check_size("elements of an outer product", out.len(), a.features() * b.features())
}

fn chunks(tiles: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..tiles).step_by(CHUNK).map(move |first| first..tiles.min(first + CHUNK))
}

/// A block's rows of A; those beyond the last repeat it.
fn rows_at(first: usize, m: usize) -> [usize; ROWS] {
    std::array::from_fn(|i| (first + i).min(m - 1))
}

/// The sums of one block over some tiles.
fn block(
    a: Rows<'_>,
    rows: [usize; ROWS],
    b: Rows<'_>,
    columns: [usize; COLS],
    tiles: std::ops::Range<usize>,
) -> [[f32; COLS]; ROWS] {
    let end = |rows: Rows<'_>, row: usize| tiles.end.saturating_sub(1) * rows.stride + (row + 1) * TILE;
    assert!(rows.into_iter().all(|row| end(a, row) <= a.data.len()), "rows of A");
    assert!(columns.into_iter().all(|row| end(b, row) <= b.data.len()), "rows of B");
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 {
        // SAFETY: the features of the level were detected, and all rows are inside the operands.
        return unsafe { avx512::block(a, rows, b, columns, tiles) };
    }
    plain_block(a, rows, b, columns, tiles)
}

/// [`block`] in plain Rust, to the same bits.
fn plain_block(
    a: Rows<'_>,
    rows: [usize; ROWS],
    b: Rows<'_>,
    columns: [usize; COLS],
    tiles: std::ops::Range<usize>,
) -> [[f32; COLS]; ROWS] {
    rows.map(|row| {
        columns.map(|column| {
            let mut lanes = [0.0f32; LANES];
            for tile in tiles.clone() {
                let a = &a.data[tile * a.stride + row * TILE..][..TILE];
                let b = &b.data[tile * b.stride + column * TILE..][..TILE];
                for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
                    for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                        *lane = a.mul_add(*b, *lane);
                    }
                }
            }
            tree(&lanes)
        })
    })
}

/// The sum of lanes in the order of [`avx512::sum_lanes`].
fn tree(lanes: &[f32; LANES]) -> f32 {
    let quad = |i: usize| (lanes[4 * i] + lanes[4 * i + 2]) + (lanes[4 * i + 1] + lanes[4 * i + 3]);
    (quad(0) + quad(1)) + (quad(2) + quad(3))
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;
    use std::ops::Range;

    use super::{COLS, LANES, ROWS, Rows, TILE};

    /// # Safety
    /// - The CPU has AVX512F.
    /// - All rows are inside their operands, for all tiles.
    #[target_feature(enable = "avx512f,fma")]
    pub(super) unsafe fn block(
        a: Rows<'_>,
        rows: [usize; ROWS],
        b: Rows<'_>,
        columns: [usize; COLS],
        tiles: Range<usize>,
    ) -> [[f32; COLS]; ROWS] {
        let mut acc = [[_mm512_setzero_ps(); COLS]; ROWS];
        for tile in tiles {
            // SAFETY: the rows are inside their operands.
            let (a, b) = unsafe { (a.data.as_ptr().add(tile * a.stride), b.data.as_ptr().add(tile * b.stride)) };
            for v in 0..TILE / LANES {
                let b: [__m512; COLS] =
                    // SAFETY: as above.
                    std::array::from_fn(|c| unsafe { _mm512_loadu_ps(b.add(columns[c] * TILE + v * LANES)) });
                for r in 0..ROWS {
                    // SAFETY: as above.
                    let a = unsafe { _mm512_loadu_ps(a.add(rows[r] * TILE + v * LANES)) };
                    for c in 0..COLS {
                        acc[r][c] = _mm512_fmadd_ps(a, b[c], acc[r][c]);
                    }
                }
            }
        }
        let zero = _mm512_setzero_ps();
        let at = |i: usize| if i < ROWS * COLS { acc[i / COLS][i % COLS] } else { zero };
        let mut sums = [[0.0f32; LANES]; 2];
        for (half, sums) in sums.iter_mut().enumerate() {
            let lanes = sum_lanes(std::array::from_fn(|i| at(half * LANES + i)));
            // SAFETY: `sums` has 16 elements.
            unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), lanes) };
        }
        let flat = sums.as_flattened();
        std::array::from_fn(|r| std::array::from_fn(|c| flat[r * COLS + c]))
    }

    /// Lane i of the result is the sum of the lanes of vector i.
    #[target_feature(enable = "avx512f")]
    fn sum_lanes(v: [__m512; LANES]) -> __m512 {
        let pairs: [__m512; 8] = std::array::from_fn(|i| {
            let (x, y) = (v[2 * i], v[2 * i + 1]);
            _mm512_add_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y))
        });
        let quads: [__m512; 4] = std::array::from_fn(|i| {
            let (x, y) = (_mm512_castps_pd(pairs[2 * i]), _mm512_castps_pd(pairs[2 * i + 1]));
            let (low, high) = (_mm512_unpacklo_pd(x, y), _mm512_unpackhi_pd(x, y));
            _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high))
        });
        let halves: [__m512; 2] = std::array::from_fn(|i| sum_parts(quads[2 * i], quads[2 * i + 1]));
        sum_parts(halves[0], halves[1])
    }

    /// Sums of neighbouring parts of 128 bits: those of x, then those of y.
    #[target_feature(enable = "avx512f")]
    fn sum_parts(x: __m512, y: __m512) -> __m512 {
        _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(x, y), _mm512_shuffle_f32x4::<0xdd>(x, y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(features: usize, columns: usize, seed: f32) -> Tiles {
        let data = (0..features * columns).map(|i| (i as f32 * 0.37 + seed).sin()).collect();
        Tiles::from_rows(&Matrix::from_vec(columns, features, data).unwrap())
    }

    #[test]
    fn sums_agree_with_f64_and_kept_ones_with_all() {
        for (m, k, n) in [(1, 1, 1), (5, 7, 63), (8, 12, 64), (66, 13, 65), (70, 200, 1100)] {
            let (a, b) = (filled(m, n, 0.1), filled(k, n, 0.7));
            let mut out = vec![1.0; m * k];
            outer(&a, &b, &mut out).unwrap();
            let kept: Vec<bool> = (0..m * k).map(|i| i / k / 4 % 3 != 1 && i % k % 5 != 2).collect();
            let mut some = vec![0.0; m * k];
            outer_kept(&a, &b, &RowGroups::new(m, k, &kept).unwrap(), &mut some).unwrap();
            let mut sums = vec![0.0; m];
            sum_tokens(&a, &mut sums).unwrap();
            for row in 0..m {
                let exact: f64 = (0..n).map(|t| f64::from(a.at(row, t))).sum();
                assert!((f64::from(sums[row]) - exact).abs() < 1e-3);
                for column in 0..k {
                    let exact: f64 = (0..n).map(|t| f64::from(a.at(row, t)) * f64::from(b.at(column, t))).sum();
                    let found = out[row * k + column];
                    assert!((f64::from(found) - 1.0 - exact).abs() < 2e-3, "{found} {exact}");
                    let kept = kept[row * k + column];
                    let expected = if kept { exact } else { 0.0 };
                    assert!((f64::from(some[row * k + column]) - expected).abs() < 2e-3);
                }
            }
        }
    }

    #[test]
    fn blocks_have_the_bits_of_the_plain_loop() {
        let (a, b) = (filled(9, 300, 0.2), filled(20, 300, 0.4));
        let (rows, columns) = ([0, 3, 4, 8], [0, 1, 7, 11, 19, 19]);
        let found = block(Rows::of(&a), rows, Rows::of(&b), columns, 0..5);
        assert_eq!(found, plain_block(Rows::of(&a), rows, Rows::of(&b), columns, 0..5));
    }
}
