//! Every error has a kind that callers can act by.

use std::io;
use std::path::PathBuf;

use lacuna_model::HubError;
use lacuna_model::OnnxError;
use lacuna_model::WeightError;
use lacuna_model::{ActivationBits, Block, CalibrationError, Error, ErrorKind};

/// One of every variant, and its kind.
#[test]
fn every_error_has_the_kind_that_callers_act_by() {
    let path = || PathBuf::from("model");
    let io = |kind| Error::Io { path: path(), action: "read", source: io::Error::from(kind) };
    let json = serde_json::from_str::<u32>("{").unwrap_err();
    let (found, expected) = (String::new, String::new);
    let cases = [
        (io(io::ErrorKind::NotFound), ErrorKind::NotFound),
        (io(io::ErrorKind::PermissionDenied), ErrorKind::Io),
        (Error::Json { path: path(), source: json }, ErrorKind::InvalidFile),
        (
            Error::InvalidSetting { path: path(), setting: "heads", found: found(), expected: expected() },
            ErrorKind::InvalidFile,
        ),
        (Error::Tokenizer { path: path(), reason: String::new() }, ErrorKind::InvalidFile),
        (Error::UnsupportedArchitecture { path: path(), found: found(), supported: "" }, ErrorKind::Unsupported),
        (
            Error::UnsupportedSetting { path: path(), setting: "", found: found(), supported: "" },
            ErrorKind::Unsupported,
        ),
        (Error::OnnxTooLarge { found: 2, limit: 1 }, ErrorKind::Unsupported),
        (Error::Feature { path: path(), what: "", feature: "onnx" }, ErrorKind::Unsupported),
        (Error::NoTokenizer, ErrorKind::Missing),
        (Error::NoHead { path: path(), found: found(), expected: "" }, ErrorKind::Missing),
        (Error::PackedModel { path: path(), what: String::new(), remedy: "" }, ErrorKind::Missing),
        (Error::EmptyBatch, ErrorKind::InvalidInput),
        (Error::EmptySequence { sequence: 0 }, ErrorKind::InvalidInput),
        (Error::SequenceTooLong { sequence: 0, found: 2, limit: 1 }, ErrorKind::InvalidInput),
        (Error::TokenOutOfRange { sequence: 0, position: 0, found: 1, vocab_size: 1 }, ErrorKind::InvalidInput),
        (Error::TokenTypeLength { sequence: 0, found: 1, expected: 2 }, ErrorKind::InvalidInput),
        (
            Error::TokenTypeOutOfRange { sequence: 0, position: 0, found: 1, type_vocab_size: 1 },
            ErrorKind::InvalidInput,
        ),
        (Error::HeadInput { found: 1, rows: 1, expected: 2 }, ErrorKind::InvalidInput),
        (Error::Sparsity { found: 2.0 }, ErrorKind::InvalidOption),
        (Error::DensePruning { block: Block::Dense, sparsity: 0.5 }, ErrorKind::InvalidOption),
        (Error::CalibrationOption { option: "", found: 0.0, expected: "" }, ErrorKind::InvalidOption),
        (Error::PrecisionLayers { found: 1, expected: 2 }, ErrorKind::InvalidOption),
        (Error::UnknownPreset { found: found(), expected: expected() }, ErrorKind::InvalidOption),
        (Error::OnnxScales { layer: 0, tensor: "", found: [1.0, 2.0] }, ErrorKind::InvalidOption),
        (Error::OnnxBits { found: ActivationBits::Seven }, ErrorKind::InvalidOption),
        (Error::WrongHead { path: path(), found: found(), expected: expected() }, ErrorKind::InvalidOption),
        (Error::Occupied { path: path() }, ErrorKind::InvalidOption),
        (
            WeightError::NoCheckpoint { path: path(), looked_for: String::new(), present: String::new() }.into(),
            ErrorKind::NotFound,
        ),
        (WeightError::PickledObject { path: path(), found: found() }.into(), ErrorKind::Unsupported),
        (WeightError::CheckpointHeader { path: path(), reason: String::new() }.into(), ErrorKind::InvalidFile),
        (HubError::NotBuilt.into(), ErrorKind::Unsupported),
        (HubError::Name { found: found() }.into(), ErrorKind::InvalidOption),
        (HubError::NoCache.into(), ErrorKind::NotFound),
        (CalibrationError::NotFinite { layer: 0, tensor: "" }.into(), ErrorKind::InvalidInput),
        (CalibrationError::UnknownRange { found: found() }.into(), ErrorKind::InvalidOption),
        (
            CalibrationError::FileCodes {
                layer: None,
                tensor: "",
                found: ActivationBits::Eight,
                expected: ActivationBits::Seven,
            }
            .into(),
            ErrorKind::InvalidOption,
        ),
        (OnnxError::Decode { path: path(), reason: String::new() }.into(), ErrorKind::InvalidFile),
        (OnnxError::Fused { path: path(), node: String::new(), domain: String::new() }.into(), ErrorKind::Unsupported),
    ];
    for (error, kind) in cases {
        assert_eq!(error.kind(), kind, "{error}");
    }
}
