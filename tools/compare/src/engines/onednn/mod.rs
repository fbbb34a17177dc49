//! oneDNN: a matmul of u8 and s8, and of f32, from a shared library of version 3 that is loaded at run time.
//!
//! Activations are token-major, `[N][K]` and `[N][M]`: what oneDNN's fast code takes. Where the CPU has no `vpdpbusd`, oneDNN's int8
//! code adds pairs of products in 16 bits, which saturate: its results then differ from the exact ones.

#[allow(unsafe_code)]
mod ffi;

#[cfg(test)]
mod tests;

use std::path::Path;

use lacuna_console::error::Result;
use lacuna_console::timing::Work;
use lacuna_kernels::reference::gemm::Matrix;

use self::ffi::{Cpu, DataType, Matmul, MatmulDesc};
use crate::engine::{Engine, EngineId, ModelCall, ModelFiles, OutputKind, Product, ProductCall, Stored, cannot};
use crate::error::EngineError;

/// A loaded oneDNN.
pub(crate) struct OneDnn {
    id: EngineId,
    cpu: Cpu,
}

impl OneDnn {
    /// Loads the library at `path` as the engine `id`, for calls on `threads` threads. It stays loaded until the process ends. Its
    /// OpenMP runtime has read the environment by then: set `OMP_NUM_THREADS` before the process starts.
    ///
    /// # Errors
    /// [`EngineError::NotLoadable`], [`EngineError::MissingSymbol`] and [`EngineError::Version`] if it is no oneDNN of version 3 on
    /// OpenMP; [`EngineError::Cannot`] if `id` is another engine.
    pub(crate) fn open(id: EngineId, path: &Path, threads: usize) -> Result<OneDnn, EngineError> {
        match id {
            EngineId::OneDnnInt8 | EngineId::OneDnnF32 => Ok(OneDnn { id, cpu: Cpu::open(path, threads)? }),
            _ => Err(EngineError::Cannot { engine: id.name(), what: "anything with oneDNN" }),
        }
    }

    /// The product with all its operands in place.
    fn matmul(&self, product: &Product) -> Result<Matmul<'_>, EngineError> {
        let Product { weights, x, .. } = product;
        let desc = |weights_type, src, dst, scaled| MatmulDesc {
            tokens: x.columns,
            inputs: weights.k,
            outputs: weights.m,
            src,
            weights: weights_type,
            dst,
            scaled,
        };
        let addends: Vec<f32> = weights.params.iter().map(|params| params.addend).collect();
        let multipliers: Vec<f32> = weights.params.iter().map(|params| params.multiplier).collect();
        if self.id == EngineId::OneDnnInt8 {
            let dst = match product.output {
                OutputKind::U8 => DataType::U8,
                OutputKind::S8 => DataType::S8,
                OutputKind::F32 => DataType::F32,
            };
            let mut matmul = Matmul::new(&self.cpu, desc(DataType::S8, DataType::U8, dst, true))?;
            matmul.set_weights(&weights.values)?;
            matmul.set_src(&token_major(x, |code| code))?;
            matmul.set_outputs(&addends, &multipliers)?;
            Ok(matmul)
        } else {
            let mut matmul = Matmul::new(&self.cpu, desc(DataType::F32, DataType::F32, DataType::F32, false))?;
            let rows = weights.values.chunks(weights.k.max(1)).zip(&multipliers);
            let scaled: Vec<f32> =
                rows.flat_map(|(row, scale)| row.iter().map(move |&w| f32::from(w) * scale)).collect();
            matmul.set_weights(&scaled)?;
            matmul.set_src(&token_major(x, f32::from))?;
            matmul.set_outputs(&addends, &[])?;
            Ok(matmul)
        }
    }
}

/// The elements of x, `[N][K]`.
fn token_major<T>(x: &Matrix<u8>, convert: impl Fn(u8) -> T) -> Vec<T> {
    let convert = &convert;
    (0..x.columns).flat_map(|token| (0..x.features).map(move |feature| convert(x.at(feature, token)))).collect()
}

impl Engine for OneDnn {
    fn version(&self) -> String {
        self.cpu.version().to_owned()
    }

    fn with_product(
        &mut self,
        product: &Product,
        run: &mut dyn FnMut(&mut dyn ProductCall) -> Result<()>,
    ) -> Result<()> {
        // OpenMP keeps the count per calling thread, and primitives are split for it when they are made.
        self.cpu.set_threads(product.threads)?;
        let output = match self.id {
            EngineId::OneDnnInt8 => product.output,
            _ => OutputKind::F32,
        };
        let matmul = self.matmul(product)?;
        run(&mut Call { matmul, output, m: product.weights.m })
    }

    fn load_model(&mut self, _: &ModelFiles) -> Result<()> {
        cannot(self.id, "models")
    }

    fn with_batch(&mut self, _: &[Vec<u32>], _: &mut dyn FnMut(&mut dyn ModelCall) -> Result<()>) -> Result<()> {
        cannot(self.id, "models")
    }
}

struct Call<'c> {
    matmul: Matmul<'c>,
    output: OutputKind,
    m: usize,
}

impl Work for Call<'_> {
    fn call(&mut self) -> Result<()> {
        Ok(self.matmul.execute()?)
    }
}

impl ProductCall for Call<'_> {
    fn implementation(&self) -> String {
        self.matmul.implementation().to_owned()
    }

    fn stored(&self) -> Stored {
        match self.output {
            OutputKind::U8 | OutputKind::S8 => Stored::Codes,
            OutputKind::F32 => Stored::Real,
        }
    }

    fn value(&self, row: usize, token: usize) -> f64 {
        let at = token * self.m + row;
        match self.output {
            OutputKind::U8 => f64::from(self.matmul.dst::<u8>()[at]),
            OutputKind::S8 => f64::from(self.matmul.dst::<i8>()[at]),
            OutputKind::F32 => f64::from(self.matmul.dst::<f32>()[at]),
        }
    }
}
