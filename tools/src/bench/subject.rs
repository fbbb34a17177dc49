//! The models that are measured: where they come from, and how they are pruned.

use lacuna::calibration::ActivationBits;
use lacuna::config::EncoderConfig;
use lacuna::report::LinearReport;
use lacuna::tokens::seeded_ids;
use lacuna::{Block, CalibratedModel, Encoder, Model, PackedModel, Preset};
use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::output::say;
use lacuna_console::progress::Spinner;
use lacuna_console::source::{SourceArgs, exactly_one};
use lacuna_console::zeros::Pruned;

use crate::model::read;
use crate::packed;

/// Vocabulary of models with random weights.
const VOCAB_SIZE: usize = 2000;
/// Sequences of random ids to calibrate on, and their longest length.
const CALIBRATION: (usize, usize) = (4, 128);
/// Fraction of 4x1 blocks of models with random weights that are pruned, if nothing else is said.
const DEFAULT_SPARSITY: f64 = 0.9;
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
        if let Some(path) = source.packed_path()? {
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
    /// Whether the weights are random.
    pub(super) fn is_random(&self) -> bool {
        self.arch.is_some()
    }

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

/// A model that is ready to be compiled.
pub(super) struct Prepared {
    pub(super) calibrated: CalibratedModel,
    /// The fraction of its 4x1 blocks that are zero.
    pub(super) sparsity: f64,
    /// What pruning did.
    pub(super) remark: Option<String>,
}

/// The model with 4x1 blocks pruned, if a fraction is asked for, and calibrated on random ids to codes of `bits`.
pub(super) fn prepare(model: Model, asked: Option<f64>, bits: ActivationBits, seed: u64) -> Result<Prepared> {
    let pruned = Pruned::new(model, Block::B4x1, asked)?;
    let _spinner = Spinner::new("calibrating");
    let remark = pruned.warning().map(str::to_owned).or(pruned.remark());
    let sparsity = pruned.sparsity();
    let (count, length) = CALIBRATION;
    let config = pruned.model.config();
    let ids = seeded_ids(config.vocab_size, count, length.min(config.max_position), seed.wrapping_add(1));
    let calibrated = pruned.model.calibration().activation_bits(bits).run_ids(&ids)?;
    Ok(Prepared { calibrated, sparsity, remark })
}

/// The fractions to prune to: those that were asked for; else the zeros that are there, and 0.9 of random weights.
pub(super) fn sparsities(asked: &[f64], is_random: bool) -> Vec<Option<f64>> {
    match asked {
        [] => vec![is_random.then_some(DEFAULT_SPARSITY)],
        _ => asked.iter().copied().map(Some).collect(),
    }
}

/// Says what pruning did, once, after everything is measured. Random weights have no accuracy to lose.
pub(super) fn say_remarks(mut remarks: Vec<String>, is_random: bool) {
    remarks.dedup();
    remarks.iter().filter(|_| !is_random).for_each(say);
}

/// The fraction of zero blocks of a packed model: of layers with a sparse kernel what it leaves out; of dense ones what they were pruned to,
/// if they were.
pub(super) fn packed_sparsity(model: &PackedModel, encoder: &Encoder) -> f64 {
    let pruned = model.pruning().map_or(0.0, |pruning| pruning.sparsity);
    let (mut zero, mut total) = (0.0, 0.0);
    for LinearReport { m, k, density, form, .. } in &encoder.report().linears {
        let weights = (m * k) as f64;
        zero += weights * if *form == "dense" { pruned } else { 1.0 - density };
        total += weights;
    }
    if total > 0.0 { zero / total } else { 0.0 }
}
