//! Pruned, quantised Transformer encoders on CPUs through generated machine code.
//!
//! A model goes through stages. Each stage has a type of its own, so the compiler notices a step that is missing:
//! [`Model`] (f32 weights, read and checked), [`CalibratedModel`] (scales for every activation), [`PackedModel`] (weights as the
//! kernels read them, in memory or in a file) and [`Encoder`] (kernels generated for exactly these weights).
//!
//! # Five tasks
//!
//! ## Embed sentences
//!
//! ```no_run
//! use lacuna::{Compile, Model};
//!
//! fn main() -> lacuna::Result<()> {
//!     // Scales come from a built-in collection of texts; `run(&texts)` takes about 200 of your own.
//!     let encoder = Model::open("all-MiniLM-L6-v2")?.calibration().run_default()?.compile()?;
//!     let embeddings = encoder.embed(&["A cat sits on the mat.", "A kitten rests on a rug."])?;
//!     println!("{} vectors of {} features", embeddings.len(), embeddings[0].len());
//!     for cut in &embeddings.truncated {
//!         println!("sentence {} was cut from {} to {} tokens", cut.sentence, cut.tokens, cut.limit);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! ## Prune, calibrate and pack into a file
//!
//! The slow steps are done once. The file opens in milliseconds, on any x86-64 CPU.
//!
//! ```no_run
//! use lacuna::calibration::RangeMethod;
//! use lacuna::{Block, Compile, Form, Model};
//!
//! fn main() -> lacuna::Result<()> {
//!     let texts = ["A plane is taking off.", "A man is playing a flute."];
//!     let model = Model::open("all-MiniLM-L6-v2")?.prune(Block::B4x1, 0.8)?; // or use the zeros that the model has
//!     let calibrated = model.calibration().range(RangeMethod::Mse).run(&texts)?;
//!     let packed = calibrated.compiler().form(Form::Auto).pack()?;
//!     let bytes = packed.write("minilm.lacuna")?;
//!     println!("{bytes} bytes");
//!     Ok(())
//! }
//! ```
//!
//! ## Open a packed file and share it between threads
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use lacuna::{Cancel, Encoder, ErrorKind};
//!
//! fn main() -> lacuna::Result<()> {
//!     let encoder = Arc::new(Encoder::open("minilm.lacuna")?);
//!     let cancel = Cancel::new();
//!     let workers: Vec<_> = (0..2)
//!         .map(|_| {
//!             let session = encoder.session().with_cancel(cancel.clone());
//!             std::thread::spawn(move || session.embed(&["A cat sits on the mat."]))
//!         })
//!         .collect();
//!     cancel.cancel(); // running calls stop before the next layer of the model
//!     for result in workers.into_iter().filter_map(|worker| worker.join().ok()) {
//!         match result {
//!             Ok(embeddings) => println!("{} vectors", embeddings.len()),
//!             Err(error) if error.kind() == ErrorKind::Cancelled => println!("cancelled"),
//!             Err(error) => return Err(error),
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! ## Run a model with a head
//!
//! [`tasks`] has one type for each kind of head: classification, reranking, tagging, question answering, masked tokens.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use lacuna::tasks::CrossEncoder;
//! use lacuna::{Compile, Model};
//!
//! fn main() -> lacuna::Result<()> {
//!     let model = Model::open("ms-marco-MiniLM-L6-v2")?;
//!     let head = model.head()?; // a model without a head gives an error that says what the model is
//!     let (query, passages) = ("Where does the cat sit?", ["The cat sits on the mat.", "It rains at noon."]);
//!     let pairs = passages.map(|passage| (query, passage)); // about 200 pairs of your own
//!     let encoder = model.calibration().run(pairs)?.compile()?;
//!     for ranked in CrossEncoder::new(Arc::new(encoder), head)?.rank(query, &passages)?.iter() {
//!         println!("{:.3} {}", ranked.score, passages[ranked.index]);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! ## Run a task on lines of JSON
//!
//! A [`Task`](tasks::Task) reads a [`Record`](tasks::Record) from each line and writes a [`Row`](tasks::Row), as the `lacuna`
//! command does. Servers and bindings can use it as it is.
//!
//! ```no_run
//! use std::io::{BufRead, Write};
//! use std::sync::Arc;
//!
//! use lacuna::PackedModel;
//! use lacuna::tasks::{ClassifyTask, Row, Task, TaskModel};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let packed = PackedModel::open("sst2.lacuna")?;
//!     let model = TaskModel::new(Arc::new(packed.compile()?)).with_head(packed.head()?);
//!     let task = ClassifyTask { top_k: Some(1) };
//!     let mut out = std::io::stdout().lock();
//!     for line in std::io::stdin().lock().lines() {
//!         let record = task.parse(&line?)?; // {"text": "A fine film."}
//!         for row in task.run(&model, &[record])?.rows {
//!             row.write_json(&mut out)?;
//!             writeln!(out)?;
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Modules
//!
//! The root has what most programs need. The rest has a place of its own:
//!
//! | module | for |
//! | --- | --- |
//! | [`calibration`] | options of a calibration, and its report |
//! | [`config`] | the shape of a model: sizes, architecture, activation, pooling |
//! | [`errors`] | the errors that an [`Error`] can hold |
//! | [`heads`] | the head of a model |
//! | [`hub`] | models of the Hugging Face hub |
//! | `onnx` | models as ONNX graphs (feature `onnx`) |
//! | [`report`] | how an encoder was loaded, and where its time goes |
//! | [`tasks`] | what a model does with texts: embeddings, labels, scores, spans, fillings |
//! | [`tokens`] | tokenizers and sequences of token ids |
//! | [`weights`] | f32 weights of a model, and their zeros |
//!
//! # Errors
//!
//! Fallible functions return [`Result`]. An [`Error`] names the thing (file, tensor, setting, sentence), what was found and what was
//! expected, so its message says what to fix. [`Error::kind`] gives an [`ErrorKind`] for programs that decide what to do next. Nothing
//! falls back silently: a tier, a form or a file that you name is used, or it is an error. A `main` that returns [`Failure`] prints the
//! message of its error.
//!
//! # Threads
//!
//! Threads may share one [`Encoder`]. A [`Session`] has buffers of its own, allocates nothing in steady state, and can be cancelled.
//! A call spreads its work over the rayon pool that it runs in: `pool.install(|| encoder.embed(..))` uses that pool, and a pool of one
//! thread uses only that thread. Results do not depend on the number of threads, nor on the batch that a sentence is in.
//!
//! The global pool has as many threads as the system grants CPUs: those of the affinity mask, and no more than the CPU quota of the
//! cgroup. After a `fork` the child has none of these threads, so calls outside a pool fail with
//! [`ModelError::Forked`](errors::ModelError::Forked) and do not hang; calls inside a pool that the child made work. Fork while no other
//! thread is inside the library.
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `onnx` | yes | reading and writing ONNX graphs |
//! | `torch` | yes | reading `pytorch_model.bin` |
//! | `hub` | no | models of the Hugging Face hub; its TLS library needs a C compiler |
//!
//! # Names
//!
//! M is the number of output features of a linear layer, K the number of its input features, and N the number of tokens. Weights are
//! `[M][K]`.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod compile;
mod compiler;
mod container;
mod encoder;
mod error;
mod failure;
pub mod heads;
mod loaded;
mod packed;
pub mod tasks;

