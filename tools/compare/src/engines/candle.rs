//! candle's BERT on the CPU, in f32: `candle_transformers::models::bert` on the pruned weights.
//!
//! candle's matrix products are the `gemm` crate's. Built here that crate has its AVX-512 kernels, which candle alone leaves
//! out, so the times are candle at its best. Architectures beside BERT run on it too where they compute the same: their tables
//! of positions start at the first token, and they have one token type, of zeros.
//!
//! Threads: products, softmax and layer normalisation run in the current rayon pool, divided among as many as
//! `RAYON_NUM_THREADS` says. Element-wise operations run in a pool of candle's own, as large as `CANDLE_NUM_THREADS` says or, without
//! it, the other variable. The two take turns, so more threads are seen computing than were asked for, but not at a time.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config, HiddenAct, PositionEmbeddingType};
use lacuna::Model;
use lacuna::config::{Activation, EncoderConfig, Pooling, PoolingMode};
use lacuna::weights::{LayerNorm, Linear, Matrix};
use lacuna_console::error::Result;
use lacuna_console::timing::Work;

use super::instructions::gemm_instructions;
use crate::engine::{Engine, EngineId, ModelCall, ModelFiles, Product, ProductCall, cannot};
use crate::error::EngineError;

/// The version of the crates.
const VERSION: &str = "0.11.1";

/// The engine.
pub(crate) struct Candle {
    model: Option<Loaded>,
}

/// A model in candle's tensors.
struct Loaded {
    bert: BertModel,
    pooling: Pooling,
}

impl Candle {
    /// Calls run on `threads` threads at a time, in the rayon pool that they are made in and in one of candle's own.
    ///
    /// # Errors
    /// [`EngineError::Call`] if candle is going to use another number, which it takes from the environment.
    pub(crate) fn open(threads: usize) -> Result<Candle, EngineError> {
        let refuse = |variable: &str, found: &str| {
            let reason = format!("found {found} threads; expected {threads}: set {variable}={threads}");
            Err(failed("get_num_threads")(reason))
        };
        let found = candle_core::utils::get_num_threads();
        if found != threads {
            return refuse("RAYON_NUM_THREADS", &found.to_string());
        }
        match std::env::var("CANDLE_NUM_THREADS") {
            Ok(found) if found != threads.to_string() => refuse("CANDLE_NUM_THREADS", &found),
            _ => Ok(Candle { model: None }),
        }
    }
}

impl Engine for Candle {
    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn with_product(&mut self, _: &Product, _: &mut dyn FnMut(&mut dyn ProductCall) -> Result<()>) -> Result<()> {
        cannot(EngineId::CandleF32, "products")
    }

    fn load_model(&mut self, files: &ModelFiles) -> Result<()> {
        self.model = None;
        self.model = Some(Loaded::new(&files.source.model()?)?);
        Ok(())
    }

    fn with_batch(&mut self, ids: &[Vec<u32>], run: &mut dyn FnMut(&mut dyn ModelCall) -> Result<()>) -> Result<()> {
        let Some(model) = &self.model else {
            return Err(failed("with_batch")("no model is loaded").into());
        };
        run(&mut Batch::new(model, ids).map_err(failed("making a batch"))?)
    }
}

impl Loaded {
    fn new(model: &Model) -> Result<Loaded> {
        let config = config(model.config())?;
        let Pooling { modes, .. } = model.pooling();
        let is_known = matches!(modes[..], [PoolingMode::Mean | PoolingMode::Cls | PoolingMode::Max]);
        if !is_known || !model.pooling().is_plain() {
            return cannot(EngineId::CandleF32, "this pooling");
        }
        let load = || {
            let weights = VarBuilder::from_tensors(tensors(model)?, DType::F32, &Device::Cpu);
            BertModel::load(weights, &config)
        };
        Ok(Loaded { bert: load().map_err(failed("BertModel::load"))?, pooling: model.pooling().clone() })
    }
}

/// The shape in candle's words.
fn config(config: &EncoderConfig) -> Result<Config> {
    if config.projects_embeddings() {
        return cannot(EngineId::CandleF32, "embeddings of another width than the layers");
    }
    if config.attention_size.is_some() {
        return cannot(EngineId::CandleF32, "attention of another width than the layers");
    }
    let hidden_act = match config.activation {
        Activation::Gelu => HiddenAct::Gelu,
        Activation::GeluTanh => HiddenAct::GeluApproximate,
        Activation::Relu => HiddenAct::Relu,
    };
    Ok(Config {
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        intermediate_size: config.intermediate_size,
        hidden_act,
        max_position_embeddings: config.max_position,
        type_vocab_size: config.type_vocab_size,
        layer_norm_eps: f64::from(config.layer_norm_eps),
        position_embedding_type: PositionEmbeddingType::Absolute,
        ..Config::default()
    })
}

