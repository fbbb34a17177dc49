//! The `gemm` crate in f32: the products of the f32 reference and of candle.
//!
//! The crate keeps no packed weights between calls: it packs its operands in every call. So W is passed unchanged,
//! row-major, and packing is part of the time. The crate is up to four times as fast when it does not pack, which on
//! some CPUs needs slices of few tokens. When a product is prepared, both are measured and the faster one is used.

use std::time::{Duration, Instant};

use ::gemm::Parallelism;

use lacuna_console::error::Result;
use lacuna_console::timing::Work;

use super::instructions::gemm_instructions;
use crate::engine::{Engine, EngineId, ModelCall, ModelFiles, Product, ProductCall, Stored, cannot};
use crate::error::EngineError;

/// The version of the crate.
const VERSION: &str = "0.19.0";

/// Widths of a chunk that are tried beside that of the whole product, in tokens.
const CHUNKS: [usize; 1] = [32];

/// Timed calls per width.
const TRIALS: usize = 3;

/// The engine.
pub(crate) struct Gemm {
    threads: usize,
}

impl Gemm {
    /// Calls run on `threads` threads of the rayon pool that they are made in.
    pub(crate) fn open(threads: usize) -> Result<Gemm, EngineError> {
        Ok(Gemm { threads })
    }
}

impl Engine for Gemm {
    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn with_product(
        &mut self,
        product: &Product,
        run: &mut dyn FnMut(&mut dyn ProductCall) -> Result<()>,
    ) -> Result<()> {
        run(&mut GemmCall::new(product, self.threads))
    }

    fn load_model(&mut self, _: &ModelFiles) -> Result<()> {
        cannot(EngineId::GemmF32, "models")
    }

    fn with_batch(&mut self, _: &[Vec<u32>], _: &mut dyn FnMut(&mut dyn ModelCall) -> Result<()>) -> Result<()> {
        cannot(EngineId::GemmF32, "models")
    }
}

/// `Y = (multiplier * W) X + addend` in chunks of tokens.
struct GemmCall {
    m: usize,
    k: usize,
    /// f32 `[M][K]`, multiplied by the multipliers.
    w: Vec<f32>,
    /// One per row.
    addend: Vec<f32>,
    chunks: Vec<Chunk>,
    width: usize,
    parallelism: Parallelism,
}

/// Neighbouring tokens of X and Y.
struct Chunk {
    tokens: usize,
    /// `[K][tokens]`
    x: Vec<f32>,
    /// `[M][tokens]`
    y: Vec<f32>,
}

impl GemmCall {
    fn new(product: &Product, threads: usize) -> GemmCall {
        let weights = &product.weights;
        let rows = weights.values.chunks_exact(weights.k.max(1)).zip(&weights.params);
        let mut call = GemmCall {
            m: weights.m,
            k: weights.k,
            w: rows.flat_map(|(row, params)| row.iter().map(|&w| params.multiplier * f32::from(w))).collect(),
            addend: weights.params.iter().map(|params| params.addend).collect(),
            chunks: Vec::new(),
            width: 0,
            parallelism: if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None },
        };
        let whole = product.x.columns.max(1);
        let mut fastest = (Duration::MAX, whole);
        for width in [whole].into_iter().chain(CHUNKS.into_iter().filter(|&width| width < whole)) {
            call.divide(product, width);
            fastest = fastest.min((call.least_time(), width));
        }
        call.divide(product, fastest.1);
        call
    }

    /// Lays X out in chunks of `width` tokens.
    fn divide(&mut self, product: &Product, width: usize) {
        let x = &product.x;
        let chunk = |first: usize| {
            let tokens = width.min(x.columns - first);
            let line = |feature| x.values[feature * x.columns + first..][..tokens].iter().map(|&x| f32::from(x));
            Chunk { tokens, x: (0..x.features).flat_map(line).collect(), y: vec![f32::NAN; self.m * tokens] }
        };
        self.chunks = (0..x.columns).step_by(width).map(chunk).collect();
        self.width = width;
    }

    fn least_time(&mut self) -> Duration {
        self.multiply();
        let mut time = || {
            let start = Instant::now();
            self.multiply();
            start.elapsed()
        };
        (0..TRIALS).map(|_| time()).min().unwrap_or_default()
    }

    fn multiply(&mut self) {
        for chunk in &mut self.chunks {
            for (row, &addend) in chunk.y.chunks_exact_mut(chunk.tokens).zip(&self.addend) {
                row.fill(addend);
            }
            multiply_add(chunk, (self.m, self.k), &self.w, self.parallelism);
        }
    }
}

/// `chunk.y += w chunk.x`
///
/// # Panics
/// When an operand has another size than its shape says.
#[allow(unsafe_code)]
fn multiply_add(chunk: &mut Chunk, (m, k): (usize, usize), w: &[f32], parallelism: Parallelism) {
    let n = chunk.tokens;
    assert!(w.len() == m * k && chunk.x.len() == k * n && chunk.y.len() == m * n, "operands of other sizes");
    // SAFETY: `gemm` reads m x k elements of w, k x n of x and m x n of y through the strides of dense row-major matrices, and
    // writes those of y. The assertion says that the slices hold as many, and y is borrowed alone.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            chunk.y.as_mut_ptr(),
            1,
            n as isize,
            true, // y holds the addends
            w.as_ptr(),
            1,
            k as isize,
            chunk.x.as_ptr(),
            1,
            n as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

impl Work for GemmCall {
    fn call(&mut self) -> Result<()> {
        self.multiply();
        Ok(())
    }
}

impl ProductCall for GemmCall {
    fn implementation(&self) -> String {
        let isa = gemm_instructions();
        match self.chunks.len() {
            0 | 1 => format!("{isa}, all tokens at once"),
            _ => format!("{isa}, {} tokens at a time", self.width),
        }
    }

    fn stored(&self) -> Stored {
        Stored::Real
    }

    fn value(&self, row: usize, token: usize) -> f64 {
        let chunk = &self.chunks[token / self.width];
        f64::from(chunk.y[row * chunk.tokens + token % self.width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::testing::{check_call, check_product, locked_version, products};

    #[test]
    fn products_are_exact_up_to_f32_rounding() {
        for threads in [1, 2] {
            let mut engine = Gemm::open(threads).unwrap();
            for product in products(threads) {
                check_product(&mut engine, &product, Stored::Real);
            }
        }
    }

    #[test]
    fn chunks_of_any_width_are_exact() {
        for product in products(1) {
            let mut call = GemmCall::new(&product, 1);
            for width in [1, 7, 32, product.x.columns] {
                call.divide(&product, width);
                check_call(&mut call, &product, Stored::Real);
            }
        }
    }

    #[test]
    fn it_runs_no_models() {
        let message = Gemm::open(1).unwrap().with_batch(&[], &mut |_| Ok(())).unwrap_err().to_string();
        assert_eq!(message, "gemm-f32 does not compute models");
    }

    #[test]
    fn the_version_is_the_one_that_is_built() {
        assert_eq!(locked_version("gemm"), VERSION);
    }
}
