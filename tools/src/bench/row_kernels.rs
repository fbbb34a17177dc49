//! The row kernels behind one face: operands, calls, and the checks against the scalar references.

use lacuna_console::error::Result;
use lacuna_console::limits::Bandwidth;
use lacuna_jit::{Code, Isa};
use lacuna_kernels::cache::AnyPlan;
use lacuna_kernels::elementwise::{ElementwiseDesc, ElementwiseKernel, QuantParams};
use lacuna_kernels::embedding::{EmbeddingDesc, EmbeddingIds, EmbeddingKernel, EmbeddingTables};
use lacuna_kernels::epilogue::Activation;
use lacuna_kernels::layernorm::{LayerNormDesc, LayerNormKernel, NormParams, NormRows};
use lacuna_kernels::layout::{elements, f32_index, tiles};
use lacuna_kernels::reference::gemm::Matrix;
use lacuna_kernels::reference::rows as reference;
use lacuna_kernels::softmax::{SoftmaxDesc, SoftmaxKernel};
use lacuna_kernels::{ActivationBits, Buffer, Generate, KernelError, PanelLayout, Parallel, Sign, Sink, Store, TILE};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::column_kernels::{ColumnQuant, ColumnRescale};

/// What a row kernel computes.
#[derive(Debug, Clone, Copy)]
pub(super) enum RowKind {
    LayerNorm { f32: bool, panel: Option<PanelLayout> },
    Softmax,
    Activate(Activation),
    Quantize { activation: Activation, layout: PanelLayout, sign: Sign },
    ColumnQuant(PanelLayout),
    ColumnRescale(Sink),
    Embedding { vocabulary: usize },
}

impl RowKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            RowKind::LayerNorm { .. } => "layernorm",
            RowKind::Softmax => "softmax",
            RowKind::Activate(activation) => activation.name(),
            RowKind::Quantize { .. } => "quantize",
            RowKind::ColumnQuant(_) => "token-quant",
            RowKind::ColumnRescale(_) => "token-rescale",
            RowKind::Embedding { .. } => "embedding",
        }
    }

    /// What distinguishes kernels of the same name: the output.
    pub(super) fn output(self) -> String {
        match self {
            RowKind::LayerNorm { panel: None, .. }
            | RowKind::Softmax
            | RowKind::Activate(_)
            | RowKind::Embedding { .. } => "f32".into(),
            RowKind::LayerNorm { f32: false, panel: Some(layout) } => format!("u8-{}", layout.name()),
            RowKind::LayerNorm { f32: true, panel: Some(layout) } => format!("f32-u8-{}", layout.name()),
            RowKind::Quantize { activation, layout, sign } => {
                let dash = if activation == Activation::Identity { "" } else { "-" };
                format!("{}{dash}{}-{}", activation.name(), sign.name(), layout.name())
            }
            RowKind::ColumnQuant(layout) => format!("u8-{}", layout.name()),
            RowKind::ColumnRescale(sink) => sink.name(),
        }
    }

    /// Bytes that must be read and written per element: input and output once each. Parameters of features are not counted.
    pub(super) fn bytes_per_element(self) -> usize {
        let f32 = size_of::<f32>();
        match self {
            RowKind::LayerNorm { f32: writes_f32, panel } => {
                f32 + if writes_f32 { f32 } else { 0 } + usize::from(panel.is_some())
            }
            RowKind::Softmax | RowKind::Activate(_) => 2 * f32,
            RowKind::Quantize { .. } | RowKind::ColumnQuant(_) => f32 + 1,
            RowKind::ColumnRescale(sink) => match sink.store {
                Store::F32 { residual: true } => 3 * f32,
                Store::F32 { residual: false } => 2 * f32,
                Store::Bytes { .. } | Store::Bf16 => f32 + 1,
            },
            RowKind::Embedding { .. } => 3 * f32, // a row of words, one of positions; the kind's row stays in cache
        }
    }

    /// Multiplications and multiply-adds per element, as the formulas in the kernels' documentation and in
    /// [`lacuna_kernels::math`] have them.
    fn multiplications(self) -> usize {
        match self {
            // The square; two for the normalisation, one for the quantisation.
            RowKind::LayerNorm { panel, .. } => 3 + usize::from(panel.is_some()),
            RowKind::Softmax => SOFTMAX_MULTIPLICATIONS,
            RowKind::Activate(activation) => activation_multiplications(activation),
            RowKind::Quantize { activation, .. } => activation_multiplications(activation) + 1,
            // The product with the feature's inverse scale in both passes; one for the code.
            RowKind::ColumnQuant(_) => 3,
            RowKind::ColumnRescale(sink) => {
                1 + activation_multiplications(sink.activation) + usize::from(sink.store.codes().is_some())
            }
            RowKind::Embedding { .. } => 0,
        }
    }

    /// Operations per element of the unit that multiplies: an instruction that adds too counts as two whether it does or not.
    pub(super) fn operations_per_element(self) -> usize {
        2 * self.multiplications()
    }

    /// How memory is walked: whether what is written replaces what was read.
    pub(super) fn bandwidth(self) -> Bandwidth {
        match self {
            RowKind::LayerNorm { f32: true, .. } => Bandwidth::Update,
            RowKind::Softmax | RowKind::Activate(_) => Bandwidth::Update,
            RowKind::ColumnRescale(sink) if sink.store.codes().is_none() => Bandwidth::Update,
            RowKind::LayerNorm { .. }
            | RowKind::Quantize { .. }
            | RowKind::ColumnQuant(_)
            | RowKind::ColumnRescale(_)
            | RowKind::Embedding { .. } => Bandwidth::Copy,
        }
    }
}

