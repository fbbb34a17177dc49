//! How far a student is from its teacher, and the gradients of that.
//!
//! With a the student's and b the teacher's hidden states of one layer, and e and f their embeddings of n texts, of norm 1:
//!
//! ```text
//! hidden     = mean over layers of  sum (a - b)^2 / sum b^2                       over all tokens and features
//! cosine     = mean over texts of   1 - e . f
//! similarity = mean over texts i of KL(softmax_j f_i . f_j / t  ||  softmax_j e_i . e_j / t),  j other than i
//! logits     = mean over rows of    t^2 KL(softmax(teacher's logits / t) || softmax(logits / t))  of a head, see `LogitForm`
//! labels     = mean over texts of   -log softmax(logits)[label]                                   of those that have a label
//! scores     = how far the order of cosines is from that of gold scores, see `score_loss`            of texts that are pairs
//! total      = w_1 hidden + w_2 cosine + w_3 similarity + w_4 logits + w_5 labels + w_6 scores
//! ```

use lacuna_kernels::{ChunksMut, Parallel};
use lacuna_model::Matrix;

use crate::Result;
use crate::cpu::multiversion;
use crate::error::check_size;
use crate::ops::small::{LANES, Left, product};
use crate::tiles::Tiles;

/// The weights of the losses.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LossWeights {
    /// Of the relative error of hidden states.
    pub hidden: f64,
    /// Of one minus the cosine of embeddings.
    pub cosine: f64,
    /// Of the divergence of similarities within the batch.
    pub similarity: f64,
    /// The temperature t of the similarities.
    pub temperature: f64,
    /// Of the divergence of a head's logits from the teacher's; nothing without a head.
    pub logits: f64,
    /// Of the cross-entropy of a head's logits and labels; nothing without a head.
    pub labels: f64,
    /// Of the order of cosines against gold scores; nothing without pairs.
    pub scores: f64,
    /// The temperature t of the logits.
    pub logit_temperature: f64,
}

impl Default for LossWeights {
    fn default() -> LossWeights {
        LossWeights {
            hidden: 1.0,
            cosine: 5.0,
            similarity: 1.0,
            temperature: 0.05,
            logits: 1.0,
            labels: 1.0,
            scores: 0.3,
            logit_temperature: 2.0,
        }
    }
}

impl LossWeights {
    /// Of a model with a head: embeddings do not count.
    pub fn of_head() -> LossWeights {
        LossWeights { cosine: 0.0, similarity: 0.0, scores: 0.0, ..LossWeights::default() }
    }

    /// Whether embeddings of a student follow those of a teacher.
    pub(super) fn compares_embeddings(&self) -> bool {
        self.cosine > 0.0 || self.similarity > 0.0
    }

    /// Whether anything follows the teacher.
    pub(super) fn follows_teacher(&self) -> bool {
        self.hidden > 0.0 || self.compares_embeddings() || self.logits > 0.0
    }
}

/// The values of the losses of one batch, each without its weight.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Losses {
    /// The relative error of hidden states, the mean of all layers.
    pub hidden: f64,
    /// One minus the cosine of embeddings.
    pub cosine: f64,
    /// The divergence of similarities.
    pub similarity: f64,
    /// The divergence of logits.
    pub logits: f64,
    /// The cross-entropy of logits and labels.
    pub labels: f64,
    /// The order of cosines against gold scores.
    pub scores: f64,
}

impl Losses {
    /// The sum with weights.
    pub fn total(&self, weights: &LossWeights) -> f64 {
        let of_encoder =
            weights.hidden * self.hidden + weights.cosine * self.cosine + weights.similarity * self.similarity;
        let of_gold = weights.labels * self.labels + weights.scores * self.scores;
        of_encoder + weights.logits * self.logits + of_gold
    }

    /// Adds a share of other losses.
    pub(super) fn add(&mut self, part: &Losses, share: f64) {
        let Losses { hidden, cosine, similarity, logits, labels, scores } = *part;
        self.hidden += share * hidden;
        self.cosine += share * cosine;
        self.similarity += share * similarity;
        self.logits += share * logits;
        self.labels += share * labels;
        self.scores += share * scores;
    }
}

/// `sum (a - b)^2` and `sum b^2`.
///
/// # Numerics
/// f32 sums within a tile, f64 sums of tiles in order.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) for different shapes.
pub fn squared_error(a: &Tiles, b: &Tiles) -> Result<(f64, f64)> {
    check_size("features of the teacher", b.features(), a.features())?;
    check_size("columns of the teacher", b.columns(), a.columns())?;
    let mut sums = vec![[0.0f32; 2]; a.count()];
    let size = a.tile_elements();
    Parallel::Rayon.for_each_chunk(ChunksMut::new(&mut sums, 1), |tile, sums| {
        let range = tile * size..(tile + 1) * size;
        squares(&a.data()[range.clone()], &b.data()[range], &mut sums[0]);
    });
    Ok(sums.iter().fold((0.0, 0.0), |(error, size), sums| (error + f64::from(sums[0]), size + f64::from(sums[1]))))
}

