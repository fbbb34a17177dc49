//! `lacuna bench text`: from texts to vectors, tokenizing included.

use std::path::PathBuf;

use lacuna::calibration::ActivationBits;
use lacuna::{Encoder, Form};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Steps;
use lacuna_console::source::{SourceArgs, exactly_one};
use lacuna_console::table::plural;
use lacuna_console::text::read_lines;
use lacuna_measure::texts::{self, Batch, BatchError, check_batch, tokenizer};

use super::options::{Bench, Options};
use super::report::{Row, Unit};
use super::subject::{Prepared, Subject, compile_packed, packed_sparsity, prepare, say_remarks, sparsities};
use crate::model::compile;
use crate::packed::needs_weights;

/// From texts to vectors: tokenizing, encoder and pooling
///
/// A model embeds batches of texts, as a program would that calls the library. In turn with that, tokenizing alone and the encoder alone
/// are timed. A model directory is quantised to int8 with scales from random token ids, which is right for times; a file of lacuna pack
/// runs as it is. Pruning here shows speed alone: accuracy is not kept.
#[derive(clap::Args)]
#[command(group(exactly_one(&[])), after_help = format!("{EXAMPLES}\n\n{COLUMNS}"))]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// Fractions of 4x1 blocks pruned, 0 <= S < 1; a comma-separated list [default: the zeros that are there]
    #[arg(long, value_name = "S,..", value_delimiter = ',', allow_hyphen_values = true, value_parser = args::sparsity)]
    sparsity: Vec<f64>,

    /// Texts per batch; a comma-separated list
    #[arg(long, value_name = "B,..", value_delimiter = ',', default_value = "1,32", value_parser = args::at_least_one)]
    batch: Vec<usize>,

    /// Tokens per text, special tokens included: English words up to that many; a comma-separated list
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "16,64", conflicts_with = "input", value_parser = args::at_least_one)]
    seq: Vec<usize>,

    /// Texts, one per line, in place of --seq; batches are its first lines, repeated if there are fewer
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

const EXAMPLES: &str = "\
Examples:
  lacuna bench text --model all-MiniLM-L6-v2
  lacuna bench text --model minilm.lacuna --batch 1,8,64 --seq 16,128 --threads 2
  lacuna bench text --model all-MiniLM-L6-v2 --sparsity 0.8,0.9 --input sentences.txt --json";

const COLUMNS: &str = "\
Columns: tokens of the batch; median time from texts to vectors, in ms, and its spread, the interquartile range over the median; texts \
and tokens per second; then the times of tokenizing alone, of the encoder alone and of pooling, in microseconds, and the share of \
tokenizing in the whole.

JSON: an array of objects with kernel (text), name, batch, seq (\"input\" with --input), sparsity, threads, caches, tier, tokens, median_us, \
median_ms, best_us, p95_us, spread, samples, texts_per_s, tokens_per_s, tokenize_us, encode_us, pool_us, tokenize_share; with --baseline \
baseline_us and ratio_to_baseline. CSV has the same columns.";

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let bench = Bench::new(&args.options, context)?;
    let name = args.source.name();
    // clap has seen to one
    let Some(subject) = Subject::open(&args.source)? else { return bench.finish(Vec::new()) };
    let lines = args.input.as_deref().map(read_lines).transpose()?;
    let model = match subject {
        Subject::Packed(model) => {
            if !args.sparsity.is_empty() {
                return Err(needs_weights(&model, "--sparsity", "prune with lacuna pack --sparsity"));
            }
            let encoder = compile_packed(&model, context)?;
            let sparsity = packed_sparsity(&model, &encoder);
            let texts = args.texts(&encoder, lines.as_deref())?;
            return bench.run(|| measure(&bench, &name, sparsity, &encoder, &texts));
        }
        Subject::Weights(model) => *model,
    };
    let sparsities = sparsities(&args.sparsity, false);
    let (mut rows, mut remarks) = (Vec::new(), Vec::new());
    for (&asked, model) in sparsities.iter().zip(std::iter::repeat_n(model, sparsities.len())) {
        let Prepared { calibrated, sparsity, remark } =
            prepare(model, asked, ActivationBits::default(), args.options.seed)?;
        remarks.extend(remark);
        let encoder = compile(&calibrated, Form::Auto, context)?;
        let texts = args.texts(&encoder, lines.as_deref())?;
        rows.append(&mut bench.measure(|| measure(&bench, &name, sparsity, &encoder, &texts))?);
    }
    say_remarks(remarks, false);
    bench.finish(rows)
}

