//! Pooling and what follows it, as one value.

use std::path::{Path, PathBuf};

use super::mode::PoolingMode;
use super::module::{SentenceModule, normalize};
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::settings::{Remark, RemarkScope};

/// Where the pooling settings came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolingSource {
    /// Read from this file.
    File(PathBuf),
    /// The caller chose it: [`Pooling::new`], [`Model::with_pooling`](crate::Model::with_pooling).
    Chosen,
    /// Followed from an output of an ONNX graph.
    Graph {
        /// The graph.
        path: PathBuf,
        /// The output.
        output: String,
    },
    /// The files say nothing, so the mean over all tokens was assumed; this is what they do not have.
    Assumed(String),
}

/// From the hidden states of a text to its embedding.
///
/// The results of all modes are joined, then each module computes its result from that of the one before:
///
/// ```text
/// x = [mode_1(states), mode_2(states), ...]
/// x = module_1(x), x = module_2(x), ...
/// ```
///
/// # Shapes
/// The embedding has [`Pooling::features`] features: modes times hidden size, or what the last Dense module gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooling {
    /// At least one.
    pub modes: Vec<PoolingMode>,
    /// Whether the tokens of a prompt count. Without them, the tokens from the first one behind the prompt count.
    pub include_prompt: bool,
    /// In the order in which they run.
    pub modules: Vec<SentenceModule>,
    /// Where this was read.
    pub source: PoolingSource,
}

impl Default for Pooling {
    /// Mean pooling without normalisation.
    fn default() -> Self {
        Self { source: PoolingSource::Assumed("no 1_Pooling".to_owned()), ..Self::new(PoolingMode::Mean, false) }
    }
}

impl Pooling {
    /// One mode, with normalisation or without, chosen by the caller.
    pub fn new(mode: PoolingMode, normalize: bool) -> Pooling {
        let modules = if normalize { vec![SentenceModule::Normalize] } else { Vec::new() };
        Pooling { modes: vec![mode], include_prompt: true, modules, source: PoolingSource::Chosen }
    }

    /// Another mode in place of its own, another normalisation at its end, or both; the other modules stay. `None` changes nothing.
    #[must_use]
    pub fn changed(&self, mode: Option<PoolingMode>, normalize: Option<bool>) -> Pooling {
        let mut changed = self.clone();
        if let Some(mode) = mode {
            changed.modes = vec![mode];
        }
        match normalize {
            Some(true) if !self.is_normalized() => changed.modules.push(SentenceModule::Normalize),
            Some(false) => {
                let end = changed.modules.iter().rposition(|module| *module != SentenceModule::Normalize);
                changed.modules.truncate(end.map_or(0, |last| last + 1));
            }
            _ => {}
        }
        if (&changed.modes, &changed.modules) != (&self.modes, &self.modules) {
            changed.source = PoolingSource::Chosen;
        }
        changed
    }

    /// Features of an embedding of a model with that hidden size.
    pub fn features(&self, hidden_size: usize) -> usize {
        self.modules.iter().fold(self.pooled_features(hidden_size), |features, module| module.outputs(features))
    }

    /// Features between the modes and the modules.
    pub fn pooled_features(&self, hidden_size: usize) -> usize {
        self.modes.len().saturating_mul(hidden_size)
    }

    /// Whether embeddings have a norm of 1: the last module is Normalize.
    pub fn is_normalized(&self) -> bool {
        self.modules.last() == Some(&SentenceModule::Normalize)
    }

    /// Whether no module changes the number of features or has weights: then an embedding can be made in place.
    pub fn is_plain(&self) -> bool {
        self.modules.iter().all(|module| *module == SentenceModule::Normalize)
    }

    /// The names of the modes: `mean`, `cls + mean`.
    pub fn mode_names(&self) -> String {
        let modes: Vec<&str> = self.modes.iter().map(|mode| mode.name()).collect();
        modes.join(" + ")
    }

    /// In words: `mean`, `cls + mean, dense 768 to 64 with tanh, normalised`.
    pub fn describe(&self) -> String {
        let mut parts = vec![self.mode_names()];
        if !self.include_prompt {
            parts.push("without the prompt".to_owned());
        }
        parts.extend(self.modules.iter().map(SentenceModule::describe));
        parts.join(", ")
    }

