//! Lacuna itself: generated sparse code, the same in intrinsics, dense int8, f32.

use lacuna::report::{LoadReport, Profile, Stage};
use lacuna::{Compile, Encoder, Form};
use lacuna_console::context::Context;
use lacuna_console::error::Result;
use lacuna_console::products::call::{Call, Int8Plan};
use lacuna_console::products::float::FloatMatrix;
use lacuna_console::products::int8::Int8Matrix;
use lacuna_console::products::intrinsics::in_f32;
use lacuna_console::timing::Work;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::float::{DType, FloatDesc};
use lacuna_kernels::gemm::GemmDesc;
use lacuna_kernels::reference::gemm::Matrix;
use lacuna_kernels::spmm::SpmmDesc;
use lacuna_kernels::{ActivationBits, Block, PanelLayout, Parallel, Sign, Sink};

use super::super::engine::{Engine, EngineId, ModelCall, ModelFiles, OutputKind, Product, ProductCall, Stored, cannot};

/// Passes of which the breakdown is the mean.
const PROFILES: usize = 20;

/// One of Lacuna's engines, on the tier of the command.
pub(crate) struct Lacuna<'a> {
    id: EngineId,
    context: &'a Context,
    model: Option<Loaded>,
}

/// A model, ready for batches.
enum Loaded {
    Compiled(Box<Encoder>),
    F32(Box<lacuna::Model>),
}

impl<'a> Lacuna<'a> {
    pub(crate) fn new(id: EngineId, context: &'a Context) -> Lacuna<'a> {
        Lacuna { id, context, model: None }
    }

    fn int8(&self, product: &Product, run: &mut dyn FnMut(&mut dyn ProductCall) -> Result<()>) -> Result<()> {
        let (m, k, isa) = (product.weights.m, product.weights.k, self.context.isa());
        let bytes = |sign| Epilogue::requantize(PanelLayout::Plain, sign).fixed();
        let epilogue = match product.output {
            OutputKind::U8 => bytes(Sign::Unsigned),
            OutputKind::S8 => bytes(Sign::Signed),
            OutputKind::F32 => Epilogue::f32(false),
        };
        let plan = match self.id {
            EngineId::LacunaDense => {
                Int8Plan::Gemm(GemmDesc { m, k, epilogue, activation_bits: ActivationBits::Eight }.plan(isa)?)
            }
            _ => Int8Plan::Spmm(
                SpmmDesc { m, k, block: product.block, epilogue, activation_bits: ActivationBits::Eight }.plan(isa)?,
            ),
        };
        let intrinsics = (self.id == EngineId::LacunaIntrinsics).then_some(self.context);
        if intrinsics.is_some() && (product.block != Block::B4x1 || product.threads != 1) {
            return cannot(self.id, "anything but 4x1 blocks on one thread");
        }
        let matrix = Int8Matrix::pack(product.weights.clone(), epilogue, &plan, intrinsics)?;
        let products = matrix.products_of(product.x.clone(), parallel(product.threads))?;
        let stored = if product.output == OutputKind::F32 { Stored::Real } else { Stored::Codes };
        match (products.intrinsics, products.variants.into_iter().next()) {
            (Some(call), _) => {
                let implementation = format!("std::arch avx512vnni, {}", in_f32(epilogue).name());
                run(&mut Ours { call, implementation, stored })
            }
            (None, Some(variant)) => run(&mut Ours { call: variant.call, implementation: variant.key.name(), stored }),
            (None, None) => cannot(self.id, "this product"),
        }
    }

    fn f32(&self, product: &Product, run: &mut dyn FnMut(&mut dyn ProductCall) -> Result<()>) -> Result<()> {
        let (m, k, isa) = (product.weights.m, product.weights.k, self.context.isa());
        let sink = Sink::f32(false);
        let desc = FloatDesc { m, k, dtype: DType::F32, block: Block::Dense, sink };
        let rows = product.weights.values.chunks_exact(k.max(1)).zip(&product.weights.params);
        let values = rows.flat_map(|(row, p)| row.iter().map(|&w| p.multiplier * f32::from(w))).collect();
        let bias = product.weights.params.iter().map(|p| p.addend).collect();
        let matrix = FloatMatrix::pack(&desc, values, bias, &[desc.plan(isa)?])?;
        let x = Matrix::from_fn(k, product.x.columns, |k, n| f32::from(product.x.at(k, n)));
        match matrix.products_of(x, parallel(product.threads)).variants.into_iter().next() {
            Some(v) => run(&mut Ours { call: v.call, implementation: v.key.name(), stored: Stored::Real }),
            None => cannot(self.id, "this product"),
        }
    }
}

fn parallel<'a>(threads: usize) -> Parallel<'a> {
    if threads == 1 { Parallel::Serial } else { Parallel::Rayon }
}

impl Engine for Lacuna<'_> {
    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn with_product(
        &mut self,
        product: &Product,
        run: &mut dyn FnMut(&mut dyn ProductCall) -> Result<()>,
    ) -> Result<()> {
        match self.id {
            EngineId::LacunaF32 => self.f32(product, run),
            _ => self.int8(product, run),
        }
    }

