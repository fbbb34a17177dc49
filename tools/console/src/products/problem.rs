//! A product to measure: seeded operands, and the check against the scalar reference.

use lacuna_kernels::epilogue::{Activation, Epilogue, RowParams, Store};
use lacuna_kernels::layout::{elements, f32_index};
use lacuna_kernels::reference::gemm::{Matrix, finish_bytes, finish_f32, gemm};
use lacuna_kernels::{ActivationBits, Block, Buffer, Output, Sign};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Multiply-adds that the check of one shape may take: 20 to 50 ms.
const CHECK_OPERATIONS: usize = 1 << 26;

/// Seeded weights and epilogue parameters.
#[derive(Clone)]
pub struct Weights {
    /// Output features.
    pub m: usize,
    /// Input features.
    pub k: usize,
    /// Row-major `[m][k]`; no weight in a kept block is zero.
    pub values: Vec<i8>,
    /// What the epilogue does to each output feature.
    pub params: Vec<RowParams>,
}

impl Weights {
    /// Random weights of which the fraction `sparsity` of blocks is zero, chosen at random from the whole matrix. Parameters are
    /// such that outputs use the range of their type.
    pub fn seeded(m: usize, k: usize, block: Block, sparsity: f64, epilogue: &Epilogue, seed: u64) -> Weights {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut values = vec![0i8; m * k];
        let density = each_kept_weight(m, k, block, sparsity, &mut rng, |rng, at| {
            values[at] = non_zero(rng.random_range(-127..127));
        }) as f32;
        let params = (0..m).map(|_| params(k as f32 * density, epilogue, &mut rng)).collect();
        Weights { m, k, values, params }
    }

    /// Given weights, `[m][k]` row-major, with random parameters as those of [`Weights::seeded`].
    pub fn of(values: Vec<i8>, (m, k): (usize, usize), epilogue: &Epilogue, seed: u64) -> Weights {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let nnz = values.iter().filter(|&&w| w != 0).count();
        let params = (0..m).map(|_| params(nnz as f32 / m as f32, epilogue, &mut rng)).collect();
        Weights { m, k, values, params }
    }

    /// Non-zero weights.
    pub fn nnz(&self) -> usize {
        self.values.iter().filter(|&&w| w != 0).count()
    }

    /// The rows of W with these indices, and their parameters.
    fn select(&self, rows: &[usize]) -> (Vec<i8>, Vec<RowParams>) {
        let values = rows.iter().flat_map(|&row| &self.values[row * self.k..][..self.k]).copied().collect();
        (values, rows.iter().map(|&row| self.params[row]).collect())
    }
}

/// Drops the fraction `sparsity` of blocks, chosen at random from the whole M x K matrix, and calls `set` with the index of every
/// weight in the others. Returns the fraction of blocks that stay.
pub fn each_kept_weight(
    m: usize,
    k: usize,
    block: Block,
    sparsity: f64,
    rng: &mut ChaCha8Rng,
    mut set: impl FnMut(&mut ChaCha8Rng, usize),
) -> f64 {
    let (height, width) = (block.outputs(), block.inputs());
    let columns = k.div_ceil(width);
    let blocks = m.div_ceil(height) * columns;
    let drop = (sparsity * blocks as f64 + 1e-9).floor() as usize;
    // Selection sampling: a block is kept with the probability that makes exactly `blocks - drop` of them stay.
    let mut keep = blocks - drop;
    for block in 0..blocks {
        if rng.random_range(0..blocks - block) >= keep {
            continue;
        }
        keep -= 1;
        let (row, column) = (block / columns * height, block % columns * width);
        for row in row..(row + height).min(m) {
            for column in column..(column + width).min(k) {
                set(rng, row * k + column);
            }
        }
    }
    (blocks - drop) as f64 / blocks as f64
}

/// Output features that a check of `operations` multiply-adds per feature looks at: all of `m`, or as many as its time allows,
/// the first and the last included.
pub fn checked_rows(m: usize, operations: usize) -> Vec<usize> {
    let rows = (CHECK_OPERATIONS / operations.max(1)).clamp(2, m.max(2));
    let mut rows: Vec<usize> = (0..rows).map(|i| i * (m - 1) / (rows - 1)).collect();
    rows.dedup();
    rows
}