    /// What users should know if the settings were assumed, or are those of a graph.
    pub fn remark(&self) -> Option<Remark> {
        match &self.source {
            PoolingSource::Assumed(why) => {
                Some(Remark::new(RemarkScope::Embeddings, format!("pooling: {} (assumed: {why})", self.describe())))
            }
            PoolingSource::Graph { path, output } => {
                let file = path.file_name().unwrap_or_default().to_string_lossy();
                let text = format!("pooling: {} (the output {output} of {file})", self.describe());
                Some(Remark::new(RemarkScope::Embeddings, text))
            }
            PoolingSource::File(_) | PoolingSource::Chosen => None,
        }
    }

    /// Checks that each part takes what the part before it gives; `path` names the model in messages.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`].
    pub fn check(&self, hidden_size: usize, path: &Path) -> Result<()> {
        let invalid = |setting, found: String, expected: String| {
            Err(Error::InvalidSetting { path: path.to_owned(), setting, found, expected })
        };
        if self.modes.is_empty() {
            return invalid("pooling mode", "none".to_owned(), "at least one".to_owned());
        }
        let mut features = self.pooled_features(hidden_size);
        for (i, module) in self.modules.iter().enumerate() {
            if !module.is_whole() {
                return invalid("module", module.describe(), "weights of its own shape with finite values".to_owned());
            }
            if let Some(found) = module.inputs().filter(|&inputs| inputs != features) {
                let before = if i == 0 { "pooling gives" } else { "the module before it gives" };
                return invalid(
                    "input features of a module",
                    format!("{found} ({})", module.describe()),
                    format!("{features}, which {before}"),
                );
            }
            features = module.outputs(features);
        }
        Ok(())
    }

    /// Pools the hidden states of one text, `[N][hidden]` with N >= 1, into an embedding of [`Pooling::features`].
    ///
    /// # Numerics
    /// f32 sums in token order. A zero vector is not changed by normalisation.
    pub fn pool(&self, hidden: &Matrix) -> Vec<f32> {
        self.pool_from(hidden, 0)
    }

    /// The same where the first `prompt` tokens are a prompt. If the prompt does not count, at least the last token does.
    pub fn pool_from(&self, hidden: &Matrix, prompt: usize) -> Vec<f32> {
        let mut pooled = vec![0.0; self.pooled_features(hidden.cols)];
        if hidden.rows > 0 && hidden.cols > 0 {
            let first = self.first(prompt, hidden.rows);
            for (mode, part) in self.modes.iter().zip(pooled.chunks_exact_mut(hidden.cols)) {
                mode.pool(hidden, first, part);
            }
        }
        self.finish(pooled)
    }

    /// The first of `tokens` that counts, where the first `prompt` ones are a prompt.
    pub fn first(&self, prompt: usize, tokens: usize) -> usize {
        if self.include_prompt { 0 } else { prompt.min(tokens.saturating_sub(1)) }
    }

    /// The modules, from the joined results of the modes to the embedding.
    pub fn finish(&self, pooled: Vec<f32>) -> Vec<f32> {
        self.modules.iter().fold(pooled, |x, module| module.apply(x))
    }

    /// The same in place, where [`Pooling::is_plain`].
    pub fn finish_in_place(&self, pooled: &mut [f32]) {
        self.modules.iter().filter(|module| **module == SentenceModule::Normalize).for_each(|_| normalize(pooled));
    }
}

#[cfg(test)]
mod tests {
    use super::super::module::{DenseModule, ModuleActivation, NormModule};
    use super::*;
    use crate::weights::{LayerNorm, Linear};

    fn states() -> Matrix {
        Matrix { rows: 3, cols: 2, data: vec![3.0, -4.0, 1.0, 8.0, 2.0, 2.0] }
    }

    fn close(found: &[f32], expected: &[f32]) {
        let same = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(same, "{found:?}, {expected:?}");
    }