multiversion! {
    fn squares(a: &[f32], b: &[f32], sums: &mut [f32; 2]) {
        let (mut error, mut size) = ([0.0f32; LANES], [0.0f32; LANES]);
        for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
            for l in 0..LANES {
                let d = a[l] - b[l];
                error[l] = d.mul_add(d, error[l]);
                size[l] = b[l].mul_add(b[l], size[l]);
            }
        }
        *sums = [error.iter().sum(), size.iter().sum()];
    }
}

/// `dx += scale (a - b)`: the gradient of `scale / 2 sum (a - b)^2`.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) for different shapes.
pub fn add_difference(a: &Tiles, b: &Tiles, scale: f32, dx: &mut Tiles) -> Result<()> {
    /// Elements of a task.
    const CHUNK: usize = 1 << 14;
    for (what, other) in [("elements of the teacher", b.data().len()), ("elements of a gradient", dx.data().len())] {
        check_size(what, other, a.data().len())?;
    }
    Parallel::Rayon.for_each_chunk(ChunksMut::new(dx.data_mut(), CHUNK), |i, dx| {
        let range = i * CHUNK..i * CHUNK + dx.len();
        add_part(&a.data()[range.clone()], &b.data()[range], scale, dx);
    });
    Ok(())
}

multiversion! {
    fn add_part(a: &[f32], b: &[f32], scale: f32, dx: &mut [f32]) {
        dx.iter_mut().zip(a.iter().zip(b)).for_each(|(dx, (a, b))| *dx = scale.mul_add(a - b, *dx));
    }
}

/// The losses of embeddings, `[texts][features]` with rows of norm 1, and the gradient of their weighted sum with respect to the
/// student's.
///
/// # Errors
/// [`Error::Size`](crate::Error::Size) for different shapes.
pub fn embedding_losses(student: &Matrix, teacher: &Matrix, weights: &LossWeights) -> Result<(f64, f64, Matrix)> {
    check_size("embeddings of the teacher", teacher.rows, student.rows)?;
    check_size("features of the teacher's embeddings", teacher.cols, student.cols)?;
    let (n, features) = (student.rows, student.cols);
    let mut gradient = Matrix::zeros(n, features);
    let mut cosine = 0.0;
    let scale = (weights.cosine / n as f64) as f32;
    for i in 0..n {
        let (e, f) = (student.row(i), teacher.row(i));
        cosine += 1.0 - e.iter().zip(f).map(|(e, f)| f64::from(*e) * f64::from(*f)).sum::<f64>();
        gradient.row_mut(i).iter_mut().zip(f).for_each(|(g, f)| *g -= scale * f);
    }
    cosine /= n as f64;
    if n < 2 || weights.similarity == 0.0 {
        return Ok((cosine, 0.0, gradient));
    }
    let (log_s, log_t) = (log_softmax(student, weights.temperature), log_softmax(teacher, weights.temperature));
    let mut similarity = 0.0;
    // The gradient with respect to the student's similarities, made symmetric: e_i . e_j is in two rows.
    let mut slopes = vec![0.0f32; n * n];
    let slope = weights.similarity / (n as f64 * weights.temperature);
    for i in 0..n {
        for j in (0..n).filter(|&j| j != i) {
            let (s, t) = (log_s[i * n + j], log_t[i * n + j]);
            similarity += t.exp() * (t - s);
            let value = (slope * (s.exp() - t.exp())) as f32;
            slopes[i * n + j] += value;
            slopes[j * n + i] += value;
        }
    }
    let columns = features.next_multiple_of(LANES);
    let (mut padded, mut out) = (vec![0.0; n * columns], vec![0.0; n * columns]);
    for (row, padded) in padded.chunks_exact_mut(columns).enumerate() {
        padded[..features].copy_from_slice(student.row(row));
    }
    let left = Left { data: &slopes, rows: n, depth: n, row_stride: n, depth_stride: 1 };
    product(left, &padded, columns, &mut out);
    for (i, out) in out.chunks_exact(columns).enumerate() {
        gradient.row_mut(i).iter_mut().zip(out).for_each(|(g, x)| *g += x);
    }
    Ok((cosine, similarity / n as f64, gradient))
}

/// `log softmax_j x_i . x_j / t` over j other than i; 0 for j = i, which nobody reads.
fn log_softmax(x: &Matrix, temperature: f64) -> Vec<f64> {
    let (n, columns) = (x.rows, x.rows.next_multiple_of(LANES));
    let mut turned = vec![0.0f32; x.cols * columns];
    for i in 0..n {
        x.row(i).iter().enumerate().for_each(|(k, &x)| turned[k * columns + i] = x);
    }
    let mut dots = vec![0.0f32; n * columns];
    let left = Left { data: &x.data, rows: n, depth: x.cols, row_stride: x.cols, depth_stride: 1 };
    product(left, &turned, columns, &mut dots);
    let mut logs = vec![0.0f64; n * n];
    for (i, (logs, dots)) in logs.chunks_exact_mut(n).zip(dots.chunks_exact(columns)).enumerate() {
        let others = || (0..n).filter(move |&j| j != i);
        let z = |j: usize| f64::from(dots[j]) / temperature;
        let max = others().map(z).fold(f64::NEG_INFINITY, f64::max);
        let sum = others().map(|j| (z(j) - max).exp()).sum::<f64>().ln() + max;
        others().for_each(|j| logs[j] = z(j) - sum);
    }
    logs
}

