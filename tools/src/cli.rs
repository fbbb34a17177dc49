//! The command line as a whole: subcommands, global options, help, usage errors.

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use lacuna_compare as compare;
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::process;
use lacuna_console::remarks::{Level, set_level, warn};
use lacuna_jit::{JitError, PERF_VARIABLE, Tier};

use crate::{
    analyze, answer, bench, calibrate, classify, completions, compress, demo, doctor, embed, evaluate, export, fill,
    inspect, listing, man, pack, rank, serve, tag,
};

/// Pruned, quantised encoders on CPUs, with or without a head, through machine code generated for exactly their weights.
#[derive(Parser)]
#[command(name = "lacuna", version, max_term_width = 110, after_help = EXAMPLES, after_long_help = LONG_NOTES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,

    /// CPU tier to run on: avx512vnni, avxvnni, avx2, portable [default: LACUNA_TIER, else the best of this machine]
    ///
    /// A tier that this machine lacks is an error: there is no automatic fallback. Code is generated for all tiers but
    /// portable, which runs plain Rust kernels with the same results, much slower.
    #[arg(long, global = true, value_name = "TIER", value_parser = tier, help_heading = "Global options")]
    tier: Option<Tier>,

    /// Worker threads; compare takes a list [default: the CPUs that the system grants this process; demo, bench and compare: 1]
    #[arg(long, global = true, value_name = "N", value_delimiter = ',', value_parser = args::threads, help_heading = "Global options")]
    threads: Vec<usize>,

    /// Say nothing on standard error but errors, warnings, and what an option asks for: --verify, --report, --json
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    quiet: bool,

    /// Say more: name every line that was truncated or gave no result, instead of the first ones
    #[arg(short, long, global = true, help_heading = "Global options")]
    verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
  lacuna demo                                               see it work; needs no files
  echo 'A cat sits.' | lacuna embed --model all-MiniLM-L6-v2
  lacuna rank --model ms-marco-MiniLM-L6-v2 --query 'Where does the cat sit?' --input passages.txt
  lacuna bench spmm --m 768 --k 768,3072 --n 128 --sparsity 0.8,0.9
  lacuna bench model --arch minilm --seq 32,128";

const LONG_NOTES: &str = "\
Examples:
  lacuna demo                                               see it work; needs no files
  echo 'A cat sits.' | lacuna embed --model all-MiniLM-L6-v2
  echo 'A fine film.' | lacuna classify --model distilbert-sst2
  lacuna rank --model ms-marco-MiniLM-L6-v2 --query 'Where does the cat sit?' --input passages.txt
  echo 'Ada met Charles in London.' | lacuna tag --model bert-base-NER
  echo 'The cat sat on a mat.' | lacuna answer --model roberta-base-squad2 --question 'Where did the cat sit?'
  echo 'The [MASK] sat on the mat.' | lacuna fill --model bert-base-uncased
  lacuna compress --model all-MiniLM-L6-v2 --sparsity 0.8 --data texts.txt --out minilm-80
  lacuna calibrate --model all-MiniLM-L6-v2 --calibrate sentences.txt
  lacuna evaluate --model all-MiniLM-L6-v2 --pairs stsb-dev.csv --calibrate stsb-train.csv
  lacuna serve --model minilm.lacuna --port 8080
  lacuna embed --from-hub sentence-transformers/all-MiniLM-L6-v2 --input sentences.txt
  lacuna export onnx --model all-MiniLM-L6-v2 minilm.onnx
  lacuna pack --model all-MiniLM-L6-v2 --calibrate sentences.txt --output minilm.lacuna
  lacuna inspect --model all-MiniLM-L6-v2 --sparsity 0.9
  lacuna bench spmm --m 768 --k 768,3072 --n 128 --sparsity 0.8,0.9
  lacuna bench model --arch minilm --seq 32,128
  lacuna listing spmm --m 768 --k 768 | less
  lacuna doctor

A model directory holds config.json, the weights and tokenizer.json as the Hugging Face hub has them, and where present \
sentence-transformers' modules.json, pooling and length settings. Weights are model.safetensors or pytorch_model.bin, each in one \
file or in several with their .index.json. Architectures: BERT (MiniLM too), DistilBERT, RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA. \
classify, rank, tag, answer and fill need a model with the head for it, which `architectures` in config.json names.

Results go to standard output, messages to standard error. Exit status: 0 success; 1 a check that \
the command made failed; 2 bad input, in one line that names what was found and what was expected.

