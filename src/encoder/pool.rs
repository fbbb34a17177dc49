//! From the f32 tile of the last layer to one vector, or one matrix, per sequence.

use lacuna_kernels::attention::Sequence;
use lacuna_kernels::layout::f32_index;
use lacuna_kernels::{LANES, TILE};
use lacuna_model::{Matrix, Pooling, PoolingMode};

/// Pools one sequence of a feature-major f32 tile with `hidden` features into an embedding of [`Pooling::features`]. Its first `prompt`
/// tokens are a prompt. Allocates nothing if [`Pooling::is_plain`].
///
/// # Numerics
/// Sums are f32 sums of 16 partial sums, token t in partial sum t mod 16, added in halves, so that a sentence gets the same bits wherever it
/// lies in a batch; a zero vector is not changed by normalisation.
pub(super) fn pool(
    pooling: &Pooling,
    x: &[f32],
    hidden: usize,
    sequence: Sequence,
    prompt: usize,
    embedding: &mut [f32],
) {
    if pooling.is_plain() {
        join(pooling, x, hidden, sequence, prompt, embedding);
        return pooling.finish_in_place(embedding);
    }
    let mut pooled = vec![0.0; pooling.pooled_features(hidden)];
    join(pooling, x, hidden, sequence, prompt, &mut pooled);
    embedding.copy_from_slice(&pooling.finish(pooled));
}

/// The joined results of all modes.
fn join(pooling: &Pooling, x: &[f32], hidden: usize, sequence: Sequence, prompt: usize, pooled: &mut [f32]) {
    let first = pooling.first(prompt, sequence.len);
    for (mode, part) in pooling.modes.iter().zip(pooled.chunks_exact_mut(hidden)) {
        for (feature, pooled) in part.iter_mut().enumerate() {
            *pooled = reduce(*mode, x, hidden, feature, sequence, first);
        }
    }
}

/// One feature of one mode, over the tokens from `first` on.
fn reduce(mode: PoolingMode, x: &[f32], features: usize, feature: usize, sequence: Sequence, first: usize) -> f32 {
    let counted = Sequence { start: sequence.start + first, len: sequence.len - first };
    let runs = || runs(x, features, feature, counted);
    let token = |token| x[f32_index(features, feature, token)];
    match mode {
        PoolingMode::Cls => token(counted.start),
        PoolingMode::LastToken => token(counted.start + counted.len - 1),
        PoolingMode::Max => runs().flatten().copied().fold(f32::NEG_INFINITY, f32::max),
        PoolingMode::Mean => sum(runs()) / counted.len as f32,
        PoolingMode::MeanSqrtLen => sum(runs()) / (counted.len as f32).sqrt(),
        PoolingMode::WeightedMean => {
            let (mut sums, mut weights) = ([0.0f32; LANES], 0.0f32);
            for (token, x) in runs().flatten().enumerate() {
                let weight = (first + token + 1) as f32;
                weights += weight;
                sums[token % LANES] += weight * x;
            }
            halved(sums) / weights
        }
    }
}

fn sum<'x>(runs: impl Iterator<Item = &'x [f32]>) -> f32 {
    let mut sums = [0.0f32; LANES];
    let mut token = 0;
    for run in runs {
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
    halved(sums)
}

/// The sum of all partial sums.
fn halved(mut sums: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        let (low, high) = sums.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
    }
    sums[0]
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
    use lacuna_model::{DenseModule, Linear, ModuleActivation, SentenceModule};

    use super::*;

    /// Against [`Pooling::pool_from`] on the token-major matrix.
    #[test]
    fn equals_pooling_of_the_token_major_matrix() {
        let hidden = 5;
        let x: Vec<f32> = (0..lacuna_kernels::layout::elements(hidden, 200)).map(|i| (i as f32 * 0.37).sin()).collect();
        let mut all: Vec<Pooling> = PoolingMode::ALL
            .iter()
            .flat_map(|mode| [false, true].map(|normalize| Pooling::new(*mode, normalize)))
            .collect();
        let joined = Pooling { modes: PoolingMode::ALL.to_vec(), ..Pooling::new(PoolingMode::Mean, true) };
        let weight = Matrix { rows: 3, cols: 30, data: (0..90).map(|i| (i as f32 * 0.91).cos()).collect() };
        let linear = Linear { weight, bias: vec![0.5, -0.5, 0.25] };
        let dense = SentenceModule::Dense(DenseModule { linear, activation: ModuleActivation::Tanh });
        all.push(Pooling { modules: vec![SentenceModule::Normalize, dense], ..joined.clone() });
        all.push(joined);
        for (start, len) in [(0, 1), (4, 60), (60, 9), (8, 190)] {
            let sequence = Sequence { start, len };
            for pooling in &all {
                for (include_prompt, prompt) in [(true, 0), (true, 3), (false, 3), (false, 18), (false, 500)] {
                    let pooling = Pooling { include_prompt, ..pooling.clone() };
                    let expected = pooling.pool_from(&token_major(&x, hidden, sequence), prompt);
                    let mut found = vec![f32::NAN; pooling.features(hidden)];
                    pool(&pooling, &x, hidden, sequence, prompt, &mut found);
                    assert_eq!(found.len(), expected.len());
                    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-5), "{pooling:?}");
                }
            }
        }
    }
}
