//! Losses of the logits of a head: against a teacher's, and against labels.

use lacuna_model::Matrix;

use crate::error::check_size;
use crate::{Error, Result};

/// `t^2 mean_i KL(softmax(teacher_i / t) || softmax(student_i / t))` over the rows i, and its gradient with respect to the student's
/// logits.
///
/// # Source
/// Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015.
///
/// # Errors
/// [`Error::Size`] for different shapes, [`Error::Setting`] for a temperature that is not positive.
pub fn logit_loss(student: &Matrix, teacher: &Matrix, temperature: f64) -> Result<(f64, Matrix)> {
    check_size("rows of the teacher's logits", teacher.rows, student.rows)?;
    check_size("classes of the teacher", teacher.cols, student.cols)?;
    if !(temperature > 0.0 && temperature.is_finite()) {
        let found = temperature.to_string();
        return Err(Error::Setting { setting: "temperature", found, expected: "a positive number" });
    }
    let (mut loss, mut gradient) = (0.0, Matrix::zeros(student.rows, student.cols));
    let rows = student.rows as f64;
    for row in 0..student.rows {
        let (s, t) = (log_softmax(student.row(row), temperature), log_softmax(teacher.row(row), temperature));
        for ((g, s), t) in gradient.row_mut(row).iter_mut().zip(s).zip(t) {
            loss += temperature * temperature * t.exp() * (t - s) / rows;
            *g = (temperature * (s.exp() - t.exp()) / rows) as f32;
        }
    }
    Ok((loss, gradient))
}

/// `-mean_i log softmax(logits_i)[label_i]` over the rows i that have a label, and its gradient with respect to the logits. Without any
/// label both are 0.
///
/// # Errors
/// [`Error::Size`] for another number of labels, [`Error::Setting`] for a label that is not a class.
pub fn label_loss(logits: &Matrix, labels: &[Option<usize>]) -> Result<(f64, Matrix)> {
    check_size("labels of a batch", labels.len(), logits.rows)?;
    if let Some(label) = labels.iter().flatten().find(|&&label| label >= logits.cols) {
        return Err(Error::Setting { setting: "label", found: label.to_string(), expected: "a class of the head" });
    }
    let (mut loss, mut gradient) = (0.0, Matrix::zeros(logits.rows, logits.cols));
    let labelled = labels.iter().flatten().count() as f64;
    for (row, label) in labels.iter().enumerate() {
        let Some(label) = *label else { continue };
        let logs = log_softmax(logits.row(row), 1.0);
        loss -= logs[label] / labelled;
        for (class, (g, log)) in gradient.row_mut(row).iter_mut().zip(logs).enumerate() {
            *g = ((log.exp() - f64::from(u8::from(class == label))) / labelled) as f32;
        }
    }
    Ok((loss, gradient))
}

/// `mean (student - teacher)^2` over all elements, and its gradient with respect to the student's logits: for logits that are quantities
/// of their own, such as scores, and no choice between classes.
///
/// # Errors
/// [`Error::Size`] for different shapes.
pub fn value_loss(student: &Matrix, teacher: &Matrix) -> Result<(f64, Matrix)> {
    check_size("rows of the teacher's logits", teacher.rows, student.rows)?;
    check_size("outputs of the teacher", teacher.cols, student.cols)?;
    let count = (student.rows * student.cols).max(1) as f64;
    let (mut loss, mut gradient) = (0.0, Matrix::zeros(student.rows, student.cols));
    for (g, (s, t)) in gradient.data.iter_mut().zip(student.data.iter().zip(&teacher.data)) {
        let difference = f64::from(*s) - f64::from(*t);
        loss += difference * difference / count;
        *g = (2.0 * difference / count) as f32;
    }
    Ok((loss, gradient))
}

fn log_softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let z: Vec<f64> = logits.iter().map(|&x| f64::from(x) / temperature).collect();
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum = z.iter().map(|z| (z - max).exp()).sum::<f64>().ln() + max;
    z.into_iter().map(|z| z - sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(seed: f32) -> Matrix {
        Matrix { rows: 4, cols: 3, data: (0..12).map(|i| 2.0 * (i as f32 + seed).sin()).collect() }
    }

    /// Compares a gradient with differences of the loss.
    fn check(loss: impl Fn(&Matrix) -> (f64, Matrix)) {
        let at = logits(0.2);
        let (_, gradient) = loss(&at);
        for i in 0..at.data.len() {
            let [above, below] = [1e-2, -1e-2].map(|d| {
                let mut moved = at.clone();
                moved.data[i] += d;
                loss(&moved).0
            });
            let expected = (above - below) / 2e-2;
            assert!((f64::from(gradient.data[i]) - expected).abs() < 1e-4, "{} {expected}", gradient.data[i]);
        }
    }

    #[test]
    fn gradients_are_those_of_the_losses() {
        check(|at| logit_loss(at, &logits(0.9), 2.0).unwrap());
        check(|at| label_loss(at, &[0, 2, 1, 1].map(Some)).unwrap());
        check(|at| label_loss(at, &[None, Some(2), None, Some(1)]).unwrap());
        check(|at| value_loss(at, &logits(0.9)).unwrap());
        assert_eq!(label_loss(&logits(0.2), &[None; 4]).unwrap(), (0.0, Matrix::zeros(4, 3)));
        assert!(logit_loss(&logits(0.3), &logits(0.3), 3.0).unwrap().0.abs() < 1e-9);
        assert!(label_loss(&logits(0.3), &[3, 0, 0, 0].map(Some)).is_err());
        assert!(logit_loss(&logits(0.3), &logits(0.3), 0.0).is_err());
    }
}