    /// Values that were computed by hand from the formulas of sentence-transformers.
    #[test]
    fn every_mode_is_its_formula() {
        let pool = |mode, prompt, include_prompt| {
            Pooling { include_prompt, ..Pooling::new(mode, false) }.pool_from(&states(), prompt)
        };
        let root = 3f32.sqrt();
        for (mode, all, behind) in [
            (PoolingMode::Cls, [3.0, -4.0], [1.0, 8.0]),
            (PoolingMode::Max, [3.0, 8.0], [2.0, 8.0]),
            (PoolingMode::Mean, [2.0, 2.0], [1.5, 5.0]),
            (PoolingMode::MeanSqrtLen, [6.0 / root, 6.0 / root], [3.0 / 2f32.sqrt(), 10.0 / 2f32.sqrt()]),
            (PoolingMode::WeightedMean, [11.0 / 6.0, 3.0], [8.0 / 5.0, 22.0 / 5.0]),
            (PoolingMode::LastToken, [2.0, 2.0], [2.0, 2.0]),
        ] {
            close(&pool(mode, 0, true), &all);
            close(&pool(mode, 1, true), &all);
            close(&pool(mode, 0, false), &all);
            close(&pool(mode, 1, false), &behind);
            close(&pool(mode, 9, false), &pool(mode, 2, false));
        }
    }

    #[test]
    fn several_modes_are_joined_in_their_order() {
        let pooling =
            Pooling { modes: vec![PoolingMode::Mean, PoolingMode::Cls], ..Pooling::new(PoolingMode::Mean, true) };
        let norm = (4f32 + 4.0 + 9.0 + 16.0).sqrt();
        close(&pooling.pool(&states()), &[2.0 / norm, 2.0 / norm, 3.0 / norm, -4.0 / norm]);
        assert_eq!((pooling.features(2), pooling.describe()), (4, "mean + cls, normalised".to_owned()));
    }

    #[test]
    fn modules_run_in_their_order() {
        let linear = Linear { weight: Matrix { rows: 1, cols: 2, data: vec![0.5, -0.25] }, bias: vec![0.125] };
        let dense = |activation| SentenceModule::Dense(DenseModule { linear: linear.clone(), activation });
        let of = |modules: Vec<SentenceModule>| Pooling { modules, ..Pooling::new(PoolingMode::Cls, false) };
        let value = 0.5 * 3.0 + 0.25 * 4.0 + 0.125f32;
        for (activation, expected) in [
            (ModuleActivation::Identity, value),
            (ModuleActivation::Tanh, value.tanh()),
            (ModuleActivation::Sigmoid, 1.0 / (1.0 + (-value).exp())),
            (ModuleActivation::Relu, value),
            (ModuleActivation::Silu, value / (1.0 + (-value).exp())),
        ] {
            close(&of(vec![dense(activation)]).pool(&states()), &[expected]);
        }
        let before = of(vec![SentenceModule::Normalize, dense(ModuleActivation::Identity)]);
        close(&before.pool(&states()), &[0.5 * 0.6 + 0.25 * 0.8 + 0.125]);
        let after = of(vec![dense(ModuleActivation::Identity), SentenceModule::Normalize]);
        close(&after.pool(&states()), &[1.0]);
        let norm = LayerNorm { gamma: vec![1.0, 2.0], beta: vec![0.5, 0.0] };
        let norm = of(vec![SentenceModule::LayerNorm(NormModule { norm, epsilon: 1e-5 })]);
        let scale = 1.0 / (12.25f32 + 1e-5).sqrt();
        close(&norm.pool(&states()), &[3.5 * scale + 0.5, -7.0 * scale]);
        assert!(before.check(2, Path::new("m")).is_ok() && before.features(2) == 1);
        let wrong = before.check(3, Path::new("m")).unwrap_err().to_string();
        assert!(wrong.contains("found 2 (dense 2 to 1 with identity); expected 3"), "{wrong}");
    }

    #[test]
    fn options_change_modes_and_normalisation_only() {
        let dense = SentenceModule::Dense(DenseModule {
            linear: Linear { weight: Matrix::zeros(3, 2), bias: vec![0.0; 3] },
            activation: ModuleActivation::Tanh,
        });
        let own = Pooling { modules: vec![dense.clone(), SentenceModule::Normalize], ..Pooling::default() };
        assert_eq!(own.changed(None, Some(true)), own);
        assert_eq!(own.changed(Some(PoolingMode::Mean), None), own);
        let changed = own.changed(Some(PoolingMode::Cls), Some(false));
        assert_eq!((changed.modes, changed.modules), (vec![PoolingMode::Cls], vec![dense]));
        assert_eq!(changed.source, PoolingSource::Chosen);
        assert!(own.remark().unwrap().to_string().ends_with("(assumed: no 1_Pooling)"));
    }
}
