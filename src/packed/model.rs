//! A model with everything decided and packed: in memory, or in a file.

use std::path::{Path, PathBuf};

use lacuna_jit::{Isa, Tier};
use serde::{Deserialize, Serialize};

use super::head::HeadEntry;
use super::{PackedError, PackedFile, Section, Sections};
use crate::calibrated::CalibratedModel;
use crate::compile::{CompileOptions, Form, LayersEntry, PackedLayers, Phases, Tables, pack_encoder};
use crate::config::EncoderConfig;
use crate::encoder::{Encoder, EncoderParts};
use crate::error::Result;
use crate::heads::Head;
use crate::pooling::{Pooling, PoolingMode, PoolingSource};
use crate::precision::LayerPrecision;
use crate::prune::Pruning;
use crate::report::{LoadReport, Phase};
use crate::tokenize::SentenceTokenizer;
use lacuna_kernels::spmm::{Tuning, TuningTable};

/// A calibrated model with every decision made and every weight packed; only code is missing, which is generated for the machine that
/// runs it.
///
/// [`Pack::pack`] makes one, [`PackedModel::write`] puts it into a file, [`PackedModel::open`] maps that file.
/// [`PackedModel::compile_with`] gives the same encoder as [`Compile::compile_with`](crate::Compile::compile_with) did, to the bit, on every tier.
///
/// ```no_run
/// # fn main() -> lacuna::Result<()> {
/// use lacuna::{Encoder, Model, Pack};
///
/// let sentences = ["A cat sits.", "Rain falls."]; // better 200 of the kind that will be embedded
/// Model::open("all-MiniLM-L6-v2")?.calibration().run(&sentences)?.pack()?.write("minilm.lacuna")?;
/// let encoder = Encoder::open("minilm.lacuna")?;
/// # Ok(())
/// # }
/// ```
pub struct PackedModel {
    config: EncoderConfig,
    tables: Tables,
    layers: PackedLayers,
    tokenizer: Option<SentenceTokenizer>,
    pooling: Pooling,
    origin: Origin,
    head: StoredHead,
    file: Option<PackedFile>,
}

/// How a model came to be packed.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Wall times so far.
    pub(crate) phases: Vec<Phase>,
    /// Calibration sentences that were cut.
    pub(crate) truncated: usize,
    /// What was remarkable about the file that the model was read from.
    pub(crate) notes: Vec<String>,
    /// What was pruned.
    pub(crate) pruning: Option<Pruning>,
    /// The arithmetic of every layer.
    pub(crate) precision: Vec<LayerPrecision>,
}

enum StoredHead {
    None,
    Here(Box<Head>),
    InFile(HeadEntry),
}

/// The model's part of the manifest.
#[derive(Serialize, Deserialize)]
struct ModelEntry {
    config: EncoderConfig,
    pooling: PoolingEntry,
    /// The longest sequence in tokens, if there is a tokenizer.
    max_length: Option<usize>,
    head: Option<HeadEntry>,
    layers: LayersEntry,
    pruning: Option<Pruning>,
    /// Calibration sentences that were cut.
    truncated: usize,
    /// What was remarkable about the file that the model was read from.
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct PoolingEntry {
    mode: PoolingMode,
    normalize: bool,
    /// Whether the model directory had no settings.
    assumed: bool,
}

/// The section of `tokenizer.json`.
const TOKENIZER: &str = "tokenizer";

/// From a [`CalibratedModel`] to a [`PackedModel`].
pub trait Pack {
    /// Decides and packs with default options.
    ///
    /// # Errors
    /// Those of [`Pack::pack_with`].
    fn pack(&self) -> Result<PackedModel>;

    /// Quantises, plans and packs as [`Compile::compile_with`](crate::Compile::compile_with) does, and takes along the tokenizer, the
    /// pooling settings and the head, if there is one that is run here.
    ///
    /// The tier matters for measured schedules alone: what is packed runs on every tier.
    ///
    /// # Errors
    /// Those of [`Compile::compile_with`](crate::Compile::compile_with) and [`Model::head`](crate::Model::head), but for
    /// [`NoHead`](lacuna_model::Error::NoHead).
    fn pack_with(&self, options: CompileOptions) -> Result<PackedModel>;

    /// As [`Pack::pack_with`], with the schedules of a table, as in [`Compile::compile_tuned`](crate::Compile::compile_tuned).
    ///
    /// # Errors
    /// Those of [`Pack::pack_with`].
    fn pack_tuned(&self, options: CompileOptions, table: &mut TuningTable) -> Result<PackedModel>;
}

impl Pack for CalibratedModel {
    fn pack(&self) -> Result<PackedModel> {
        self.pack_with(CompileOptions::default())
    }

    fn pack_with(&self, options: CompileOptions) -> Result<PackedModel> {
        match options.tuning {
            Tuning::Fast => pack_all(self, options, None),
            _ => self.pack_tuned(options, &mut TuningTable::default()),
        }
    }

