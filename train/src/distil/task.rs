//! The head that a student is trained with, beside its hidden states.

use lacuna_model::Matrix;
use lacuna_model::heads::{Head, HeadKind, HeadWeights, Problem};

use super::checkpoint::GroupState;
use super::logits::{label_loss, logit_loss, value_loss};
use super::losses::LossWeights;
use crate::batch::Batch;
use crate::error::check_size;
use crate::head::{HeadLayers, HeadSaved, TrainedHead};
use crate::optimise::{AdamWOptions, GroupAdamW};
use crate::parameters::Tensors;
use crate::tiles::Tiles;
use crate::{Error, Result};

/// What the logits of a head mean, and so how those of two heads are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitForm {
    /// Every row is a choice between classes: [`logit_loss`].
    Classes,
    /// Every output is a choice between the tokens of a sequence: [`logit_loss`] over the tokens.
    Positions,
    /// Every logit is a quantity of its own: [`value_loss`].
    Values,
}

impl LogitForm {
    /// The form of a head's logits.
    pub fn of(head: &Head) -> LogitForm {
        match (head.kind(), head.problem()) {
            (HeadKind::QuestionAnswering, _) => LogitForm::Positions,
            (HeadKind::SequenceClassification, Problem::SingleLabel) => LogitForm::Classes,
            (HeadKind::SequenceClassification, _) => LogitForm::Values,
            _ => LogitForm::Classes,
        }
    }
}

/// The heads of a training: that of the student, which is trained, and that of the teacher.
pub struct HeadPair<'a> {
    /// Where the student's head begins.
    pub student: &'a HeadWeights,
    /// The teacher's head; without one nothing follows its logits.
    pub teacher: Option<&'a HeadWeights>,
    /// What the logits mean.
    pub form: LogitForm,
}

/// The state of the heads.
pub(super) struct Task {
    student: TrainedHead,
    teacher: Option<TrainedHead>,
    form: LogitForm,
    optimiser: GroupAdamW<HeadLayers>,
    gradients: HeadLayers,
    saved: HeadSaved,
    /// The average with the best dev figure.
    best: Option<HeadLayers>,
}

/// The losses of a batch, each without its weight, and the gradient of their weighted sum with respect to the logits.
pub(super) struct TaskLosses {
    pub(super) logits: f64,
    pub(super) labels: f64,
    gradient: Matrix,
}

impl Task {
    /// Heads for states of `hidden` features. `largest_label` is the largest class of the texts.
    pub(super) fn new(
        heads: &HeadPair<'_>,
        hidden: usize,
        largest_label: Option<usize>,
        options: AdamWOptions,
    ) -> Result<Task> {
        let (student, teacher) = (TrainedHead::new(heads.student)?, heads.teacher.map(TrainedHead::new).transpose()?);
        check_size("inputs of the student's head", student.layers().inputs(), hidden)?;
        if let Some(teacher) = &teacher {
            check_size("inputs of the teacher's head", teacher.layers().inputs(), hidden)?;
            check_size("outputs of the teacher's head", teacher.layers().outputs(), student.layers().outputs())?;
            let reads = |head: &TrainedHead| usize::from(head.reads_first());
            check_size("tokens that the teacher's head reads of a sequence", reads(teacher), reads(&student))?;
        }
        if let Some(label) = largest_label {
            let (setting, expected) = ("labels of the texts", "a head that classifies sequences into single classes");
            if !student.reads_first() || heads.form != LogitForm::Classes {
                let found = format!("{:?}", heads.form);
                return Err(Error::Setting { setting, found: format!("a head whose logits are {found}"), expected });
            }
            if label >= student.layers().outputs() {
                let found = format!("{label} for {} classes", student.layers().outputs());
                return Err(Error::Setting { setting, found, expected: "a class of the head" });
            }
        }
        let optimiser = GroupAdamW::new(options, student.layers())?;
        let gradients = student.layers().zeros_like();
        Ok(Task { student, teacher, form: heads.form, optimiser, gradients, saved: HeadSaved::default(), best: None })
    }

    /// The parameters of the student's head.
    pub(super) fn layers(&self) -> &HeadLayers {
        self.student.layers()
    }

    /// Goes on with weights, both moments and average after some updates.
    pub(super) fn restore(&mut self, groups: [HeadLayers; 4], best: Option<HeadLayers>, updates: u64) -> Result<()> {
        let [weights, first, second, average] = groups;
        (self.optimiser.first, self.optimiser.second, self.optimiser.average) = (first, second, average);
        self.optimiser.steps = updates;
        self.best = best;
        self.student.replace(weights)
    }

    /// What a checkpoint holds of it.
    pub(super) fn state(&self) -> GroupState<&HeadLayers> {
        let GroupAdamW { first, second, average, .. } = &self.optimiser;
        GroupState { groups: [self.student.layers(), first, second, average], best: self.best.as_ref() }
    }

    /// The average of the weights.
    pub(super) fn average(&self) -> HeadWeights {
        self.optimiser.average().weights()
    }

    /// The weights with the best dev figure where there is one, else the average.
    pub(super) fn result(&self) -> HeadWeights {
        self.best.as_ref().unwrap_or(self.optimiser.average()).weights()
    }

    /// The head becomes its average.
    pub(super) fn continue_from_average(&mut self) -> Result<()> {
        self.student.replace(self.optimiser.average().clone())
    }

