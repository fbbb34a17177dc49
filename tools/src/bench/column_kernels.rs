//! The row kernels with a scale per column: quantisation, and what follows a product of such codes.

use lacuna_console::error::Result;
use lacuna_jit::Isa;
use lacuna_kernels::dynamic::{
    ColumnQuantDesc, ColumnQuantKernel, ColumnRescaleDesc, ColumnRescaleKernel, FeatureScales, RescaleParams,
    RescaleRows,
};
use lacuna_kernels::layout::tiles;
use lacuna_kernels::reference::rows as reference;
use lacuna_kernels::{ActivationBits, Output, PanelLayout, Parallel, Sign, Sink, Store, TILE};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Quantisation with the relative scales of its features.
pub(super) struct ColumnQuant {
    pub(super) kernel: ColumnQuantKernel,
    features: Vec<f32>,
    packed: FeatureScales,
    /// Of every column of whole tiles, as the kernel finds them.
    scales: Vec<f32>,
}

impl ColumnQuant {
    /// Random relative scales for `features` x `columns`.
    ///
    /// # Errors
    /// Those of planning and compiling.
    pub(super) fn new(
        features: usize,
        columns: usize,
        layout: PanelLayout,
        isa: Isa,
        rng: &mut ChaCha8Rng,
    ) -> Result<ColumnQuant> {
        let kernel = ColumnQuantDesc { features, layout, activation_bits: ActivationBits::Eight }.compile(isa)?;
        let features: Vec<f32> = (0..features).map(|_| rng.random_range(0.1..2.0)).collect();
        let packed = FeatureScales::pack(kernel.plan(), &features)?;
        let scales = vec![0.0; tiles(columns) * TILE];
        Ok(ColumnQuant { kernel, features, packed, scales })
    }

    pub(super) fn run(&mut self, tile: &[f32], panel: &mut [u8], n: usize, parallel: Parallel) -> Result<()> {
        Ok(self.kernel.run(&self.packed, tile, panel, &mut self.scales, n, parallel)?)
    }

    /// The scale of every column of `x`, `[K][n]`, and its codes before they are rounded.
    pub(super) fn expected(&self, x: &[f32], n: usize) -> Vec<(f64, Vec<f64>)> {
        (0..n).map(|column| self.expected_column(x, column, n)).collect()
    }

    fn expected_column(&self, x: &[f32], column: usize, n: usize) -> (f64, Vec<f64>) {
        let relative = |(f, scale): (usize, &f32)| f64::from(x[f * n + column]) / f64::from(*scale);
        let column: Vec<f64> = self.features.iter().enumerate().map(relative).collect();
        reference::column_codes(&column, ActivationBits::Eight)
    }

    /// The first scale that is not as in `columns`, if any.
    pub(super) fn wrong_scale(&self, columns: &[(f64, Vec<f64>)]) -> Option<String> {
        let wrong = |(&found, (expected, _)): (&f32, &(f64, Vec<f64>))| {
            let close = (f64::from(found) - expected).abs() <= 1e-6 * expected;
            (!close).then(|| format!("a scale: found {found}, expected {expected}"))
        };
        self.scales.iter().zip(columns).find_map(wrong)
    }
}

/// The step after a product, with the parameters of its rows.
pub(super) struct ColumnRescale {
    pub(super) kernel: ColumnRescaleKernel,
    rows: Vec<RescaleParams>,
    packed: RescaleRows,
    /// Of every column of whole tiles.
    scales: Vec<f32>,
}

impl ColumnRescale {
    /// Random parameters and scales for `features` x `columns`.
    ///
    /// # Errors
    /// Those of planning and compiling.
    pub(super) fn new(
        features: usize,
        columns: usize,
        sink: Sink,
        isa: Isa,
        rng: &mut ChaCha8Rng,
    ) -> Result<ColumnRescale> {
        let kernel = ColumnRescaleDesc { features, sink }.compile(isa)?;
        let row = |rng: &mut ChaCha8Rng| RescaleParams {
            bias: rng.random_range(-0.5..0.5),
            out_scale: rng.random_range(20.0..40.0),
            out_zero: 100.0,
            ..RescaleParams::default()
        };
        let rows: Vec<RescaleParams> = (0..features).map(|_| row(rng)).collect();
        let packed = RescaleRows::pack(kernel.plan(), &rows)?;
        let scales = (0..tiles(columns) * TILE).map(|_| rng.random_range(0.01..0.9)).collect();
        Ok(ColumnRescale { kernel, rows, packed, scales })
    }

    /// Runs on the sums in `tile`; with a residual on those in `source`, and adds to `tile`.
    pub(super) fn run(
        &self,
        source: &mut [f32],
        tile: &mut [f32],
        panel: &mut [u8],
        n: usize,
        parallel: Parallel,
    ) -> Result<()> {
        let ColumnRescale { kernel, packed, scales, .. } = self;
        match kernel.plan().sink().store {
            Store::F32 { residual: true } => {
                kernel.run(packed, scales, source, Some(Output::F32(tile)), n, parallel)?;
            }
            Store::Bytes { .. } => kernel.run(packed, scales, tile, Some(Output::Bytes(panel)), n, parallel)?,
            Store::F32 { residual: false } | Store::Bf16 => kernel.run(packed, scales, tile, None, n, parallel)?,
        }
        Ok(())
    }

    /// What becomes of a sum, before it is quantised or added to a residual.
    pub(super) fn expected(&self, feature: usize, column: usize, sum: f32) -> f64 {
        let sum = f64::from(sum) * f64::from(self.scales[column]);
        reference::activated(self.kernel.plan().sink().activation, sum + f64::from(self.rows[feature].bias))
    }

    /// The code of `y`, which [`ColumnRescale::expected`] returned.
    pub(super) fn code(&self, feature: usize, y: f64, sign: Sign) -> i32 {
        let (low, high) = sign.range();
        let (low, high) = (i32::from(low), i32::from(high));
        let RescaleParams { out_scale, out_zero, .. } = self.rows[feature];
        reference::quantize(y, out_scale, out_zero, low, high)
    }
}
