//! A model with everything decided and packed: in memory, or in a file.

use std::path::{Path, PathBuf};

use lacuna_jit::{Isa, Tier};
use lacuna_kernels::KernelError;
use lacuna_model::{
    ActivationBits, CalibrationBasis, EncoderConfig, LayerPrecision, Pooling, PoolingSource, Prompts, Pruning, Remark,
    SaturatedShares, SentenceTokenizer, Similarity,
};
use serde::{Deserialize, Serialize};

use super::head::HeadEntry;
use super::origin::Origin;
use super::pooling::PoolingEntry;
use crate::compile::{PackedSteps, StepsEntry, Tables};
use crate::container::{PackedError, PackedFile, Section, Sections};
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
    config: EncoderConfig,
    tables: Tables,
    steps: PackedSteps,
    tokenizer: Option<SentenceTokenizer>,
    pooling: Pooling,
    texts: TextSettings,
    origin: Origin,
    head: StoredHead,
    file: Option<PackedFile>,
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
    layers: StepsEntry,
    /// Bits of the codes that linear layers read; left out if they have eight.
    #[serde(default, skip_serializing_if = "ActivationBits::is_default")]
    activation_bits: ActivationBits,
    pruning: Option<Pruning>,
    /// Calibration sentences that were truncated.
    truncated: usize,
    /// What the model was calibrated on.
    #[serde(default)]
    calibration: Option<CalibrationBasis>,
    /// Per layer, what of the calibration texts lies at the ends of ranges.
    #[serde(default)]
    saturated: Vec<SaturatedShares>,
    /// What was remarkable about the file that the model was read from.
    #[serde(default)]
    notes: Vec<String>,
    /// The prompts of the model.
    #[serde(default)]
    prompts: Prompts,
    /// How embeddings are meant to be compared.
    #[serde(default)]
    similarity: Option<String>,
    /// What users of the model should know about its settings.
    #[serde(default)]
    remarks: Vec<Remark>,
}

/// What the files of a model say about its texts.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextSettings {
    pub(crate) prompts: Prompts,
    pub(crate) similarity: Option<Similarity>,
    pub(crate) remarks: Vec<Remark>,
}

/// JSON without the blanks between its parts.
fn compact(json: &[u8]) -> Vec<u8> {
    let (mut is_text, mut is_escaped) = (false, false);
    let is_kept = |byte: &u8| {
        let kept = is_text || !byte.is_ascii_whitespace();
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            _ => {}
        }
        kept
    };
    json.iter().copied().filter(is_kept).collect()
}