Environment: LACUNA_TIER is the tier when --tier is not given; LACUNA_MASK_FEATURES=avx512bf16,avx512vbmi runs as on a CPU that \
lacks these features; LACUNA_PERF=map writes /tmp/perf-PID.map for perf; HF_HOME, HF_ENDPOINT, HF_TOKEN and \
HF_HUB_OFFLINE are for --from-hub, as the hub's own tools read them.";

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Embed(embed::Args),
    Classify(classify::Args),
    Rank(rank::Args),
    Tag(tag::Args),
    Answer(answer::Args),
    Fill(fill::Args),
    Serve(Box<serve::Args>),
    Analyze(analyze::Args),
    Compress(compress::Args),
    Calibrate(calibrate::Args),
    Evaluate(evaluate::Args),
    Export(export::Args),
    Pack(pack::Args),
    Inspect(inspect::Args),
    Bench(bench::Args),
    Compare(compare::Args),
    Listing(listing::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Cli {
    pub(crate) fn run(self) -> Result<()> {
        set_level(match (self.quiet, self.verbose) {
            (true, _) => Level::Quiet,
            (_, true) => Level::Verbose,
            _ => Level::Normal,
        });
        check_perf();
        match &self.command {
            // These need no machine that runs models.
            Command::Completions(args) => return completions::run(args, &mut Cli::command()),
            Command::Man(args) => return man::run(args, Cli::command()),
            _ => {}
        }
        let context = match &self.command {
            Command::Compare(_) => Context::with_thread_counts(self.tier, self.threads)?,
            _ => Context::new(self.tier, &self.threads)?,
        };
        match self.command {
            Command::Demo(args) => demo::run(&args, &context),
            Command::Embed(args) => embed::run(&args, &context),
            Command::Classify(args) => classify::run(&args, &context),
            Command::Rank(args) => rank::run(&args, &context),
            Command::Tag(args) => tag::run(&args, &context),
            Command::Answer(args) => answer::run(&args, &context),
            Command::Fill(args) => fill::run(&args, &context),
            Command::Serve(args) => serve::run(*args, &context),
            Command::Analyze(args) => analyze::run(&args, &context),
            Command::Compress(args) => compress::run(&args, &context),
            Command::Calibrate(args) => calibrate::run(&args, &context),
            Command::Evaluate(args) => evaluate::run(&args, &context),
            Command::Export(args) => export::run(&args, &context),
            Command::Pack(args) => pack::run(&args, &context),
            Command::Inspect(args) => inspect::run(&args, &context),
            Command::Bench(args) => bench::run(&args, &context),
            Command::Compare(args) => compare::run(&args, &context),
            Command::Listing(args) => listing::run(&args, &context),
            Command::Doctor(args) => doctor::run(&args, &context),
            Command::Completions(_) | Command::Man(_) => Ok(()), // done
        }
    }
}

/// Warns of a value of `LACUNA_PERF` that turns nothing on.
fn check_perf() {
    let found = std::env::var_os(PERF_VARIABLE).filter(|value| !value.is_empty() && value != "map");
    if let Some(found) = found {
        warn(format_args!(
            "{PERF_VARIABLE}: found {:?}; expected map; no perf map is written",
            found.to_string_lossy()
        ));
    }
}

fn tier(name: &str) -> Result<Tier, JitError> {
    name.parse().map_err(|found| JitError::UnknownTier { found, origin: "--tier".into() })
}

/// Prints the messages of clap: help and version unchanged, usage errors in one line.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match process::check_stdout().and_then(|()| error.print()).map_err(Error::Stdout) {
                Err(error) if !error.is_closed_pipe() => {
                    let _ = writeln!(std::io::stderr(), "error: {}", error.one_line());
                    error.exit_code()
                }
                _ => ExitCode::SUCCESS, // a reader that has gone needs no help
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let _ = writeln!(std::io::stderr(), "{}", usage_line(&error.to_string()));
            ExitCode::from(2)
        }
    }
}

/// The part of clap's message before the usage, in one line.
fn usage_line(message: &str) -> String {
    let end = ["\nUsage:", "\nFor more information"].iter().filter_map(|mark| message.find(mark)).min();
    let paragraphs = message[..end.unwrap_or(message.len())].split("\n\n");
    let lines: Vec<String> = paragraphs
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect();
    format!("{} (try --help)", in_words(&lines.join("; ")))
}

/// The standard library's messages about numbers, in the words of this command.
fn in_words(line: &str) -> String {
    const WORDS: [(&str, &str); 5] = [
        ("invalid digit found in string", "expected a whole number of at least 0"),
        ("cannot parse integer from empty string", "expected a whole number of at least 0"),
        ("number too large to fit in target type", "expected a smaller whole number"),
        ("invalid float literal", "expected a number"),
        ("cannot parse float from empty string", "expected a number"),
    ];
    WORDS.iter().fold(line.to_owned(), |line, (theirs, ours)| line.replace(theirs, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_errors_are_one_line() {
        let Err(error) = Cli::try_parse_from(["lacuna", "embed", "--modle", "x"]) else { panic!("parsed") };
        let line = usage_line(&error.to_string());
        assert!(line.starts_with("error: unexpected argument '--modle' found; tip:"), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}
