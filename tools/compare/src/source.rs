//! Models to compare: where they come from, and how good is good enough.

use std::path::PathBuf;

use lacuna::calibration::{ActivationBits, CalibrationOptions};
use lacuna::config::EncoderConfig;
use lacuna::tokens::seeded_ids;
use lacuna::{Block, CalibratedModel, Model, Preset};
use lacuna_console::args;
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Spinner;
use lacuna_console::remarks::{say, warn};
use lacuna_console::sentences::{CALIBRATION_SENTENCES, calibration_file};
use lacuna_console::source::{SourceArgs, exactly_one};
use lacuna_console::zeros::Pruned;

use super::engine::{EngineId, ModelSource};
use super::onnx_file::OnnxFile;

/// Vocabulary of models with random weights.
const VOCAB_SIZE: usize = 2000;
/// Tokens of the random sequences to calibrate on: attention over few tokens has larger outputs than over many.
const CALIBRATION_LENGTHS: [usize; 8] = [1, 4, 16, 32, 64, 128, 128, 256];
/// Most tokens of one batch.
const MAX_TOKENS: usize = 1 << 20;
/// Fraction of blocks of models with random weights that are pruned, if nothing else is said.
const DEFAULT_SPARSITY: f64 = 0.9;
/// Least cosine of embeddings that are computed in f32.
pub(crate) const F32_COSINE: f64 = 0.9999;

/// Which model.
#[derive(Debug, Clone, clap::Args)]
#[command(group(exactly_one(&["arch"])))]
pub(crate) struct ModelArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Shape of a model with random weights
    #[arg(long, visible_alias = "preset")]
    pub(crate) arch: Option<Preset>,

    /// Block shape of --sparsity, outputs x inputs: 4x1, 1x4, 4x4, 8x1, 16x1, unstructured
    #[arg(long, default_value = "4x1")]
    pub(crate) block: Block,

    /// Sentences to calibrate on, one per line, or a .csv or .tsv with a column named "text", else its first; 200 are used [default: random token ids]
    #[arg(long, value_name = "FILE", conflicts_with = "arch")]
    pub(crate) calibrate: Option<PathBuf>,

    /// Bits of the codes that Lacuna's linear layers read: 8, or 7, which are less accurate and faster on CPUs with AVX2 alone
    #[arg(long, value_name = "BITS", default_value_t = ActivationBits::Eight)]
    pub(crate) activation_bits: ActivationBits,

    /// Give an engine this ONNX file instead of Lacuna's own export, for example the one that you use now: ENGINE=FILE, repeatable. It must
    /// compute the same embeddings
    #[arg(long, value_name = "ENGINE=FILE", value_parser = OnnxFile::parse)]
    pub(crate) onnx: Vec<OnnxFile>,

    /// Least cosine to the f32 reference that embeddings of int8 engines must have
    #[arg(long, value_name = "C", default_value_t = 0.95, value_parser = args::fraction)]
    pub(crate) min_cosine: f64,
}

/// A model as all engines get it.
pub(crate) struct SourceModel {
    /// For reports.
    pub(crate) name: String,
    /// For workers.
    pub(crate) source: ModelSource,
    /// For references and exports.
    pub(crate) model: Model,
    /// The fraction of its blocks that are zero.
    pub(crate) sparsity: f64,
    min_cosine: f64,
}

impl ModelArgs {
    /// The fractions to prune to: those that were asked for; else 0.9 of random weights, and nothing of a real model.
    pub(crate) fn sparsities(&self, asked: &[f64]) -> Vec<Option<f64>> {
        match asked {
            [] => vec![self.arch.map(|_| DEFAULT_SPARSITY)],
            _ => asked.iter().copied().map(Some).collect(),
        }
    }

