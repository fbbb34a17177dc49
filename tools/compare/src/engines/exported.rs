//! What tests of engines that read ONNX share: a model's exports.

// The library's own: its messages are private.
#[allow(dead_code)]
#[path = "../../../../model/src/proto.rs"]
mod proto;

use std::path::PathBuf;

use lacuna::calibration::{ActivationBits, CalibrationOptions};
use lacuna::config::EncoderConfig;
use lacuna::onnx::OnnxModel;
use lacuna::tokens::seeded_ids;
use lacuna::{Model, Preset};
use prost::Message;

use self::proto::{ModelProto, NodeProto};

use super::testing::least_cosine;
use crate::engine::{Engine, ModelCall, ModelFiles, ModelSource};

/// A small model with random weights, and its exports in a folder of their own.
pub(super) struct Exported {
    pub(super) model: Model,
    folder: tempfile::TempDir,
}

impl Exported {
    const VOCAB: usize = 200;

    pub(super) fn new() -> Exported {
        let config = EncoderConfig {
            hidden_size: 64,
            heads: 4,
            layers: 2,
            intermediate_size: 128,
            vocab_size: Exported::VOCAB,
            max_position: 40,
            ..Preset::BertMini.config()
        };
        let model = Model::seeded(config, 21).unwrap();
        Exported { model, folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn f32(&self) -> PathBuf {
        self.write("f32", &self.model.to_onnx().unwrap())
    }

    pub(super) fn dynamic(&self) -> PathBuf {
        self.write("dynamic", &self.model.to_onnx_dynamic().unwrap())
    }

    pub(super) fn qdq(&self) -> PathBuf {
        let ids = seeded_ids(Exported::VOCAB, 8, 30, 22);
        let calibrated =
            self.model.clone().calibration().options(CalibrationOptions::per_tensor()).run_ids(&ids).unwrap();
        self.write("qdq", &calibrated.to_onnx_qdq().unwrap())
    }

    /// The f32 export with changes.
    pub(super) fn changed(&self, change: impl FnOnce(&mut ModelProto)) -> PathBuf {
        let mut proto = ModelProto::decode(&self.model.to_onnx().unwrap().to_bytes()[..]).unwrap();
        change(&mut proto);
        let path = self.folder.path().join("changed.onnx");
        std::fs::write(&path, proto.encode_to_vec()).unwrap();
        path
    }

    /// The f32 export as for a model that has no token types.
    pub(super) fn without_token_types(&self) -> PathBuf {
        self.changed(|model| {
            let graph = model.graph.as_mut().unwrap();
            graph.input.retain(|input| input.name != "token_type_ids");
            let uses = graph.node.iter_mut().flat_map(|node| &mut node.input);
            uses.filter(|input| *input == "token_type_ids").for_each(|input| *input = "zeros".to_owned());
            let [ids, zeros] = ["input_ids", "zeros"].map(str::to_owned);
            let op_type = "Sub".to_owned();
            let input = vec![ids.clone(), ids];
            graph.node.insert(0, NodeProto { op_type, input, output: vec![zeros], ..NodeProto::default() });
        })
    }

    fn write(&self, name: &str, model: &OnnxModel) -> PathBuf {
        let path = self.folder.path().join(format!("{name}.onnx"));
        model.write(&path).unwrap();
        path
    }

    /// Has an engine embed batches of one token, of the longest sequence and of several sequences. `cosine` is the least that
    /// embeddings may have to the reference. Returns what the engine says it ran.
    pub(super) fn check(&self, engine: &mut dyn Engine, onnx: PathBuf, cosine: f64) -> String {
        let source = ModelSource {
            dir: None,
            arch: None,
            seed: 0,
            pruning: None,
            calibrate: None,
            activation_bits: ActivationBits::Eight,
        };
        engine.load_model(&ModelFiles { source, onnx: Some(onnx) }).unwrap();
        let mut said = String::new();
        for (count, length) in [(1, 1), (1, 40), (3, 17)] {
            let ids = seeded_ids(Exported::VOCAB, count, length, 23);
            let expected = self.model.reference().embed(&ids, self.model.pooling()).unwrap();
            let mut check = |call: &mut dyn ModelCall| {
                call.call()?;
                let found = least_cosine(&call.embeddings()?, &expected);
                assert!(found > cosine, "{count} x {length}: cosine {found}");
                said = call.implementation();
                let parts = call.breakdown()?;
                assert!(parts.is_none_or(|parts| parts.iter().map(|(_, time)| time).sum::<f64>() > 0.0));
                Ok(())
            };
            engine.with_batch(&ids, &mut check).unwrap();
        }
        said
    }

    /// Why an engine does not load a file.
    pub(super) fn refusal(engine: &mut dyn Engine, onnx: PathBuf) -> String {
        let source = ModelSource {
            dir: None,
            arch: None,
            seed: 0,
            pruning: None,
            calibrate: None,
            activation_bits: ActivationBits::Eight,
        };
        let message = engine.load_model(&ModelFiles { source, onnx: Some(onnx) }).unwrap_err().to_string();
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    }
}
