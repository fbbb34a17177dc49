//! From the f32 tile of the last layer to one vector, or one matrix, per sequence.

use lacuna_kernels::attention::Sequence;
use lacuna_kernels::layout::f32_index;
use lacuna_kernels::{LANES, TILE};
use lacuna_model::{Matrix, Pooling, PoolingMode};

/// Pools one sequence of a feature-major f32 tile into `pooled`, one value per feature.
///
/// # Numerics
/// Means are f32 sums of 16 partial sums, token t in partial sum t mod 16, added in halves, so that a sentence gets the same bits wherever it
/// lies in a batch; a zero vector is not changed by normalisation.
pub(super) fn pool(pooling: &Pooling, x: &[f32], sequence: Sequence, pooled: &mut [f32]) {
    let features = pooled.len();
    for (feature, pooled) in pooled.iter_mut().enumerate() {
        *pooled = reduce(pooling.mode, x, features, feature, sequence);
    }
    if pooling.normalize {
        let norm = pooled.iter().map(|x| x * x).sum::<f32>().sqrt();
        if norm > 0.0 {
            pooled.iter_mut().for_each(|x| *x /= norm);
        }
    }
}

fn reduce(mode: PoolingMode, x: &[f32], features: usize, feature: usize, sequence: Sequence) -> f32 {
    let runs = || runs(x, features, feature, sequence);
    match mode {
        PoolingMode::Cls => x[f32_index(features, feature, sequence.start)],
        PoolingMode::Max => runs().flatten().copied().fold(f32::NEG_INFINITY, f32::max),
        PoolingMode::Mean => {
            let mut sums = [0.0f32; LANES];
            let mut token = 0;
            for run in runs() {
                // A run that begins in the middle of the partial sums turns them, so that whole vectors are added.
                let turn = token % LANES;
                if turn > 0 {
                    sums.rotate_left(turn);
                }
                let (vectors, rest) = run.as_chunks::<LANES>();
                for vector in vectors {
                    sums.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
                }
                sums.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x);
                if turn > 0 {
                    sums.rotate_right(turn);
                }
                token += run.len();
            }
            for half in [8, 4, 2, 1] {
                let (low, high) = sums.split_at_mut(half);
                low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
            }
            sums[0] / sequence.len as f32
        }
    }
}

/// One feature of a sequence, as the consecutive runs in which its tokens lie (one per tile).
fn runs(x: &[f32], features: usize, feature: usize, s: Sequence) -> impl Iterator<Item = &[f32]> {
    let end = s.start + s.len;
    (s.start / TILE..end.div_ceil(TILE)).map(move |tile| {
        let (from, to) = (s.start.max(tile * TILE), end.min((tile + 1) * TILE));
        &x[f32_index(features, feature, from)..][..to - from]
    })
}

/// The hidden states of one sequence as `[tokens][features]`.
pub(super) fn token_major(x: &[f32], features: usize, sequence: Sequence) -> Matrix {
    let tokens = sequence.start..sequence.start + sequence.len;
    let data = tokens.flat_map(|token| (0..features).map(move |f| x[f32_index(features, f, token)])).collect();
    Matrix { rows: sequence.len, cols: features, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against [`Pooling::pool`] on the token-major matrix.
    #[test]
    fn equals_pooling_of_the_token_major_matrix() {
        let features = 5;
        let x: Vec<f32> =
            (0..lacuna_kernels::layout::elements(features, 200)).map(|i| (i as f32 * 0.37).sin()).collect();
        for (start, len) in [(0, 1), (4, 60), (60, 9), (8, 190)] {
            let sequence = Sequence { start, len };
            for mode in [PoolingMode::Mean, PoolingMode::Cls, PoolingMode::Max] {
                for normalize in [false, true] {
                    let pooling = Pooling { mode, normalize, ..Pooling::default() };
                    let expected = pooling.pool(&token_major(&x, features, sequence));
                    let mut found = [f32::NAN; 5];
                    pool(&pooling, &x, sequence, &mut found);
                    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{pooling:?}");
                }
            }
        }
    }
}