pub use compile::Form;
pub use compiler::{Compile, Compiler};
pub use encoder::{Cancel, Embeddings, Encoder, Session, Truncation};
pub use error::{Error, Result};
pub use failure::Failure;
pub use lacuna_jit::Tier;
pub use lacuna_kernels::spmm::{Tuning, TuningTable};
pub use lacuna_model::{
    Block, CalibratedModel, Calibration, ErrorKind, Model, OpenOptions, Precision, Preset, TextInput,
};
pub use packed::PackedModel;

pub mod calibration {
    //! Options of a [`Calibration`](crate::Calibration), what it decided, and its report.
    pub use lacuna_model::{
        ActivationBits, CalibrationBasis, CalibrationOptions, CalibrationReport, CalibrationSource, CalibrationTexts,
        CandidateReport, Choice, Keep, LayerPrecision, PrecisionReport, RangeMethod, SaturatedShares, Smoothing, TEXTS,
        TensorReport, built_in_texts, spread,
    };
}

pub mod config {
    //! The shape of a model: sizes, architecture, activation, how its embeddings are pooled, and which prompts go before texts.
    pub use lacuna_model::{
        Activation, Architecture, DenseModule, EncoderConfig, ModuleActivation, NormModule, Pooling, PoolingMode,
        PoolingSource, Prompt, PromptChoice, Prompts, Remark, RemarkScope, SentenceModule, Similarity,
    };
}

