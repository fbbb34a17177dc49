//! A model with everything decided and packed: in memory, or in a file.

use std::path::{Path, PathBuf};

use lacuna_jit::{Isa, Tier};
use lacuna_kernels::KernelError;
use lacuna_model::{
    ActivationBits, CalibrationBasis, EncoderConfig, LayerPrecision, Pooling, PoolingSource, Prompts, Pruning, Remark,
    SentenceTokenizer, Similarity,
};

use super::head::HeadEntry;
use super::origin::Origin;
use crate::compile::{PackedSteps, Tables};
use crate::container::{PackedError, PackedFile, Section};
use crate::encoder::{Encoder, EncoderParts};
use crate::error::Result;
use crate::heads::Head;
use crate::loaded::{LinearReports, LoadReport, Phases};

/// A calibrated model with every decision made and every weight packed; only code is missing, which is generated for the machine that
/// runs it.
///
/// [`Compile::pack`](crate::Compile::pack) makes one, [`PackedModel::write`] puts it into a file, [`PackedModel::open`] maps that file.
/// [`PackedModel::compile`] gives the same encoder as [`Compile::compile`](crate::Compile::compile) did, to the bit, on every tier.
///
/// ```no_run
/// # fn main() -> lacuna::Result<()> {
/// use lacuna::{Compile, Encoder, Model};
///
/// Model::open("all-MiniLM-L6-v2")?.calibration().run_default()?.pack()?.write("minilm.lacuna")?;
/// let encoder = Encoder::open("minilm.lacuna")?;
/// # Ok(())
/// # }
/// ```
pub struct PackedModel {
    pub(super) config: EncoderConfig,
    pub(super) tables: Tables,
    pub(super) steps: PackedSteps,
    pub(super) tokenizer: Option<SentenceTokenizer>,
    pub(super) pooling: Pooling,
    pub(super) texts: TextSettings,
    pub(super) origin: Origin,
    pub(super) head: StoredHead,
    pub(super) file: Option<PackedFile>,
}

/// Where the head is.
pub(super) enum StoredHead {
    None,
    Here(Box<Head>),
    InFile(HeadEntry),
}

/// What the files of a model say about its texts.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextSettings {
    pub(crate) prompts: Prompts,
    pub(crate) similarity: Option<Similarity>,
    pub(crate) remarks: Vec<Remark>,
}

impl PackedModel {
    pub(crate) fn new(
        config: EncoderConfig,
        tables: Tables,
        steps: PackedSteps,
        tokenizer: Option<SentenceTokenizer>,
        (pooling, texts): (Pooling, TextSettings),
        origin: Origin,
        head: Option<Head>,
    ) -> PackedModel {
        let head = head.map_or(StoredHead::None, |head| StoredHead::Here(Box::new(head)));
        PackedModel { config, tables, steps, tokenizer, pooling, texts, origin, head, file: None }
    }

    /// Generates the code for a tier. Weights and tables are shared with all other encoders of this model.
    pub(crate) fn attach(&self, tier: Option<Tier>) -> Result<Encoder> {
        lacuna_model::forked::check()?;
        let tier = Tier::select(tier).map_err(KernelError::from)?;
        let isa = Isa::for_tier(tier);
        let mut phases = self.origin.phases.clone();
        let mut planning = Phases::new();
        let steps = self.steps.for_isa(isa)?;
        if self.file.is_some() {
            planning.end("plan"); // what is in memory was planned before
            phases.append(&mut planning.list);
        }
        let compiled = steps.compile(&mut phases)?;
        let LinearReports { layers: linears, projection } = compiled.linears;
        let (config, stats) = (&self.config, compiled.stats);
        let report = LoadReport {
            architecture: config.architecture.name(),
            layers: config.layers,
            hidden_size: config.hidden_size,
            heads: config.heads,
            activation: config.activation.name(),
            activation_bits: self.origin.activation_bits,
            cpu: lacuna_jit::cpu::brand(),
            tier: tier.name(),
            isa: isa.name(),
            phases,
            kernels_generated: stats.generated,
            kernels_reused: stats.reused,
            code_bytes: stats.code_bytes,
            weight_bytes: linears.iter().chain(&projection).map(|linear| linear.weight_bytes).sum(),
            linears,
            projection,
            notes: self.origin.notes(tier, isa),
        };
        Ok(Encoder::new(EncoderParts {
            config: config.clone(),
            tables: self.tables.clone(),
            steps: compiled.steps,
            saturated: self.origin.saturated.clone(),
            tokenizer: self.tokenizer.clone(),
            pooling: self.pooling.clone(),
            prompts: self.texts.prompts.clone(),
            report,
        }))
    }

