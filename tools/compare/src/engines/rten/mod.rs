//! rten: `rten-gemm` for products, `rten` on an ONNX export for models.
//!
//! Both keep weights packed between calls, and pack them outside of what is timed. Integer products are u8 by s8 in this order
//! only, so the activations are the left operand, token-major, and `Y^T = X^T W^T`; that order is also the fastest in f32.
//! Sums are exact where the CPU has VNNI. Without it `vpmaddubsw` adds two products in s16 and may saturate, which the
//! implementation's name says.

mod failure;
mod model;
mod operators;
mod product;

use std::sync::Arc;

use lacuna_console::error::Result;

use self::failure::failed;
use self::model::{Batch, Loaded};
use crate::engine::{Engine, EngineId, ModelCall, ModelFiles, Product, ProductCall};
use crate::error::EngineError;

/// The version of the crates `rten` and `rten-gemm`.
const VERSION: &str = "0.27.0";

/// The engine.
pub(crate) struct Rten {
    id: EngineId,
    pool: Arc<::rten::ThreadPool>,
    model: Option<Loaded>,
}

impl Rten {
    /// Products run in the rayon pool that they are called in, models in a pool of `threads` threads of their own.
    ///
    /// `id` is [`EngineId::RtenInt8`] or [`EngineId::RtenF32`].
    pub(crate) fn open(id: EngineId, threads: usize) -> Result<Rten, EngineError> {
        Ok(Rten { id, pool: Arc::new(::rten::ThreadPool::with_num_threads(threads)), model: None })
    }

    fn is_int8(&self) -> bool {
        self.id == EngineId::RtenInt8
    }
}

impl Engine for Rten {
    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn with_product(
        &mut self,
        product: &Product,
        run: &mut dyn FnMut(&mut dyn ProductCall) -> Result<()>,
    ) -> Result<()> {
        match self.is_int8() {
            true => run(&mut product::Int8::new(product)),
            false => run(&mut product::F32::new(product)),
        }
    }

    fn load_model(&mut self, files: &ModelFiles) -> Result<()> {
        self.model = None;
        let path = files.onnx.as_ref().ok_or_else(|| failed("load_model", "found no ONNX file to load"))?;
        self.model = Some(Loaded::read(path, self.is_int8())?);
        Ok(())
    }

    fn with_batch(&mut self, ids: &[Vec<u32>], run: &mut dyn FnMut(&mut dyn ModelCall) -> Result<()>) -> Result<()> {
        let model = self.model.as_ref().ok_or_else(|| failed("with_batch", "no model is loaded"))?;
        run(&mut Batch::new(model, ids, Arc::clone(&self.pool))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Stored;
    use crate::engines::exported::Exported;
    use crate::engines::testing::{check_product, locked_version, products};

    #[test]
    fn integer_products_are_exact() {
        if product::may_saturate() {
            println!("skipped: rten-gemm's sums may saturate on this CPU");
            return;
        }
        let mut engine = Rten::open(EngineId::RtenInt8, 1).unwrap();
        for product in products(1) {
            check_product(&mut engine, &product, Stored::Sums);
        }
    }

    #[test]
    fn f32_products_are_exact_up_to_rounding() {
        let mut engine = Rten::open(EngineId::RtenF32, 1).unwrap();
        for product in products(1) {
            check_product(&mut engine, &product, Stored::Real);
        }
    }

    #[test]
    fn products_on_two_threads() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| {
            for product in products(2) {
                check_product(&mut Rten::open(EngineId::RtenF32, 2).unwrap(), &product, Stored::Real);
                if !product::may_saturate() {
                    check_product(&mut Rten::open(EngineId::RtenInt8, 2).unwrap(), &product, Stored::Sums);
                }
            }
        });
    }

    #[test]
    fn the_versions_are_those_that_are_built() {
        for name in ["rten", "rten-gemm"] {
            assert_eq!(locked_version(name), VERSION);
        }
    }

    #[test]
    fn exports_run_in_their_own_arithmetic() {
        let exported = Exported::new();
        for threads in [1, 2] {
            let mut engine = Rten::open(EngineId::RtenF32, threads).unwrap();
            let said = exported.check(&mut engine, exported.f32(), 0.9999);
            assert!(said.contains("MatMul") && !said.contains("MatMulInteger"), "{said}");
            if product::may_saturate() {
                println!("skipped: rten-gemm's sums may saturate on this CPU");
                continue;
            }
            let mut engine = Rten::open(EngineId::RtenInt8, threads).unwrap();
            let said = exported.check(&mut engine, exported.dynamic(), 0.97);
            assert!(said.contains(": 4 MatMul, 12 MatMulInteger"), "{said}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        let exported = Exported::new();
        let mut f32 = Rten::open(EngineId::RtenF32, 1).unwrap();
        let mut int8 = Rten::open(EngineId::RtenInt8, 1).unwrap();
        for onnx in [exported.f32(), exported.qdq()] {
            assert!(Exported::refusal(&mut int8, onnx).contains("found no MatMulInteger"));
        }
        let message = Exported::refusal(&mut f32, exported.dynamic());
        assert!(message.contains("found 12 MatMulInteger; expected an f32 export"), "{message}");
        let output = exported.changed(|model| {
            let graph = model.graph.as_mut().unwrap();
            graph.node.retain(|node| !node.output.iter().any(|output| output == "sentence_embedding"));
        });
        assert!(Exported::refusal(&mut f32, output).contains("sentence_embedding"));
        let cut = exported.f32();
        let bytes = std::fs::read(&cut).unwrap();
        for content in [&bytes[..bytes.len() / 2], b"", b"no model"] {
            std::fs::write(&cut, content).unwrap();
            let message = Exported::refusal(&mut f32, cut.clone());
            assert!(message.starts_with("rten: ") && message.contains("f32.onnx"), "{message}");
        }
    }

    #[test]
    fn inputs_that_a_file_does_without_are_not_given() {
        let exported = Exported::new();
        let onnx = exported.without_token_types();
        exported.check(&mut Rten::open(EngineId::RtenF32, 1).unwrap(), onnx, 0.9999);
    }
}
