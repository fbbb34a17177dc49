//! From a file to a model.

use std::path::Path;

use lacuna_model::{SentenceTokenizer, Similarity};

use super::entry::{ModelEntry, TOKENIZER};
use super::head::HeadEntry;
use super::model::{PackedModel, StoredHead, TextSettings};
use super::origin::Origin;
use crate::compile::{PackedSteps, Tables};
use crate::container::{PackedError, PackedFile};
use crate::error::Result;
use crate::loaded::Phases;

impl PackedModel {
    /// Whether a path leads to a regular file that begins as packed files do.
    ///
    /// # Errors
    /// [`PackedError::Io`] for a file that cannot be read.
    pub fn is_packed(path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        Ok(lacuna_model::packed::is_packed(path).map_err(PackedError::io(path, "read"))?)
    }

    /// Whether a path is to be opened as a packed model: a file that begins as packed files do, or anything but a directory whose name ends in
    /// `.lacuna`. So a damaged or absent file of that name is an error that says so, and is not taken for a model of another kind.
    pub fn is_meant(path: impl AsRef<Path>) -> bool {
        let path = path.as_ref();
        let is_named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("lacuna"));
        PackedModel::is_packed(path).unwrap_or(false) || is_named && !path.is_dir()
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
    use lacuna_model::{EncoderConfig, Model, Preset, seeded_ids};

    use crate::container::Sections;
    use crate::{Compile, Form};

    /// Where the memory of a model's sections is.
    fn addresses(model: &PackedModel) -> Vec<(String, std::ops::Range<*const u8>)> {
        let mut sections = Sections::default();
        model.tables.save(&mut sections);
        model.steps.save(&model.origin.precision, &mut sections);
        sections.iter().map(|(name, bytes)| (name.to_owned(), bytes.as_ptr_range())).collect()
    }

    /// Tables, weights and parameters stay in the mapping. Only small data that decides where results go is copied.
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
