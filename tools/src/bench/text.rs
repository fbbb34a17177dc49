//! `lacuna bench text`: from texts to vectors, tokenizing included.

use std::path::PathBuf;

use lacuna::calibration::ActivationBits;
use lacuna::report::{Profile, Stage};
use lacuna::tokens::SentenceTokenizer;
use lacuna::{Encoder, Form};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Steps;
use lacuna_console::source::{SourceArgs, exactly_one};
use lacuna_console::stats::median;
use lacuna_console::table::plural;
use lacuna_console::text::read_lines;
use lacuna_console::timing::{Samples, Work};

use super::options::{Bench, Options};
use super::report::{Row, Unit};
use super::subject::{
    MAX_TOKENS, Prepared, Subject, compile_packed, packed_sparsity, prepare, say_remarks, sparsities,
};
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
median_ms, best_us, spread, samples, texts_per_s, tokens_per_s, tokenize_us, encode_us, pool_us, tokenize_share; with --baseline \
baseline_us and ratio_to_baseline. CSV has the same columns.";

/// Words of made-up texts.
const WORDS: [&str; 48] = [
    "the", "river", "runs", "through", "a", "quiet", "town", "where", "people", "meet", "in", "the", "morning", "to",
    "buy", "bread", "and", "talk", "about", "weather", "some", "children", "play", "near", "an", "old", "bridge",
    "while", "others", "read", "books", "under", "tall", "trees", "later", "it", "begins", "to", "rain", "so", "they",
    "walk", "home", "slowly", "with", "their", "friends", "again",
];

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
            let texts = args.texts(tokenizer(&encoder)?, lines.as_deref())?;
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
        let texts = args.texts(tokenizer(&encoder)?, lines.as_deref())?;
        rows.append(&mut bench.measure(|| measure(&bench, &name, sparsity, &encoder, &texts))?);
    }
    say_remarks(remarks, false);
    bench.finish(rows)
}

fn tokenizer(encoder: &Encoder) -> Result<&SentenceTokenizer> {
    encoder.tokenizer().ok_or_else(|| lacuna::errors::ModelError::NoTokenizer.into())
}

/// A batch of texts; all of `seq` tokens at most, if they are made up.
struct Batch {
    texts: Vec<String>,
    seq: Option<usize>,
}

impl Args {
    /// Every batch that is measured.
    fn texts(&self, tokenizer: &SentenceTokenizer, lines: Option<&[String]>) -> Result<Vec<Batch>> {
        let mut batches = Vec::new();
        for &batch in &self.batch {
            if batch > MAX_TOKENS {
                let expected = format!("at most {MAX_TOKENS} texts");
                return Err(Error::Argument { option: "--batch", found: batch.to_string(), expected });
            }
            let Some(lines) = lines else {
                for &seq in &self.seq {
                    batches.push(made_up(tokenizer, batch, seq)?);
                }
                continue;
            };
            if lines.is_empty() {
                let expected = "at least one line".to_owned();
                return Err(Error::Argument { option: "--input", found: "an empty file".to_owned(), expected });
            }
            batches.push(Batch { texts: lines.iter().cycle().take(batch).cloned().collect(), seq: None });
        }
        Ok(batches)
    }
}

/// Texts of as many words as `seq` tokens hold, each from another word on.
fn made_up(tokenizer: &SentenceTokenizer, batch: usize, seq: usize) -> Result<Batch> {
    let limit = tokenizer.max_length();
    let wrong = |option, found: usize, expected| Err(Error::Argument { option, found: found.to_string(), expected });
    if seq > limit {
        return wrong("--seq", seq, format!("at most {limit}, the longest text of the model"));
    }
    if batch.saturating_mul(seq) > MAX_TOKENS {
        return wrong("--batch", batch, format!("at most {MAX_TOKENS} tokens in a batch"));
    }
    let text = |first: usize, words: usize| -> String {
        WORDS.iter().cycle().skip(first).take(words).copied().collect::<Vec<_>>().join(" ")
    };
    let mut texts = Vec::with_capacity(batch);
    for i in 0..batch {
        let first = i % WORDS.len();
        // The most words that fit; a word has at least one token.
        let (mut fits, mut too_many) = (0, seq + 1);
        while too_many - fits > 1 {
            let words = fits.midpoint(too_many);
            let encoded = tokenizer.encode(&text(first, words))?;
            let tokens = encoded.truncated_from.unwrap_or(encoded.ids.len());
            if tokens <= seq { fits = words } else { too_many = words }
        }
        if fits == 0 {
            return wrong("--seq", seq, "room for a word and the special tokens".to_owned());
        }
        texts.push(text(first, fits));
    }
    Ok(Batch { texts, seq: Some(seq) })
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
    let tokenizer = tokenizer(encoder)?;
    let ids: Vec<Vec<u32>> = tokenizer.encode_batch(texts)?.into_iter().map(|encoded| encoded.ids).collect();
    let tokens: usize = ids.iter().map(Vec::len).sum();
    let mut whole = || Ok(encoder.embed(texts).map(drop)?);
    let mut tokenizing = || Ok(tokenizer.encode_batch(texts).map(drop)?);
    let mut out = vec![0.0; ids.len() * encoder.config().hidden_size];
    let mut profiles: Vec<Profile> = Vec::new();
    let mut encoding = || {
        profiles.push(encoder.profile(&ids, &mut out)?);
        Ok(())
    };
    let mut works: [&mut dyn Work; 3] = [&mut whole, &mut tokenizing, &mut encoding];
    let samples = bench.time(&mut works, || Ok(()))?;
    let [whole, tokenizing, _] = &samples[..] else { return Ok(()) };

    row.setting(bench.threads, bench.caches());
    row.fact("tier", bench.context.tier.name());
    row.size("tokens", "tokens", tokens);
    let seconds = whole.median();
    row.figure("median_us", None, Some(seconds * 1e6), Unit::Decimals(2));
    row.figure("median_ms", Some("ms"), Some(seconds * 1e3), Unit::Decimals(3));
    row.figure("best_us", None, Some(whole.best() * 1e6), Unit::Decimals(2));
    row.figure("spread", Some("spread"), Some(whole.spread()), Unit::Percent);
    row.fact("samples", whole.len());
    row.figure("texts_per_s", Some("texts/s"), Some(texts.len() as f64 / seconds), Unit::Decimals(0));
    row.figure("tokens_per_s", Some("tokens/s"), Some(tokens as f64 / seconds), Unit::Decimals(0));
    // The last ones are those that were timed.
    let last = &profiles[profiles.len().saturating_sub(whole.len())..];
    let of = |time: &dyn Fn(&Profile) -> std::time::Duration| {
        median(&mut last.iter().map(|profile| time(profile).as_secs_f64() * 1e6).collect::<Vec<f64>>())
    };
    let pooling = of(&|profile| profile.stage(Stage::Pooling));
    let encoding = of(&|profile| profile.total().saturating_sub(profile.stage(Stage::Pooling)));
    row.figure("tokenize_us", Some("tokenize us"), Some(tokenizing.median() * 1e6), Unit::Decimals(1));
    row.figure("encode_us", Some("encode us"), Some(encoding), Unit::Decimals(1));
    row.figure("pool_us", Some("pool us"), Some(pooling), Unit::Decimals(1));
    let share = Samples::ratio_to(tokenizing, whole);
    row.figure("tokenize_share", Some("tokenizing"), Some(share), Unit::Percent);
    Ok(())
}
