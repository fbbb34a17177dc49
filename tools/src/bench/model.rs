//! `lacuna bench model`: a whole encoder, and where its time goes.

use lacuna::calibration::{ActivationBits, LayerPrecision};
use lacuna::report::{Profile, Stage};
use lacuna::tokens::seeded_ids;
use lacuna::{CalibratedModel, Encoder, Form, PackedModel, Precision};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Steps;
use lacuna_console::timing::{Samples, Work};

use super::options::{Bench, Options};
use super::report::{Row, Unit};
use super::subject::{
    MAX_TOKENS, Prepared, Subject, SubjectArgs, compile_packed, packed_sparsity, prepare, say_remarks, sparsities,
};
use crate::model::{TuneArgs, compile};
use crate::packed::{decided, needs_weights};

/// A whole encoder: its time, and where it goes
///
/// A model, or a file of lacuna pack as it is, embeds batches of random token ids, in int8 unless another precision is asked for,
/// with the kernels that are chosen for its zeros. A second, instrumented pass, in turn with the first, shows the share of every kernel in
/// the time. Pruning here shows speed alone: accuracy is not kept.
#[derive(clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{COLUMNS}"))]
pub(super) struct Args {
    #[command(flatten)]
    subject: SubjectArgs,

    /// Fractions of 4x1 blocks pruned, 0 <= S < 1; a comma-separated list [default: 0.9 with --arch, else the zeros that are
    /// there]
    #[arg(long, value_name = "S,..", value_delimiter = ',', allow_hyphen_values = true, value_parser = args::sparsity)]
    sparsity: Vec<f64>,

    /// Sequences per batch; a comma-separated list
    #[arg(long, value_name = "B,..", value_delimiter = ',', default_value = "1", value_parser = args::at_least_one)]
    batch: Vec<usize>,

    /// Tokens per sequence; a comma-separated list
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "128", value_parser = args::at_least_one)]
    seq: Vec<usize>,

    /// Arithmetic of all layers: static, dynamic, bf16 or f32 [default: static; a packed file has its own]
    #[arg(long, value_name = "P")]
    precision: Option<Precision>,

    /// Bits of the codes that linear layers read: 8, or 7 [default: 8; a packed file has its own]
    #[arg(long, value_name = "BITS")]
    activation_bits: Option<ActivationBits>,

    /// Also measure the same model with dense int8 kernels
    #[arg(long)]
    dense: bool,

    /// Also measure the f32 reference; large models take seconds per sample
    #[arg(long)]
    f32: bool,

    #[command(flatten)]
    tuning: TuneArgs,

    #[command(flatten)]
    options: Options,
}

const EXAMPLES: &str = "\
Examples:
  lacuna bench model --arch minilm --seq 32,128
  lacuna bench model --arch minilm --sparsity 0.7,0.8,0.9
  lacuna bench model --model all-MiniLM-L6-v2 --batch 1,8 --sparsity 0.8 --dense --f32
  lacuna bench model --model minilm.lacuna --seq 16,128
  lacuna bench model --arch bert-base --threads 2 --json > before.json
  lacuna bench model --arch bert-base --threads 2 --baseline before.json
  lacuna bench model --arch minilm --precision bf16 --dense
  lacuna bench model --arch bert-base --tune 50 --tuning bert-base.tuning.json

Architectures: bert-mini, minilm, distilbert, bert-base, bert-large, electra-small, with random weights and a small vocabulary.";

const COLUMNS: &str = "\
Columns: median time of a batch, in ms, and its spread, the interquartile range over the median; sequences and tokens per second; \
then microseconds by kind of kernel, which sum to the time of the batch. They are the shares of the instrumented passes (the \
middle half of them by time), as seen by the thread that leads the call: embedding and its layer normalisation; the q, k, v \
projections; attention; the o projection; up with GELU; down; layer normalisations; pooling; and other, which is everything else. \
With --dense and --f32 also the times of those in ms, and how many times as long they take.

Hot: what a call reads is where the call before left it. With --cold, every core in use reads a buffer larger than the last \
cache before each sample, and a sample is one call.

