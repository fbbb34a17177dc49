//! The options, and what they ask for.

use std::path::PathBuf;
use std::time::Duration;

use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::{Target as Output, print, print_json};
use lacuna_console::text::read_lines;
use serde_json::json;

use super::client::Target;
use super::load::{Load, run as run_load};
use super::page::page;
use super::report::{Row, table};

/// A running server under load
///
/// An open loop: requests arrive as a Poisson process at the rates that are asked for, whether or not the server answers. A latency counts from
/// the moment at which the request should have been sent, so that pauses of the server are in it. Without --rate every connection sends
/// its next request when the one before is answered: that shows the throughput, and latencies of a closed loop.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna serve --model minilm.lacuna & lacuna bench serve --rate 100,1000
  lacuna bench serve --url http://localhost:8080/v1/embeddings --seq 32 --connections 8
  lacuna bench serve --rate 500 --input sentences.txt --texts 4 --time 30 --json

Columns: requests per second asked for (closed: as fast as they are answered); requests per second with status 200, and their tokens; requests
by status; latencies of those with status 200. Loads run one after the other.")]
pub(crate) struct Args {
    /// Where requests go: /embed, /predict, or a route that reads `input`, such as /v1/embeddings
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/embed", value_parser = Target::parse)]
    url: Target,

    /// Requests per second; a comma-separated list of loads [default: a closed loop]
    #[arg(long, value_name = "R,..", value_delimiter = ',', value_parser = args::positive)]
    rate: Vec<f64>,

    /// Seconds of each load
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = args::positive)]
    time: f64,

    /// Connections, each with one request at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = args::at_least_one)]
    connections: usize,

    /// Texts of a request
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = args::at_least_one)]
    texts: usize,

    /// Tokens of a text, special tokens included: short English words
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = args::at_least_one, conflicts_with = "input")]
    seq: usize,

    /// Texts, one per line, in place of --seq: they are sent in turns, so that lengths are those of the file
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Key of the server
    #[arg(long, value_name = "KEY", env = "LACUNA_API_KEY", hide_env_values = true)]
    api_key: Option<String>,

    /// Seed of the arrivals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Also write a page with charts of throughput and latency over --rate
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Print an array of objects
    #[arg(long)]
    json: bool,
}

/// Words that are one token of most vocabularies.
const WORDS: [&str; 16] = [
    "the", "river", "runs", "through", "a", "quiet", "town", "where", "people", "meet", "in", "the", "morning", "to",
    "buy", "bread",
];
/// Special tokens around a text.
const SPECIAL: usize = 2;
/// Different bodies.
const BODIES: usize = 64;

pub(crate) fn run(args: &Args, _: &Context) -> Result<()> {
    let bodies = args.bodies()?;
    let html = args.html.as_deref().map(|path| Output::new(Some(path))).transpose()?;
    let target = Target { api_key: args.api_key.clone(), ..args.url.clone() };
    let rates: Vec<Option<f64>> = match args.rate.is_empty() {
        true => vec![None],
        false => args.rate.iter().copied().map(Some).collect(),
    };
    let mut rows = Vec::with_capacity(rates.len());
    for rate in rates {
        let load = Load {
            target: target.clone(),
            bodies: bodies.clone(),
            rate,
            time: Duration::from_secs_f64(args.time),
            connections: args.connections,
            seed: args.seed,
        };
        let failed = |source| Error::Io { path: PathBuf::from(&target.authority), action: "connect to", source };
        rows.push(Row::new(rate, &run_load(&load).map_err(failed)?));
    }
    if let Some(html) = &html {
        let url = format!("http://{}{}", target.authority, target.path);
        html.write(|out| out.write_all(page(&url, &rows).as_bytes()))?;
    }
    match args.json {
        true => print_json(&rows),
        false => print(table(&rows)),
    }
}

impl Args {
    /// The bodies of requests.
    fn bodies(&self) -> Result<Vec<String>> {
        let texts = match &self.input {
            Some(path) => read_lines(path)?,
            None => (0..BODIES).map(|i| self.words(i)).collect(),
        };
        let of = |i: usize| {
            let texts: Vec<&String> = (0..self.texts).map(|n| &texts[(i * self.texts + n) % texts.len()]).collect();
            let field = if self.url.path.starts_with("/v1/") { "input" } else { "inputs" };
            let body = match self.url.path.ends_with("/predict") {
                true => json!({ field: texts.iter().map(|text| [text]).collect::<Vec<_>>() }),
                false => json!({ field: texts }),
            };
            body.to_string()
        };
        if texts.is_empty() {
            return Err(Error::Argument {
                option: "--input",
                found: "no lines".into(),
                expected: "at least one text".into(),
            });
        }
        Ok((0..texts.len().div_ceil(self.texts)).map(of).collect())
    }

    /// A text of `--seq` tokens.
    fn words(&self, first: usize) -> String {
        let words = self.seq.saturating_sub(SPECIAL);
        (first..first + words).map(|i| WORDS[i % WORDS.len()]).collect::<Vec<_>>().join(" ")
    }
}
