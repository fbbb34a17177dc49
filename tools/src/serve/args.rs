//! The options.

use std::net::IpAddr;
use std::time::Duration;

use lacuna_console::args;
use lacuna_console::context::{Context, cores};
use lacuna_console::error::{Error, Result};
use lacuna_serve::{DrainOptions, Limits, PoolOptions, TuneOptions};

use super::log::LogFormat;
use super::named::NamedModel;
use crate::calibration::CalibrationArgs;

/// Serve models over HTTP
///
/// One server speaks the protocols of text-embeddings-inference, OpenAI, Cohere and the Open Inference Protocol (KServe, Triton), and
/// has the pipelines of transformers, so that clients work as they are. Texts of all requests are packed into batches by tokens,
/// without padding. A vector has the same bits as that of lacuna embed, whatever batch it is in. Without --model the shipped
/// model is served. The first --model is the one that requests without a name use.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna serve --model minilm.lacuna
  lacuna serve --model small=minilm.lacuna --model rank=ms-marco-MiniLM-L6-v2 --host 0.0.0.0 --api-key \"$KEY\"
  curl localhost:8080/embed -d '{\"inputs\":[\"A cat sits.\",\"A dog runs.\"]}'
  curl localhost:8080/v1/embeddings -d '{\"input\":\"A cat sits.\",\"model\":\"minilm\"}'
  curl localhost:8080/docs

Signals: TERM and INT end the server after the requests that it accepted; HUP loads all models again, and the old ones
serve until the new ones are ready. --threads is the number of threads of one instance (1 without it).
docs/serve.md has routes, limits and scheduling.")]
pub(crate) struct Args {
    /// Model directory or file of lacuna pack, with the name that requests use before it [default name: that of the folder or file]
    #[arg(long, value_name = "[NAME=]PATH", value_parser = NamedModel::path)]
    pub(super) model: Vec<NamedModel>,

    /// Model of the Hugging Face hub, with the name that requests use before it [default name: its last part]. Those of --model come first. It is
    /// downloaded once and then taken from the cache. Needs a build with --features hub
    #[arg(long, value_name = "[NAME=]MODEL[@REVISION]", value_parser = NamedModel::hub)]
    pub(super) from_hub: Vec<NamedModel>,

    /// Serve embeddings also of models that have a head
    #[arg(long)]
    pub(super) no_head: bool,

    /// Address to listen on; 0.0.0.0 is all of this machine
    #[arg(long, default_value = "127.0.0.1")]
    pub(super) host: IpAddr,

    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    pub(super) port: u16,

    /// Batches that are computed at the same time [default: the CPUs that the process is granted, divided by --threads]
    #[arg(long, value_name = "N", value_parser = args::at_least_one)]
    instances: Option<usize>,

    /// Measure for so many seconds which instances and threads serve the first model best, and take them
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5", value_parser = args::positive, conflicts_with = "instances")]
    auto_tune: Option<f64>,

    /// Longest median time of a request that --auto-tune may choose [default: no bound]
    #[arg(long, value_name = "MS", requires = "auto_tune", value_parser = args::positive)]
    latency_ms: Option<f64>,

    /// Tokens of the texts that --auto-tune measures with
    #[arg(long, value_name = "N", requires = "auto_tune", default_value_t = 64, value_parser = args::at_least_one)]
    tune_tokens: usize,

    /// Key that requests must have as `Authorization: Bearer KEY`; may be repeated. Other users of this machine can see options: a variable is
    /// safer
    #[arg(long, value_name = "KEY", env = "LACUNA_API_KEY", hide_env_values = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) api_key: Vec<String>,

    #[command(flatten)]
    limits: LimitArgs,

    /// What is logged on standard error: off, error, warn, info, debug, or a filter of tracing. lacuna_serve=debug names every request,
    /// without its texts
    #[arg(long, value_name = "LEVEL", default_value = "warn,lacuna_serve=info")]
    pub(super) log: String,

    /// How the log is written
    #[arg(long, value_enum, default_value = "text")]
    pub(super) log_format: LogFormat,

    /// Send a trace of every request to the collector at this address, in OTLP over HTTP without TLS. Needs a build with --features otlp
    #[arg(long, value_name = "URL")]
    pub(super) otlp: Option<String>,

    #[command(flatten)]
    pub(super) calibration: CalibrationArgs,
}

/// What the server takes at most.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Tokens of a batch
    #[arg(long, value_name = "N", default_value_t = Limits::default().batch_tokens, value_parser = args::at_least_one)]
    max_batch_tokens: usize,

    /// Texts that wait; more are answered with 429 and Retry-After
    #[arg(long, value_name = "N", default_value_t = Limits::default().queue, value_parser = args::at_least_one)]
    max_queue: usize,

    /// Texts of a request
    #[arg(long, value_name = "N", default_value_t = Limits::default().request_texts, value_parser = args::at_least_one)]
    max_request_texts: usize,

    /// Tokens of a request whose answer has a vector for every token
    #[arg(long, value_name = "N", default_value_t = Limits::default().state_tokens, value_parser = args::at_least_one)]
    max_state_tokens: usize,

    /// Bytes of a body, unpacked
    #[arg(long, value_name = "N", default_value_t = Limits::default().body_bytes, value_parser = args::at_least_one)]
    max_body_bytes: usize,

    /// Bytes of a text. Tokenizing takes about 200 times as much memory
    #[arg(long, value_name = "N", default_value_t = Limits::default().text_bytes, value_parser = args::at_least_one)]
    max_text_bytes: usize,

    /// Seconds from a request to its result
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().response_time.as_secs_f64(), value_parser = seconds)]
    timeout: f64,

    /// Connections that are open at the same time; more are answered with 503
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections, value_parser = args::at_least_one)]
    max_connections: usize,

    /// Seconds to the end of a request's headers. Idle connections are closed after it, too
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().header_time.as_secs_f64(), value_parser = positive_seconds)]
    header_timeout: f64,

    /// Seconds to the end of a request's body
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().body_time.as_secs_f64(), value_parser = positive_seconds)]
    body_timeout: f64,

    /// Seconds in which a client may take nothing of a response
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::default().write_time.as_secs_f64(), value_parser = positive_seconds)]
    write_timeout: f64,

    /// Truncate texts that are longer than the model reads, where the request does not say; without it they are refused
    #[arg(long)]
    auto_truncate: bool,

    /// Seconds in which /health says "not ready" before no more connections are taken at the end
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = seconds)]
    drain_notice: f64,

    /// Seconds that accepted requests may take at the end
    #[arg(long, value_name = "SECONDS", default_value_t = DrainOptions::default().limit.as_secs_f64(), value_parser = seconds)]
    drain_limit: f64,
}

