//! Pooling, the modules behind it, and prompts, to and from the manifest and the sections of a file.

use std::path::Path;

use lacuna_model::{
    DenseModule, LayerNorm, Linear, Matrix, ModuleActivation, NormModule, Pooling, PoolingMode, PoolingSource, Prompts,
    SentenceModule,
};
use serde::{Deserialize, Serialize};

use crate::container::{PackedError, PackedFile, Sections};

/// How pooling is stored.
///
/// One mode of the oldest three with or without normalisation is stored as `mode` and `normalize`, which every reader understands. Anything
/// else is stored as `modes`, `include_prompt` and `modules`, without `mode`: older readers, which would compute something else, refuse
/// such a file because they miss it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PoolingEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<PoolingMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    normalize: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modes: Option<Vec<PoolingMode>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    include_prompt: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modules: Option<Vec<ModuleEntry>>,
    /// Whether the model directory had no settings.
    assumed: Assumed,
}

/// Whether settings were assumed, and in newer files why.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Assumed {
    Is(bool),
    Because(String),
}

/// What the sections `pooling.N.weight` and `pooling.N.bias` mean.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "module", rename_all = "kebab-case")]
enum ModuleEntry {
    Dense { outputs: usize, inputs: usize, activation: ModuleActivation },
    LayerNorm { features: usize, epsilon: f32 },
    Normalize,
}

/// No model has more modules, and no vector more features.
const MAX_MODULES: usize = 64;
const MAX_FEATURES: usize = 1 << 20;

impl PoolingEntry {
    /// Adds the weights of the modules to the sections. With a default prompt, older readers have to refuse the file, since they would put
    /// none before texts.
    pub(super) fn save<'a>(pooling: &'a Pooling, prompts: &Prompts, sections: &mut Sections<'a>) -> PoolingEntry {
        let Pooling { modes, include_prompt, modules, source } = pooling;
        let assumed = match source {
            PoolingSource::Assumed(why) => Assumed::Because(why.clone()),
            _ => Assumed::Is(false),
        };
        let oldest = match (&modes[..], &modules[..]) {
            ([mode @ (PoolingMode::Mean | PoolingMode::Cls | PoolingMode::Max)], [] | [SentenceModule::Normalize]) => {
                Some(*mode).filter(|_| *include_prompt && prompts.default_text().is_none())
            }
            _ => None,
        };
        if let Some(mode) = oldest {
            let assumed = Assumed::Is(matches!(assumed, Assumed::Because(_)));
            let normalize = Some(pooling.is_normalized());
            return PoolingEntry {
                mode: Some(mode),
                normalize,
                modes: None,
                include_prompt: None,
                modules: None,
                assumed,
            };
        }
        let modules = modules.iter().enumerate().map(|(i, module)| save_module(i, module, sections)).collect();
        PoolingEntry {
            mode: None,
            normalize: None,
            modes: Some(modes.clone()),
            include_prompt: Some(*include_prompt),
            modules: Some(modules),
            assumed,
        }
    }

    /// The settings, with weights copied out of the mapping; checked against the shape of the model.
    pub(super) fn load(&self, file: &PackedFile, hidden_size: usize) -> Result<Pooling, PackedError> {
        let wrong = |found: String, expected: &str| file.content_error("pooling", found, expected.to_owned());
        let assumed = match &self.assumed {
            Assumed::Is(false) => None,
            Assumed::Is(true) => Some("no 1_Pooling".to_owned()),
            Assumed::Because(why) => Some(why.clone()),
        };
        let path = file.path();
        let source = assumed.map_or_else(|| PoolingSource::File(path.to_owned()), PoolingSource::Assumed);
        let pooling = match (self.mode, self.normalize, &self.modes, self.include_prompt, &self.modules) {
            (Some(mode), Some(normalize), None, None, None) => Pooling { source, ..Pooling::new(mode, normalize) },
            (None, None, Some(modes), Some(include_prompt), Some(modules)) => {
                if modules.len() > MAX_MODULES || modes.len() > MAX_MODULES {
                    let found = format!("{} modes and {} modules", modes.len(), modules.len());
                    return Err(wrong(found, "at most 64 of each"));
                }
                let modules = modules.iter().enumerate().map(|(i, module)| load_module(i, module, file));
                let modules = modules.collect::<Result<_, _>>()?;
                Pooling { modes: modes.clone(), include_prompt, modules, source }
            }
            _ => {
                let expected = "mode and normalize, or modes, include_prompt and modules";
                return Err(wrong("a part of the settings".to_owned(), expected));
            }
        };
        let checked = pooling.check(hidden_size, Path::new("pooling"));
        checked.map_err(|error| wrong(error.to_string(), "parts that fit one another"))?;
        Ok(pooling)
    }
}

fn save_module<'a>(i: usize, module: &'a SentenceModule, sections: &mut Sections<'a>) -> ModuleEntry {
    let mut save = |weight: &'a [f32], bias: &'a [f32]| {
        sections.add(format!("pooling.{i}.weight"), weight);
        sections.add(format!("pooling.{i}.bias"), bias);
    };
    match module {
        SentenceModule::Normalize => ModuleEntry::Normalize,
        SentenceModule::Dense(DenseModule { linear, activation }) => {
            save(&linear.weight.data, &linear.bias);
            ModuleEntry::Dense { outputs: linear.outputs(), inputs: linear.inputs(), activation: *activation }
        }
        SentenceModule::LayerNorm(NormModule { norm, epsilon }) => {
            save(&norm.gamma, &norm.beta);
            ModuleEntry::LayerNorm { features: norm.gamma.len(), epsilon: *epsilon }
        }
    }
}

fn load_module(i: usize, module: &ModuleEntry, file: &PackedFile) -> Result<SentenceModule, PackedError> {
    let (weight, bias) = (format!("pooling.{i}.weight"), format!("pooling.{i}.bias"));
    let within = |features: usize| match (1..=MAX_FEATURES).contains(&features) {
        true => Ok(features),
        false => {
            let expected = format!("1 to {MAX_FEATURES} features");
            Err(file.content_error("pooling", features.to_string(), expected))
        }
    };
    match *module {
        ModuleEntry::Normalize => Ok(SentenceModule::Normalize),
        ModuleEntry::Dense { outputs, inputs, activation } => {
            let (rows, cols) = (within(outputs)?, within(inputs)?);
            let weight = Matrix { rows, cols, data: file.elements(&weight, rows.saturating_mul(cols))? };
            let linear = Linear { weight, bias: file.elements(&bias, rows)? };
            Ok(SentenceModule::Dense(DenseModule { linear, activation }))
        }
        ModuleEntry::LayerNorm { features, epsilon } => {
            let features = within(features)?;
            let norm = LayerNorm { gamma: file.elements(&weight, features)?, beta: file.elements(&bias, features)? };
            Ok(SentenceModule::LayerNorm(NormModule { norm, epsilon }))
        }
    }
}