    fn pack_tuned(&self, options: CompileOptions, table: &mut TuningTable) -> Result<PackedModel> {
        pack_all(self, options, Some(table))
    }
}

fn pack_all(
    calibrated: &CalibratedModel,
    options: CompileOptions,
    table: Option<&mut TuningTable>,
) -> Result<PackedModel> {
    let head = match calibrated.model().head() {
        Ok(head) => StoredHead::Here(Box::new(head)),
        Err(lacuna_model::Error::NoHead { .. }) => StoredHead::None,
        Err(error) => return Err(error.into()),
    };
    Ok(PackedModel { head, ..pack_encoder(calibrated, options, table)? })
}

impl PackedModel {
    pub(crate) fn new(
        config: EncoderConfig,
        tables: Tables,
        layers: PackedLayers,
        tokenizer: Option<SentenceTokenizer>,
        pooling: Pooling,
        origin: Origin,
    ) -> PackedModel {
        PackedModel { config, tables, layers, tokenizer, pooling, origin, head: StoredHead::None, file: None }
    }

    /// Writes the model into a file, complete or not at all: it is made beside its place, brought to the disk, and moved there. Gives
    /// its length in bytes.
    ///
    /// # Errors
    /// [`PackedError::Io`]; [`PackedError::Decided`] for a model from a file whose pooling was changed, since such a file is copied.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<u64> {
        if let Some(file) = &self.file {
            return match self.pooling.source {
                PoolingSource::Chosen => {
                    let found = format!("{:?}, normalised: {}", self.pooling.mode, self.pooling.normalize);
                    Err(PackedError::Decided { option: "pooling", found }.into())
                }
                _ => Ok(file.copy(path.as_ref())?),
            };
        }
        let mut sections = Sections::default();
        // Text first: it is parsed while the rest is verified.
        let json = self.tokenizer.as_ref().map(SentenceTokenizer::json);
        if let Some(json) = json {
            sections.add(TOKENIZER, json);
        }
        let head = match &self.head {
            StoredHead::Here(head) => Some(HeadEntry::save(head, &self.tables, &mut sections)),
            StoredHead::None | StoredHead::InFile(_) => None, // the latter comes with its file
        };
        self.tables.save(&mut sections);
        let layers = self.layers.save(&self.origin.precision, &mut sections);
        let Pooling { mode, normalize, source } = &self.pooling;
        let entry = ModelEntry {
            config: self.config.clone(),
            pooling: PoolingEntry { mode: *mode, normalize: *normalize, assumed: *source == PoolingSource::Default },
            max_length: self.tokenizer.as_ref().map(SentenceTokenizer::max_length),
            head,
            layers,
            pruning: self.origin.pruning,
            truncated: self.origin.truncated,
            notes: self.origin.notes.clone(),
        };
        Ok(sections.write(path.as_ref(), entry)?)
    }

    /// Maps a file, compares its checksums, checks everything that generated code relies on, and reads the tokenizer, in parallel on
    /// the current rayon pool.
    ///
    /// Weights and tables are borrowed from the mapping until the last encoder made of them is gone. Nobody may change or shorten the
    /// file meanwhile: results could then be wrong, or the process be ended by the system. To put another model in its place, move
    /// a new file there, as [`PackedModel::write`] does.
    ///
    /// # Errors
    /// Every way in which a file can be damaged, too new, or contradict itself is its own variant of [`PackedError`].
    pub fn open(path: impl AsRef<Path>) -> Result<PackedModel> {
        let _span = tracing::info_span!("open").entered();
        let path = path.as_ref();
        let mut phases = Phases::new();
        let (file, entry) = PackedFile::open::<ModelEntry>(path)?;
        entry.config.validate(path)?;
        phases.end("map");
        let (loaded, tokenizer) = rayon::join(
            || {
                file.verify()?;
                let tables = Tables::load(&file, &entry.config)?;
                Ok::<_, PackedError>((tables, PackedLayers::load(&file, &entry.config, &entry.layers)?))
            },
            || tokenizer(&file, &entry),
        );
        let ((tables, layers), tokenizer) = (loaded?, tokenizer?);
        phases.end("verify");
        let source = if entry.pooling.assumed { PoolingSource::Default } else { PoolingSource::File(path.to_owned()) };
        Ok(PackedModel {
            config: entry.config,
            tables,
            layers,
            tokenizer,
            pooling: Pooling { mode: entry.pooling.mode, normalize: entry.pooling.normalize, source },
            origin: Origin {
                phases: phases.list,
                truncated: entry.truncated,
                notes: entry.notes,
                pruning: entry.pruning,
                precision: entry.layers.precision(),
            },
            head: entry.head.map_or(StoredHead::None, StoredHead::InFile),
            file: Some(file),
        })
    }

    /// Compiles the encoder for this machine.
    ///
    /// # Errors
    /// Those of [`PackedModel::compile_with`].
    pub fn compile(&self) -> Result<Encoder> {
        self.compile_with(CompileOptions::default())
    }

