//! Packed models: exact round trips, damage of every kind, hostile files, and a file of every version so far.

mod copied;
mod damage;
mod deflated;
mod hostile;
mod redundant;
mod round_trip;
mod small_tables;
mod statics;
#[path = "../support/tiers.rs"]
mod tiers;
mod versions;

use std::path::{Path, PathBuf};

use lacuna::config::{Architecture, EncoderConfig};
use lacuna::errors::PackedError;
use lacuna::tokens::seeded_ids;
use lacuna::{CalibratedModel, Compile, Error, Form, Model, PackedModel, Preset};
use lacuna_jit::Tier;

use self::tiers::tiers;

/// A model of an architecture, with features that are no multiples of anything.
fn tiny(architecture: Architecture) -> EncoderConfig {
    let is_roberta = matches!(architecture, Architecture::Roberta | Architecture::XlmRoberta | Architecture::Camembert);
    EncoderConfig {
        architecture,
        hidden_size: 30,
        layers: 2,
        heads: 3,
        intermediate_size: 45,
        embedding_size: (architecture == Architecture::Electra).then_some(18),
        vocab_size: 40,
        max_position: 70,
        position_offset: if is_roberta { 2 } else { 0 },
        type_vocab_size: if architecture == Architecture::DistilBert || is_roberta { 1 } else { 2 },
        ..Preset::BertMini.config()
    }
}

fn batch(config: &EncoderConfig) -> Vec<Vec<u32>> {
    [1, 7, 64, 33].iter().map(|&n| seeded_ids(config.vocab_size, 1, n, n as u64).remove(0)).collect()
}

fn calibrated(model: Model) -> CalibratedModel {
    let ids = batch(model.config());
    model.calibration().run_ids(&ids).unwrap()
}

fn seeded(config: EncoderConfig) -> CalibratedModel {
    calibrated(Model::seeded(config, 3).unwrap())
}

/// Writes and opens.
fn through_file(packed: &PackedModel) -> PackedModel {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.lacuna");
    let length = packed.write(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written is left");
    PackedModel::open(&path).unwrap() // the mapping outlives the name
}

/// The bytes of the smallest file.
fn smallest() -> Vec<u8> {
    let sizes = EncoderConfig { hidden_size: 8, heads: 1, intermediate_size: 8, layers: 1, ..tiny(Architecture::Bert) };
    let config = EncoderConfig { vocab_size: 5, max_position: 4, ..sizes };
    let ids = seeded_ids(5, 4, 4, 1);
    let model = Model::seeded(config, 1).unwrap().calibration().run_ids(&ids).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.lacuna");
    model.compiler().tier(Tier::Portable).form(Form::Sparse).pack().unwrap().write(&path).unwrap();
    std::fs::read(path).unwrap()
}

/// A folder for files that are written again and again.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("model.lacuna")
    }

    /// Opens these bytes, and compiles what opens.
    fn open(&self, bytes: &[u8]) -> Result<PackedModel, Error> {
        let path = self.path();
        let _ = std::fs::remove_file(&path); // a mapped file is never changed
        std::fs::write(&path, bytes).unwrap();
        PackedModel::open(&path)
    }

    /// The packed error of bytes that must not open.
    #[track_caller]
    fn refused(&self, bytes: &[u8], what: &str) -> PackedError {
        match self.open(bytes) {
            Err(Error::Packed(error)) => {
                assert!(error.to_string().starts_with(&self.path().display().to_string()), "{error}");
                error
            }
            Err(error) => panic!("{what}: another error: {error}"),
            Ok(_) => panic!("{what}: opened"),
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn head_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/heads").join(name)
}