JSON: an array of objects with kernel (model), name, batch, seq, sparsity, threads, caches (hot or cold), tier, precision, activation_bits, median_us, \
median_ms, best_us, spread, samples, sequences_per_s, tokens_per_s, embedding_us, qkv_us, attention_us, o_us, up_us, down_us, \
layernorm_us, pooling_us, other_us, instrumented_us (the median of the instrumented passes); with --dense also dense_int8_ms \
and speedup_over_dense, with --f32 f32_ms and speedup_over_f32, with --baseline baseline_us and ratio_to_baseline. CSV has the \
same columns.";

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let bench = Bench::new(&args.options, context)?;
    let (name, subject) = args.subject.open(args.options.seed)?;
    let model = match subject {
        Subject::Packed(model) => {
            args.check_packed(&model)?;
            args.check(model.config().max_position)?;
            let sparse = compile_packed(&model, context)?;
            let sparsity = packed_sparsity(&model, &sparse);
            let precision = precision_name(model.precision());
            let activation_bits = model.activation_bits();
            let models = Models { name, sparsity, precision, activation_bits, calibrated: None, sparse, dense: None };
            return bench.run(|| measure(args, &bench, &models));
        }
        Subject::Weights(model) => *model,
    };
    args.check(model.config().max_position)?;
    let is_random = args.subject.is_random();
    let sparsities = sparsities(&args.sparsity, is_random);
    let activation_bits = args.activation_bits.unwrap_or_default();
    let (mut rows, mut remarks) = (Vec::new(), Vec::new());
    for (&asked, model) in sparsities.iter().zip(std::iter::repeat_n(model, sparsities.len())) {
        // On all cores, whatever the number that is measured.
        let Prepared { calibrated, sparsity, remark } = prepare(model, asked, activation_bits, args.options.seed)?;
        remarks.extend(remark);
        let layers = vec![LayerPrecision::all(args.precision.unwrap_or_default()); calibrated.quant().len()];
        let precision = precision_name(&layers);
        let sparse = args.tuning.compile(&calibrated.clone().with_precision(layers)?, Form::Auto, context)?;
        let dense = if args.dense { Some(compile(&calibrated, Form::Dense, context)?) } else { None };
        let (name, calibrated) = (name.clone(), Some(calibrated));
        let models = Models { name, sparsity, precision, activation_bits, calibrated, sparse, dense };
        rows.append(&mut bench.measure(|| measure(args, &bench, &models))?);
    }
    say_remarks(remarks, is_random);
    bench.finish(rows)
}

/// The precision of all tensors, if they have one.
fn precision_name(layers: &[LayerPrecision]) -> &'static str {
    let all = |precision: &Precision| layers.iter().all(|layer| *layer == LayerPrecision::all(*precision));
    Precision::ALL.iter().find(|precision| all(precision)).map_or("mixed", |precision| precision.name())
}

