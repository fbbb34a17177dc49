//! Layer normalisation of a sum, down the columns of tiles.

use lacuna_kernels::{ChunksMut, Parallel, TILE};
use lacuna_model::LayerNorm;

use crate::Result;
use crate::cpu::multiversion;
use crate::error::check_size;
use crate::tiles::Tiles;

/// What the backward pass of a normalisation needs.
#[derive(Debug, Clone, Default)]
pub struct NormSaved {
    /// `(x - mean) / sqrt(var + eps)`: the output without scale and shift.
    normalised: Tiles,
    /// `1 / sqrt(var + eps)` per column, a tile of 64 at a time.
    scales: Vec<f32>,
}

/// `y = gamma (x - mean(x)) / sqrt(var(x) + eps) + beta` of `x = a + b` for every column.
///
/// # Shapes
/// All have the features of the normalisation. `b` may be missing: it is then zero.
///
/// # Numerics
/// Two passes in f32: the mean, then the variance about it. The sums go over the features in order.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) for another number of features.
pub fn norm(
    weights: &LayerNorm,
    eps: f32,
    a: &Tiles,
    b: Option<&Tiles>,
    y: &mut Tiles,
    saved: &mut NormSaved,
) -> Result<()> {
    let (features, columns) = (a.features(), a.columns());
    check_size("features of a normalisation", features, weights.gamma.len())?;
    if let Some(b) = b {
        check_size("features of the second summand", b.features(), features)?;
        check_size("columns of the second summand", b.columns(), columns)?;
    }
    y.reshape(features, columns);
    saved.normalised.reshape(features, columns);
    saved.scales.resize(a.count() * TILE, 0.0);
    let size = a.tile_elements();
    let used = |tile| a.tile_columns(tile);
    let chunks = [
        ChunksMut::new(y.data_mut(), size),
        ChunksMut::new(saved.normalised.data_mut(), size),
        ChunksMut::new(&mut saved.scales, TILE),
    ];
    Parallel::Rayon.for_each_chunk(chunks, |tile, [y, normalised, scales]| {
        let range = tile * size..tile * size + features * TILE;
        let b = b.map(|b| &b.data()[range.clone()]);
        norm_tile(&weights.gamma, &weights.beta, eps, &a.data()[range], b, used(tile), y, normalised, scales);
    });
    Ok(())
}

multiversion! {
    /// [`norm`] of one tile with `used` columns.
    fn norm_tile(
        gamma: &[f32],
        beta: &[f32],
        eps: f32,
        a: &[f32],
        b: Option<&[f32]>,
        used: usize,
        y: &mut [f32],
        normalised: &mut [f32],
        scales: &mut [f32],
    ) {
        let features = gamma.len() as f32;
        let mut mean = [0.0f32; TILE];
        let rows = normalised.as_chunks_mut::<TILE>().0.iter_mut();
        match b {
            Some(b) => {
                let inputs = a.as_chunks::<TILE>().0.iter().zip(b.as_chunks::<TILE>().0);
                for (x, (a, b)) in rows.zip(inputs) {
                    for i in 0..TILE {
                        x[i] = a[i] + b[i];
                        mean[i] += x[i];
                    }
                }
            }
            None => {
                for (x, a) in rows.zip(a.as_chunks::<TILE>().0) {
                    *x = *a;
                    mean.iter_mut().zip(a).for_each(|(sum, a)| *sum += a);
                }
            }
        }
        mean.iter_mut().for_each(|sum| *sum /= features);
        let mut scale = [0.0f32; TILE];
        for x in normalised.as_chunks_mut::<TILE>().0.iter_mut().take(gamma.len()) {
            for i in 0..TILE {
                x[i] -= mean[i];
                scale[i] = x[i].mul_add(x[i], scale[i]);
            }
        }
        scale.iter_mut().for_each(|sum| *sum = 1.0 / (*sum / features + eps).sqrt());
        let mut shift = [1.0f32; TILE];
        scale[used..].fill(0.0);
        shift[used..].fill(0.0); // padding columns stay zero
        scales.copy_from_slice(&scale);
        let rows = normalised.as_chunks_mut::<TILE>().0.iter_mut().zip(y.as_chunks_mut::<TILE>().0);
        for ((x, y), (&gamma, &beta)) in rows.zip(gamma.iter().zip(beta)) {
            for i in 0..TILE {
                x[i] *= scale[i];
                y[i] = x[i].mul_add(gamma, beta * shift[i]);
            }
        }
        for row in [normalised, y] {
            row[gamma.len() * TILE..].fill(0.0);
        }
    }
}

