//! Pooling and its modules as sentence-transformers writes them.

use serde_json::{Value, json};

use super::mode::PoolingMode;
use super::module::{DenseModule, NormModule, SentenceModule};
use super::pooling::Pooling;

/// A module to be written.
pub(crate) struct WrittenModule<'a> {
    /// Its folder; the empty text is the model's.
    pub(crate) folder: String,
    /// Its settings, if it has some.
    pub(crate) settings: Option<Value>,
    /// Its tensors: name, shape, values.
    pub(crate) tensors: Vec<(&'static str, Vec<usize>, &'a [f32])>,
}

impl Pooling {
    /// `modules.json`, and what belongs into the folders of the modules behind the encoder.
    pub(crate) fn written(&self, hidden_size: usize) -> (Value, Vec<WrittenModule<'_>>) {
        let pooling = WrittenModule {
            folder: "1_Pooling".to_owned(),
            settings: Some(self.settings(hidden_size)),
            tensors: Vec::new(),
        };
        let behind = self.modules.iter().enumerate().map(|(i, module)| module.written(i + 2));
        let all: Vec<WrittenModule<'_>> = std::iter::once(pooling).chain(behind).collect();
        let entry = |(idx, folder): (usize, &str)| {
            let kind = folder.split_once('_').map_or("Transformer", |(_, kind)| kind);
            json!({
                "idx": idx,
                "name": idx.to_string(),
                "path": folder,
                "type": format!("sentence_transformers.models.{kind}"),
            })
        };
        let folders = std::iter::once("").chain(all.iter().map(|module| &module.folder[..]));
        (folders.enumerate().map(entry).collect(), all)
    }

    /// Several modes in another order than the flags have need the newer form.
    fn settings(&self, hidden_size: usize) -> Value {
        let mut json = json!({ "word_embedding_dimension": hidden_size, "include_prompt": self.include_prompt });
        let ordered: Vec<PoolingMode> = PoolingMode::ALL.into_iter().filter(|mode| self.modes.contains(mode)).collect();
        if ordered == self.modes {
            for mode in PoolingMode::ALL {
                json[mode.flag()] = self.modes.contains(&mode).into();
            }
        } else {
            json["pooling_mode"] = self.modes.iter().map(|mode| mode.name()).collect();
        }
        json
    }
}

impl SentenceModule {
    fn written(&self, number: usize) -> WrittenModule<'_> {
        match self {
            SentenceModule::Normalize => {
                WrittenModule { folder: format!("{number}_Normalize"), settings: None, tensors: Vec::new() }
            }
            SentenceModule::Dense(DenseModule { linear, activation }) => WrittenModule {
                folder: format!("{number}_Dense"),
                settings: Some(json!({
                    "in_features": linear.inputs(),
                    "out_features": linear.outputs(),
                    "bias": true,
                    "activation_function": activation.path(),
                })),
                tensors: vec![
                    ("linear.weight", vec![linear.outputs(), linear.inputs()], &linear.weight.data),
                    ("linear.bias", vec![linear.outputs()], &linear.bias),
                ],
            },
            // Its epsilon is fixed, and checked where modules are put together.
            SentenceModule::LayerNorm(NormModule { norm, .. }) => WrittenModule {
                folder: format!("{number}_LayerNorm"),
                settings: Some(json!({ "dimension": norm.gamma.len() })),
                tensors: vec![
                    ("norm.weight", vec![norm.gamma.len()], &norm.gamma),
                    ("norm.bias", vec![norm.beta.len()], &norm.beta),
                ],
            },
        }
    }
}