pub mod errors {
    //! The errors that an [`Error`](crate::Error) can hold. `?` converts each of them.
    pub use crate::container::PackedError;
    pub use crate::tasks::error::RecordError;
    pub use lacuna_kernels::spmm::TuningError;
    pub use lacuna_model::{CalibrationError, Error as ModelError, HubError, OnnxError, WeightError};
}

pub mod hub {
    //! Models of the Hugging Face hub: downloaded once into the cache of the hub's own tools, then read like any folder.
    //!
    //! ```no_run
    //! use lacuna::{Model, hub};
    //!
    //! fn main() -> lacuna::Result<()> {
    //!     let name: hub::HubModel = "sentence-transformers/all-MiniLM-L6-v2".parse()?; // or NAME@REVISION
    //!     let snapshot = hub::fetch(&name, &hub::HubOptions::from_env(), &mut ())?;
    //!     let model = Model::open(&snapshot.folder)?;
    //!     println!("{} layers of commit {}", model.config().layers, snapshot.commit);
    //!     Ok(())
    //! }
    //! ```
    //!
    //! [`fetch`] needs the feature `hub`, whose TLS library needs a C compiler. Without the feature it is an error that says so.
    pub use lacuna_model::hub::{FetchProgress, HubModel, HubOptions, Snapshot, fetch, model_folder};
}

#[cfg(feature = "onnx")]
pub mod onnx {
    //! Models as ONNX graphs that other runtimes load. [`Model::to_onnx`](crate::Model::to_onnx) makes one in f32,
    //! [`Model::to_onnx_dynamic`](crate::Model::to_onnx_dynamic) and [`CalibratedModel::to_onnx_qdq`](crate::CalibratedModel::to_onnx_qdq)
    //! in int8. [`Model::open`](crate::Model::open) reads graphs.
    pub use lacuna_model::export::{OnnxModel, OnnxSummary};
}

pub mod report {
    //! How an encoder was loaded ([`Encoder::report`](crate::Encoder::report)), where its time goes
    //! ([`Encoder::profile`](crate::Encoder::profile)), and what a packed file holds
    //! ([`PackedModel::sections`](crate::PackedModel::sections)).
    pub use crate::compile::Stage;
    pub use crate::container::Section;
    pub use crate::encoder::{Profile, Saturation, TensorSaturation};
    pub use crate::loaded::{LinearReport, LoadReport, Phase};
}

pub mod tokens {
    //! Tokenizers, and sequences of token ids with or without token types.
    pub use lacuna_model::{
        BertNormalization, Encoded, MaskToken, PromptedTexts, SentenceTokenizer, TokenIds, TokenOrigin, TokenizedText,
        TokenizerOptions, TruncationSide, TypedIds, seeded_ids,
    };
}

pub mod weights {
    //! The f32 weights of a model, for programs that make models or look into them, and the zeros in the weights.
    pub use lacuna_model::{
        BlockZeros, EmbeddingWeights, EncoderWeights, LINEAR_NAMES, LayerNorm, LayerWeights, Linear, LinearZeros,
        Matrix, Pruning, TensorInfo, ZeroCount,
    };
}

/// The examples of the README, compiled with the other documentation tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;

/// The examples of the page about the library, likewise.
#[doc = include_str!("../docs/rust.md")]
#[cfg(doctest)]
struct RustPage;
