//! What can be compared: the engines by name, and what each must be able to do.

use std::path::PathBuf;
use std::rc::Rc;

use lacuna::{Block, Preset};
use lacuna_console::error::Result;
use lacuna_console::products::problem::Weights;
use lacuna_console::timing::Work;
use lacuna_kernels::ActivationBits;
use lacuna_kernels::reference::gemm::Matrix;
use serde::{Deserialize, Serialize};

use super::error::EngineError;

/// A way to compute a product or to run a model, as named in options and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum EngineId {
    /// Generated sparse int8 code.
    Lacuna,
    /// The same product in compiler intrinsics.
    LacunaIntrinsics,
    /// Generated dense int8 code.
    LacunaDense,
    /// Products: generated dense f32 code. Models: the f32 reference, on the `gemm` crate.
    LacunaF32,
    /// oneDNN's matmul of u8 and s8.
    OneDnnInt8,
    /// oneDNN's matmul of f32.
    OneDnnF32,
    /// ONNX Runtime on the f32 export.
    OnnxRuntimeF32,
    /// ONNX Runtime on the export with dynamically quantised linear layers.
    OnnxRuntimeDynamic,
    /// ONNX Runtime on the statically quantised export.
    OnnxRuntimeQdq,
    /// Products: rten-gemm, u8 by s8. Models: rten on the export with dynamically quantised linear layers.
    RtenInt8,
    /// rten-gemm or rten, f32.
    RtenF32,
    /// candle's BERT.
    CandleF32,
    /// The `gemm` crate.
    GemmF32,
}

/// What an engine belongs to, and needs to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Library {
    /// Always there.
    Lacuna,
    /// A shared library, loaded at run time.
    OneDnn,
    /// A shared library, loaded at run time through the `ort` crate: cargo feature `ort`.
    OnnxRuntime,
    /// Cargo feature `rten`.
    Rten,
    /// Cargo feature `candle`.
    Candle,
    /// Cargo feature `gemm`.
    Gemm,
}

/// Y = W X, requantised: what every engine is asked to compute.
///
/// The exact result is `y[m][n] = multiplier[m] * sum_k W[m][k] X[k][n] + addend[m]`, in steps of the 8-bit output.
pub(crate) struct Product {
    /// s8 `[M][K]`, and the multiplier and addend of every row.
    pub(crate) weights: Weights,
    /// u8 `[K][N]`.
    pub(crate) x: Rc<Matrix<u8>>,
    /// What is stored.
    pub(crate) output: OutputKind,
    /// Block shape of the zeros.
    pub(crate) block: Block,
    /// Threads that the engine may use.
    pub(crate) threads: usize,
}

/// What a quantised product stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OutputKind {
    /// `clamp(round(y), 0, 255)`
    U8,
    /// `clamp(round(y), -128, 127)`
    S8,
    /// y as f32
    F32,
}

impl OutputKind {
    /// The name in options and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            OutputKind::U8 => "u8",
            OutputKind::S8 => "s8",
            OutputKind::F32 => "f32",
        }
    }
}

/// What an engine really stored, which decides how near to the exact result it can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// 8-bit codes, rounded and saturated as [`OutputKind`] says.
    Codes,
    /// y as f32.
    Real,
    /// The sums over k as s32, which the caller would still have to requantise.
    #[cfg_attr(not(feature = "rten"), allow(dead_code, reason = "only rten-gemm stores sums"))]
    Sums,
}

/// A product that is ready to run.
pub(crate) trait ProductCall: Work {
    /// What the engine says it runs: the name of a kernel, an instruction set.
    fn implementation(&self) -> String;

    /// What the last call stored.
    fn stored(&self) -> Stored;

    /// One element of the result of the last call: a code, y, or a sum.
    fn value(&self, row: usize, token: usize) -> f64;
}

/// A batch of token ids that is ready to run.
pub(crate) trait ModelCall: Work {
    /// What the engine says it runs.
    fn implementation(&self) -> String;

    /// The embeddings that the last call computed, one vector per sequence.
    fn embeddings(&mut self) -> Result<Vec<Vec<f32>>>;

    /// Microseconds by kind of kernel, of engines that can tell.
    fn breakdown(&mut self) -> Result<Option<Vec<(String, f64)>>> {
        Ok(None)
    }
}

/// Which model is run. Equal sources give equal models in every process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelSource {
    /// A directory; else a preset.
    pub(crate) dir: Option<PathBuf>,
    /// Name of the preset with random weights, when there is no directory.
    pub(crate) arch: Option<String>,
    /// Seed of random weights and calibration ids.
    pub(crate) seed: u64,
    /// Block shape and fraction of blocks pruned; `None` keeps the model's own zeros.
    pub(crate) pruning: Option<(String, f64)>,
    /// Sentences to calibrate on; random ids without.
    pub(crate) calibrate: Option<PathBuf>,
    /// Bits of the codes that Lacuna's linear layers read.
    pub(crate) activation_bits: ActivationBits,
}

/// What an engine gets to load a model from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelFiles {
    /// For engines that read weights.
    pub(crate) source: ModelSource,
    /// For engines that read ONNX: the export in the form of the engine.
    pub(crate) onnx: Option<PathBuf>,
}

/// One engine, loaded into this process. Calls run on [`Engine::threads`] threads.
pub(crate) trait Engine {
    /// The version that the library reports.
    fn version(&self) -> String;

    /// Makes `product` ready and hands it to `run`. Weights are packed or reordered here, outside of what is timed.
    fn with_product(
        &mut self,
        product: &Product,
        run: &mut dyn FnMut(&mut dyn ProductCall) -> Result<()>,
    ) -> Result<()>;

    /// Loads a model, in place of the one loaded before.
    fn load_model(&mut self, files: &ModelFiles) -> Result<()>;