/// A row kernel with its operands.
pub(super) struct RowCase {
    kind: RowKind,
    kernel: Kernel,
    tokens: usize,
    /// The input, `[F][N]`.
    input: Matrix<f32>,
    /// The input as a tile, of which in-place kernels get a copy.
    source: Buffer<f32>,
    tile: Buffer<f32>,
    panel: Buffer<u8>,
    serial: bool,
}

enum Kernel {
    LayerNorm(LayerNormKernel, NormRows, Vec<NormParams>),
    Softmax(SoftmaxKernel),
    Activate(ElementwiseKernel, Activation),
    Quantize(ElementwiseKernel, Vec<QuantParams>),
    ColumnQuant(ColumnQuant),
    ColumnRescale(ColumnRescale),
    Embedding(EmbeddingKernel, Embedding),
}

struct Embedding {
    word: Vec<f32>,
    kind: Vec<f32>,
    position: Vec<f32>,
    /// Word, kind, position of each token; padding to whole tiles is 0.
    ids: [Vec<u32>; 3],
}

/// Of softmax: two for the exponent, three of the polynomial, its product with a power of two, one with the reciprocal of the sum.
const SOFTMAX_MULTIPLICATIONS: usize = 7;
/// Of [`lacuna_kernels::math::gelu`] and its tanh form: four of the polynomial, two for the product with x.
const GELU_MULTIPLICATIONS: usize = 6;

fn activation_multiplications(activation: Activation) -> usize {
    match activation {
        Activation::Identity | Activation::Relu => 0,
        Activation::Gelu | Activation::GeluTanh => GELU_MULTIPLICATIONS,
    }
}

const EPSILON: f32 = 1e-12;
/// Kinds of tokens: of the first and of the second sentence.
const KINDS: usize = 2;
/// Elements that a check looks at, spread over all of them.
const CHECKED: usize = 1 << 16;

