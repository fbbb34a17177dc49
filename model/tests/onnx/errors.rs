//! What cannot be exported, and where it cannot be written.

use lacuna_model::onnx::OnnxModel;
use lacuna_model::onnx::proto::{GraphProto, ModelProto, TensorProto};
use lacuna_model::{CalibrationOptions, Error, Smoothing};
use prost::bytes::Bytes;

use crate::{ids_of, small};

#[test]
fn scales_per_feature_are_refused_with_the_way_out() {
    for smoothing in [Smoothing::Alpha(0.5), Smoothing::Alpha(0.75), Smoothing::Search] {
        let options = CalibrationOptions { smoothing, ..CalibrationOptions::per_tensor() };
        let calibrated = small(2, 8).calibrate_ids_with(&ids_of(&[10, 20]), &options).unwrap();
        let error = calibrated.to_onnx_qdq().expect_err("scales per feature");
        assert!(matches!(error, Error::OnnxScales { layer: 0, tensor: "attn_in", found: [a, b] } if a != b), "{error}");
        assert!(error.to_string().contains("CalibrationOptions::per_tensor()"), "{error}");
    }
    let options = CalibrationOptions { smoothing: Smoothing::None, ..CalibrationOptions::default() };
    small(2, 8).calibrate_ids_with(&ids_of(&[10, 20]), &options).unwrap().to_onnx_qdq().unwrap();
}

#[test]
fn files_over_two_gib_are_refused() {
    // All tensors share the same bytes.
    const PART: usize = 1 << 26;
    let part = Bytes::from(vec![0; PART]);
    let of = |parts: usize| {
        let tensor = TensorProto { raw_data: Some(part.clone()), ..TensorProto::default() };
        let graph = GraphProto { initializer: vec![tensor; parts], ..GraphProto::default() };
        OnnxModel::from_proto(ModelProto { graph: Some(graph), ..ModelProto::default() })
    };
    assert!(of(31).unwrap().encoded_len() > 31 * PART);
    let error = of(32).expect_err("2 GiB and some names");
    assert!(matches!(error, Error::OnnxTooLarge { found, limit: 0x7fff_ffff } if found > 32 << 26), "{error}");
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
