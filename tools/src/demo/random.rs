//! The whole pipeline on a model with random weights.

use lacuna::config::EncoderConfig;
use lacuna::report::LoadReport;
use lacuna::tokens::seeded_ids;
use lacuna::{Block, CalibratedModel, Compile, Encoder, Form, Model};
use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::progress::Spinner;
use lacuna_console::stats::Cosines;
use lacuna_jit::{Isa, Tier};
use serde::Serialize;

use super::args::Random;
use super::check::{self, Check};
use super::times::{self, Time, Times};

/// Words of the made-up vocabulary.
const VOCAB_SIZE: usize = 2000;
/// Sequences to calibrate on, and to compare embeddings of.
const SEQUENCES: usize = 16;
/// Least mean cosine between the embeddings of the int8 model and of the f32 reference.
const MIN_COSINE: f64 = 0.98;

/// What was found.
#[derive(Serialize)]
pub(super) struct Demo {
    preset: &'static str,
    seed: u64,
    sparsity: f64,
    tokens: usize,
    threads: usize,
    tier: &'static str,
    pub(super) checks: Vec<Check>,
    times: Vec<Time>,
    /// Rounds in which everything was timed.
    rounds: usize,
    sparse: LoadReport,
    dense: LoadReport,
}

pub(super) fn demo(args: Random, context: &Context) -> Result<Demo> {
    let threads = context.measuring_threads();
    let built = pool(context.threads())?.install(|| build(args, context))?;
    let Built { calibrated, sparse, dense, checks } = built;
    let Times { list: times, rounds } = pool(threads)?.install(|| time(args, &calibrated, &sparse, &dense))?;
    Ok(Demo {
        preset: args.preset.name(),
        seed: args.seed,
        sparsity: args.sparsity,
        tokens: args.tokens,
        threads,
        tier: context.tier.name(),
        checks,
        times,
        rounds,
        sparse: sparse.report().clone(),
        dense: dense.report().clone(),
    })
}

/// One pruned model, compiled twice.
struct Built {
    calibrated: CalibratedModel,
    sparse: Encoder,
    dense: Encoder,
    checks: Vec<Check>,
}

fn build(args: Random, context: &Context) -> Result<Built> {
    let spinner = Spinner::new(format!("making, pruning, calibrating and compiling {}", args.preset));
    let ids = seeded_ids(VOCAB_SIZE, SEQUENCES, args.tokens, args.seed.wrapping_add(1));
    let model = Model::seeded(EncoderConfig { vocab_size: VOCAB_SIZE, ..args.preset.config() }, args.seed)?;
    let calibrated = model.prune(Block::B4x1, args.sparsity)?.calibration().run_ids(&ids)?;
    let compile = |form| calibrated.compiler().tier(context.tier).form(form).compile();
    let (sparse, dense) = (compile(Form::Auto)?, compile(Form::Dense)?);
    drop(spinner);
    let checks = checks(args, context, &calibrated, &sparse, &dense)?;
    Ok(Built { calibrated, sparse, dense, checks })
}

/// Sequences that were not calibrated on: of full length, of one token, and of one that ends inside a vector.
fn unseen(args: Random) -> Vec<Vec<u32>> {
    let seed = args.seed.wrapping_add(2);
    let mut ids = seeded_ids(VOCAB_SIZE, SEQUENCES, args.tokens, seed);
    for (i, length) in [1, 19].into_iter().enumerate() {
        ids[i].truncate(length);
    }
    ids
}

fn checks(
    args: Random,
    context: &Context,
    calibrated: &CalibratedModel,
    sparse: &Encoder,
    dense: &Encoder,
) -> Result<Vec<Check>> {
    let _spinner = Spinner::new("checking");
    let ids = unseen(args);
    let few = &ids[..3];
    let states = sparse.hidden_states(few)?;
    let mut checks = Vec::new();
    if context.isa() != Isa::Portable {
        let portable = calibrated.compiler().tier(Tier::Portable).compile()?;
        checks.push(Check::identical("generated = portable", &states, &portable.hidden_states(few)?));
    }
    checks.push(Check::identical("sparse = dense", &states, &dense.hidden_states(few)?));

    let model = calibrated.model();
    let reference = model.reference().embed(&ids, model.pooling())?;
    let cosines = Cosines::between(&sparse.embed_ids(&ids)?, &reference);
    checks.push(Check {
        name: "int8 = f32, nearly",
        passed: cosines.mean >= MIN_COSINE,
        found: format!(
            "cosine of {} embeddings: mean {:.5}, least {:.5}; expected a mean of at least {MIN_COSINE}",
            ids.len(),
            cosines.mean,
            cosines.min
        ),
    });
    Ok(checks)
}

/// Times one sequence through the f32 reference, dense int8 and sparse int8.
fn time(args: Random, calibrated: &CalibratedModel, sparse: &Encoder, dense: &Encoder) -> Result<Times> {
    let one = seeded_ids(VOCAB_SIZE, 1, args.tokens, args.seed.wrapping_add(3));
    let model = calibrated.model();
    Times::measure(
        ["f32 reference", "dense int8", "sparse int8"],
        [
            &mut || Ok(model.reference().embed(&one, model.pooling()).map(drop)?),
            &mut || Ok(dense.embed_ids(&one).map(drop)?),
            &mut || Ok(sparse.embed_ids(&one).map(drop)?),
        ],
    )
}

impl Demo {
    pub(super) fn text(&self, verbose: bool) -> String {
        let Demo { preset, seed, tokens, threads, .. } = self;
        let zeros = self.sparsity * 1e2;
        format!(
            "{preset} with random weights (seed {seed}), {zeros:.1} % of 4x1 blocks zero, int8\n\n{}\nchecks\n{}\n{}",
            condensed(&self.sparse, verbose),
            check::lines(&self.checks),
            times::text(&self.times, self.rounds, *tokens, *threads),
        )
    }
}

/// The load report; of layers that all run in the same way only the first unless `verbose`.
fn condensed(report: &LoadReport, verbose: bool) -> String {
    let layers: Vec<_> = report.linears.chunk_by(|a, b| a.layer == b.layer).collect();
    let same = |layer: &&[lacuna::report::LinearReport]| {
        layer.len() == layers[0].len() && layer.iter().zip(layers[0]).all(|(a, b)| a.kernel == b.kernel)
    };
    if verbose || layers.len() < 2 || !layers.iter().all(same) {
        return report.to_string();
    }
    let first = LoadReport { linears: layers[0].to_vec(), ..report.clone() };
    format!("{first}  layers 1 to {} run on the same kernels (--verbose lists them)\n", layers.len() - 1)
}