    /// Reads the model, or makes it, and prunes it, if a fraction of zero blocks is asked for.
    pub(crate) fn prepare(&self, sparsity: Option<f64>, seed: u64) -> Result<SourceModel> {
        self.source.refuse_packed("lacuna compare", "give the folder")?;
        // Workers may run elsewhere than the command.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let source = ModelSource {
            dir: self.source.folder()?.as_ref().map(absolute),
            arch: self.arch.map(|arch| arch.name().to_owned()),
            seed,
            pruning: sparsity.filter(|found| *found > 0.0).map(|found| (self.block.name().to_owned(), found)),
            calibrate: self.calibrate.as_ref().map(absolute),
            activation_bits: self.activation_bits,
        };
        let name = self.arch.map_or_else(|| self.source.short_name(), |arch| arch.name().to_owned());
        let pruned = {
            let _spinner = Spinner::new(format!("preparing {name}"));
            Pruned::new(source.unpruned()?, self.block, sparsity)?
        };
        if self.arch.is_none() {
            pruned.warning().iter().for_each(warn);
            pruned.remark().iter().for_each(say);
        }
        let sparsity = pruned.sparsity();
        Ok(SourceModel { name, model: pruned.model, source, sparsity, min_cosine: self.min_cosine })
    }
}

impl SourceModel {
    /// The least cosine to the reference with which an engine agrees.
    pub(crate) fn least_cosine(&self, engine: EngineId) -> f64 {
        if engine.dtype() == "f32" { F32_COSINE } else { self.min_cosine }
    }

    /// Refuses batches that the model has no positions for.
    pub(crate) fn check_batches(&self, batches: &[usize], lengths: &[usize]) -> Result<()> {
        let max_position = self.model.config().max_position;
        if let Some(seq) = lengths.iter().find(|&&seq| seq > max_position) {
            let expected = format!("1 to {max_position}, the positions of the model");
            return Err(Error::Argument { option: "--seq", found: seq.to_string(), expected });
        }
        let longest = lengths.iter().copied().max().unwrap_or(0);
        match batches.iter().find(|&&batch| batch.saturating_mul(longest) > MAX_TOKENS) {
            None => Ok(()),
            Some(batch) => Err(Error::Argument {
                option: "--batch",
                found: format!("{batch} x {longest} tokens"),
                expected: format!("at most {MAX_TOKENS} tokens in a batch"),
            }),
        }
    }
}

impl ModelSource {
    /// The f32 model as it is read or made.
    fn unpruned(&self) -> Result<Model> {
        Ok(match (&self.dir, self.preset()?) {
            (Some(dir), _) => Model::open(dir)?,
            (None, preset) => Model::seeded(
                EncoderConfig { vocab_size: VOCAB_SIZE, ..preset.unwrap_or(Preset::MiniLm).config() },
                self.seed,
            )?,
        })
    }

    /// The f32 model, pruned.
    pub(crate) fn model(&self) -> Result<Model> {
        let model = self.unpruned()?;
        match &self.pruning {
            Some((block, sparsity)) => Ok(model.prune(block_named(block)?, *sparsity)?),
            None => Ok(model),
        }
    }

    /// The model, calibrated as Lacuna does by default, to codes of the bits that were asked for.
    pub(crate) fn calibrated(&self) -> Result<CalibratedModel> {
        let activation_bits = self.activation_bits;
        self.calibrated_with(&CalibrationOptions { activation_bits, ..CalibrationOptions::default() })
    }

    /// The model, calibrated on the sentences, or on random ids of several lengths.
    pub(crate) fn calibrated_with(&self, options: &CalibrationOptions) -> Result<CalibratedModel> {
        let model = self.model()?;
        if let Some(path) = &self.calibrate {
            return Ok(model.calibration().options(*options).run(&calibration_file(path, CALIBRATION_SENTENCES)?)?);
        }
        let config = model.config();
        let lengths = CALIBRATION_LENGTHS.map(|length| length.min(config.max_position));
        let ids: Vec<Vec<u32>> = lengths
            .into_iter()
            .zip(self.seed.wrapping_add(1)..)
            .flat_map(|(length, seed)| seeded_ids(config.vocab_size, 1, length, seed))
            .collect();
        Ok(model.calibration().options(*options).run_ids(&ids)?)
    }
}

/// A block shape by its name, as the command wrote it for a worker.
pub(crate) fn block_named(name: &str) -> Result<Block> {
    name.parse().map_err(|expected| Error::Argument { option: "--block", found: name.to_owned(), expected })
}