/// The gradient of [`norm`]: `dx` takes the place of `dy`, and `gradient` grows by those of scale and shift.
///
/// With `g = gamma dy` and `n` the normalised column: `dx = (g - mean(g) - n mean(g n)) / sqrt(var + eps)`. It is the gradient of both
/// summands.
///
/// # Numerics
/// Sums over tokens are taken tile by tile, in order: they do not depend on the number of threads.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) for another shape than that of the forward pass.
pub fn norm_backward(weights: &LayerNorm, saved: &NormSaved, dy: &mut Tiles, gradient: &mut LayerNorm) -> Result<()> {
    let features = weights.gamma.len();
    check_size("features of the gradient of a normalisation", dy.features(), features)?;
    check_size("columns of the gradient of a normalisation", dy.columns(), saved.normalised.columns())?;
    let (size, count) = (dy.tile_elements(), dy.count());
    let mut sums = vec![0.0f32; count * 2 * features];
    let chunks = [ChunksMut::new(dy.data_mut(), size), ChunksMut::new(&mut sums, 2 * features)];
    Parallel::Rayon.for_each_chunk(chunks, |tile, [dy, sums]| {
        let normalised = &saved.normalised.data()[tile * size..][..features * TILE];
        norm_backward_tile(&weights.gamma, normalised, &saved.scales[tile * TILE..][..TILE], dy, sums);
    });
    for sums in sums.chunks_exact(2 * features) {
        let (gamma, beta) = sums.split_at(features);
        gradient.gamma.iter_mut().zip(gamma).for_each(|(g, s)| *g += s);
        gradient.beta.iter_mut().zip(beta).for_each(|(g, s)| *g += s);
    }
    Ok(())
}

multiversion! {
    /// [`norm_backward`] of one tile; `sums` are those of `dy n`, then those of `dy`.
    fn norm_backward_tile(gamma: &[f32], normalised: &[f32], scales: &[f32], dy: &mut [f32], sums: &mut [f32]) {
        const LANES: usize = 16;
        let features = gamma.len() as f32;
        let (gammas, betas) = sums.split_at_mut(gamma.len());
        let (mut mean, mut mean_n) = ([0.0f32; TILE], [0.0f32; TILE]);
        let rows = normalised.as_chunks::<TILE>().0.iter().zip(dy.as_chunks::<TILE>().0);
        let parameters = gamma.iter().zip(gammas.iter_mut().zip(betas));
        for ((n, dy), (&gamma, (sum_n, sum))) in rows.zip(parameters) {
            let (mut lanes_n, mut lanes) = ([0.0f32; LANES], [0.0f32; LANES]);
            for v in 0..TILE / LANES {
                for l in 0..LANES {
                    let i = v * LANES + l;
                    let g = gamma * dy[i];
                    mean[i] += g;
                    mean_n[i] = g.mul_add(n[i], mean_n[i]);
                    lanes_n[l] = dy[i].mul_add(n[i], lanes_n[l]);
                    lanes[l] += dy[i];
                }
            }
            (*sum_n, *sum) = (lanes_n.iter().sum(), lanes.iter().sum());
        }
        let scales = scales.first_chunk::<TILE>().copied().unwrap_or([0.0; TILE]);
        for i in 0..TILE {
            mean[i] /= features;
            mean_n[i] /= features;
        }
        for ((n, dy), &gamma) in normalised.as_chunks::<TILE>().0.iter().zip(dy.as_chunks_mut::<TILE>().0).zip(gamma) {
            for i in 0..TILE {
                let g = gamma.mul_add(dy[i], -mean[i]);
                dy[i] = scales[i] * n[i].mul_add(-mean_n[i], g);
            }
        }
    }
}
