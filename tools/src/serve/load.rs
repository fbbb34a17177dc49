//! From paths to models that can be served, at the start and again.

use std::path::Path;
use std::sync::Arc;

use lacuna::errors::ModelError;
use lacuna::heads::Head;
use lacuna::hub::HubOptions;
use lacuna::tasks::ClassifyRecord;
use lacuna::{Compile, Encoder, Error as LibraryError, Model, PackedModel, Tier};
use lacuna_console::context::pool;
use lacuna_console::error::{Error, Result};
use lacuna_console::source::hub_folder;
use lacuna_serve::ServedModel;

use super::named::{NamedModel, Source};
use crate::calibration::CalibrationArgs;
use crate::shipped;

/// What the shipped model is called.
const SHIPPED: &str = "all-MiniLM-L6-v2";

/// Opens, calibrates and compiles models.
pub(super) struct Loader {
    pub(super) models: Vec<NamedModel>,
    pub(super) calibration: CalibrationArgs,
    pub(super) no_head: bool,
    pub(super) tier: Tier,
    /// Threads that compile.
    pub(super) threads: usize,
}

impl Loader {
    /// All models, the default one first; the shipped model if none is named.
    pub(super) fn all(&self) -> Result<Vec<ServedModel>> {
        if self.models.is_empty() {
            return Ok(vec![self.shipped(shipped::open_by_default()?)?]);
        }
        self.models.iter().map(|model| self.load(model)).collect()
    }

    /// The model of a name, again.
    pub(super) fn again(&self, name: &str) -> Result<ServedModel> {
        match self.models.iter().find(|model| model.name == name) {
            Some(model) => self.load(model),
            None => self.shipped(shipped::open()?),
        }
    }

    fn shipped(&self, packed: PackedModel) -> Result<ServedModel> {
        self.calibration.check_packed(&packed)?;
        self.served(SHIPPED, packed.compiler().tier(self.tier).compile()?, None)
    }

    fn load(&self, model: &NamedModel) -> Result<ServedModel> {
        pool(self.threads)?.install(|| {
            let (encoder, head) = match &model.source {
                Source::Path(path) => self.open(path)?,
                Source::Hub(name) => self.open(&hub_folder(name, &HubOptions::from_env())?)?,
            };
            self.served(&model.name, encoder, head.filter(|_| !self.no_head))
        })
    }

    fn open(&self, path: &Path) -> Result<(Encoder, Option<Head>)> {
        if PackedModel::is_meant(path) {
            // A mapped file that is cut would end the server.
            let packed = PackedModel::read(path)?;
            self.calibration.check_packed(&packed)?;
            let head = packed.head_class().map(|_| packed.head()).transpose()?;
            return Ok((packed.compiler().tier(self.tier).compile()?, head));
        }
        let model = Model::open(path)?;
        let head = match model.head() {
            Ok(head) => Some(head),
            Err(ModelError::NoHead { .. }) => None,
            Err(error) => return Err(LibraryError::from(error).into()),
        };
        let texts = self.calibration.texts::<ClassifyRecord>()?;
        let calibrated = self.calibration.run(model, texts.as_ref(), self.tier)?;
        Ok((calibrated.compiler().tier(self.tier).compile()?, head))
    }

    fn served(&self, name: &str, encoder: Encoder, head: Option<Head>) -> Result<ServedModel> {
        ServedModel::new(name, Arc::new(encoder), head.map(Arc::new)).map_err(|error| Error::Argument {
            option: "--model",
            found: error.to_string(),
            expected: "a model that can be served".into(),
        })
    }
}
