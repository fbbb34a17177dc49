//! Products through rten-gemm's executor, weights packed beforehand.

use lacuna_console::error::Result;
use lacuna_console::timing::Work;
use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;

use super::failure::failed;
use crate::engine::{Product, ProductCall, Stored};

/// u8 `[N][K]` by packed s8 `[K][M]`: s32 `[N][M]`.
pub(super) struct Int8 {
    executor: GemmExecutor<u8, i8, i32>,
    weights: PackedBMatrix<i8>,
    x: Tokens<u8>,
    y: Vec<i32>,
}

/// f32 `[N][K]` by packed f32 `[K][M]`, with a bias per column: f32 `[N][M]`.
pub(super) struct F32 {
    executor: GemmExecutor<f32, f32, f32>,
    /// Multiplied by the multipliers.
    weights: PackedBMatrix<f32>,
    bias: Vec<f32>,
    x: Tokens<f32>,
    y: Vec<f32>,
}

/// Activations, `[N][K]`.
struct Tokens<T> {
    k: usize,
    values: Vec<T>,
}

/// Whether sums of two products may saturate: u8 by s8 without VNNI.
#[cfg(test)]
pub(super) fn may_saturate() -> bool {
    GemmExecutor::<u8, i8, i32>::default().may_saturate()
}

/// The kernel that computes integer products, and whether it is exact.
pub(super) fn int8_kernel() -> String {
    int8_name(&GemmExecutor::default())
}

/// The kernel that computes f32 products.
pub(super) fn f32_kernel() -> String {
    GemmExecutor::<f32, f32, f32>::default().kernel_name().to_owned()
}

fn int8_name(executor: &GemmExecutor<u8, i8, i32>) -> String {
    // The name is that of the tile; only exactness tells whether VNNI is behind it.
    match (executor.may_saturate(), executor.kernel_name().ends_with("avx512")) {
        (true, _) => format!("{} (may saturate)", executor.kernel_name()),
        (false, true) => format!("{} with VNNI", executor.kernel_name()),
        (false, false) => executor.kernel_name().to_owned(),
    }
}

impl<T: Copy> Tokens<T> {
    /// The transposed X.
    fn new(product: &Product, convert: impl Fn(u8) -> T) -> Tokens<T> {
        let x = &product.x;
        let line = |token| (0..x.features).map(move |feature| (feature, token));
        let values = (0..x.tokens).flat_map(line).map(|(feature, token)| convert(x.at(feature, token)));
        Tokens { k: x.features, values: values.collect() }
    }

    fn view(&self) -> NdTensorView<'_, T, 2> {
        NdTensorView::from_data([self.values.len() / self.k.max(1), self.k], self.values.as_slice())
    }
}

impl Int8 {
    pub(super) fn new(product: &Product) -> Int8 {
        let (weights, executor) = (&product.weights, GemmExecutor::default());
        let w = NdTensorView::from_data([weights.m, weights.k], weights.values.as_slice());
        let weights = executor.prepack_b(w.transposed());
        let y = vec![i32::MIN; product.weights.m * product.x.tokens];
        Int8 { executor, weights, x: Tokens::new(product, |x| x), y }
    }
}

impl F32 {
    pub(super) fn new(product: &Product) -> F32 {
        let (weights, executor) = (&product.weights, GemmExecutor::default());
        let rows = weights.values.chunks_exact(weights.k.max(1)).zip(&weights.params);
        let w: Vec<f32> = rows.flat_map(|(row, p)| row.iter().map(|&w| p.multiplier * f32::from(w))).collect();
        let w = NdTensorView::from_data([weights.m, weights.k], w.as_slice());
        let packed = executor.prepack_b(w.transposed());
        let bias = weights.params.iter().map(|params| params.addend).collect();
        let y = vec![f32::NAN; product.weights.m * product.x.tokens];
        F32 { executor, weights: packed, bias, x: Tokens::new(product, f32::from), y }
    }
}

impl Work for Int8 {
    fn call(&mut self) -> Result<()> {
        let (x, w) = (GemmInputA::Unpacked(self.x.view()), GemmInputB::Packed(&self.weights));
        let done = self.executor.gemm(&mut self.y, x, w, GemmOptions::default());
        Ok(done.map_err(|error| failed("gemm", error))?)
    }
}

impl Work for F32 {
    fn call(&mut self) -> Result<()> {
        let (x, w) = (GemmInputA::Unpacked(self.x.view()), GemmInputB::Packed(&self.weights));
        let options = GemmOptions { bias: Some(BiasVector::Row(&self.bias)), ..GemmOptions::default() };
        let done = self.executor.gemm(&mut self.y, x, w, options);
        Ok(done.map_err(|error| failed("gemm", error))?)
    }
}

impl ProductCall for Int8 {
    fn implementation(&self) -> String {
        int8_name(&self.executor)
    }

    fn stored(&self) -> Stored {
        Stored::Sums
    }

    fn value(&self, row: usize, token: usize) -> f64 {
        f64::from(self.y[token * self.weights.cols() + row])
    }
}

impl ProductCall for F32 {
    fn implementation(&self) -> String {
        self.executor.kernel_name().to_owned()
    }

    fn stored(&self) -> Stored {
        Stored::Real
    }

    fn value(&self, row: usize, token: usize) -> f64 {
        f64::from(self.y[token * self.weights.cols() + row])
    }
}