fn non_zero(value: i8) -> i8 {
    if value >= 0 { value + 1 } else { value }
}

/// Parameters for accumulators of `terms` products of random u8 and s8.
fn params(terms: f32, epilogue: &Epilogue, rng: &mut ChaCha8Rng) -> RowParams {
    /// Root mean squares of 0..=255 and of 1..=127.
    const DEVIATION: f32 = 147.0 * 73.0;
    let accumulator = DEVIATION * terms.max(1.0).sqrt();
    let vary = rng.random_range(0.5..1.5f32);
    match (epilogue.sink.activation, epilogue.sink.store) {
        (Activation::Identity, Store::Bytes { .. }) => {
            RowParams { multiplier: 40.0 * vary / accumulator, addend: 60.0, ..RowParams::default() }
        }
        _ => RowParams { multiplier: 2.0 * vary / accumulator, addend: 0.1, out_scale: 30.0, out_zero: 10.0 },
    }
}

/// Random activations of `bits`, K x N.
pub fn activations(k: usize, tokens: usize, bits: ActivationBits, seed: u64) -> Matrix<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Matrix::from_fn(k, tokens, |_, _| rng.random::<u8>() & bits.largest())
}

/// The output of a kernel.
pub enum Out {
    /// Codes.
    Bytes(Buffer<u8>),
    /// f32.
    F32(Buffer<f32>),
}

impl Out {
    /// Filled with what no kernel computes, or with the residual that it adds to.
    pub fn new(m: usize, tokens: usize, epilogue: &Epilogue) -> Out {
        let len = elements(m, tokens);
        match epilogue.sink.store {
            Store::Bytes { .. } => {
                let mut out = Buffer::new(len);
                out.fill(0xa5);
                Out::Bytes(out)
            }
            Store::F32 { residual } => {
                let mut out = Buffer::new(len);
                out.fill(f32::NAN);
                if residual {
                    Matrix::from_fn(m, tokens, self::residual).write(f32_index, &mut out);
                }
                Out::F32(out)
            }
            Store::Bf16 => unreachable!("no integer product stores bf16"),
        }
    }

    /// For a kernel to write.
    pub fn as_output(&mut self) -> Output<'_> {
        match self {
            Out::Bytes(out) => Output::Bytes(out),
            Out::F32(out) => Output::F32(out),
        }
    }

    /// One element of an M-row output that the epilogue wrote.
    pub fn value(&self, m: usize, epilogue: &Epilogue, row: usize, token: usize) -> f64 {
        match (self, epilogue.sink.store) {
            (Out::Bytes(out), Store::Bytes { layout, sign: Sign::Unsigned }) => out[layout.index(m, row, token)].into(),
            (Out::Bytes(out), Store::Bytes { layout, .. }) => out[layout.index(m, row, token)].cast_signed().into(),
            (Out::F32(out), _) => out[f32_index(m, row, token)].into(),
            (Out::Bytes(_), Store::F32 { .. } | Store::Bf16) => f64::NAN,
        }
    }

    /// Compares the given rows with the scalar reference, bit by bit. Returns the first difference, if any.
    pub fn check(&self, weights: &Weights, x: &Matrix<u8>, epilogue: &Epilogue, rows: &[usize]) -> Option<String> {
        let (values, params) = weights.select(rows);
        let (m, tokens) = (weights.m, x.columns);
        let acc = gemm(&values, rows.len(), x);
        match (self, epilogue.sink.store) {
            (Out::Bytes(out), Store::Bytes { layout, sign }) => {
                let expected = finish_bytes(&acc, &params, epilogue, sign);
                difference(rows, &expected, |row, token| out[layout.index(m, row, token)])
            }
            (Out::F32(out), _) => {
                let residual = Matrix::from_fn(rows.len(), tokens, |i, token| residual(rows[i], token));
                let expected = finish_f32(&acc, &params, epilogue, &residual);
                let bits = Matrix::from_fn(rows.len(), tokens, |i, token| expected.at(i, token).to_bits());
                difference(rows, &bits, |row, token| out[f32_index(m, row, token)].to_bits())
            }
            (Out::Bytes(_), Store::F32 { .. } | Store::Bf16) => Some("an output of bytes from an f32 epilogue".into()),
        }
    }
}

