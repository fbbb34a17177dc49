//! A whole model, layer by layer.

use std::time::Instant;

use lacuna_model::reference::activate;
use lacuna_model::{
    Block, EncoderConfig, EncoderWeights, LINEAR_NAMES, LayerWeights, Linear, Matrix, TokenIds, check_tokens,
};

use super::choose::{Bounds, allocate, check, choose};
use super::cut::Cut;
use super::eliminate::{Elimination, Losses, eliminate_rest};
use super::error::PruneError;
use super::forward::{Batch, attend, batches, close, distance, embed, linear, per_batch};
use super::grid::{Grid, Mask};
use super::moments::Moments;
use super::problem::{Inputs, Target};
use super::refit::refit;
use super::report::{Answer, LayerReport, MatrixReport, Progress};
use super::sensitivity::Sensitivity;
use crate::error::Result;

/// How sparse the matrices become.
#[derive(Debug, Clone, PartialEq)]
pub enum Sparsity {
    /// The same fraction of blocks of every matrix.
    Uniform(f64),
    /// One fraction per matrix: `[layer][q, k, v, o, up, down]`, for example from [`allocate`](super::allocate()).
    PerMatrix(Vec<[f64; 6]>),
}

/// How a model is pruned.
#[derive(Debug, Clone, PartialEq)]
pub struct OneShotOptions {
    /// The block shape.
    pub block: Block,
    /// One block shape per matrix in place of `block`: `[layer][q, k, v, o, up, down]`.
    pub shapes: Option<Vec<[Block; 6]>>,
    /// How sparse the matrices become.
    pub sparsity: Sparsity,
    /// What is added to the diagonal of second moments, relative to its mean.
    pub damping: f64,
    /// How blocks are eliminated.
    pub elimination: Elimination,
    /// Whether blocks that are zero already stay zero: a sparse model is pruned again. Otherwise they are blocks like any other.
    pub keep_zeros: bool,
    /// What an error in each output of each linear layer costs, and what it costs at each token. Without it, all outputs of a matrix and
    /// all tokens cost the same. Measure it on the calibration itself, because it speaks of these tokens.
    pub sensitivity: Option<Sensitivity>,
}

impl OneShotOptions {
    /// The same fraction of blocks of every matrix, and settings that work.
    pub fn new(block: Block, sparsity: f64) -> Self {
        Self {
            block,
            shapes: None,
            sparsity: Sparsity::Uniform(sparsity),
            damping: 0.01,
            elimination: Elimination::default(),
            keep_zeros: false,
            sensitivity: None,
        }
    }

    /// A shape and a sparsity for every matrix.
    pub fn with_cuts(self, cuts: &[[Cut; 6]]) -> Self {
        let shapes = cuts.iter().map(|six| six.map(|cut| cut.block)).collect();
        let sparsity = Sparsity::PerMatrix(cuts.iter().map(|six| six.map(|cut| cut.sparsity)).collect());
        Self { shapes: Some(shapes), sparsity, ..self }
    }
}

/// A pruned model.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruned {
    /// The weights, with zeros in whole blocks. Embeddings, normalisations and the pooler are those of the dense model.
    pub weights: EncoderWeights,
    /// Which blocks are kept: `[layer][q, k, v, o, up, down]`.
    pub masks: Vec<[Mask; 6]>,
    /// What every block costs: `[layer][q, k, v, o, up, down]`.
    pub losses: Vec<[Losses; 6]>,
    /// How each matrix came out, in the order they were pruned.
    pub matrices: Vec<MatrixReport>,
    /// How far the hidden states are from those of the dense model, after every layer.
    pub layers: Vec<LayerReport>,
}