    /// Generates the code for a tier. Weights and tables are shared with all other encoders of this model.
    ///
    /// # Errors
    /// [`PackedError::Decided`] for options that were decided when the model was packed; [`Error::Kernel`] as in
    /// [`Compile::compile_with`](crate::Compile::compile_with).
    pub fn compile_with(&self, options: CompileOptions) -> Result<Encoder> {
        if options.form != Form::Auto {
            return Err(PackedError::Decided { option: "form", found: format!("{:?}", options.form) }.into());
        }
        if options.tuning != Tuning::Fast {
            return Err(PackedError::Decided { option: "tuning", found: format!("{:?}", options.tuning) }.into());
        }
        self.attach(options.tier)
    }

    /// Generates the code.
    pub(crate) fn attach(&self, tier: Option<Tier>) -> Result<Encoder> {
        let tier = Tier::select(tier)?;
        let isa = Isa::for_tier(tier);
        let mut phases = self.origin.phases.clone();
        let mut planning = Phases::new();
        let layers = self.layers.for_isa(isa)?;
        if self.file.is_some() {
            planning.end("plan"); // what is in memory was planned before
            phases.append(&mut planning.list);
        }
        let compiled = layers.compile(&mut phases)?;
        let report = LoadReport::new(self, tier, isa, phases, &compiled.stats, compiled.linears);
        Ok(Encoder::new(EncoderParts {
            config: self.config.clone(),
            tables: self.tables.clone(),
            embedding: compiled.embedding,
            layers: compiled.layers,
            tokenizer: self.tokenizer.clone(),
            pooling: self.pooling.clone(),
            report,
        }))
    }

    /// The head that was packed along, in memory of its own.
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

    /// The same model with another pooling; its source becomes [`PoolingSource::Chosen`].
    #[must_use]
    pub fn with_pooling(mut self, mode: PoolingMode, normalize: bool) -> PackedModel {
        self.pooling = Pooling { mode, normalize, source: PoolingSource::Chosen };
        self
    }

    /// The arithmetic of every layer.
    pub fn precision(&self) -> &[LayerPrecision] {
        &self.origin.precision
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

    /// The error for something that a packed model cannot do for want of f32 weights.
    pub fn needs_weights(&self, what: impl Into<String>, remedy: &'static str) -> PackedError {
        let path = self.path().map_or_else(|| PathBuf::from("packed model"), Path::to_owned);
        PackedError::NeedsWeights { path, what: what.into(), remedy }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl std::fmt::Debug for PackedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedModel").field("config", &self.config).field("path", &self.path()).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Opens a packed model and compiles it for this machine: [`PackedModel::open`] and [`PackedModel::compile`].
    ///
    /// # Errors
    /// Theirs.
    pub fn open(path: impl AsRef<Path>) -> Result<Encoder> {
        PackedModel::open(path)?.compile()
    }
}

fn tokenizer(file: &PackedFile, entry: &ModelEntry) -> Result<Option<SentenceTokenizer>> {
    let Some(max_length) = entry.max_length else { return Ok(None) };
    file.verify_section(TOKENIZER)?; // it is parsed before all of the file is verified
    let json = file.section(TOKENIZER)?;
    if max_length > entry.config.max_position {
        let expected = format!("at most {}, the positions of the model", entry.config.max_position);
        return Err(file.content_error("max_length", max_length.to_string(), expected).into());
    }
    Ok(Some(SentenceTokenizer::from_json(file.path(), json, max_length)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::seeded::{Preset, seeded_ids};

    /// Where the memory of a model's sections is.
    fn addresses(model: &PackedModel) -> Vec<(String, std::ops::Range<*const u8>)> {
        let mut sections = Sections::default();
        model.tables.save(&mut sections);
        model.layers.save(&model.origin.precision, &mut sections);
        sections.iter().map(|(name, bytes)| (name.to_owned(), bytes.as_ptr_range())).collect()
    }

    /// Tables, weights and parameters lie in the mapping; only what is small and says where results go is copied.
    #[test]
    fn pages_are_borrowed_from_the_file() {
        let config = EncoderConfig { layers: 2, vocab_size: 300, ..Preset::BertMini.config() };
        let ids = seeded_ids(300, 4, 16, 1);
        let model = Model::seeded(config, 1).unwrap().calibration().run_ids(&ids).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.lacuna");
        for form in [Form::Sparse, Form::Dense] {
            model.pack_with(CompileOptions::default().with_form(form)).unwrap().write(&path).unwrap();
            let opened = PackedModel::open(&path).unwrap();
            let mapped = opened.file.as_ref().unwrap().addresses();
            let (mut borrowed, mut copied) = (0, 0);
            for (name, range) in addresses(&opened) {
                let inside = mapped.start <= range.start && range.end <= mapped.end;
                let last = name.rsplit('.').next().unwrap();
                let is_large = ["word", "position", "token_type", "indices", "weights", "params"].contains(&last);
                assert_eq!(inside, is_large, "{name}");
                let bytes = range.end as usize - range.start as usize;
                if inside { borrowed += bytes } else { copied += bytes }
            }
            assert!(borrowed > 20 * copied, "{borrowed} bytes borrowed, {copied} copied");
            // Tables of a model in memory are its own.
            let packed = model.pack().unwrap();
            assert_eq!(packed.tables.word.as_ptr(), model.model().weights().embeddings.word.data.as_ptr());
        }
    }
}
