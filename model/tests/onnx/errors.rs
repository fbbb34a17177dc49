//! Models that cannot be exported, and places where no file can be written.

use lacuna_model::{ActivationBits, CalibrationOptions, Error, Smoothing};

use crate::{ids_of, small};

#[test]
fn scales_per_feature_are_refused_with_the_way_out() {
    for smoothing in [Smoothing::Alpha(0.5), Smoothing::Alpha(0.75), Smoothing::Search] {
        let options = CalibrationOptions { smoothing, ..CalibrationOptions::per_tensor() };
        let calibrated = small(2, 8).calibration().options(options).run_ids(&ids_of(&[10, 20])).unwrap();
        let error = calibrated.to_onnx_qdq().expect_err("scales per feature");
        assert!(matches!(error, Error::OnnxScales { layer: 0, tensor: "attn_in", found: [a, b] } if a != b), "{error}");
        assert!(error.to_string().contains("CalibrationOptions::per_tensor()"), "{error}");
    }
    let options = CalibrationOptions { smoothing: Smoothing::None, ..CalibrationOptions::default() };
    small(2, 8).calibration().options(options).run_ids(&ids_of(&[10, 20])).unwrap().to_onnx_qdq().unwrap();
}

/// QuantizeLinear has no codes of seven bits, and codes of eight would be other numbers.
#[test]
fn codes_of_seven_bits_are_refused() {
    let options = CalibrationOptions { activation_bits: ActivationBits::Seven, ..CalibrationOptions::per_tensor() };
    let calibrated = small(2, 8).calibration().options(options).run_ids(&ids_of(&[10, 20])).unwrap();
    let error = calibrated.to_onnx_qdq().expect_err("seven bits");
    assert!(matches!(error, Error::OnnxBits { found: ActivationBits::Seven }), "{error}");
    assert!(error.to_string().starts_with("codes of activations have 7 bits; expected 8"), "{error}");
}

#[test]
fn files_appear_complete_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let onnx = small(1, 8).to_onnx().unwrap();
    let path = directory.path().join("model.onnx");
    for before in [None, Some("an older file")] {
        if let Some(text) = before {
            std::fs::write(&path, text).unwrap();
        }
        onnx.write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), onnx.to_bytes());
    }
    for impossible in [directory.path().join("no/such/directory.onnx"), directory.path().to_owned()] {
        match onnx.write(&impossible) {
            Err(Error::Io { path, action: "write", .. }) => assert_eq!(path, impossible),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing half-written is left");
}