    fn load_model(&mut self, files: &ModelFiles) -> Result<()> {
        let form = match self.id {
            EngineId::LacunaF32 => {
                self.model = Some(Loaded::F32(Box::new(files.source.model()?)));
                return Ok(());
            }
            EngineId::LacunaDense => Form::Dense,
            _ => Form::Auto,
        };
        let calibrated = files.source.calibrated()?;
        let encoder = calibrated.compiler().tier(self.context.tier).form(form).compile()?;
        self.model = Some(Loaded::Compiled(Box::new(encoder)));
        Ok(())
    }

    fn with_batch(&mut self, ids: &[Vec<u32>], run: &mut dyn FnMut(&mut dyn ModelCall) -> Result<()>) -> Result<()> {
        match &self.model {
            Some(Loaded::Compiled(encoder)) => {
                let out = vec![0.0; ids.len() * encoder.features()];
                run(&mut CompiledBatch { encoder, ids, out })
            }
            Some(Loaded::F32(model)) => run(&mut F32Batch { model, ids, out: Vec::new() }),
            None => cannot(self.id, "a batch before a model is loaded"),
        }
    }
}

/// A product of the benchmarks.
struct Ours<'a> {
    call: Box<dyn Call + 'a>,
    implementation: String,
    stored: Stored,
}

impl Work for Ours<'_> {
    fn call(&mut self) -> Result<()> {
        self.call.call()
    }

    fn time(&mut self, calls: u32) -> Result<std::time::Duration> {
        self.call.time(calls)
    }
}

impl ProductCall for Ours<'_> {
    fn implementation(&self) -> String {
        self.implementation.clone()
    }

    fn stored(&self) -> Stored {
        self.stored
    }

    fn value(&self, row: usize, token: usize) -> f64 {
        self.call.value(row, token)
    }
}

/// A batch on the compiled encoder.
struct CompiledBatch<'a> {
    encoder: &'a Encoder,
    ids: &'a [Vec<u32>],
    out: Vec<f32>,
}

impl Work for CompiledBatch<'_> {
    fn call(&mut self) -> Result<()> {
        Ok(self.encoder.embed_ids_into(self.ids, &mut self.out)?)
    }
}

impl ModelCall for CompiledBatch<'_> {
    fn implementation(&self) -> String {
        forms(self.encoder.report())
    }

    fn embeddings(&mut self) -> Result<Vec<Vec<f32>>> {
        Ok(self.out.chunks_exact(self.encoder.features()).map(<[f32]>::to_vec).collect())
    }

    fn breakdown(&mut self) -> Result<Option<Vec<(String, f64)>>> {
        let mut profiles: Vec<Profile> = Vec::with_capacity(PROFILES);
        for _ in 0..PROFILES {
            profiles.push(self.encoder.profile(self.ids, &mut self.out)?);
        }
        // The middle half by time, as noise only ever lengthens.
        profiles.sort_by_key(Profile::total);
        let middle = &profiles[PROFILES / 4..PROFILES - PROFILES / 4];
        let mean = |stage| middle.iter().map(|p| p.stage(stage).as_secs_f64()).sum::<f64>() / middle.len() as f64;
        Ok(Some(Stage::ALL.into_iter().map(|stage| (stage.name().to_owned(), mean(stage) * 1e6)).collect()))
    }
}

/// `avx512vnni: 30 sparse 4x1, 6 dense`.
fn forms(report: &LoadReport) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for linear in &report.linears {
        match counts.iter_mut().find(|(form, _)| *form == linear.form) {
            Some((_, count)) => *count += 1,
            None => counts.push((linear.form, 1)),
        }
    }
    let counts: Vec<String> = counts.into_iter().map(|(form, count)| format!("{count} {form}")).collect();
    let bits = match report.activation_bits {
        ActivationBits::Eight => "",
        ActivationBits::Seven => " of 7-bit activations",
    };
    format!("{}: {}{bits}", report.isa, counts.join(", "))
}

/// A batch on the f32 reference.
struct F32Batch<'a> {
    model: &'a lacuna::Model,
    ids: &'a [Vec<u32>],
    out: Vec<Vec<f32>>,
}

impl Work for F32Batch<'_> {
    fn call(&mut self) -> Result<()> {
        self.out = self.model.reference().embed(self.ids, self.model.pooling())?;
        Ok(())
    }
}

impl ModelCall for F32Batch<'_> {
    fn implementation(&self) -> String {
        "f32 reference on the gemm crate".to_owned()
    }

    fn embeddings(&mut self) -> Result<Vec<Vec<f32>>> {
        Ok(self.out.clone())
    }
}
