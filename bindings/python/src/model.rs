//! The way from f32 weights to a packed file: open, prune, calibrate, compile, pack.

use std::path::PathBuf;
use std::sync::Arc;

use lacuna::calibration::{Choice, Keep, RangeMethod, Smoothing};
use lacuna::{Block, CalibratedModel, Compile, Form, Model, OpenOptions, PackedModel, TextInput};
use pyo3::prelude::*;
use pythonize::pythonize;

use crate::call::{apart, check};
use crate::closing::Active;
use crate::compute::Compute;
use crate::encoder::{PyEncoder, Settings, head_of, tier};
use crate::error::{self, OrRaise};
use crate::inputs::{Input, OwnedInput};

/// A model in f32, as read or pruned.
#[pyclass(name = "Model", module = "lacuna", frozen)]
pub(crate) struct PyModel {
    model: Model,
}

#[pymethods]
impl PyModel {
    /// Reads a directory, a weight file or an ONNX graph. `weights` names another weight file of the directory.
    #[staticmethod]
    #[pyo3(signature = (path, *, weights=None))]
    fn open(py: Python<'_>, path: PathBuf, weights: Option<PathBuf>) -> PyResult<PyModel> {
        let options = weights.into_iter().fold(OpenOptions::default(), OpenOptions::with_weights);
        let model = apart(py, move |_| Model::open_with(&path, &options))?.or_raise(py)?;
        Ok(PyModel { model })
    }

    /// A copy in which the fraction `sparsity` of the blocks of every linear layer is zero, those of the least magnitude.
    fn prune(&self, py: Python<'_>, block: &str, sparsity: f64) -> PyResult<PyModel> {
        let Ok(block) = block.parse::<Block>() else {
            return Err(error::option(py, "block", block, "4x1, 1x4, 4x4, 8x1, 16x1 or unstructured"));
        };
        let model = self.model.clone();
        let model = apart(py, move |_| model.prune(block, sparsity))?.or_raise(py)?;
        Ok(PyModel { model })
    }

    /// Chooses the scales of all activations. `texts` are about 200 texts, or pairs, of the kind that the model will see; without them those that
    /// are stored beside the model are taken, or else a built-in collection.
    #[pyo3(signature = (texts=None, *, range=None, smoothing=None, measured=false, keep_below_db=None, at_most=None))]
    #[allow(clippy::too_many_arguments)] // they have names
    fn calibrate(
        &self,
        py: Python<'_>,
        texts: Option<Vec<Input>>,
        range: Option<&str>,
        smoothing: Option<&str>,
        measured: bool,
        keep_below_db: Option<f64>,
        at_most: Option<usize>,
    ) -> PyResult<PyCalibratedModel> {
        let mut calibration = self.model.clone().calibration();
        if let Some(range) = range {
            calibration = calibration.range(range.parse::<RangeMethod>().or_raise(py)?);
        }
        if let Some(smoothing) = smoothing {
            calibration = calibration.smoothing(smoothing.parse::<Smoothing>().or_raise(py)?);
        }
        if measured {
            calibration = calibration.choice(Choice::Measured);
        }
        if let Some(db) = keep_below_db {
            calibration = calibration.keep(Keep::below(db));
        }
        if let Some(texts) = at_most {
            calibration = calibration.at_most(texts);
        }
        let texts: Option<Vec<_>> = texts.map(|texts| texts.iter().map(Input::to_owned).collect());
        let calibrated = apart(py, move |_| match &texts {
            None => calibration.run_default(),
            Some(texts) => calibration.run(texts.iter().map(OwnedInput::as_input).collect::<Vec<TextInput<'_>>>()),
        })?
        .or_raise(py)?;
        Ok(PyCalibratedModel { calibrated })
    }

    /// Writes a directory that `open` reads.
    fn write(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let _active = Active::begin(py)?;
        py.detach(|| self.model.write(&path)).or_raise(py)
    }

    /// The fraction of weights of the linear layers that are zero.
    #[getter]
    fn sparsity(&self) -> f64 {
        let zeros = self.model.zeros();
        let (zero, all) = zeros.iter().fold((0, 0), |(zero, all), linear| {
            let weights = linear.zeros.unstructured;
            (zero + weights.zero, all + weights.total)
        });
        zero as f64 / (all as f64).max(1.0)
    }

    /// Notes about the files: assumed settings, and what is easily missed.
    #[getter]
    fn remarks(&self) -> Vec<String> {
        self.model.remarks().iter().map(ToString::to_string).collect()
    }

    /// The class of the head; `None` without one.
    #[getter]
    fn head_class(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let head = py.detach(|| head_of(&self.model)).or_raise(py)?;
        Ok(head.map(|head| head.class().to_owned()))
    }

    fn __repr__(&self) -> String {
        let config = self.model.config();
        let zero = self.sparsity() * 1e2;
        format!(
            "<lacuna.Model: {}, {} layers, {} features, {zero:.1} % of weights zero>",
            config.architecture, config.layers, config.hidden_size
        )
    }
}

/// A model with a scale for every activation.
#[pyclass(name = "CalibratedModel", module = "lacuna", frozen)]
pub(crate) struct PyCalibratedModel {
    calibrated: CalibratedModel,
}

#[pymethods]
impl PyCalibratedModel {
    /// Generates the code for this machine. `form` is `auto`, `dense` or `sparse`.
    #[pyo3(signature = (*, form="auto", tier=None, threads=None))]
    fn compile(&self, py: Python<'_>, form: &str, tier: Option<&str>, threads: Option<usize>) -> PyResult<PyEncoder> {
        let (form, tier) = (self::form(py, form)?, self::tier(py, tier)?);
        let calibrated = self.calibrated.clone();
        let (encoder, head) = apart(py, move |cancel| {
            let head = head_of(calibrated.model())?;
            check(cancel)?;
            let compiler = calibrated.compiler().form(form);
            let compiler = if let Some(tier) = tier { compiler.tier(tier) } else { compiler };
            Ok::<_, lacuna::Error>((compiler.compile()?, head))
        })?
        .or_raise(py)?;
        let model = self.calibrated.model();
        let settings = Settings { similarity: model.similarity(), remarks: model.remarks(), head };
        PyEncoder::new(py, Compute::Int8(Arc::new(encoder)), settings, threads)
    }

