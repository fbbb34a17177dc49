//! Models: an ONNX export, loaded with packed weights.

use std::path::Path;
use std::sync::Arc;

use ::rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, ValueOrView};
use lacuna_console::error::Result;
use lacuna_console::timing::Work;
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

use super::failure::failed;
use super::operators::Operators;
use super::product;
use crate::engine::ModelCall;
use crate::engines::onnx::{self, Input};
use crate::error::EngineError;

/// A model in memory.
pub(super) struct Loaded {
    model: Model,
    inputs: Vec<(Input, NodeId)>,
    output: NodeId,
    implementation: String,
}

impl Loaded {
    /// Loads an export whose linear layers must be quantised if `int8`, and must not be otherwise.
    pub(super) fn read(path: &Path, int8: bool) -> Result<Loaded, EngineError> {
        let operators = Operators::read(path)?;
        let call = format!("loading {}", path.display());
        match (operators.integer(), int8) {
            (0, true) => {
                return Err(failed(
                    &call,
                    "found no MatMulInteger; expected an export with dynamically quantised layers",
                ));
            }
            (1.., false) => {
                let found = format!("found {} MatMulInteger; expected an f32 export", operators.integer());
                return Err(failed(&call, found));
            }
            _ => {}
        }
        let mut options = ModelOptions::with_all_ops();
        let model = options.prepack_weights(true).load_file(path).map_err(|error| failed(&call, error))?;
        let node = |name| model.node_id(name).map_err(|error| failed(&call, error));
        let mut inputs = vec![(Input::Ids, node(Input::Ids.name())?)];
        for input in Input::ALL.into_iter().filter(|&input| input != Input::Ids) {
            let found = model.find_node(input.name()).filter(|node| model.input_ids().contains(node));
            inputs.extend(found.map(|node| (input, node)));
        }
        let kernels = match int8 {
            true => format!("{}, {}", product::int8_kernel(), product::f32_kernel()),
            false => product::f32_kernel(),
        };
        Ok(Loaded {
            inputs,
            output: node(onnx::OUTPUT)?,
            implementation: format!("{kernels}: {}", operators.describe()),
            model,
        })
    }
}

/// A batch of a loaded model.
pub(super) struct Batch<'a> {
    loaded: &'a Loaded,
    /// `[batch][sequence]`; rten computes with s32 where the file says s64.
    inputs: Vec<(NodeId, NdTensor<i32, 2>)>,
    pool: Arc<ThreadPool>,
    embeddings: Option<NdTensor<f32, 2>>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(loaded: &'a Loaded, ids: &[Vec<u32>], pool: Arc<ThreadPool>) -> Result<Batch<'a>, EngineError> {
        let shape = onnx::shape("rten", ids)?;
        let id =
            |id: &u32| i32::try_from(*id).map_err(|_| failed("with_batch", format!("token id {id} does not fit s32")));
        let ids: Vec<i32> = ids.iter().flatten().map(id).collect::<Result<_, _>>()?;
        let tensor = |&(input, node): &(Input, NodeId)| (node, NdTensor::from_data(shape, input.values(&ids)));
        let inputs = loaded.inputs.iter().map(tensor).collect();
        Ok(Batch { loaded, inputs, pool, embeddings: None })
    }
}

impl Work for Batch<'_> {
    fn call(&mut self) -> Result<()> {
        let values = self.inputs.iter().map(|(node, tensor)| (*node, ValueOrView::from(tensor.view()))).collect();
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.pool)));
        let run = self.loaded.model.run_n(values, [self.loaded.output], Some(options));
        let [output] = run.map_err(|error| failed("run", error))?;
        self.embeddings = Some(NdTensor::try_from(output).map_err(|error| failed("run", error))?);
        Ok(())
    }
}

impl ModelCall for Batch<'_> {
    fn implementation(&self) -> String {
        self.loaded.implementation.clone()
    }

    fn embeddings(&mut self) -> Result<Vec<Vec<f32>>> {
        if self.embeddings.is_none() {
            self.call()?;
        }
        let Some(embeddings) = &self.embeddings else { return Ok(Vec::new()) };
        let row = |row| (0..embeddings.size(1)).map(|feature| embeddings[[row, feature]]).collect();
        Ok((0..embeddings.size(0)).map(row).collect())
    }
}