impl Pruned {
    /// Sparsities of the matrices for another run, so that the whole model has `sparsity`: [`allocate`](super::allocate()) of the losses of
    /// this run. `comparable` says that this run had a [`Sensitivity`]; otherwise losses are relative to the energy of their matrix.
    ///
    /// # Errors
    /// Those of [`allocate`](super::allocate()).
    pub fn spread(&self, sparsity: f64, bounds: Bounds, comparable: bool) -> Result<Sparsity, PruneError> {
        let all: Vec<&Losses> = self.losses.iter().flatten().collect();
        let weight = |losses: &&Losses| if comparable { 1.0 } else { 1.0 / losses.energy().max(f64::MIN_POSITIVE) };
        let weights: Vec<f64> = all.iter().map(weight).collect();
        let found = allocate(&all, &weights, sparsity, bounds)?;
        Ok(Sparsity::PerMatrix(found.as_chunks::<6>().0.to_vec()))
    }
}

/// Prunes the linear layers of a model, first layer first.
///
/// Every matrix is fitted to what the dense model computes from the dense model's inputs, given the inputs that the pruned model has by
/// then. So each corrects what the ones before it got wrong. `o` and `down` correct the residual stream too: their target is the dense
/// output plus the difference of the residual streams.
///
/// `calibration` are sequences of token ids; 30,000 tokens are a good number. `progress` is called after every matrix and layer. If it returns a
/// [`ControlFlow`](std::ops::ControlFlow), it can end the work.
///
/// # Numerics
/// The same bits on any number of threads. Threads are those of the current rayon pool.
///
/// # Errors
/// [`PruneError`]; errors of [`check_tokens`] for ids that the model does not have; [`Error::Stopped`](crate::Error::Stopped).
pub fn one_shot<S: TokenIds, A: Answer>(
    config: &EncoderConfig,
    dense: &EncoderWeights,
    calibration: &[S],
    options: &OneShotOptions,
    progress: &mut dyn FnMut(&Progress) -> A,
) -> Result<Pruned> {
    check_tokens(config, calibration)?;
    check_weights(config, dense)?;
    let sparsities = sparsities(&options.sparsity, dense.layers.len())?;
    let shapes = options.shapes.clone().unwrap_or_else(|| vec![[options.block; 6]; dense.layers.len()]);
    PruneError::fit("layers of block shapes", shapes.len(), dense.layers.len())?;
    let lengths: Vec<usize> = calibration.iter().map(|tokens| tokens.ids().len()).collect();
    if let Some(sensitivity) = &options.sensitivity {
        sensitivity.check(dense.layers.len(), lengths.iter().sum())?;
    }
    let batches = batches(&lengths);
    let states = embed(config, dense, calibration, &batches)?;
    let mut run =
        Run { config, options, batches: &batches, student: states.clone(), dense: states, matrices: vec![], progress };
    let mut weights = dense.clone();
    let (mut masks, mut losses, mut layers) = (vec![], vec![], vec![]);
    for (index, (layer, (sparsity, shapes))) in
        weights.layers.iter_mut().zip(sparsities.into_iter().zip(shapes)).enumerate()
    {
        let start = Instant::now();
        let (mask, loss) = run.layer(index, &dense.layers[index], layer, sparsity, shapes)?;
        masks.push(mask);
        losses.push(loss);
        let hidden_error = distance(&run.student, &run.dense);
        let report = LayerReport { layer: index, hidden_error, seconds: start.elapsed().as_secs_f64() };
        (run.progress)(&Progress::Layer(report.clone())).check()?;
        layers.push(report);
    }
    Ok(Pruned { weights, masks, losses, matrices: run.matrices, layers })
}

fn sparsities(sparsity: &Sparsity, layers: usize) -> Result<Vec<[f64; 6]>, PruneError> {
    let all = match sparsity {
        Sparsity::Uniform(sparsity) => vec![[*sparsity; 6]; layers],
        Sparsity::PerMatrix(all) => all.clone(),
    };
    PruneError::fit("layers of sparsities", all.len(), layers)?;
    all.iter().flatten().try_for_each(|sparsity| check(*sparsity))?;
    Ok(all)
}