    /// Packs the weights as the kernels read them. `form` is `auto`, `dense` or `sparse`; `small_tables` rounds word and position embeddings to
    /// a byte per value.
    #[pyo3(signature = (*, form="auto", tier=None, small_tables=false))]
    fn pack(&self, py: Python<'_>, form: &str, tier: Option<&str>, small_tables: bool) -> PyResult<PyPackedModel> {
        let (form, tier) = (self::form(py, form)?, self::tier(py, tier)?);
        let calibrated = self.calibrated.clone();
        let packed = apart(py, move |_| {
            let compiler = calibrated.compiler().form(form).small_tables(small_tables);
            let compiler = if let Some(tier) = tier { compiler.tier(tier) } else { compiler };
            compiler.pack()
        })?
        .or_raise(py)?;
        Ok(PyPackedModel { packed })
    }

    /// The precision of every layer's inputs.
    fn precision<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, self.calibrated.precision())?)
    }

    /// What the scales were made from.
    fn basis<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, self.calibrated.basis())?)
    }

    /// The model in f32.
    #[getter]
    fn model(&self) -> PyModel {
        PyModel { model: self.calibrated.model().clone() }
    }

    fn __repr__(&self) -> String {
        let config = self.calibrated.model().config();
        format!(
            "<lacuna.CalibratedModel: {}, {} layers, {} features>",
            config.architecture, config.layers, config.hidden_size
        )
    }
}

/// Weights as the kernels read them, in memory or in a file.
#[pyclass(name = "PackedModel", module = "lacuna", frozen)]
pub(crate) struct PyPackedModel {
    packed: PackedModel,
}

#[pymethods]
impl PyPackedModel {
    /// Opens a packed file; without a path the model that comes with the package.
    #[staticmethod]
    #[pyo3(signature = (path=None))]
    fn open(py: Python<'_>, path: Option<PathBuf>) -> PyResult<PyPackedModel> {
        let _active = Active::begin(py)?;
        let packed = match path {
            None => crate::shipped::open(py)?,
            Some(path) => py.detach(|| PackedModel::open(&path)).or_raise(py)?,
        };
        Ok(PyPackedModel { packed })
    }

    /// Writes the file. A file at its place is replaced when the new one is complete. Gives the number of bytes.
    fn write(&self, py: Python<'_>, path: PathBuf) -> PyResult<u64> {
        let _active = Active::begin(py)?;
        py.detach(|| self.packed.write(&path)).or_raise(py)
    }

    /// Generates the code for this machine.
    #[pyo3(signature = (*, tier=None, threads=None))]
    fn compile(&self, py: Python<'_>, tier: Option<&str>, threads: Option<usize>) -> PyResult<PyEncoder> {
        let tier = self::tier(py, tier)?;
        let _active = Active::begin(py)?;
        PyEncoder::packed(py, &self.packed, tier, threads)
    }

    /// Bytes of the file; 0 for a model in memory.
    #[getter]
    fn file_bytes(&self) -> usize {
        self.packed.file_bytes()
    }

    /// The class of the head; `None` without one.
    #[getter]
    fn head_class(&self) -> Option<&str> {
        self.packed.head_class()
    }

    /// What users should know about the settings of the model.
    #[getter]
    fn remarks(&self) -> Vec<String> {
        self.packed.remarks().iter().map(ToString::to_string).collect()
    }

    /// The sections of the file with their bytes.
    #[getter]
    fn sections(&self) -> Vec<(String, u64)> {
        self.packed.sections().iter().map(|section| (section.name.clone(), section.length)).collect()
    }

    fn __repr__(&self) -> String {
        let config = self.packed.config();
        format!(
            "<lacuna.PackedModel: {}, {} layers, {} features, {} bytes>",
            config.architecture,
            config.layers,
            config.hidden_size,
            self.packed.file_bytes()
        )
    }
}

/// The form of a name.
fn form(py: Python<'_>, name: &str) -> PyResult<Form> {
    match name {
        "auto" => Ok(Form::Auto),
        "dense" => Ok(Form::Dense),
        "sparse" => Ok(Form::Sparse),
        other => Err(error::option(py, "form", other, "auto, dense or sparse")),
    }
}