/// The teacher's layer that each layer of a student follows: evenly spaced, the last one follows the last.
///
/// # Errors
/// [`Error::Setting`](crate::Error::Setting) for a student with no layers or more layers than its teacher.
pub fn layer_map(student: usize, teacher: usize) -> Result<Vec<usize>> {
    if student == 0 || student > teacher {
        let expected = "1 to the layers of the teacher";
        return Err(crate::Error::Setting { setting: "layers of the student", found: student.to_string(), expected });
    }
    Ok((1..=student).map(|layer| layer * teacher / student - 1).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(rows: usize, cols: usize, seed: f32) -> Matrix {
        let mut m = Matrix { rows, cols, data: (0..rows * cols).map(|i| (i as f32 * 0.9 + seed).sin()).collect() };
        for r in 0..rows {
            let norm = m.row(r).iter().map(|x| x * x).sum::<f32>().sqrt();
            m.row_mut(r).iter_mut().for_each(|x| *x /= norm);
        }
        m
    }

    /// The losses in f64, written down from their definition.
    fn exact(e: &[f64], f: &Matrix, weights: &LossWeights) -> f64 {
        let (n, d) = (f.rows, f.cols);
        let f: Vec<f64> = f.data.iter().map(|&x| f64::from(x)).collect();
        let dot = |m: &[f64], o: &[f64], i: usize, j: usize| (0..d).map(|k| m[i * d + k] * o[j * d + k]).sum::<f64>();
        let logs = |m: &[f64], i: usize| {
            let z: Vec<f64> =
                (0..n).map(|j| if i == j { -1e4 } else { dot(m, m, i, j) / weights.temperature }).collect();
            let sum = z.iter().map(|z| z.exp()).sum::<f64>().ln();
            z.into_iter().map(|z| z - sum).collect::<Vec<f64>>()
        };
        let cosine = (0..n).map(|i| 1.0 - dot(e, &f, i, i)).sum::<f64>() / n as f64;
        let divergence = |i: usize| logs(&f, i).iter().zip(logs(e, i)).map(|(t, s)| t.exp() * (t - s)).sum::<f64>();
        weights.cosine * cosine + weights.similarity * (0..n).map(divergence).sum::<f64>() / n as f64
    }

    #[test]
    fn losses_and_gradients_of_embeddings_are_exact() {
        let weights = LossWeights::default();
        for (n, d) in [(1, 3), (2, 5), (9, 20)] {
            let (e, f) = (unit(n, d, 0.1), unit(n, d, 0.4));
            let (cosine, similarity, gradient) = embedding_losses(&e, &f, &weights).unwrap();
            let found = Losses { cosine, similarity, ..Losses::default() }.total(&weights);
            let mut wide: Vec<f64> = e.data.iter().map(|&x| f64::from(x)).collect();
            if n > 1 {
                assert!((found - exact(&wide, &f, &weights)).abs() < 1e-4);
                for i in 0..n * d {
                    let x = wide[i];
                    let mut at = |x: f64| {
                        wide[i] = x;
                        exact(&wide, &f, &weights)
                    };
                    let difference = (at(x + 1e-6) - at(x - 1e-6)) / 2e-6;
                    wide[i] = x;
                    assert!(
                        (f64::from(gradient.data[i]) - difference).abs() < 2e-3,
                        "{} {difference}",
                        gradient.data[i]
                    );
                }
            }
        }
    }

    #[test]
    fn errors_of_hidden_states_are_sums_over_tokens() {
        let (a, b) = (unit(70, 5, 0.3), unit(70, 5, 0.9));
        let (ta, tb) = (Tiles::from_rows(&a), Tiles::from_rows(&b));
        let (error, size) = squared_error(&ta, &tb).unwrap();
        let expected: f64 = a.data.iter().zip(&b.data).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        assert!((error - expected).abs() < 1e-4 && (size - 70.0).abs() < 1e-3);
        let mut dx = Tiles::zeros(5, 70);
        add_difference(&ta, &tb, 2.0, &mut dx).unwrap();
        assert!((dx.at(3, 69) - 2.0 * (a.row(69)[3] - b.row(69)[3])).abs() < 1e-6);
        assert!(squared_error(&ta, &Tiles::zeros(5, 3)).is_err());
    }

    #[test]
    fn students_follow_evenly_spaced_layers() {
        assert_eq!(layer_map(3, 6).unwrap(), [1, 3, 5]);
        assert_eq!(layer_map(6, 6).unwrap(), [0, 1, 2, 3, 4, 5]);
        assert!(layer_map(0, 6).is_err() && layer_map(7, 6).is_err());
    }
}