/// Refuses layers of other shapes than the configuration says.
pub(super) fn check_weights(config: &EncoderConfig, weights: &EncoderWeights) -> Result<(), PruneError> {
    let check = PruneError::fit;
    let hidden = config.hidden_size;
    PruneError::fit("layers of the weights", weights.layers.len(), config.layers)?;
    for layer in &weights.layers {
        for (linear, (outputs, inputs)) in layer.linears().into_iter().zip(config.linear_shapes()) {
            check("outputs of a linear layer", linear.outputs(), outputs)?;
            check("inputs of a linear layer", linear.inputs(), inputs)?;
            check("weights of a linear layer", linear.weight.data.len(), outputs * inputs)?;
            check("biases of a linear layer", linear.bias.len(), outputs)?;
        }
        for norm in [&layer.attention_norm, &layer.output_norm] {
            check("scales of a normalisation", norm.gamma.len(), hidden)?;
            check("shifts of a normalisation", norm.beta.len(), hidden)?;
        }
    }
    Ok(())
}

/// Both models up to the layer that is being pruned.
struct Run<'a, A> {
    config: &'a EncoderConfig,
    options: &'a OneShotOptions,
    batches: &'a [Batch],
    /// The residual stream of the pruned model, per batch.
    student: Vec<Matrix>,
    /// That of the dense model.
    dense: Vec<Matrix>,
    matrices: Vec<MatrixReport>,
    progress: &'a mut dyn FnMut(&Progress) -> A,
}

/// Masks and losses of matrices that read the same inputs.
type Outcome = Vec<(Mask, Losses)>;