/// The weights under their names in checkpoints.
fn tensors(model: &Model) -> candle_core::Result<HashMap<String, Tensor>> {
    let mut tensors = Tensors(HashMap::new());
    let embeddings = &model.weights().embeddings;
    for (name, table) in [
        ("word_embeddings", &embeddings.word),
        ("position_embeddings", &embeddings.position),
        ("token_type_embeddings", &embeddings.token_type),
    ] {
        tensors.matrix(format!("embeddings.{name}.weight"), table)?;
    }
    tensors.norm("embeddings.LayerNorm", &embeddings.norm)?;
    for (i, layer) in model.weights().layers.iter().enumerate() {
        for (name, linear) in [
            ("attention.self.query", &layer.q),
            ("attention.self.key", &layer.k),
            ("attention.self.value", &layer.v),
            ("attention.output.dense", &layer.o),
            ("intermediate.dense", &layer.up),
            ("output.dense", &layer.down),
        ] {
            tensors.linear(&format!("encoder.layer.{i}.{name}"), linear)?;
        }
        tensors.norm(&format!("encoder.layer.{i}.attention.output.LayerNorm"), &layer.attention_norm)?;
        tensors.norm(&format!("encoder.layer.{i}.output.LayerNorm"), &layer.output_norm)?;
    }
    Ok(tensors.0)
}

struct Tensors(HashMap<String, Tensor>);

impl Tensors {
    fn matrix(&mut self, name: String, matrix: &Matrix) -> candle_core::Result<()> {
        let tensor = Tensor::from_slice(&matrix.data, (matrix.rows, matrix.cols), &Device::Cpu)?;
        self.0.insert(name, tensor);
        Ok(())
    }

    fn vector(&mut self, name: String, values: &[f32]) -> candle_core::Result<()> {
        self.0.insert(name, Tensor::from_slice(values, values.len(), &Device::Cpu)?);
        Ok(())
    }

    fn linear(&mut self, name: &str, linear: &Linear) -> candle_core::Result<()> {
        self.matrix(format!("{name}.weight"), &linear.weight)?;
        self.vector(format!("{name}.bias"), &linear.bias)
    }

    fn norm(&mut self, name: &str, norm: &LayerNorm) -> candle_core::Result<()> {
        self.vector(format!("{name}.weight"), &norm.gamma)?;
        self.vector(format!("{name}.bias"), &norm.beta)
    }
}

/// A batch of a loaded model.
struct Batch<'a> {
    model: &'a Loaded,
    /// u32 `[batch][sequence]`
    ids: Tensor,
    /// Zeros.
    types: Tensor,
    /// f32 `[batch][hidden]`
    embeddings: Option<Tensor>,
}

impl<'a> Batch<'a> {
    fn new(model: &'a Loaded, ids: &[Vec<u32>]) -> candle_core::Result<Batch<'a>> {
        let sequences: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let ids = Tensor::new(sequences, &Device::Cpu)?;
        let types = ids.zeros_like()?;
        Ok(Batch { model, ids, types, embeddings: None })
    }

    fn embed(&self) -> candle_core::Result<Tensor> {
        let hidden = self.model.bert.forward(&self.ids, &self.types, None)?;
        let pooled = match self.model.pooling.modes[..] {
            [PoolingMode::Cls] => hidden.narrow(1, 0, 1)?.squeeze(1)?,
            [PoolingMode::Max] => hidden.max(1)?,
            _ => hidden.mean(1)?, // others than the mean were refused
        };
        match self.model.pooling.is_normalized() {
            // A vector of zeros stays one.
            true => pooled.broadcast_div(&pooled.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(f32::MIN_POSITIVE)?),
            false => Ok(pooled),
        }
    }
}

impl Work for Batch<'_> {
    fn call(&mut self) -> Result<()> {
        self.embeddings = Some(self.embed().map_err(failed("forward"))?);
        Ok(())
    }
}

impl ModelCall for Batch<'_> {
    fn implementation(&self) -> String {
        format!("candle_transformers::models::bert on gemm, {}", gemm_instructions())
    }

    fn embeddings(&mut self) -> Result<Vec<Vec<f32>>> {
        if self.embeddings.is_none() {
            self.call()?;
        }
        let values = self.embeddings.as_ref().map(Tensor::to_vec2).transpose();
        Ok(values.map_err(failed("to_vec2"))?.unwrap_or_default())
    }
}

