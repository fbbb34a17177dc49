//! From a model to a graph.

use lacuna_pattern::ActivationBits;

use super::exporter::{Arithmetic, Exporter};
use super::file::{OnnxModel, check_size};
use super::graph::{Dim, Graph};
use crate::calibrated::CalibratedModel;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::proto::{DataType, ModelProto, OperatorSetIdProto, StringStringEntryProto};
use crate::quantize::ActivationQuant;
use crate::reference::Tap;
use crate::weights::{EmbeddingWeights, EncoderWeights, LayerWeights};

/// Version of the file format: that of ONNX 1.12.
const IR_VERSION: i64 = 8;
/// Version of the operator set: the first with LayerNormalization.
const OPSET: i64 = 17;

impl Model {
    /// The model as an ONNX graph in f32.
    ///
    /// # Errors
    /// [`Error::OnnxTooLarge`].
    pub fn to_onnx(&self) -> Result<OnnxModel> {
        export(self, Arithmetic::Float)
    }

    /// The model as an ONNX graph in int8 whose activations find their range while it runs: no calibration is needed.
    ///
    /// Weights are s8 with a scale per output feature, inputs of linear layers u8 with a scale and a zero point per tensor, the rest f32.
    ///
    /// # Errors
    /// [`Error::OnnxTooLarge`].
    pub fn to_onnx_dynamic(&self) -> Result<OnnxModel> {
        export(self, Arithmetic::Dynamic)
    }
}

impl CalibratedModel {
    /// The model as an ONNX graph in int8 with the scales of calibration, as pairs of QuantizeLinear and DequantizeLinear.
    ///
    /// Weights are s8 with a scale per output feature, biases s32, inputs of linear layers u8 with a scale and a zero point per tensor,
    /// the rest f32.
    ///
    /// # Errors
    /// [`Error::OnnxBits`] for codes of seven bits, which QuantizeLinear does not have; [`Error::OnnxScales`] unless the model was calibrated with [`CalibrationOptions::per_tensor`](crate::CalibrationOptions::per_tensor) or otherwise without smoothing;
    /// [`Error::OnnxTooLarge`].
    pub fn to_onnx_qdq(&self) -> Result<OnnxModel> {
        if self.activation_bits() != ActivationBits::Eight {
            return Err(Error::OnnxBits { found: self.activation_bits() });
        }
        let projection = self.projection_quant().map(|quant| (0, Tap::ProjectionInput, quant));
        let layers = self.quant().iter().enumerate().flat_map(|(layer, quant)| {
            [
                (layer, Tap::AttentionInput, &quant.attn_in),
                (layer, Tap::AttentionOutput, &quant.attn_out),
                (layer, Tap::FeedForwardInput, &quant.ffn_in),
                (layer, Tap::GeluOutput, &quant.gelu_out),
            ]
        });
        for (layer, tap, ActivationQuant { scale, .. }) in projection.into_iter().chain(layers) {
            if let Some(pair) = scale.array_windows().find(|[a, b]| a != b) {
                return Err(Error::OnnxScales { layer, tensor: tap.name(), found: *pair });
            }
        }
        export(self.model(), Arithmetic::Static(self))
    }
}

fn export(model: &Model, arithmetic: Arithmetic<'_>) -> Result<OnnxModel> {
    let (config, weights) = (model.config(), model.weights());
    check_prompt(model)?;
    // Before anything is copied; the exact size is checked by `OnnxModel`.
    check_size(weight_bytes(weights, arithmetic))?;
    let hidden = Dim::Fixed(config.hidden_size);
    let mut exporter = Exporter { graph: Graph::default(), config, arithmetic, codes: model.codes() };
    let mut tokens = |name| exporter.graph.input(name, DataType::Int64, &[Dim::BATCH, Dim::SEQUENCE]);
    let (ids, mask) = (tokens("input_ids"), tokens("attention_mask"));
    // A graph has no input that makes no difference.
    let types = (config.type_vocab_size > 1).then(|| tokens("token_type_ids"));
    let shared = exporter.shared(&ids, &mask);
    let mut x = exporter.embeddings(&weights.embeddings, &ids, types.as_ref());
    for (i, layer) in weights.layers.iter().enumerate() {
        x = exporter.layer(i, layer, x, &shared);
    }
    let x = exporter.graph.node("encoder/Reshape".to_owned(), &[&x, &shared.states], vec![]);
    let dims = [Dim::BATCH, Dim::SEQUENCE, hidden];
    let x = exporter.graph.output(x, "last_hidden_state", DataType::Float, &dims);
    let pooled = exporter.pool(model.pooling(), &x, &mask);
    let features = Dim::Fixed(model.pooling().features(config.hidden_size));
    exporter.graph.output(pooled, "sentence_embedding", DataType::Float, &[Dim::BATCH, features]);
    OnnxModel::from_proto(ModelProto {
        ir_version: IR_VERSION,
        producer_name: "lacuna".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: metadata(model, arithmetic),
        graph: Some(exporter.graph.finish("encoder")),
        ..ModelProto::default()
    })
}

/// Refuses models whose pooling leaves out the prompt: a graph gets tokens, and does not know which belong to a prompt.
fn check_prompt(model: &Model) -> Result<()> {
    match model.pooling().include_prompt {
        true => Ok(()),
        false => Err(Error::UnsupportedSetting {
            path: "ONNX export".into(),
            setting: "include_prompt",
            found: "false".to_owned(),
            supported: "true: a graph does not know which tokens belong to a prompt",
        }),
    }
}

/// Bytes of all tables and matrices.
fn weight_bytes(weights: &EncoderWeights, arithmetic: Arithmetic<'_>) -> u64 {
    let EmbeddingWeights { word, position, token_type, .. } = &*weights.embeddings;
    let tables: usize = [word, position, token_type].map(|table| table.data.len()).iter().sum();
    let linears = weights.layers.iter().flat_map(LayerWeights::linears).chain(&weights.embeddings.projection);
    let matrices: usize = linears.map(|linear| linear.weight.data.len()).sum();
    4 * tables as u64 + arithmetic.weight_bytes() as u64 * matrices as u64
}

fn metadata(model: &Model, arithmetic: Arithmetic<'_>) -> Vec<StringStringEntryProto> {
    let arithmetic = match arithmetic {
        Arithmetic::Float => "f32",
        Arithmetic::Dynamic => "int8, dynamic",
        Arithmetic::Static(_) => "int8, static",
    };
    let mut entries = vec![
        ("lacuna.arithmetic", arithmetic.to_owned()),
        ("lacuna.pooling", model.pooling().mode_names()),
        ("lacuna.normalize", model.pooling().is_normalized().to_string()),
    ];
    if let Some(pruning) = model.pruning() {
        entries.push(("lacuna.pruned", format!("{} of {} blocks", pruning.sparsity, pruning.block)));
    }
    entries.into_iter().map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value }).collect()
}