impl RowCase {
    /// Random operands for `features` x `tokens`; runs in the current pool unless there is one thread only.
    ///
    /// # Errors
    /// Those of planning and compiling.
    pub(super) fn new(
        kind: RowKind,
        features: usize,
        tokens: usize,
        isa: Isa,
        threads: usize,
        seed: u64,
    ) -> Result<RowCase> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let kernel = Kernel::new(kind, features, tokens, isa, &mut rng)?;
        let input = Matrix::from_fn(features, tokens, |_, _| rng.random_range(-4.0..4.0f32));
        let source = input.to_tile();
        let (tile, panel) = (source.clone(), Buffer::new(elements(features, tokens)));
        Ok(RowCase { kind, kernel, tokens, input, source, tile, panel, serial: threads == 1 })
    }

    pub(super) fn key(&self) -> AnyPlan {
        match &self.kernel {
            Kernel::LayerNorm(kernel, ..) => kernel.plan().key(),
            Kernel::Softmax(kernel) => kernel.plan().key(),
            Kernel::Activate(kernel, _) | Kernel::Quantize(kernel, _) => kernel.plan().key(),
            Kernel::ColumnQuant(ColumnQuant { kernel, .. }) => kernel.plan().key(),
            Kernel::ColumnRescale(ColumnRescale { kernel, .. }) => kernel.plan().key(),
            Kernel::Embedding(kernel, _) => kernel.plan().key(),
        }
    }

    /// Bytes of generated code; none on tiers without.
    pub(super) fn code_bytes(&self) -> usize {
        let code: Option<&Code> = match &self.kernel {
            Kernel::LayerNorm(kernel, ..) => kernel.code(),
            Kernel::Softmax(kernel) => kernel.code(),
            Kernel::Activate(kernel, _) | Kernel::Quantize(kernel, _) => kernel.code(),
            Kernel::ColumnQuant(ColumnQuant { kernel, .. }) => kernel.code(),
            Kernel::ColumnRescale(ColumnRescale { kernel, .. }) => kernel.code(),
            Kernel::Embedding(kernel, _) => kernel.code(),
        };
        code.map_or(0, |code| code.bytes.len())
    }

    /// Runs the kernel once on fresh operands and compares. Returns the first difference, if any.
    pub(super) fn check(&mut self) -> Result<Option<String>> {
        use lacuna_console::timing::Work;
        self.prepare();
        self.panel.fill(0xa5);
        if let Kernel::Embedding(..) = self.kernel {
            self.tile.fill(f32::NAN);
        }
        self.call()?;
        let (features, n) = (self.input.features, self.tokens);
        let places = || (0..features * n).step_by((features * n).div_ceil(CHECKED)).map(|i| (i / n, i % n));
        let at = |values: &[f64], f: usize, token: usize| values[f * n + token];
        let x = &self.input.values;
        let f32s = |expected: &dyn Fn(usize, usize) -> f64, relative: f64, absolute: f64| {
            let wrong = |f: usize, token: usize| {
                let (found, expected) = (self.tile[f32_index(features, f, token)], expected(f, token));
                let close = (f64::from(found) - expected).abs() <= relative * expected.abs() + absolute;
                (!close).then(|| difference(f, token, found, expected))
            };
            places().find_map(|(f, token)| wrong(f, token))
        };
        let bytes = |layout: PanelLayout, sign: Sign, expected: &dyn Fn(usize, usize) -> i32, steps: i32| {
            let wrong = |f: usize, token: usize| {
                let byte = self.panel[layout.index(features, f, token)];
                let found = if sign == Sign::Signed { i32::from(byte as i8) } else { i32::from(byte) };
                let expected = expected(f, token);
                ((found - expected).abs() > steps).then(|| difference(f, token, found, expected))
            };
            places().find_map(|(f, token)| wrong(f, token))
        };
        Ok(match &self.kernel {
            Kernel::LayerNorm(kernel, _, rows) => {
                let (gamma, beta): (Vec<f32>, Vec<f32>) = rows.iter().map(|row| (row.gamma, row.beta)).unzip();
                let y = reference::layernorm(x, &gamma, &beta, EPSILON, n);
                let plan = kernel.plan();
                let tile = if plan.writes_f32() { f32s(&|f, t| at(&y, f, t), 1e-5, 1e-5) } else { None };
                let q =
                    |f: usize, t: usize| reference::quantize(at(&y, f, t), rows[f].out_scale, rows[f].out_zero, 0, 255);
                tile.or_else(|| bytes(plan.panel()?, Sign::Unsigned, &q, 1)) // a step, where f32 rounds the other way
            }
            Kernel::Softmax(_) => {
                let y = reference::softmax(x, n);
                f32s(&|f, t| at(&y, f, t), 1e-5, 1e-30)
            }
            Kernel::Activate(_, activation) => {
                f32s(&|f, t| reference::activated(*activation, f64::from(x[f * n + t])), 1e-6, 5e-6)
            }
            Kernel::Quantize(_, params) => {
                let RowKind::Quantize { activation, layout, sign } = self.kind else { return Ok(None) };
                let (low, high) = sign.range();
                let (low, high) = (i32::from(low), i32::from(high));
                let q = |f: usize, t: usize| {
                    let y = reference::activated(activation, f64::from(x[f * n + t]));
                    reference::quantize(y, params[f].scale, params[f].zero, low, high)
                };
                bytes(layout, sign, &q, 1)
            }
            Kernel::ColumnQuant(q) => {
                let columns = q.expected(x, n);
                let code = |f: usize, column: usize| columns[column].1[f].round_ties_even() as i32;
                q.wrong_scale(&columns).or_else(|| bytes(q.kernel.plan().layout(), Sign::Unsigned, &code, 1))
            }
            Kernel::ColumnRescale(r) => {
                let y = |f: usize, column: usize| r.expected(f, column, x[f * n + column]);
                match r.kernel.plan().sink().store {
                    Store::Bytes { layout, sign } => bytes(layout, sign, &|f, t| r.code(f, y(f, t), sign), 1),
                    Store::F32 { residual: true } => f32s(&|f, t| y(f, t) + f64::from(x[f * n + t]), 1e-6, 5e-6),
                    Store::F32 { residual: false } | Store::Bf16 => f32s(&y, 1e-6, 5e-6),
                }
            }
            Kernel::Embedding(_, e) => {
                let tables = [&e.word[..], &e.kind, &e.position];
                let y = reference::embedding(tables, e.ids.each_ref().map(|ids| &ids[..]), features, n);
                f32s(&|f, t| at(&y, f, t), 1e-6, 1e-6)
            }
        })
    }
}

