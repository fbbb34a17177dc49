//! The models that are measured: where they come from, and how they are pruned.

use lacuna::config::EncoderConfig;
use lacuna::tokens::seeded_ids;
use lacuna::{Block, CalibratedModel, Encoder, Model, PackedModel, Preset};
use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::progress::Spinner;
use lacuna_console::source::{SourceArgs, exactly_one};

use crate::model::read;
use crate::packed;

/// Vocabulary of models with random weights.
const VOCAB_SIZE: usize = 2000;
/// Sequences of random ids to calibrate on, and their longest length.
const CALIBRATION: (usize, usize) = (4, 128);
/// Most tokens of one batch.
pub(super) const MAX_TOKENS: usize = 1 << 20;

/// Which model.
#[derive(clap::Args)]
#[command(group(exactly_one(&["arch"])))]
pub(super) struct SubjectArgs {
    #[command(flatten)]
    source: SourceArgs,

    /// Shape of a model with random weights
    #[arg(long, visible_alias = "preset")]
    arch: Option<Preset>,
}

/// A model, as it was given.
pub(super) enum Subject {
    /// In f32.
    Weights(Box<Model>),
    /// A file of `lacuna pack`, in which everything is decided.
    Packed(Box<PackedModel>),
}

impl Subject {
    /// Opens what `--model` or `--from-hub` names; nothing if neither is given.
    pub(super) fn open(source: &SourceArgs) -> Result<Option<Subject>> {
        if let Some(path) = packed::packed_path(source) {
            return Ok(Some(Subject::Packed(packed::open(path)?.into())));
        }
        let Some(folder) = source.folder()? else { return Ok(None) };
        Ok(Some(Subject::Weights(read(&folder)?.into())))
    }
}

/// The encoder of a packed model.
pub(super) fn compile_packed(model: &PackedModel, context: &Context) -> Result<Encoder> {
    let _spinner = Spinner::new("compiling");
    Ok(model.compiler().tier(context.tier).compile()?)
}

impl SubjectArgs {
    /// The model, which may be a packed one, and its name.
    pub(super) fn open(&self, seed: u64) -> Result<(String, Subject)> {
        match (self.arch, Subject::open(&self.source)?) {
            (None, Some(subject)) => Ok((self.source.name(), subject)),
            _ => self.read(seed).map(|(name, model)| (name, Subject::Weights(model.into()))),
        }
    }

    /// The model and its name.
    pub(super) fn read(&self, seed: u64) -> Result<(String, Model)> {
        // Also beside --arch: it refuses options that would be passed over.
        let folder = self.source.folder()?;
        let Some(arch) = self.arch else {
            return Ok((self.source.name(), read(&folder.unwrap_or_default())?)); // clap has seen to one
        };
        let _spinner = Spinner::new(format!("making {arch}"));
        Ok((arch.to_string(), Model::seeded(EncoderConfig { vocab_size: VOCAB_SIZE, ..arch.config() }, seed)?))
    }
}

/// The model with the fraction `sparsity` of 4x1 blocks pruned, and calibrated on random ids.
pub(super) fn prepare(model: Model, sparsity: f64, seed: u64) -> Result<CalibratedModel> {
    let _spinner = Spinner::new("pruning and calibrating");
    let (count, length) = CALIBRATION;
    let config = model.config();
    let ids = seeded_ids(config.vocab_size, count, length.min(config.max_position), seed.wrapping_add(1));
    Ok(model.prune(Block::B4x1, sparsity)?.calibration().run_ids(&ids)?)
}
