//! `lacuna bench model`: a whole encoder, f32 against dense int8 against sparse int8.

use std::path::PathBuf;
use std::time::Duration;

use lacuna::{Block, CalibratedModel, Encoder, Form, Model, Preset, seeded_ids};
use serde::Serialize;

use super::threads_text;
use crate::args;
use crate::context::{Context, pool};
use crate::error::{Error, Result};
use crate::model::compile;
use crate::output::{print, print_json};
use crate::progress::{Spinner, Steps};
use crate::table::Table;
use crate::timing::{Budget, Samples, interleaved};

/// A whole encoder: f32 reference, dense int8 and sparse int8 side by side
///
/// One pruned model runs three ways on batches of random token ids: the f32 reference forward pass, int8 with dense kernels,
/// int8 with the kernels that are chosen for its zeros.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna bench model --preset minilm --seq 32,128
  lacuna bench model --model all-MiniLM-L6-v2 --batch 1,8 --sparsity 0.8
  lacuna bench model --preset bert-base --threads 8 --json

Presets: bert-mini, minilm, distilbert, bert-base, bert-large, with random weights and a small vocabulary.")]
pub(super) struct Args {
    /// Model directory
    #[arg(long, value_name = "DIR", conflicts_with = "preset", required_unless_present = "preset")]
    model: Option<PathBuf>,

    /// Shape of a model with random weights
    #[arg(long)]
    preset: Option<Preset>,

    /// Sequences per batch; a comma-separated list
    #[arg(long, value_name = "B,..", value_delimiter = ',', default_value = "1", value_parser = args::at_least_one)]
    batch: Vec<usize>,

    /// Tokens per sequence; a comma-separated list
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "128", value_parser = args::at_least_one)]
    seq: Vec<usize>,

    /// Fraction of 4x1 blocks pruned, 0 <= S < 1
    #[arg(long, value_name = "S", default_value_t = 0.9, allow_hyphen_values = true, value_parser = args::sparsity)]
    sparsity: f64,

    /// Seed of random weights and token ids
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Vocabulary of presets.
const VOCAB_SIZE: usize = 2000;
/// Sequences of random ids to calibrate on, and their longest length.
const CALIBRATION: (usize, usize) = (4, 128);
/// Most tokens of one batch.
const MAX_TOKENS: usize = 1 << 20;
/// How long one batch is measured.
const BUDGET: Budget = Budget { min_rounds: 7, max_rounds: 300, time: Duration::from_secs(3) };

#[derive(Serialize)]
struct Row {
    model: String,
    batch: usize,
    seq: usize,
    sparsity: f64,
    threads: usize,
    tier: &'static str,
    f32_ms: f64,
    dense_int8_ms: f64,
    sparse_int8_ms: f64,
    speedup_over_f32: f64,
    speedup_over_dense: f64,
    samples: usize,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let threads = context.measuring_threads();
    let model = match (&args.model, args.preset) {
        (Some(dir), _) => {
            let _spinner = Spinner::new(format!("reading {}", dir.display()));
            Model::from_dir(dir)?
        }
        (None, preset) => {
            let preset = preset.unwrap_or(Preset::MiniLm); // clap lets no other case through
            let _spinner = Spinner::new(format!("making {preset}"));
            Model::seeded_with_vocab(preset, args.seed, VOCAB_SIZE)
        }
    };
    let name = match (&args.model, args.preset) {
        (Some(dir), _) => dir.display().to_string(),
        (None, preset) => preset.map_or_else(String::new, |preset| preset.to_string()),
    };
    args.check(model.config().max_position)?;
    let rows = pool(threads)?.install(|| measure(args, context, model, &name, threads))?;
    if args.json {
        return print_json(&rows);
    }
    let mut table = Table::new(&["batch", "tokens", "f32 ms", "dense int8 ms", "sparse int8 ms", "x f32", "x dense"]);
    for row in &rows {
        let mut cells = vec![row.batch.to_string(), row.seq.to_string()];
        cells.extend([row.f32_ms, row.dense_int8_ms, row.sparse_int8_ms].map(|ms| format!("{ms:.3}")));
        cells.extend([row.speedup_over_f32, row.speedup_over_dense].map(|ratio| format!("{ratio:.2}")));
        table.row(cells);
    }
    print(format_args!(
        "{name}, {:.1} % of 4x1 blocks zero; {}, tier {}, {}, hot weights, medians of interleaved repeats\n\n{table}",
        args.sparsity * 1e2,
        lacuna_jit::cpu::brand(),
        context.tier,
        threads_text(threads)
    ))
}

impl Args {
    fn check(&self, max_position: usize) -> Result<()> {
        for &seq in &self.seq {
            if seq > max_position {
                let expected = format!("1 to {max_position}, the positions of the model");
                return Err(Error::Argument { option: "--seq", found: seq.to_string(), expected });
            }
            for &batch in &self.batch {
                if batch.saturating_mul(seq) > MAX_TOKENS {
                    let expected = format!("at most {MAX_TOKENS} tokens in a batch");
                    return Err(Error::Argument {
                        option: "--batch",
                        found: format!("{batch} x {seq} tokens"),
                        expected,
                    });
                }
            }
        }
        Ok(())
    }
}

fn measure(args: &Args, context: &Context, model: Model, name: &str, threads: usize) -> Result<Vec<Row>> {
    let vocab = model.config().vocab_size;
    let (count, length) = CALIBRATION;
    let ids = seeded_ids(vocab, count, length.min(model.config().max_position), args.seed.wrapping_add(1));
    let calibrated = {
        let _spinner = Spinner::new("pruning and calibrating");
        model.prune(Block::B4x1, args.sparsity)?.calibrate_ids(&ids)?
    };
    let dense = compile(&calibrated, Form::Dense, context)?;
    let sparse = compile(&calibrated, Form::Auto, context)?;
    let steps = Steps::new(args.batch.len() * args.seq.len());
    let mut rows = Vec::new();
    for &batch in &args.batch {
        for &seq in &args.seq {
            steps.begin(format!("{batch} x {seq} tokens"));
            let ids = seeded_ids(vocab, batch, seq, args.seed.wrapping_add(2));
            let samples = time(&calibrated, &dense, &sparse, &ids)?;
            let [f32, int8, int8_sparse] = samples.each_ref().map(|s| s.median() * 1e3);
            rows.push(Row {
                model: name.to_owned(),
                batch,
                seq,
                sparsity: args.sparsity,
                threads,
                tier: context.tier.name(),
                f32_ms: f32,
                dense_int8_ms: int8,
                sparse_int8_ms: int8_sparse,
                speedup_over_f32: f32 / int8_sparse,
                speedup_over_dense: int8 / int8_sparse,
                samples: samples[0].len(),
            });
            steps.end();
        }
    }
    Ok(rows)
}

fn time(calibrated: &CalibratedModel, dense: &Encoder, sparse: &Encoder, ids: &[Vec<u32>]) -> Result<[Samples; 3]> {
    let model = calibrated.model();
    interleaved(
        [
            &mut || Ok(model.oracle().embed(ids, model.pooling()).map(drop)?),
            &mut || Ok(dense.embed_ids(ids).map(drop)?),
            &mut || Ok(sparse.embed_ids(ids).map(drop)?),
        ],
        BUDGET,
    )
}