impl Args {
    /// Every batch that is measured.
    fn texts(&self, encoder: &Encoder, lines: Option<&[String]>) -> Result<Vec<Batch>> {
        let tokenizer = tokenizer(encoder)?;
        let mut batches = Vec::new();
        for &batch in &self.batch {
            let Some(lines) = lines else {
                check_batch(batch).map_err(in_words)?;
                for &seq in &self.seq {
                    batches.push(Batch::made_up(tokenizer, batch, seq).map_err(in_words)?);
                }
                continue;
            };
            check_batch(batch).map_err(in_words)?;
            if lines.is_empty() {
                let expected = "at least one line".to_owned();
                return Err(Error::Argument { option: "--input", found: "an empty file".to_owned(), expected });
            }
            batches.push(Batch::of_texts(lines, batch).map_err(in_words)?);
        }
        Ok(batches)
    }
}

/// An error with the option as the command spells it.
fn in_words(error: BatchError) -> Error {
    match error {
        BatchError::Library(error) => error.into(),
        other => Error::Said(format!("--{other}")),
    }
}

fn measure(bench: &Bench<'_>, name: &str, sparsity: f64, encoder: &Encoder, batches: &[Batch]) -> Result<Vec<Row>> {
    let steps = Steps::new(batches.len());
    let mut rows = Vec::with_capacity(batches.len());
    for batch in batches {
        steps.begin(plural(batch.texts.len() as u64, "text"));
        let mut row = Row::new("text", name.to_owned());
        row.size("batch", "batch", batch.texts.len());
        match batch.seq {
            Some(seq) => row.size("seq", "seq", seq),
            None => row.tag("seq", Some("seq"), "input"),
        }
        row.sparsity(sparsity);
        time(bench, encoder, &batch.texts, &mut row)?;
        rows.push(row);
        steps.end();
    }
    Ok(rows)
}

/// Times one batch, in turn as a whole and in its parts.
fn time(bench: &Bench<'_>, encoder: &Encoder, texts: &[String], row: &mut Row) -> Result<()> {
    let figures = texts::time(encoder, texts, |[whole, tokenizing, encoding]| {
        let (mut whole, mut tokenizing, mut encoding) = (whole, tokenizing, encoding);
        bench.time(&mut [&mut whole, &mut tokenizing, &mut encoding], || Ok(()))
    })?;
    let Some(figures) = figures else { return Ok(()) };
    row.setting(bench.threads, bench.caches());
    row.fact("tier", bench.context.tier.name());
    row.size("tokens", "tokens", figures.tokens);
    row.figure("median_us", None, Some(figures.median_us), Unit::Decimals(2));
    row.figure("median_ms", Some("ms"), Some(figures.median_ms), Unit::Decimals(3));
    row.figure("best_us", None, Some(figures.best_us), Unit::Decimals(2));
    row.figure("p95_us", None, Some(figures.p95_us), Unit::Decimals(2));
    row.figure("spread", Some("spread"), Some(figures.spread), Unit::Percent);
    row.fact("samples", figures.samples);
    row.figure("texts_per_s", Some("texts/s"), Some(figures.texts_per_s), Unit::Decimals(0));
    row.figure("tokens_per_s", Some("tokens/s"), Some(figures.tokens_per_s), Unit::Decimals(0));
    row.figure("tokenize_us", Some("tokenize us"), Some(figures.tokenize_us), Unit::Decimals(1));
    row.figure("encode_us", Some("encode us"), Some(figures.encode_us), Unit::Decimals(1));
    row.figure("pool_us", Some("pool us"), Some(figures.pool_us), Unit::Decimals(1));
    row.figure("tokenize_share", Some("tokenizing"), Some(figures.tokenize_share), Unit::Percent);
    Ok(())
}