    /// Makes a batch of the loaded model ready and hands it to `run`. All sequences have the same length.
    fn with_batch(&mut self, ids: &[Vec<u32>], run: &mut dyn FnMut(&mut dyn ModelCall) -> Result<()>) -> Result<()>;
}

/// The facts of an engine in one table.
struct Facts {
    id: EngineId,
    name: &'static str,
    library: Library,
    dtype: &'static str,
    products: bool,
    models: bool,
    /// Whether it multiplies zeros, so that others can be measured against it.
    dense: bool,
}

#[rustfmt::skip]
const ENGINES: [Facts; 13] = {
    use EngineId::*;
    const fn facts(id: EngineId, name: &'static str, library: Library, dtype: &'static str, products: bool, models: bool, dense: bool) -> Facts {
        Facts { id, name, library, dtype, products, models, dense }
    }
    [
        //    id                  name                   library               dtype           products models dense
        facts(Lacuna,             "lacuna",              Library::Lacuna,      "int8",         true,    true,  false),
        facts(LacunaIntrinsics,   "lacuna-intrinsics",   Library::Lacuna,      "int8",         true,    false, false),
        facts(LacunaDense,        "lacuna-dense",        Library::Lacuna,      "int8",         true,    true,  true),
        facts(OneDnnInt8,         "onednn-int8",         Library::OneDnn,      "int8",         true,    false, true),
        facts(RtenInt8,           "rten-int8",           Library::Rten,        "int8",         true,    true,  true),
        facts(OnnxRuntimeQdq,     "onnxruntime-qdq",     Library::OnnxRuntime, "int8-static",  false,   true,  true),
        facts(OnnxRuntimeDynamic, "onnxruntime-dynamic", Library::OnnxRuntime, "int8-dynamic", false,   true,  true),
        facts(LacunaF32,          "lacuna-f32",          Library::Lacuna,      "f32",          true,    true,  true),
        facts(OneDnnF32,          "onednn-f32",          Library::OneDnn,      "f32",          true,    false, true),
        facts(OnnxRuntimeF32,     "onnxruntime-f32",     Library::OnnxRuntime, "f32",          false,   true,  true),
        facts(RtenF32,            "rten-f32",            Library::Rten,        "f32",          true,    true,  true),
        facts(CandleF32,          "candle-f32",          Library::Candle,      "f32",          false,   true,  true),
        facts(GemmF32,            "gemm-f32",            Library::Gemm,        "f32",          true,    false, true),
    ]
};

impl Library {
    /// The name in options and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Library::Lacuna => "lacuna",
            Library::OneDnn => "onednn",
            Library::OnnxRuntime => "onnxruntime",
            Library::Rten => "rten",
            Library::Candle => "candle",
            Library::Gemm => "gemm",
        }
    }

    /// The cargo feature that builds it in, of those that have one.
    pub(crate) fn feature(self) -> Option<&'static str> {
        match self {
            Library::Lacuna | Library::OneDnn => None,
            Library::OnnxRuntime => Some("ort"),
            Library::Rten => Some("rten"),
            Library::Candle => Some("candle"),
            Library::Gemm => Some("gemm"),
        }
    }

    /// Whether this command was built with it.
    pub(crate) fn is_built(self) -> bool {
        match self {
            Library::Lacuna | Library::OneDnn => true,
            Library::OnnxRuntime => cfg!(feature = "ort"),
            Library::Rten => cfg!(feature = "rten"),
            Library::Candle => cfg!(feature = "candle"),
            Library::Gemm => cfg!(feature = "gemm"),
        }
    }
}

impl EngineId {
    /// Every engine, in the order of reports.
    pub(crate) fn all() -> impl Iterator<Item = EngineId> {
        ENGINES.iter().map(|facts| facts.id)
    }

    /// The engine of a name.
    pub(crate) fn named(text: &str) -> Result<EngineId, String> {
        EngineId::all().find(|id| id.name() == text).ok_or_else(|| format!("unknown engine {text:?}"))
    }

    fn facts(self) -> &'static Facts {
        ENGINES.iter().find(|facts| facts.id == self).unwrap_or(&ENGINES[0]) // every engine has its line: tested
    }

    /// The name in options and reports.
    pub(crate) fn name(self) -> &'static str {
        self.facts().name
    }

    /// What it belongs to.
    pub(crate) fn library(self) -> Library {
        self.facts().library
    }

    /// The data type of its products.
    pub(crate) fn dtype(self) -> &'static str {
        self.facts().dtype
    }

    /// Whether it computes single products.
    pub(crate) fn has_products(self) -> bool {
        self.facts().products
    }

    /// Whether it runs models.
    pub(crate) fn has_models(self) -> bool {
        self.facts().models
    }

    /// Whether it multiplies zeros.
    pub(crate) fn is_dense(self) -> bool {
        self.facts().dense
    }
}

impl ModelSource {
    /// The preset, if the model has random weights.
    pub(crate) fn preset(&self) -> Result<Option<Preset>> {
        Ok(self.arch.as_deref().map(str::parse).transpose()?)
    }
}

/// An engine that does not do what was asked for.
pub(crate) fn cannot<T>(engine: EngineId, what: &'static str) -> Result<T> {
    Err(EngineError::Cannot { engine: engine.name(), what }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_has_a_line_of_its_own() {
        for id in EngineId::all() {
            assert_eq!(id.facts().id, id);
            assert!(id.has_products() || id.has_models());
            assert_eq!(EngineId::all().filter(|other| other.name() == id.name()).count(), 1);
            assert_eq!(EngineId::named(id.name()), Ok(id));
        }
        assert!(EngineId::named("onednn").is_err());
    }
}