/// A day.
const MOST_SECONDS: f64 = 86400.0;

/// A time of at most a day.
fn seconds(text: &str) -> Result<f64, String> {
    let expected = "expected a number of seconds from 0 to 86400";
    match text.parse() {
        Ok(seconds) if (0.0..=MOST_SECONDS).contains(&seconds) => Ok(seconds),
        _ => Err(expected.into()),
    }
}

/// A time of at most a day that is not 0.
fn positive_seconds(text: &str) -> Result<f64, String> {
    match seconds(text)? {
        0.0 => Err("expected a number of seconds above 0, up to 86400".into()),
        seconds => Ok(seconds),
    }
}

impl Args {
    /// All models, those of `--model` first.
    pub(super) fn models(&self) -> Vec<NamedModel> {
        self.model.iter().chain(&self.from_hub).cloned().collect()
    }

    /// What `--auto-tune` measures.
    ///
    /// # Errors
    /// [`Error::Argument`] for `--threads` beside it.
    pub(super) fn tuning(&self, context: &Context) -> Result<Option<TuneOptions>> {
        let Some(seconds) = self.auto_tune else { return Ok(None) };
        match context.thread_counts() {
            [] => Ok(Some(TuneOptions {
                threads: cores(),
                time: Duration::from_secs_f64(seconds.min(MOST_SECONDS)),
                tokens: self.tune_tokens,
                texts: 1,
            })),
            [threads, ..] => Err(Error::Argument {
                option: "--auto-tune",
                found: format!("--threads {threads} beside it"),
                expected: "one of them: --auto-tune chooses the threads".into(),
            }),
        }
    }

    /// The longest latency that `--auto-tune` may choose.
    pub(super) fn latency_bound(&self) -> Option<Duration> {
        self.latency_ms.map(|ms| Duration::from_secs_f64(ms.min(MOST_SECONDS * 1e3) / 1e3))
    }

    /// Refuses two models of one name.
    pub(super) fn check_names(&self) -> Result<()> {
        let models = self.models();
        let mut earlier = std::collections::BTreeSet::new();
        match models.iter().map(|model| &model.name).find(|name| !earlier.insert(*name)) {
            None => Ok(()),
            Some(name) => Err(Error::Argument {
                option: "--model",
                found: format!("two models of the name {name:?}"),
                expected: "another name for each: NAME=PATH".into(),
            }),
        }
    }

    /// How many threads compute.
    ///
    /// # Errors
    /// [`Error::Argument`] for more of them than the process is granted CPUs.
    pub(super) fn pool(&self, context: &Context) -> Result<PoolOptions> {
        let (granted, threads) = (cores(), context.measuring_threads());
        let instances = self.instances.unwrap_or((granted / threads).max(1));
        let all = instances.saturating_mul(threads);
        match all <= granted {
            true => Ok(PoolOptions { instances, threads }),
            false => Err(Error::Argument {
                option: "--instances",
                found: format!("{instances} with --threads {threads}, which is {all} threads"),
                expected: format!("at most {granted} threads: so many CPUs this process is granted"),
            }),
        }
    }

    /// What the server takes at most.
    ///
    /// # Errors
    /// [`Error::Argument`] for a queue that is shorter than a request.
    pub(super) fn limits(&self) -> Result<Limits> {
        let args = &self.limits;
        if args.max_queue < args.max_request_texts {
            return Err(Error::Argument {
                option: "--max-queue",
                found: args.max_queue.to_string(),
                expected: format!("at least the {} texts of --max-request-texts", args.max_request_texts),
            });
        }
        Ok(Limits {
            batch_tokens: args.max_batch_tokens,
            queue: args.max_queue,
            request_texts: args.max_request_texts,
            state_tokens: args.max_state_tokens,
            body_bytes: args.max_body_bytes,
            text_bytes: args.max_text_bytes,
            response_time: Duration::from_secs_f64(args.timeout),
            truncate: args.auto_truncate,
            connections: args.max_connections,
            header_time: Duration::from_secs_f64(args.header_timeout),
            body_time: Duration::from_secs_f64(args.body_timeout),
            write_time: Duration::from_secs_f64(args.write_timeout),
        })
    }

    /// How the server ends.
    pub(super) fn drain(&self) -> DrainOptions {
        let LimitArgs { drain_notice, drain_limit, .. } = self.limits;
        DrainOptions { notice: Duration::from_secs_f64(drain_notice), limit: Duration::from_secs_f64(drain_limit) }
    }
}