/// The section of `tokenizer.json`.
const TOKENIZER: &str = "tokenizer";

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

    /// Writes the model to a file, and returns the length of the file in bytes. The file appears only when it is complete: it is
    /// written to a temporary file in the same folder, flushed to the disk, and moved to its place.
    ///
    /// # Errors
    /// [`PackedError::Io`]; [`PackedError::Decided`] for a model from a file whose pooling was changed, since such a file is copied.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<u64> {
        if let Some(file) = &self.file {
            return match self.pooling.source {
                PoolingSource::Chosen => {
                    Err(PackedError::Decided { option: "pooling", found: self.pooling.describe() }.into())
                }
                _ => Ok(file.copy(path.as_ref())?),
            };
        }
        let mut sections = Sections::default();
        // Text first: it is parsed while the rest is verified.
        let json = self.tokenizer.as_ref().map(|tokenizer| compact(tokenizer.json()));
        if let Some(json) = &json {
            sections.add(TOKENIZER, json);
        }
        let head = match &self.head {
            StoredHead::Here(head) => Some(HeadEntry::save(head, &self.tables, &mut sections)),
            StoredHead::None | StoredHead::InFile(_) => None, // the latter comes with its file
        };
        self.tables.save(&mut sections);
        let layers = self.steps.save(&self.origin.precision, &mut sections);
        let TextSettings { prompts, similarity, remarks } = &self.texts;
        let pooling = PoolingEntry::save(&self.pooling, prompts, &mut sections);
        let entry = ModelEntry {
            config: self.config.clone(),
            pooling,
            max_length: self.tokenizer.as_ref().map(SentenceTokenizer::max_length),
            head,
            layers,
            activation_bits: self.origin.activation_bits,
            pruning: self.origin.pruning,
            truncated: self.origin.truncated,
            calibration: self.origin.basis.clone(),
            saturated: self.origin.saturated.clone(),
            notes: self.origin.notes.clone(),
            prompts: prompts.clone(),
            similarity: similarity.map(|similarity| similarity.name().to_owned()),
            remarks: remarks.clone(),
        };
        // Whoever asks for small tables wants a small file.
        let sections = if self.tables.are_small() { sections.deflated() } else { sections };
        Ok(sections.write(path.as_ref(), entry, self.origin.activation_bits)?)
    }

    /// Whether a path leads to a regular file that begins as packed files do.
    ///
    /// # Errors
    /// [`PackedError::Io`] for a file that cannot be read.
    pub fn is_packed(path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        Ok(lacuna_model::packed::is_packed(path).map_err(PackedError::io(path, "read"))?)
    }

    /// Maps a file, compares its checksums, checks everything that generated code relies on, and reads the tokenizer, in parallel on
    /// the current rayon pool.
    ///
    /// Weights and tables stay in the mapping until the last encoder that uses them is gone. Until then nobody may change or shorten the
    /// file: otherwise results could be wrong, or the system could kill the process. To replace the model, move
    /// a new file to its place, as [`PackedModel::write`] does.
    ///
    /// # Errors
    /// Every way in which a file can be damaged, too new, or contradict itself is its own variant of [`PackedError`].
    pub fn open(path: impl AsRef<Path>) -> Result<PackedModel> {
        let _span = tracing::info_span!("open").entered();
        lacuna_model::forked::check()?;
        let path = path.as_ref();
        PackedModel::load(path, || PackedFile::open(path))
    }

    /// Reads a file into memory, instead of mapping it as [`PackedModel::open`] does: the file may change afterwards. For processes that
    /// run for long, such as servers. The memory is not shared with other processes.
    ///
    /// # Errors
    /// Those of [`PackedModel::open`].
    pub fn read(path: impl AsRef<Path>) -> Result<PackedModel> {
        let _span = tracing::info_span!("read").entered();
        lacuna_model::forked::check()?;
        let path = path.as_ref();
        PackedModel::load(path, || PackedFile::copied(path))
    }

    /// Opens a packed file that is part of the program, as `include_bytes!` makes it. Nothing is copied that [`PackedModel::open`] would
    /// not copy. `name` stands for its path in messages.
    ///
    /// The address must be a multiple of 64: put the bytes into a `#[repr(align(64))]` struct.
    ///
    /// ```no_run
    /// #[repr(align(64))]
    /// struct Aligned<T: ?Sized>(T);
    ///
    /// # macro_rules! include_bytes { ($path:literal) => { b"" } }
    /// static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!("minilm.lacuna"));
    ///
    /// # fn main() -> lacuna::Result<()> {
    /// let encoder = lacuna::PackedModel::from_static("minilm.lacuna", &MODEL.0)?.compile()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PackedError::Alignment`] for another address, and those of [`PackedModel::open`].
    pub fn from_static(name: impl AsRef<Path>, bytes: &'static [u8]) -> Result<PackedModel> {
        let _span = tracing::info_span!("open").entered();
        lacuna_model::forked::check()?;
        let name = name.as_ref();
        PackedModel::load(name, || PackedFile::of_static(name, bytes))
    }

    fn load(
        path: &Path,
        open: impl FnOnce() -> std::result::Result<(PackedFile, ModelEntry), PackedError>,
    ) -> Result<PackedModel> {
        let mut phases = Phases::new();
        let (file, entry) = open()?;
        entry.config.validate(path)?;
        file.check_activation_bits(entry.activation_bits)?;
        phases.end("map");
        let (loaded, tokenizer) = rayon::join(
            || {
                file.verify()?;
                let tables = Tables::load(&file, &entry.config)?;
                let pooling = entry.pooling.load(&file, entry.config.hidden_size)?;
                Ok::<_, PackedError>((
                    tables,
                    PackedSteps::load(&file, &entry.config, &entry.layers, entry.activation_bits)?,
                    pooling,
                ))
            },
            || tokenizer(&file, &entry),
        );
        let ((tables, steps, pooling), tokenizer) = (loaded?, tokenizer?);
        file.check_rest(|name| entry.head.is_some() && HeadEntry::owns(name))?;
        phases.end("verify");
        let similarity = entry.similarity.as_deref().map(|name| similarity(&file, name)).transpose()?;
        Ok(PackedModel {
            config: entry.config,
            tables,
            steps,
            tokenizer,
            pooling,
            texts: TextSettings { prompts: entry.prompts, similarity, remarks: entry.remarks },
            origin: Origin {
                phases: phases.list,
                truncated: entry.truncated,
                basis: entry.calibration,
                saturated: entry.saturated,
                notes: entry.notes,
                pruning: entry.pruning,
                precision: entry.layers.precision(),
                activation_bits: entry.activation_bits,
            },
            head: entry.head.map_or(StoredHead::None, StoredHead::InFile),
            file: Some(file),
        })
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

fn similarity(file: &PackedFile, name: &str) -> Result<Similarity, PackedError> {
    let wrong = || file.content_error("similarity", format!("{name:?}"), "a name that is known".to_owned());
    Similarity::from_name(name).ok_or_else(wrong)
}

fn tokenizer(file: &PackedFile, entry: &ModelEntry) -> Result<Option<SentenceTokenizer>> {
    let Some(max_length) = entry.max_length else { return Ok(None) };
    file.verify_section(TOKENIZER)?; // it is parsed before all of the file is verified
    let json = file.section(TOKENIZER)?;
    if max_length > entry.config.max_position {
        let expected = format!("at most {}, the positions of the model", entry.config.max_position);
        return Err(file.content_error("max_length", max_length.to_string(), expected).into());
    }
    let tokenizer = SentenceTokenizer::from_json(file.path(), json, max_length)?;
    Ok(Some(tokenizer.for_vocabulary(entry.config.vocab_size)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compile, Form};
    use lacuna_model::{Model, Preset, seeded_ids};

    /// Where the memory of a model's sections is.
    fn addresses(model: &PackedModel) -> Vec<(String, std::ops::Range<*const u8>)> {
        let mut sections = Sections::default();
        model.tables.save(&mut sections);
        model.steps.save(&model.origin.precision, &mut sections);
        sections.iter().map(|(name, bytes)| (name.to_owned(), bytes.as_ptr_range())).collect()
    }

    /// Tables, weights and parameters stay in the mapping. Only small data that decides where results go is copied.
    #[test]
    fn only_blanks_between_parts_are_left_out() {
        let json = br#" { "a b" : [ 1 , "\\" , " \" c " ] ,
            "d":"e" } "#;
        let expected: &[u8] = br#"{"a b":[1,"\\"," \" c "],"d":"e"}"#;
        assert_eq!(compact(json), expected);
    }

    #[test]
    fn pages_are_borrowed_from_the_file() {
        let config = EncoderConfig { layers: 2, vocab_size: 300, ..Preset::BertMini.config() };
        let ids = seeded_ids(300, 4, 16, 1);
        let model = Model::seeded(config, 1).unwrap().calibration().run_ids(&ids).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.lacuna");
        for form in [Form::Sparse, Form::Dense] {
            model.compiler().form(form).pack().unwrap().write(&path).unwrap();
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