impl Kernel {
    fn new(kind: RowKind, features: usize, tokens: usize, isa: Isa, rng: &mut ChaCha8Rng) -> Result<Kernel> {
        Ok(match kind {
            RowKind::LayerNorm { f32, panel } => {
                let kernel =
                    LayerNormDesc { features, f32, panel, activation_bits: ActivationBits::Eight }.compile(isa)?;
                let row = |rng: &mut ChaCha8Rng| NormParams {
                    gamma: rng.random_range(0.5..1.5),
                    beta: rng.random_range(-0.5..0.5),
                    out_scale: 30.0,
                    out_zero: 128.0,
                };
                let rows: Vec<NormParams> = (0..features).map(|_| row(rng)).collect();
                let weights = NormRows::pack(kernel.plan(), &rows, EPSILON)?;
                Kernel::LayerNorm(kernel, weights, rows)
            }
            RowKind::Softmax => Kernel::Softmax(SoftmaxDesc { features }.compile(isa)?),
            RowKind::Activate(activation) => {
                let sink = Sink::f32(false).with(activation);
                Kernel::Activate(ElementwiseDesc { features, sink }.compile(isa)?, activation)
            }
            RowKind::Quantize { activation, layout, sign } => {
                let sink = Sink::bytes(layout, sign).with(activation);
                let kernel = ElementwiseDesc { features, sink }.compile(isa)?;
                let params = (0..features).map(|_| QuantParams { scale: rng.random_range(20.0..40.0), zero: 100.0 });
                Kernel::Quantize(kernel, params.collect())
            }
            RowKind::ColumnQuant(layout) => Kernel::ColumnQuant(ColumnQuant::new(features, tokens, layout, isa, rng)?),
            RowKind::ColumnRescale(sink) => {
                Kernel::ColumnRescale(ColumnRescale::new(features, tokens, sink, isa, rng)?)
            }
            RowKind::Embedding { vocabulary } => {
                let kernel = EmbeddingDesc { features }.compile(isa)?;
                let table = |rows: usize, rng: &mut ChaCha8Rng| -> Vec<f32> {
                    (0..rows * features).map(|_| rng.random_range(-1.0..1.0f32)).collect()
                };
                let (word, kind, position) = (table(vocabulary, rng), table(KINDS, rng), table(tokens, rng));
                let mut word_ids = vec![0; tiles(tokens) * TILE];
                word_ids[..tokens].fill_with(|| rng.random_range(0..vocabulary as u32));
                let mut positions = vec![0; tiles(tokens) * TILE];
                positions.iter_mut().take(tokens).zip(0..).for_each(|(id, position)| *id = position);
                let ids = [word_ids, vec![0; tiles(tokens) * TILE], positions];
                Kernel::Embedding(kernel, Embedding { word, kind, position, ids })
            }
        })
    }
}