    /// The packed head, copied out of the mapping.
    ///
    /// # Errors
    /// [`NoHead`](lacuna_model::Error::NoHead) for a model without one; [`PackedError::Section`] and [`PackedError::Content`].
    pub fn head(&self) -> Result<Head> {
        match (&self.head, &self.file) {
            (StoredHead::Here(head), _) => Ok(Head::clone(head)),
            (StoredHead::InFile(entry), Some(file)) => Ok(entry.load(file, &self.config)?),
            _ => Err(lacuna_model::Error::NoHead {
                path: self.path().map_or_else(|| PathBuf::from("packed model"), Path::to_owned),
                found: "none".into(),
                expected: crate::heads::EXPECTED,
            }
            .into()),
        }
    }

    /// The class of the head in `config.json`, if there is a head.
    pub fn head_class(&self) -> Option<&str> {
        match &self.head {
            StoredHead::None => None,
            StoredHead::Here(head) => Some(head.class()),
            StoredHead::InFile(entry) => Some(&entry.config.class),
        }
    }

    /// The shape.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Pooling settings.
    pub fn pooling(&self) -> &Pooling {
        &self.pooling
    }

    /// The tokenizer, if the model came with one.
    pub fn tokenizer(&self) -> Option<&SentenceTokenizer> {
        self.tokenizer.as_ref()
    }

    /// The same model with another pooling, as [`Model::with_pooling`](crate::Model::with_pooling).
    ///
    /// # Errors
    /// [`ModelError::InvalidSetting`](crate::errors::ModelError::InvalidSetting) for parts that do not fit one another or the model.
    pub fn with_pooling(mut self, pooling: Pooling) -> Result<PackedModel> {
        pooling.check(self.config.hidden_size, Path::new("pooling"))?;
        self.pooling = Pooling { source: PoolingSource::Chosen, ..pooling };
        Ok(self)
    }

    /// The prompts of the model. The default one is put before every text that is embedded.
    pub fn prompts(&self) -> &Prompts {
        &self.texts.prompts
    }

    /// How embeddings are meant to be compared, if the model's files say so.
    pub fn similarity(&self) -> Option<Similarity> {
        self.texts.similarity
    }

    /// What users should know about the settings, as [`Model::remarks`](crate::Model::remarks) says it.
    pub fn remarks(&self) -> Vec<Remark> {
        let changeable = self.pooling.remark().into_iter().chain(self.texts.prompts.remark());
        changeable.chain(self.texts.remarks.iter().cloned()).collect()
    }

    /// The arithmetic of every layer.
    pub fn precision(&self) -> &[LayerPrecision] {
        &self.origin.precision
    }

    /// Bits of the codes that linear layers read.
    pub fn activation_bits(&self) -> ActivationBits {
        self.origin.activation_bits
    }

    /// What the model was calibrated on; none for files of versions that did not say it.
    pub fn calibration(&self) -> Option<&CalibrationBasis> {
        self.origin.basis.as_ref()
    }

    /// What the model was pruned to before it was packed.
    pub fn pruning(&self) -> Option<Pruning> {
        self.origin.pruning
    }

    /// The file, of a model that was opened.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(PackedFile::path)
    }

    /// The sections of the file in their order; of a model that was opened.
    pub fn sections(&self) -> &[Section] {
        self.file.as_ref().map_or(&[], PackedFile::sections)
    }

    /// Bytes of the file; 0 for a model in memory.
    pub fn file_bytes(&self) -> usize {
        self.file.as_ref().map_or(0, PackedFile::len)
    }

    /// The error for something that a packed model cannot do because it holds no f32 weights.
    pub fn needs_weights(&self, what: impl Into<String>, remedy: &'static str) -> PackedError {
        let path = self.path().map_or_else(|| PathBuf::from("packed model"), Path::to_owned);
        PackedError::NeedsWeights { path, what: what.into(), remedy }
    }
}

impl std::fmt::Debug for PackedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedModel").field("config", &self.config).field("path", &self.path()).finish_non_exhaustive()
    }
}