impl Args {
    /// Refuses what is decided in a packed model, or needs weights that it does not hold.
    fn check_packed(&self, model: &PackedModel) -> Result<()> {
        if !self.sparsity.is_empty() {
            return Err(needs_weights(model, "--sparsity", "prune with lacuna pack --sparsity"));
        }
        if let Some(precision) = self.precision {
            return Err(decided("--precision", precision.to_string()));
        }
        if let Some(bits) = self.activation_bits {
            return Err(decided("--activation-bits", bits.to_string()));
        }
        for (option, given) in [("--dense", self.dense), ("--f32", self.f32)] {
            if given {
                return Err(needs_weights(model, option, "give the model directory"));
            }
        }
        self.tuning.check_packed()
    }

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

/// One pruned model, in all the ways that it is measured.
struct Models {
    name: String,
    sparsity: f64,
    precision: &'static str,
    activation_bits: ActivationBits,
    /// None of a packed model.
    calibrated: Option<CalibratedModel>,
    sparse: Encoder,
    dense: Option<Encoder>,
}

fn measure(args: &Args, bench: &Bench<'_>, models: &Models) -> Result<Vec<Row>> {
    let steps = Steps::new(args.batch.len() * args.seq.len());
    let config = models.sparse.config();
    let mut rows = Vec::new();
    for &batch in &args.batch {
        for &seq in &args.seq {
            steps.begin(format!("{batch} x {seq} tokens"));
            let ids = seeded_ids(config.vocab_size, batch, seq, args.options.seed.wrapping_add(2));
            let mut row = Row::new("model", models.name.clone());
            row.size("batch", "batch", batch);
            row.size("seq", "tokens", seq);
            row.sparsity(models.sparsity);
            models.time(args, bench, &ids, &mut row)?;
            rows.push(row);
            steps.end();
        }
    }
    Ok(rows)
}

impl Models {
    /// Times one batch, in turn in all ways, and adds what was found to its row.
    fn time(&self, args: &Args, bench: &Bench<'_>, ids: &[Vec<u32>], row: &mut Row) -> Result<()> {
        let values = ids.len() * self.sparse.features();
        let (mut out, mut dense_out) = (vec![0.0; values], vec![0.0; values]);
        let mut sparse = || Ok(self.sparse.embed_ids_into(ids, &mut out)?);
        let mut profiled = Profiled { encoder: &self.sparse, ids, out: vec![0.0; values], profiles: Vec::new() };
        let mut dense = self.dense.as_ref().map(|dense| || Ok(dense.embed_ids_into(ids, &mut dense_out)?));
        let model = self.calibrated.as_ref().filter(|_| args.f32).map(CalibratedModel::model);
        let mut f32 = model.map(|model| || Ok(model.reference().embed(ids, model.pooling()).map(drop)?));
        let mut works: Vec<&mut dyn Work> = vec![&mut sparse, &mut profiled];
        works.extend(dense.as_mut().map(|dense| dense as &mut dyn Work));
        works.extend(f32.as_mut().map(|f32| f32 as &mut dyn Work));
        let samples = bench.time(&mut works, || Ok(()))?;
        let mut medians = samples.iter().map(Samples::median);
        let mut next = || medians.next().unwrap_or(f64::NAN);
        let (seconds, instrumented) = (next(), next());

        row.setting(bench.threads, bench.caches());
        row.fact("tier", bench.context.tier.name());
        row.fact("precision", self.precision);
        row.fact("activation_bits", self.activation_bits.count());
        row.figure("median_us", None, Some(seconds * 1e6), Unit::Decimals(2));
        row.figure("median_ms", Some("ms"), Some(seconds * 1e3), Unit::Decimals(3));
        row.figure("best_us", None, samples.first().map(|samples| samples.best() * 1e6), Unit::Decimals(2));
        row.figure("spread", Some("spread"), samples.first().map(Samples::spread), Unit::Percent);
        row.fact("samples", samples.first().map_or(0, Samples::len));
        let tokens: usize = ids.iter().map(Vec::len).sum();
        row.figure("sequences_per_s", Some("seq/s"), Some(ids.len() as f64 / seconds), Unit::Decimals(0));
        row.figure("tokens_per_s", Some("tokens/s"), Some(tokens as f64 / seconds), Unit::Decimals(0));
        let shares = profiled.shares(samples.first().map_or(0, Samples::len));
        for (stage, share) in Stage::ALL.into_iter().zip(shares) {
            let (key, heading) = stage_column(stage);
            row.figure(key, Some(heading), Some(share * seconds * 1e6), Unit::Decimals(1));
        }
        row.figure("instrumented_us", None, Some(instrumented * 1e6), Unit::Decimals(2));
        if self.dense.is_some() {
            let dense = next();
            row.figure("dense_int8_ms", Some("dense ms"), Some(dense * 1e3), Unit::Decimals(3));
            row.figure("speedup_over_dense", Some("x dense"), Some(dense / seconds), Unit::Ratio("-"));
        }
        if model.is_some() {
            let f32 = next();
            row.figure("f32_ms", Some("f32 ms"), Some(f32 * 1e3), Unit::Decimals(3));
            row.figure("speedup_over_f32", Some("x f32"), Some(f32 / seconds), Unit::Ratio("-"));
        }
        Ok(())
    }
}

/// Key and heading of a stage's time.
fn stage_column(stage: Stage) -> (&'static str, &'static str) {
    match stage {
        Stage::Embedding => ("embedding_us", "embed us"),
        Stage::QueryKeyValue => ("qkv_us", "qkv"),
        Stage::Attention => ("attention_us", "attention"),
        Stage::AttentionOutput => ("o_us", "o"),
        Stage::Up => ("up_us", "up"),
        Stage::Down => ("down_us", "down"),
        Stage::LayerNorm => ("layernorm_us", "norm"),
        Stage::Pooling => ("pooling_us", "pool"),
        _ => ("other_us", "other"),
    }
}

/// The instrumented pass.
struct Profiled<'a> {
    encoder: &'a Encoder,
    ids: &'a [Vec<u32>],
    out: Vec<f32>,
    profiles: Vec<Profile>,
}

impl Work for Profiled<'_> {
    fn call(&mut self) -> Result<()> {
        self.profiles.push(self.encoder.profile(self.ids, &mut self.out)?);
        Ok(())
    }
}

impl Profiled<'_> {
    /// The fraction of the time that each stage took in the last `count` passes, of which the slowest and the fastest quarter do
    /// not count. Fractions sum to one.
    fn shares(&self, count: usize) -> [f64; Stage::ALL.len()] {
        let mut last = self.profiles[self.profiles.len().saturating_sub(count)..].to_vec();
        last.sort_by_key(Profile::total);
        let middle = &last[last.len() / 4..last.len() - last.len() / 4];
        let sum = |time: &dyn Fn(&Profile) -> std::time::Duration| -> f64 {
            middle.iter().map(|profile| time(profile).as_secs_f64()).sum()
        };
        let total = sum(&Profile::total);
        Stage::ALL.map(|stage| sum(&|profile| profile.stage(stage)) / total)
    }
}