impl<A: Answer> Run<'_, A> {
    /// Prunes one layer, and moves both residual streams behind it.
    fn layer(
        &mut self,
        index: usize,
        dense: &LayerWeights,
        student: &mut LayerWeights,
        sparsity: [f64; 6],
        shapes: [Block; 6],
    ) -> Result<([Mask; 6], [Losses; 6])> {
        let (config, batches, count) = (self.config, self.batches, self.batches.len());
        let eps = config.layer_norm_eps;
        let site = |first| Site { layer: index, first, sparsity, shapes };
        let mut outcomes = Outcome::new();

        let moments = self.moments(&site(0), &self.student, &self.dense, false)?;
        let LayerWeights { q, k, v, .. } = student;
        outcomes.extend(self.prune(site(0), &moments, &[&dense.q, &dense.k, &dense.v], [q, k, v])?);

        let attended = |x: &[Matrix], layer: &LayerWeights| {
            per_batch(count, |i| attend(config.heads, &x[i], [&layer.q, &layer.k, &layer.v], &batches[i].tokens))
        };
        let (dense_inner, inner) = (attended(&self.dense, dense), attended(&self.student, student));
        let moments = self.moments(&site(3), &inner, &dense_inner, true)?;
        outcomes.extend(self.prune(site(3), &moments, &[&dense.o], [&mut student.o])?);
        let closed = |x: &[Matrix], inner: &[Matrix], layer: &LayerWeights| {
            per_batch(count, |i| close(&x[i], &inner[i], &layer.o, &layer.attention_norm, eps))
        };
        self.dense = closed(&self.dense, &dense_inner, dense);
        self.student = closed(&self.student, &inner, student);

        let moments = self.moments(&site(4), &self.student, &self.dense, false)?;
        outcomes.extend(self.prune(site(4), &moments, &[&dense.up], [&mut student.up])?);
        let activated = |x: &[Matrix], layer: &LayerWeights| {
            per_batch(count, |i| {
                let mut inner = linear(&x[i], &layer.up);
                activate(config.activation, &mut inner.data);
                inner
            })
        };
        let (dense_inner, inner) = (activated(&self.dense, dense), activated(&self.student, student));
        let moments = self.moments(&site(5), &inner, &dense_inner, true)?;
        outcomes.extend(self.prune(site(5), &moments, &[&dense.down], [&mut student.down])?);
        let closed = |x: &[Matrix], inner: &[Matrix], layer: &LayerWeights| {
            per_batch(count, |i| close(&x[i], &inner[i], &layer.down, &layer.output_norm, eps))
        };
        self.dense = closed(&self.dense, &dense_inner, dense);
        self.student = closed(&self.student, &inner, student);

        let (masks, losses): (Vec<Mask>, Vec<Losses>) = outcomes.into_iter().unzip();
        let six = |found| PruneError::Shape { what: "matrices of a layer", found, expected: 6 };
        let masks = masks.try_into().map_err(|masks: Vec<Mask>| six(masks.len()))?;
        let losses = losses.try_into().map_err(|losses: Vec<Losses>| six(losses.len()))?;
        Ok((masks, losses))
    }

    /// Moments of inputs, with the difference of the residual streams if `residual`.
    fn moments(
        &self,
        site: &Site,
        student: &[Matrix],
        dense: &[Matrix],
        residual: bool,
    ) -> Result<Moments, PruneError> {
        let weights =
            self.options.sensitivity.as_ref().and_then(|s| s.tokens.get(site.layer)?.get(site.group())).map(|w| &w[..]);
        Moments::of_streams(student, dense, residual.then_some((&self.student[..], &self.dense[..])), weights)
    }

    /// Prunes matrices that read the same inputs; `site` says which is the first.
    fn prune<const N: usize>(
        &mut self,
        site: Site,
        moments: &Moments,
        dense: &[&Linear; N],
        student: [&mut Linear; N],
    ) -> Result<Outcome> {
        let mut start = Instant::now();
        let inputs = Inputs::new(moments, self.options.damping, &site.name(0))?;
        let mut outcomes = Outcome::with_capacity(N);
        for (i, (dense, student)) in dense.iter().zip(student).enumerate() {
            let name = site.name(i);
            let mut target = Target::new(&inputs, moments, dense, &name)?;
            if let Some(sensitivity) = &self.options.sensitivity {
                target = target.weighted(&sensitivity.rows[site.layer][site.first + i])?;
            }
            let grid = Grid::new(dense.outputs(), dense.inputs(), site.shapes[site.first + i])?;
            let sparsity = site.sparsity[site.first + i];
            let left = match self.options.keep_zeros {
                true => Mask::of_zeros(grid, &dense.weight.data)?,
                false => Mask::full(grid),
            };
            let losses = eliminate_rest(&inputs, &target, &left, self.elimination(sparsity), &name)?;
            let mask = choose(&losses, sparsity)?;
            *student = refit(&inputs, &target, &mask, &name)?;
            let report = MatrixReport {
                layer: site.layer,
                name: LINEAR_NAMES[site.first + i],
                sparsity: mask.sparsity(),
                relative_error: target.relative_error(&inputs, &student.weight),
                seconds: start.elapsed().as_secs_f64(),
            };
            (self.progress)(&Progress::Matrix(report.clone())).check()?;
            self.matrices.push(report);
            outcomes.push((mask, losses));
            start = Instant::now();
        }
        Ok(outcomes)
    }

    /// Elimination goes far enough for the wanted sparsity.
    fn elimination(&self, sparsity: f64) -> Elimination {
        let options = self.options.elimination;
        Elimination { keep: options.keep.min((1.0 - sparsity) / 3.0), ..options }
    }
}

/// Which matrices of which layer.
struct Site {
    layer: usize,
    /// The first of them, an index into [`LINEAR_NAMES`].
    first: usize,
    sparsity: [f64; 6],
    shapes: [Block; 6],
}

impl Site {
    /// Which of the four inputs of a layer.
    fn group(&self) -> usize {
        self.first.saturating_sub(2)
    }

    fn name(&self, index: usize) -> String {
        format!("{}.{}", self.layer, LINEAR_NAMES[self.first + index])
    }
}
