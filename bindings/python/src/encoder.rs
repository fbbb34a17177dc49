//! An encoder with its head.

use std::path::PathBuf;
use std::sync::Arc;

use lacuna::config::{Prompt, Remark, Similarity};
use lacuna::heads::Head;
use lacuna::{Compile, Model, PackedModel, Tier};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyDict, PyList};

use crate::call::{apart, check};
use crate::closing::Active;
use crate::compute::{self, Compute};
use crate::embed::{self, States, Tokenized, Vectors};
use crate::error::{self, OrRaise};
use crate::inputs::Input;
use crate::session::PySession;
use crate::shipped;
use crate::threads::Threads;

/// What a model's files say about texts and vectors, besides the encoder.
pub(crate) struct Settings {
    pub(crate) similarity: Option<Similarity>,
    pub(crate) remarks: Vec<Remark>,
    pub(crate) head: Option<Head>,
}

/// An encoder that is compiled for this machine, or in float32 the reference, and the head of its model.
///
/// Threads may share it. Calls release the GIL, and end with `KeyboardInterrupt` on Ctrl-C.
#[pyclass(name = "Encoder", module = "lacuna", frozen)]
pub(crate) struct PyEncoder {
    pub(crate) compute: Compute,
    pub(crate) head: Option<Arc<Head>>,
    pub(crate) threads: Threads,
    /// The process that loaded it.
    pub(crate) process: u32,
    similarity: Option<Similarity>,
    remarks: Vec<Remark>,
}

impl PyEncoder {
    pub(crate) fn new(
        py: Python<'_>,
        compute: Compute,
        settings: Settings,
        threads: Option<usize>,
    ) -> PyResult<PyEncoder> {
        let Settings { similarity, remarks, head } = settings;
        let threads = Threads::new(py, threads)?;
        let head = head.map(Arc::new);
        Ok(PyEncoder { compute, head, threads, process: std::process::id(), similarity, remarks })
    }

    /// Of a packed model.
    pub(crate) fn packed(
        py: Python<'_>,
        model: &PackedModel,
        tier: Option<Tier>,
        threads: Option<usize>,
    ) -> PyResult<PyEncoder> {
        let (encoder, head) = py
            .detach(|| {
                let head = model.head_class().is_some().then(|| model.head()).transpose()?;
                let compiler = model.compiler();
                let compiler = if let Some(tier) = tier { compiler.tier(tier) } else { compiler };
                Ok::<_, lacuna::Error>((compiler.compile()?, head))
            })
            .or_raise(py)?;
        let settings = Settings { similarity: model.similarity(), remarks: model.remarks(), head };
        PyEncoder::new(py, Compute::Int8(Arc::new(encoder)), settings, threads)
    }

    /// The longest sequence in tokens, if nothing shortens it.
    pub(crate) fn limit(&self) -> usize {
        let positions = self.compute.backbone().config().max_position;
        self.compute.backbone().tokenizer().map_or(positions, |tokenizer| tokenizer.max_length().min(positions))
    }
}

/// The tier of a name.
pub(crate) fn tier(py: Python<'_>, name: Option<&str>) -> PyResult<Option<Tier>> {
    let names = || Tier::ALL.map(Tier::name).join(", ");
    name.map(|name| name.parse::<Tier>().map_err(|_| error::option(py, "tier", name, &names()))).transpose()
}

