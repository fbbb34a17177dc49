//! Sessions and batches.

use std::path::{Path, PathBuf};

use lacuna_console::error::Result;
use lacuna_console::timing::Work;
use ort::environment::Environment;
use ort::ep;
use ort::memory::Allocator;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::Tensor;

use super::failure::{LIBRARY, failed};
use super::profile::Profile;
use crate::engine::ModelCall;
use crate::engines::onnx::{self, Input};
use crate::error::EngineError;

/// Tokens of the runs that tell which kernels there are, and how many runs.
const FIRST_RUNS: (usize, usize) = (8, 4);

/// Runs for the breakdown.
const PROFILED_RUNS: usize = 20;

/// A model in memory, and how to load it again.
pub(super) struct Loaded {
    environment: Environment,
    path: PathBuf,
    threads: usize,
    session: Session,
    implementation: String,
}

impl Loaded {
    /// Loads an export that must multiply matrices of integers if `int8`, and must not otherwise.
    pub(super) fn read(
        environment: &Environment,
        path: &Path,
        threads: usize,
        int8: bool,
    ) -> Result<Loaded, EngineError> {
        let profiled = Profiled::session(environment, path, threads)?;
        let (tokens, runs) = FIRST_RUNS;
        let inputs = Inputs::new(&profiled.session, &[vec![0; tokens]])?;
        let (session, profile) = profiled.finish(&inputs, runs)?;
        let call = format!("loading {}", path.display());
        let found = format!("these kernels ran: {}", profile.describe());
        match (profile.integer_products(), int8) {
            (0, true) => Err(failed(&call, format!("found no product of integers; {found}"))),
            (1.., false) => Err(failed(&call, format!("found products of integers, expected f32; {found}"))),
            _ => Ok(Loaded {
                environment: environment.clone(),
                path: path.to_owned(),
                threads,
                session,
                implementation: profile.describe(),
            }),
        }
    }
}

/// A session that writes down what it does.
struct Profiled {
    session: Session,
    /// Of its profile; goes with it.
    _folder: tempfile::TempDir,
}

impl Profiled {
    fn session(environment: &Environment, path: &Path, threads: usize) -> Result<Profiled, EngineError> {
        let folder = tempfile::tempdir().map_err(|error| failed("making a folder for the profile", error))?;
        let builder = options(environment, threads, folder.path()).map_err(|error| failed("session options", error));
        let session = builder?.commit_from_file(path).map_err(|error| failed("CreateSession", error))?;
        Ok(Profiled { session, _folder: folder })
    }

    /// Runs `runs` times after a first one, and ends the profile. The session goes on without one.
    fn finish(mut self, inputs: &Inputs, runs: usize) -> Result<(Session, Profile), EngineError> {
        for _ in 0..=runs {
            inputs.run(&mut self.session)?;
        }
        let written = self.session.end_profiling().map_err(|error| failed("SessionEndProfiling", error))?;
        let profile = Profile::read(Path::new(&written))?;
        Ok((self.session, profile))
    }
}

fn options(environment: &Environment, threads: usize, profile: &Path) -> ort::Result<SessionBuilder> {
    Ok(Session::builder(environment)?
        .with_execution_providers([ep::CPU::default().with_arena_allocator(true).build()])?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_profiling(profile.join("profile"))?)
}

/// The inputs of a batch, s64 `[batch][sequence]`: those that the file has.
struct Inputs {
    shape: [usize; 2],
    tensors: Vec<(Input, Tensor<i64>)>,
}

impl Inputs {
    fn new(session: &Session, ids: &[Vec<u32>]) -> Result<Inputs, EngineError> {
        let shape = onnx::shape(LIBRARY, ids)?;
        let ids: Vec<i64> = ids.iter().flatten().map(|&id| i64::from(id)).collect();
        let has = |input: &Input| session.inputs().iter().any(|outlet| outlet.name() == input.name());
        let tensor = |input: Input| Ok((input, Tensor::from_array((shape, input.values(&ids)))?));
        let tensors: ort::Result<_> = Input::ALL.into_iter().filter(has).map(tensor).collect();
        Ok(Inputs { shape, tensors: tensors.map_err(|error| failed("CreateTensor", error))? })
    }

    /// Runs without binding, and returns the shape of the embeddings.
    fn run(&self, session: &mut Session) -> Result<Vec<i64>, EngineError> {
        let inputs: Vec<_> = self.tensors.iter().map(|(input, tensor)| (input.name(), tensor)).collect();
        let outputs = session.run(inputs).map_err(|error| failed("Run", error))?;
        let missing = || failed("Run", format!("found no output {}", onnx::OUTPUT));
        let output = outputs.get(onnx::OUTPUT).ok_or_else(missing)?;
        let (shape, _) = output.try_extract_tensor::<f32>().map_err(|error| failed("Run", error))?;
        Ok(shape.to_vec())
    }
}

/// A batch of a loaded model, its tensors bound.
pub(super) struct Batch<'a> {
    loaded: &'a mut Loaded,
    inputs: Inputs,
    binding: IoBinding,
    /// f32 `[batch][hidden]`
    output: Tensor<f32>,
    hidden: usize,
}

impl<'a> Batch<'a> {
    pub(super) fn new(loaded: &'a mut Loaded, ids: &[Vec<u32>]) -> Result<Batch<'a>, EngineError> {
        let inputs = Inputs::new(&loaded.session, ids)?;
        let shape = inputs.run(&mut loaded.session)?;
        let hidden = match shape[..] {
            [batch, hidden] if usize::try_from(batch) == Ok(inputs.shape[0]) => usize::try_from(hidden).unwrap_or(0),
            _ => {
                let expected = format!("[{}, hidden size]", inputs.shape[0]);
                let reason = format!("{} has the shape {shape:?}; expected {expected}", onnx::OUTPUT);
                return Err(failed("Run", reason));
            }
        };
        let bind = || {
            let mut output = Tensor::<f32>::new(&Allocator::default(), [inputs.shape[0], hidden])?;
            let mut binding = loaded.session.create_binding()?;
            for (input, tensor) in &inputs.tensors {
                binding.bind_input(input.name(), tensor)?;
            }
            binding.bind_output(onnx::OUTPUT, &mut output)?;
            Ok((binding, output))
        };
        let (binding, output) = bind().map_err(|error: ort::Error| failed("IoBinding", error))?;
        Ok(Batch { loaded, inputs, binding, output, hidden })
    }
}

impl Work for Batch<'_> {
    fn call(&mut self) -> Result<()> {
        self.loaded.session.run_binding(&self.binding).map_err(|error| failed("RunWithBinding", error))?;
        Ok(())
    }
}

impl ModelCall for Batch<'_> {
    fn implementation(&self) -> String {
        self.loaded.implementation.clone()
    }

    fn embeddings(&mut self) -> Result<Vec<Vec<f32>>> {
        let (_, values) = self.output.extract_tensor();
        Ok(values.chunks_exact(self.hidden.max(1)).map(<[f32]>::to_vec).collect())
    }

    /// A second session runs the batch: one that is profiled is slower.
    fn breakdown(&mut self) -> Result<Option<Vec<(String, f64)>>> {
        let Loaded { environment, path, threads, .. } = &*self.loaded;
        let profiled = Profiled::session(environment, path, *threads)?;
        let (_, profile) = profiled.finish(&self.inputs, PROFILED_RUNS)?;
        Ok(Some(profile.breakdown()))
    }
}
