//! `lacuna demo`: the whole pipeline on a made-up model, checked and timed.

use std::fmt::Write as _;
use std::time::Duration;

use lacuna::config::EncoderConfig;
use lacuna::report::LoadReport;
use lacuna::tokens::seeded_ids;
use lacuna::weights::Matrix;
use lacuna::{Block, CalibratedModel, Compile, Encoder, Form, Model, Preset};
use lacuna_console::args;
use lacuna_console::context::{Context, pool};
use lacuna_console::error::{Error, Result};
use lacuna_console::output::{print, print_json};
use lacuna_console::progress::Spinner;
use lacuna_console::stats::Cosines;
use lacuna_console::table::{Table, plural};
use lacuna_console::timing::{Budget, Samples, interleaved};
use lacuna_jit::{Isa, Tier};
use serde::Serialize;

/// Show everything on a made-up model; needs no files
///
/// Builds an encoder with seeded random weights, prunes it in 4x1 blocks, calibrates, quantises to int8, generates code,
/// checks the results against the portable kernels and the f32 reference, and times f32, dense int8 and sparse int8 side by
/// side. Exit status 1 if a check fails.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna demo
  lacuna demo --preset minilm --sparsity 0.8 --tokens 32
  lacuna demo --tier portable            without generated code
  lacuna demo --json | jq .times

Presets: bert-mini, minilm, distilbert, bert-base, bert-large, electra-small (shapes only; the vocabulary is small).
Random weights say nothing about what pruning costs in accuracy: that is what `lacuna evaluate` is for.")]
pub(crate) struct Args {
    /// Shape of the model
    #[arg(long, default_value_t = Preset::BertMini)]
    preset: Preset,

    /// Fraction of 4x1 blocks that are zero, 0 <= S < 1
    #[arg(long, value_name = "S", default_value_t = 0.9, allow_hyphen_values = true, value_parser = args::sparsity)]
    sparsity: f64,

    /// Tokens of the sequence that is timed
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = args::at_least_one)]
    tokens: usize,

    /// Seed of weights and tokens
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// List every layer
    #[arg(long)]
    verbose: bool,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Words of the made-up vocabulary.
const VOCAB_SIZE: usize = 2000;
/// Sequences to calibrate on, and to compare embeddings of.
const SEQUENCES: usize = 16;
/// Least mean cosine between the embeddings of the int8 model and of the f32 reference.
const MIN_COSINE: f64 = 0.98;
/// How long to measure.
const BUDGET: Budget = Budget { min_rounds: 5, max_rounds: 200, time: Duration::from_millis(1500) };
/// Ratios of which the middle half is wider than this share of their median are measured again, and then said to be unsure.
const UNSTEADY: f64 = 0.1;
/// How often at most.
const ATTEMPTS: usize = 3;

#[derive(Serialize)]
struct Demo {
    preset: &'static str,
    seed: u64,
    sparsity: f64,
    tokens: usize,
    threads: usize,
    tier: &'static str,
    checks: Vec<Check>,
    times: Vec<Time>,
    /// Rounds in which everything was timed.
    rounds: usize,
    sparse: LoadReport,
    dense: LoadReport,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    passed: bool,
    found: String,
}

#[derive(Serialize)]
struct Time {
    name: &'static str,
    median_ms: f64,
    /// How many times faster than the f32 reference: the median of the rounds.
    speedup_f32: f64,
    /// Between which values half of the rounds are.
    speedup_f32_quartiles: [f64; 2],
    /// How many times faster than dense int8.
    speedup_dense: f64,
    /// Between which values half of the rounds are.
    speedup_dense_quartiles: [f64; 2],
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let limit = args.preset.config().max_position;
    if args.tokens > limit {
        return Err(Error::Argument {
            option: "--tokens",
            found: args.tokens.to_string(),
            expected: format!("1 to {limit}, the positions of {}", args.preset),
        });
    }
    let demo = demo(args, context)?;
    match args.json {
        true => print_json(&demo)?,
        false => print(demo.text(args.verbose))?,
    }
    match demo.checks.iter().find(|check| !check.passed) {
        None => Ok(()),
        Some(check) => Err(Error::Check(format!("{}: {}", check.name, check.found))),
    }
}