/// The head of a model, if it has one.
pub(crate) fn head_of(model: &Model) -> lacuna::Result<Option<Head>> {
    match model.head() {
        Ok(head) => Ok(Some(head)),
        Err(lacuna::errors::ModelError::NoHead { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[pymethods]
impl PyEncoder {
    /// Opens a packed file, or a model directory, which is calibrated first; without a path the model that comes with the package.
    ///
    /// With `compute="float32"` a directory is not calibrated: the f32 reference runs its weights as they are.
    #[staticmethod]
    #[pyo3(signature = (path=None, *, compute="int8", threads=None, tier=None))]
    fn open(
        py: Python<'_>,
        path: Option<PathBuf>,
        compute: &str,
        threads: Option<usize>,
        tier: Option<&str>,
    ) -> PyResult<PyEncoder> {
        let is_float32 = compute::is_float32(py, compute)?;
        let tier = self::tier(py, tier)?;
        if let (true, Some(tier)) = (is_float32, tier) {
            return Err(error::option(py, "tier", tier.name(), "None for float32, which has no generated kernels"));
        }
        let _active = Active::begin(py)?;
        let packed = |model: &PackedModel| match is_float32 {
            true => Err(model.needs_weights("compute=\"float32\"", "open that directory")).or_raise(py),
            false => PyEncoder::packed(py, model, tier, threads),
        };
        let Some(path) = path else { return packed(&shipped::open(py)?) };
        if py.detach(|| PackedModel::is_meant(&path)) {
            return packed(&py.detach(|| PackedModel::open(&path)).or_raise(py)?);
        }
        let (compute, settings) = apart(py, move |cancel| {
            let model = Model::open(&path)?;
            let head = head_of(&model)?;
            let settings = Settings { similarity: model.similarity(), remarks: model.remarks(), head };
            if is_float32 {
                return Ok((Compute::Float32(Arc::new(model)), settings));
            }
            check(cancel)?;
            let calibrated = model.calibration().run_default()?;
            check(cancel)?;
            let compiler = calibrated.compiler();
            let compiler = if let Some(tier) = tier { compiler.tier(tier) } else { compiler };
            Ok::<_, lacuna::Error>((Compute::Int8(Arc::new(compiler.compile()?)), settings))
        })?
        .or_raise(py)?;
        PyEncoder::new(py, compute, settings, threads)
    }

    /// `int8` or `float32`.
    #[getter]
    fn compute(&self) -> &'static str {
        self.compute.name()
    }

    /// Features of an embedding.
    #[getter]
    fn features(&self) -> usize {
        self.compute.backbone().features()
    }

    /// Features of a hidden state.
    #[getter]
    fn hidden_size(&self) -> usize {
        self.compute.backbone().config().hidden_size
    }

    /// The longest sequence in tokens, special tokens included, unless a call says another.
    #[getter]
    fn max_length(&self) -> usize {
        self.limit()
    }

    /// The longest sequence that the model has positions for.
    #[getter]
    fn max_position(&self) -> usize {
        self.compute.backbone().config().max_position
    }

    /// Whether the model distinguishes the two texts of a pair.
    #[getter]
    fn has_token_types(&self) -> bool {
        self.compute.backbone().config().type_vocab_size > 1
    }

    /// The token that fills up sequences where they must have one length; 0 if the vocabulary has none.
    #[getter]
    fn pad_id(&self) -> u32 {
        let tokenizer = self.compute.backbone().tokenizer();
        let id = |token: &&str| tokenizer.and_then(|tokenizer| tokenizer.id_of(token));
        ["[PAD]", "<pad>"].iter().find_map(id).unwrap_or(0)
    }

    /// The token that is to be filled in; `None` if the vocabulary has none.
    #[getter]
    fn mask_id(&self) -> Option<u32> {
        let tokenizer = self.compute.backbone().tokenizer()?;
        ["[MASK]", "<mask>"].iter().find_map(|token| tokenizer.id_of(token))
    }

    /// Threads of each call; `None` if calls share those of the process.
    #[getter]
    fn threads(&self) -> Option<usize> {
        self.threads.count()
    }

    /// Prompts by name.
    #[getter]
    fn prompts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let prompts = PyDict::new(py);
        for Prompt { name, text } in &self.compute.backbone().prompts().list {
            prompts.set_item(name, text)?;
        }
        Ok(prompts)
    }

    /// The name of the prompt that the model's files put before every text.
    #[getter]
    fn default_prompt_name(&self) -> Option<String> {
        self.compute.backbone().prompts().default.clone()
    }

    /// How embeddings are meant to be compared, if the model's files say so.
    #[getter]
    fn similarity(&self) -> Option<&'static str> {
        self.similarity.map(Similarity::name)
    }

    /// Pooling and what follows it, in words.
    #[getter]
    fn pooling(&self) -> String {
        self.compute.backbone().pooling().describe()
    }

    /// What users should know about the settings in the model's files.
    #[getter]
    fn remarks(&self) -> Vec<String> {
        self.remarks.iter().map(ToString::to_string).collect()
    }

    /// The class of the head; `None` without one.
    #[getter]
    fn head_class(&self) -> Option<&str> {
        self.head.as_ref().map(|head| head.class())
    }

    /// What the head is for; `None` without one.
    #[getter]
    fn head_kind(&self) -> Option<&'static str> {
        self.head.as_ref().map(|head| head.kind().name())
    }

    /// What a classification's outputs are called.
    #[getter]
    fn labels(&self) -> Vec<String> {
        self.head.as_ref().map(|head| head.labels().to_vec()).unwrap_or_default()
    }

    /// How the outputs of a sequence classification become scores; `None` for other heads.
    #[getter]
    fn problem(&self) -> Option<&'static str> {
        use lacuna::heads::HeadKind::SequenceClassification;
        let head = self.head.as_ref().filter(|head| head.kind() == SequenceClassification)?;
        Some(head.problem().name())
    }

    /// Whether a cross-encoder's score is the sigmoid of its logit (`"sigmoid"`) or the logit (`"identity"`); `None` without a head.
    #[getter]
    fn score_function(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        use lacuna::heads::ScoreFunction;
        let Some(head) = &self.head else { return Ok(None) };
        match head.score_function().or_raise(py)? {
            ScoreFunction::Sigmoid => Ok(Some("sigmoid")),
            ScoreFunction::Identity => Ok(Some("identity")),
            _ => Err(error::new(py, "unsupported", "the function of this cross-encoder's scores is not known here")),
        }
    }

    /// How the encoder was loaded, as a dictionary.
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.compute.report(py)
    }

    /// The same as a text.
    fn report_text(&self) -> String {
        self.compute.report_text()
    }

    /// One vector per text, and which texts were truncated: `(index, tokens, limit)`.
    ///
    /// `prompt` goes before every text. `progress` is called now and then with the number of texts that are done.
    #[pyo3(signature = (texts, *, prompt=None, max_length=None, progress=None))]
    fn embed<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<PyBackedStr>,
        prompt: Option<&str>,
        max_length: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vectors<'py>> {
        embed::embed(py, self, &texts, prompt, max_length, progress, None)
    }

    /// The hidden states of every text, one row per token, and which texts were truncated.
    #[pyo3(signature = (texts, *, prompt=None, max_length=None, progress=None))]
    fn hidden_states<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<PyBackedStr>,
        prompt: Option<&str>,
        max_length: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<States<'py>> {
        embed::hidden_states(py, self, &texts, prompt, max_length, progress)
    }

    /// Token ids, token types and the number of tokens before truncation, for each text or pair.
    #[pyo3(signature = (inputs, *, max_length=None))]
    fn tokenize<'py>(
        &self,
        py: Python<'py>,
        inputs: Vec<Input>,
        max_length: Option<usize>,
    ) -> PyResult<Vec<Tokenized<'py>>> {
        embed::tokenize(py, self, &inputs, max_length)
    }

    /// The text of token ids.
    #[pyo3(signature = (ids, *, skip_special_tokens=false))]
    fn decode(&self, py: Python<'_>, ids: Vec<u32>, skip_special_tokens: bool) -> PyResult<String> {
        let tokenizer =
            self.compute.backbone().tokenizer().ok_or(lacuna::errors::ModelError::NoTokenizer).or_raise(py)?;
        tokenizer.decode(&ids, skip_special_tokens).or_raise(py)
    }

    /// The logits of every text or pair, one row each, and which inputs were truncated: of a model with a head for sequence classification.
    #[pyo3(signature = (inputs, *, max_length=None, progress=None))]
    fn logits<'py>(
        &self,
        py: Python<'py>,
        inputs: Vec<Input>,
        max_length: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vectors<'py>> {
        crate::tasks::logits(py, self, &inputs, max_length, progress)
    }

    /// The labelled spans of every text: of a model with a head for token classification.
    #[pyo3(signature = (texts, *, aggregation="simple", scheme=None, overlap=None))]
    fn tag<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<PyBackedStr>,
        aggregation: &str,
        scheme: Option<&str>,
        overlap: Option<usize>,
    ) -> PyResult<Bound<'py, PyList>> {
        crate::tasks::tag(py, self, &texts, aggregation, scheme, overlap)
    }

    /// Answers for every question and context: of a model with a head for question answering.
    #[pyo3(signature = (inputs, *, top_k=1, max_tokens=30, overlap=None, allow_none=false))]
    fn answer<'py>(
        &self,
        py: Python<'py>,
        inputs: Vec<(String, String)>,
        top_k: usize,
        max_tokens: usize,
        overlap: Option<usize>,
        allow_none: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = lacuna::tasks::AnswerOptions { top_k, max_tokens, overlap, allow_none };
        crate::tasks::answer(py, self, inputs, options)
    }

    /// Candidates for every mask of every text: of a masked language model.
    #[pyo3(signature = (texts, *, top_k=5))]
    fn fill<'py>(&self, py: Python<'py>, texts: Vec<PyBackedStr>, top_k: usize) -> PyResult<Bound<'py, PyAny>> {
        crate::tasks::fill(py, self, &texts, top_k)
    }

    /// A user of this encoder whose calls another thread can cancel.
    fn session(slf: Py<Self>, py: Python<'_>) -> PySession {
        PySession::new(py, slf)
    }

    fn __repr__(&self) -> String {
        let config = self.compute.backbone().config();
        let head = self.head.as_ref().map_or("no head", |head| head.class());
        let runs = match &self.compute {
            Compute::Int8(encoder) => encoder.report().tier,
            Compute::Float32(_) => self.compute.name(),
        };
        format!(
            "<lacuna.Encoder: {}, {} layers, {} features, {head}, {runs}>",
            config.architecture, config.layers, config.hidden_size
        )
    }
}