impl lacuna_console::timing::Work for RowCase {
    fn call(&mut self) -> Result<()> {
        let (tile, n) = (&mut self.tile, self.tokens);
        let parallel = if self.serial { Parallel::Serial } else { Parallel::Rayon };
        match &mut self.kernel {
            Kernel::LayerNorm(kernel, weights, _) => {
                let panel = kernel.plan().panel().map(|_| &mut self.panel[..]);
                kernel.run(weights, tile, panel, n, parallel)?;
            }
            Kernel::Softmax(kernel) => kernel.run(tile, n, parallel)?,
            Kernel::Activate(kernel, _) => kernel.run_in_place(tile, n, parallel)?,
            Kernel::Quantize(kernel, params) => kernel.run_quantize(params, tile, &mut self.panel, n, parallel)?,
            Kernel::ColumnQuant(q) => q.run(tile, &mut self.panel, n, parallel)?,
            Kernel::ColumnRescale(r) => r.run(&mut self.source, tile, &mut self.panel, n, parallel)?,
            Kernel::Embedding(kernel, Embedding { word, kind, position, ids: [words, kinds, positions] }) => {
                let tables = EmbeddingTables { word, kind, position };
                let ids = EmbeddingIds { word: words, kind: kinds, position: positions };
                kernel.run(&tables, &ids, tile, n, parallel)?;
            }
        }
        Ok(())
    }

    fn prepare(&mut self) {
        self.tile.copy_from_slice(&self.source);
    }

    /// Functions that are applied to their own results end at values that no model has, denormal ones among them.
    fn most_calls(&self) -> u32 {
        match self.kind {
            RowKind::Softmax | RowKind::Activate(_) => 16,
            RowKind::ColumnRescale(sink) if sink.store == (Store::F32 { residual: false }) => 16,
            RowKind::LayerNorm { .. }
            | RowKind::Quantize { .. }
            | RowKind::ColumnQuant(_)
            | RowKind::ColumnRescale(_)
            | RowKind::Embedding { .. } => 10_000,
        }
    }
}

fn difference(feature: usize, token: usize, found: impl std::fmt::Display, expected: impl std::fmt::Display) -> String {
    format!("feature {feature}, token {token}: found {found}, expected {expected}")
}

/// Refuses no rows at all in a table of embeddings.
pub(super) fn check_vocabulary(vocabulary: usize) -> Result<()> {
    if u32::try_from(vocabulary).is_ok_and(|rows| rows > 0) {
        return Ok(());
    }
    let (kernel, dimension, expected) = ("embedding", "number of words", "1 to 4294967295");
    Err(KernelError::Dimension { kernel, dimension, found: vocabulary, expected }.into())
}