fn demo(args: &Args, context: &Context) -> Result<Demo> {
    let threads = context.measuring_threads();
    let built = pool(context.threads())?.install(|| build(args, context))?;
    let Built { calibrated, sparse, dense, checks } = built;
    let (times, rounds) = pool(threads)?.install(|| time(args, &calibrated, &sparse, &dense))?;
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

fn build(args: &Args, context: &Context) -> Result<Built> {
    let spinner = Spinner::new(format!("making, pruning, calibrating and compiling {}", args.preset));
    let ids = seeded_ids(VOCAB_SIZE, SEQUENCES, args.tokens, args.seed.wrapping_add(1));
    let model = Model::seeded(EncoderConfig { vocab_size: VOCAB_SIZE, ..args.preset.config() }, args.seed)?;
    let calibrated = model.prune(Block::B4x1, args.sparsity)?.calibration().run_ids(&ids)?;
    let compile = |form| calibrated.compiler().tier(context.tier).form(form).compile();
    let (sparse, dense) = (compile(Form::Auto)?, compile(Form::Dense)?);
    drop(spinner);
    let checks = check(args, context, &calibrated, &sparse, &dense)?;
    Ok(Built { calibrated, sparse, dense, checks })
}

/// Sequences that were not calibrated on: of full length, of one token, and of one that ends inside a vector.
fn unseen(args: &Args) -> Vec<Vec<u32>> {
    let seed = args.seed.wrapping_add(2);
    let mut ids = seeded_ids(VOCAB_SIZE, SEQUENCES, args.tokens, seed);
    for (i, length) in [1, 19].into_iter().enumerate() {
        ids[i].truncate(length);
    }
    ids
}

fn check(
    args: &Args,
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
        checks.push(identical("generated = portable", &states, &portable.hidden_states(few)?));
    }
    checks.push(identical("sparse = dense", &states, &dense.hidden_states(few)?));

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

/// Compares hidden states bit by bit.
fn identical(name: &'static str, a: &[Matrix], b: &[Matrix]) -> Check {
    let values = |states: &[Matrix]| states.iter().map(|m| m.data.len()).sum::<usize>();
    let bits = |states: &[Matrix]| -> Vec<u32> { states.iter().flat_map(|m| &m.data).map(|x| x.to_bits()).collect() };
    let different = bits(a).iter().zip(&bits(b)).filter(|(x, y)| x != y).count() + values(a).abs_diff(values(b));
    Check {
        name,
        passed: different == 0,
        found: match different {
            0 => format!("{} values of hidden states are bit-identical", values(a)),
            n => format!("{n} of {} values of hidden states differ; expected none", values(a)),
        },
    }
}

/// Times one sequence through the f32 reference, dense int8 and sparse int8; also gives the number of rounds.
fn time(args: &Args, calibrated: &CalibratedModel, sparse: &Encoder, dense: &Encoder) -> Result<(Vec<Time>, usize)> {
    let one = seeded_ids(VOCAB_SIZE, 1, args.tokens, args.seed.wrapping_add(3));
    let model = calibrated.model();
    let mut all: [Samples; 3] = Default::default();
    for attempt in 0..ATTEMPTS {
        let _spinner = Spinner::new(if attempt == 0 { "timing" } else { "timing again: the ratios vary" });
        let samples = interleaved(
            [
                &mut || Ok(model.reference().embed(&one, model.pooling()).map(drop)?),
                &mut || Ok(dense.embed_ids(&one).map(drop)?),
                &mut || Ok(sparse.embed_ids(&one).map(drop)?),
            ],
            BUDGET,
        )?;
        all.iter_mut().zip(samples).for_each(|(all, samples)| all.append(samples));
        let [f32, int8, sparse] = &all;
        if [f32.ratio_range(sparse), int8.ratio_range(sparse)].iter().all(|ratio| ratio.spread() <= UNSTEADY) {
            break;
        }
    }
    let [f32, int8, _] = &all;
    let times = ["f32 reference", "dense int8", "sparse int8"].into_iter().zip(&all).map(|(name, samples)| {
        let (over_f32, over_dense) = (f32.ratio_range(samples), int8.ratio_range(samples));
        Time {
            name,
            median_ms: samples.median() * 1e3,
            speedup_f32: over_f32.median,
            speedup_f32_quartiles: [over_f32.low, over_f32.high],
            speedup_dense: over_dense.median,
            speedup_dense_quartiles: [over_dense.low, over_dense.high],
        }
    });
    Ok((times.collect(), f32.len()))
}

impl Time {
    /// The widest middle half of its ratios, over the median.
    fn spread(&self) -> f64 {
        let spread = |[low, high]: [f64; 2], median: f64| (high - low) / median;
        spread(self.speedup_f32_quartiles, self.speedup_f32)
            .max(spread(self.speedup_dense_quartiles, self.speedup_dense))
    }
}

impl Demo {
    fn text(&self, verbose: bool) -> String {
        let Demo { preset, seed, tokens, threads, .. } = self;
        let mut text = format!(
            "{preset} with random weights (seed {seed}), {:.1} % of 4x1 blocks zero, int8\n\n",
            self.sparsity * 1e2
        );
        text += &condensed(&self.sparse, verbose);
        text += "\nchecks\n";
        for check in &self.checks {
            let _ = writeln!(
                text,
                "  {:<22} {:<6} {}",
                check.name,
                if check.passed { "ok" } else { "FAILED" },
                check.found
            );
        }
        let (threads, tokens) = (plural(*threads, "thread"), plural(*tokens, "token"));
        let rounds = self.rounds;
        let _ = writeln!(
            text,
            "\n1 x {tokens}, {threads}, hot weights, medians of {rounds} rounds in turn (and where half of them are)\n"
        );
        let ratio = |median: f64, [low, high]: [f64; 2]| format!("{median:.2} ({low:.2} to {high:.2})");
        let mut table = Table::new(&["<", "ms", "x f32", "x dense int8"]);
        for t in &self.times {
            table.row([
                t.name.to_owned(),
                format!("{:.3}", t.median_ms),
                ratio(t.speedup_f32, t.speedup_f32_quartiles),
                ratio(t.speedup_dense, t.speedup_dense_quartiles),
            ]);
        }
        text += &table.to_string();
        let widest = self.times.iter().map(Time::spread).fold(0.0, f64::max);
        if widest > UNSTEADY {
            let _ = writeln!(
                text,
                "\nwarning: the ratios vary from round to round, half of them by {:.0} % of the median: the machine was busy; run \
                 again when it is quiet",
                widest * 1e2
            );
        }
        text
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