/// A call into candle that failed.
fn failed<E: std::fmt::Display>(call: &'static str) -> impl FnOnce(E) -> EngineError {
    move |error| EngineError::Call { library: "candle", call: call.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use lacuna::Preset;
    use lacuna::config::Architecture;
    use lacuna::tokens::seeded_ids;

    use super::*;
    use crate::engine::ModelSource;
    use crate::engines::testing::{least_cosine, locked_version};

    fn tiny() -> EncoderConfig {
        EncoderConfig {
            hidden_size: 48,
            heads: 4,
            layers: 3,
            intermediate_size: 100,
            vocab_size: 70,
            max_position: 40,
            ..Preset::BertMini.config()
        }
    }

    #[test]
    fn embeddings_are_those_of_the_reference() {
        let model = Model::seeded(tiny(), 11).unwrap();
        let mut loaded = Loaded::new(&model).unwrap();
        for (batch, length) in [(1, 1), (1, 40), (3, 17)] {
            let ids = seeded_ids(70, batch, length, 12);
            for mode in [PoolingMode::Mean, PoolingMode::Cls, PoolingMode::Max] {
                for normalize in [false, true] {
                    loaded.pooling = Pooling::new(mode, normalize);
                    let expected = model.reference().embed(&ids, &loaded.pooling).unwrap();
                    let found = Batch::new(&loaded, &ids).unwrap().embeddings().unwrap();
                    assert!(least_cosine(&found, &expected) > 0.9999, "{mode:?} of {batch} x {length}");
                    let size = |embeddings: &[Vec<f32>]| embeddings.iter().flatten().map(|x| x * x).sum::<f32>();
                    assert!((size(&found) / size(&expected) - 1.0).abs() < 1e-3, "{mode:?}, normalised {normalize}");
                }
            }
        }
    }

    #[test]
    fn every_architecture_and_activation() {
        let ids = seeded_ids(70, 2, 23, 13);
        for architecture in Architecture::ALL {
            let type_vocab_size = if architecture.has_token_types() { 2 } else { 1 };
            for activation in Activation::ALL {
                let config = EncoderConfig { architecture, type_vocab_size, activation, ..tiny() };
                let model = Model::seeded(config, 14).unwrap();
                let loaded = Loaded::new(&model).unwrap();
                let found = Batch::new(&loaded, &ids).unwrap().embeddings().unwrap();
                let expected = model.reference().embed(&ids, model.pooling()).unwrap();
                assert!(least_cosine(&found, &expected) > 0.9999, "{architecture}, {activation}");
            }
        }
        let config = EncoderConfig { architecture: Architecture::Electra, embedding_size: Some(24), ..tiny() };
        let message = Loaded::new(&Model::seeded(config, 15).unwrap()).err().unwrap().to_string();
        assert_eq!(message, "candle-f32 does not compute embeddings of another width than the layers");
    }

    #[test]
    fn a_preset_runs_through_the_engine() {
        let mut engine = Candle::open(candle_core::utils::get_num_threads()).unwrap();
        let pruning = Some(("4x1".to_owned(), 0.8));
        let source = ModelSource {
            dir: None,
            arch: Some("bert-mini".into()),
            seed: 3,
            pruning,
            calibrate: None,
            activation_bits: lacuna_kernels::ActivationBits::Eight,
        };
        let ids = seeded_ids(2000, 2, 9, 4);
        let message = engine.with_batch(&ids, &mut |_| Ok(())).unwrap_err().to_string();
        assert_eq!(message, "candle: with_batch failed: no model is loaded");
        let model = source.model().unwrap();
        engine.load_model(&ModelFiles { source, onnx: None }).unwrap();
        let expected = model.reference().embed(&ids, model.pooling()).unwrap();
        let mut calls = 0;
        let mut check = |call: &mut dyn ModelCall| {
            call.call()?;
            assert!(least_cosine(&call.embeddings()?, &expected) > 0.9999);
            assert!(call.implementation().contains("gemm"));
            calls += 1;
            Ok(())
        };
        engine.with_batch(&ids, &mut check).unwrap();
        assert_eq!(calls, 1);
        let ragged = engine.with_batch(&[vec![1, 2], vec![3]], &mut |_| Ok(())).unwrap_err();
        assert!(ragged.to_string().starts_with("candle: making a batch failed"), "{ragged}");
    }

    #[test]
    fn another_number_of_threads_is_refused() {
        let threads = candle_core::utils::get_num_threads();
        let message = Candle::open(threads + 1).err().map(|error| error.to_string()).unwrap_or_default();
        let end = format!("found {threads} threads; expected {0}: set RAYON_NUM_THREADS={0}", threads + 1);
        assert_eq!(message, format!("candle: get_num_threads failed: {end}"));
    }

    #[test]
    fn the_versions_are_those_that_are_built() {
        for name in ["candle-core", "candle-nn", "candle-transformers"] {
            assert_eq!(locked_version(name), VERSION);
        }
    }
}