/// What is in an output that a kernel adds to.
pub fn residual(feature: usize, token: usize) -> f32 {
    ((feature * 31 + token * 17) % 256) as f32 / 4.0 - 32.0
}

/// The first of the elements at `rows` that is not as expected, and how many are not.
fn difference<T: PartialEq + std::fmt::Debug>(
    rows: &[usize],
    expected: &Matrix<T>,
    found: impl Fn(usize, usize) -> T,
) -> Option<String> {
    let places = (0..rows.len()).flat_map(|i| (0..expected.columns).map(move |token| (i, token)));
    let wrong: Vec<(usize, usize)> =
        places.filter(|&(i, token)| found(rows[i], token) != expected.values[i * expected.columns + token]).collect();
    let &(i, token) = wrong.first()?;
    Some(format!(
        "{} of {} values differ from the reference, the first at feature {}, token {token}: found {:?}, expected {:?}",
        wrong.len(),
        expected.values.len(),
        rows[i],
        found(rows[i], token),
        expected.values[i * expected.columns + token]
    ))
}

#[cfg(test)]
mod tests {
    use lacuna_kernels::PanelLayout;

    use super::*;

    const REQUANTIZE: Epilogue = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned);

    #[test]
    fn exactly_the_wanted_blocks_are_zero() {
        for block in Block::ALL {
            let (height, width) = (block.outputs(), block.inputs());
            for (m, k, sparsity) in [(16, 25, 0.9), (7, 10, 0.5), (4, 3, 0.0), (8, 8, 0.999)] {
                let weights = Weights::seeded(m, k, block, sparsity, &REQUANTIZE, 3);
                let places =
                    (0..m).step_by(height).flat_map(|row| (0..k).step_by(width).map(move |column| (row, column)));
                let (kept, dropped): (Vec<_>, Vec<_>) =
                    places.partition(|(row, column)| weights.values[row * k + column] != 0);
                let blocks = kept.len() + dropped.len();
                assert_eq!(dropped.len(), (sparsity * blocks as f64 + 1e-9) as usize, "{block} in {m} x {k}");
                let size = |&(row, column): &(usize, usize)| (m - row).min(height) * (k - column).min(width);
                assert_eq!(weights.nnz(), kept.iter().map(size).sum::<usize>());
            }
        }
    }

    #[test]
    fn a_check_looks_at_the_first_and_the_last_row() {
        assert_eq!(checked_rows(1, 15), [0]);
        assert_eq!(checked_rows(6, 15), [0, 1, 2, 3, 4, 5]);
        assert_eq!(checked_rows(4096, 1 << 26), [0, 4095]);
    }

    #[test]
    fn a_wrong_value_is_found() {
        let (weights, x) =
            (Weights::seeded(5, 8, Block::B4x1, 0.0, &REQUANTIZE, 1), activations(8, 3, ActivationBits::Eight, 2));
        let rows = checked_rows(5, 24);
        let acc = gemm(&weights.values, 5, &x);
        let right = finish_bytes(&acc, &weights.params, &REQUANTIZE, Sign::Unsigned);
        let mut panel = right.to_panel(PanelLayout::Plain);
        assert_eq!(Out::Bytes(panel.clone()).check(&weights, &x, &REQUANTIZE, &rows), None);
        panel[PanelLayout::Plain.index(5, 4, 2)] ^= 1;
        let message = Out::Bytes(panel).check(&weights, &x, &REQUANTIZE, &rows).unwrap();
        assert!(
            message.starts_with("1 of 15 values differ from the reference, the first at feature 4, token 2"),
            "{message}"
        );
    }
}