    /// The average has the best dev figure so far.
    pub(super) fn keep_best(&mut self) {
        self.best = Some(self.optimiser.average().clone());
    }

    /// What was best has another pattern.
    pub(super) fn forget_best(&mut self) {
        self.best = None;
    }

    pub(super) fn clear(&mut self) {
        self.gradients.tensors_mut().into_iter().for_each(|values| values.fill(0.0));
    }

    /// The losses of a batch from the states after the last layers; the teacher's are `None` where nothing follows the teacher.
    pub(super) fn losses(
        &mut self,
        batch: &Batch,
        labels: &[Option<usize>],
        student: &Tiles,
        teacher: Option<&Tiles>,
        weights: &LossWeights,
    ) -> Result<TaskLosses> {
        let logits = self.student.forward(batch, student, &mut self.saved)?;
        let mut found = TaskLosses { logits: 0.0, labels: 0.0, gradient: Matrix::zeros(logits.rows, logits.cols) };
        if let (Some(head), Some(states)) = (&self.teacher, teacher) {
            let expected = head.forward(batch, states, &mut HeadSaved::default())?;
            let (loss, gradient) = match self.form {
                LogitForm::Classes => logit_loss(&logits, &expected, weights.logit_temperature)?,
                LogitForm::Values => value_loss(&logits, &expected)?,
                LogitForm::Positions => position_loss(batch, &logits, &expected, weights.logit_temperature)?,
            };
            found.logits = loss;
            add(&mut found.gradient, &gradient, weights.logits);
        }
        if labels.iter().any(Option::is_some) {
            let (loss, gradient) = label_loss(&logits, labels)?;
            found.labels = loss;
            add(&mut found.gradient, &gradient, weights.labels);
        }
        Ok(found)
    }

    /// Adds `share` times the gradients of the losses: those of the parameters to the head's own, that of the states to `dx`.
    pub(super) fn backward(&mut self, batch: &Batch, losses: &TaskLosses, share: f32, dx: &mut Tiles) -> Result<()> {
        let mut gradient = losses.gradient.clone();
        gradient.data.iter_mut().for_each(|g| *g *= share);
        self.student.backward(batch, &self.saved, &gradient, &mut self.gradients, dx)
    }

    /// Refuses gradients that are not finite, before anything is changed.
    pub(super) fn check(&self) -> Result<f64> {
        self.optimiser.norm(&self.gradients)
    }

    /// One update.
    pub(super) fn step(&mut self, factor: f64) -> Result<f64> {
        let mut layers = self.student.layers().clone();
        let norm = self.optimiser.step(&mut layers, &self.gradients, factor)?;
        self.student.replace(layers)?;
        Ok(norm)
    }
}

fn add(sum: &mut Matrix, gradient: &Matrix, weight: f64) {
    sum.data.iter_mut().zip(&gradient.data).for_each(|(sum, g)| *sum = g.mul_add(weight as f32, *sum));
}

/// [`logit_loss`] of every output over the tokens of a sequence, the mean over sequences and outputs.
fn position_loss(batch: &Batch, student: &Matrix, teacher: &Matrix, temperature: f64) -> Result<(f64, Matrix)> {
    check_size("rows of the teacher's logits", teacher.rows, student.rows)?;
    check_size("outputs of the teacher", teacher.cols, student.cols)?;
    let (mut loss, mut gradient) = (0.0, Matrix::zeros(student.rows, student.cols));
    let share = 1.0 / batch.sequences().max(1) as f64;
    for range in batch.ranges() {
        let turned = |m: &Matrix| Matrix {
            rows: m.cols,
            cols: range.len(),
            data: (0..m.cols).flat_map(|output| range.clone().map(move |token| m.row(token)[output])).collect(),
        };
        let (of_sequence, part) = logit_loss(&turned(student), &turned(teacher), temperature)?;
        loss += share * of_sequence;
        for (output, row) in part.data.chunks_exact(range.len().max(1)).enumerate() {
            for (token, g) in range.clone().zip(row) {
                gradient.row_mut(token)[output] = g * share as f32;
            }
        }
    }
    Ok((loss, gradient))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lacuna_model::Preset;

    #[test]
    fn losses_over_positions_have_the_gradient_of_their_differences() {
        let config = Preset::BertMini.config();
        let batch = Batch::new(&config, &[vec![1u32, 2, 3], vec![4], vec![5, 6]]).unwrap();
        let logits = |seed: f32| Matrix { rows: 6, cols: 2, data: (0..12).map(|i| (i as f32 + seed).sin()).collect() };
        let (at, teacher) = (logits(0.1), logits(0.7));
        let loss = |at: &Matrix| position_loss(&batch, at, &teacher, 2.0).unwrap();
        let (_, gradient) = loss(&at);
        for i in 0..12 {
            let [above, below] = [1e-2, -1e-2].map(|d| {
                let mut moved = at.clone();
                moved.data[i] += d;
                loss(&moved).0
            });
            let expected = (above - below) / 2e-2;
            assert!((f64::from(gradient.data[i]) - expected).abs() < 1e-4, "{} {expected}", gradient.data[i]);
        }
        assert!(position_loss(&batch, &teacher, &teacher, 2.0).unwrap().0.abs() < 1e-9);
    }
}
