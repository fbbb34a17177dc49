//! What the user says.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::ArgPredicate;
use lacuna::config::Activation;
use lacuna_compress::{
    BATCH, CALIBRATION_TOKENS, HIGHEST, LEARNING_RATE, Method, Options, Rounding, SEQ, Shape, TEMPERATURE,
};
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::source::{SourceArgs, exactly_one};

/// Prune a model in blocks and train what is left to do what the dense model does
///
/// A dense model goes in; a model whose linear layers are zero in blocks comes out, and runs several times as fast. First the blocks
/// that matter least are taken out layer by layer, and what is kept is refitted (second-order pruning). Then the sparse model learns from
/// the dense one on unlabelled texts (distillation), and the zeros stay where they are. All of it runs on the CPU.
#[derive(clap::Args)]
#[command(group = exactly_one(&[]))]
#[command(after_help = "\
Examples:
  lacuna compress --model all-MiniLM-L6-v2 --sparsity 0.8 --data texts.txt --pairs stsb-dev.csv --time 15m --out minilm-80
  lacuna compress --model all-MiniLM-L6-v2 --sparsity 0.8 --method one-shot --data texts.txt --out minilm-80.lacuna
  lacuna compress --model all-MiniLM-L6-v2 --sparsity 0.8 --block auto --data texts.txt --time 15m --out minilm-80
  lacuna compress --model all-MiniLM-L6-v2 --speedup 4 --seq 128 --data texts.txt --time 15m --out minilm-4x
  lacuna compress --model all-MiniLM-L6-v2 --heads 8 --ffn 768 --sparsity 0.8 --data texts.txt --out minilm-small-80
  lacuna compress --model minilm-80 --lock --teacher my-tuned-model --data texts.txt --out my-sparse-model
  lacuna compress --model all-MiniLM-L6-v2 --new-head --labelled train.csv --labelled-dev dev.csv --out my-classifier
  lacuna compress --model my-classifier --sparsity 0.8 --labelled train.csv --labelled-dev dev.csv --data texts.txt --out sparse

Texts of --data are of the kind that the model will see: a text file (one per line), .csv and .tsv (texts of the first two columns),
.jsonl (\"text\" and \"pair\"), any of them as .gz or .zst. Some thousand texts are few, a hundred thousand are good. --pairs and
--labelled-dev are never trained on: choose settings on one set, and report figures of another.

A model with a head is trained with its head, which follows the logits of the teacher's head, and the labels of --labelled.
Lines of labelled files: text,label or text,pair,label (.csv), or {\"text\":\"...\",\"pair\":\"...\",\"label\":\"...\"}.

The result is a folder as the hub has it, with a model card in README.md, or a packed file if its name ends in .lacuna. Ctrl-C ends the
training early and keeps what was learned.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) source: SourceArgs,

    /// Fraction of the blocks of every linear layer of the encoder that becomes zero
    #[arg(long, value_name = "S", allow_hyphen_values = true, value_parser = args::sparsity,
        required_unless_present_any = ["lock", "new_head", "layers", "speedup", "target_ms", "heads", "ffn", "activation"])]
    sparsity: Option<f64>,

    /// How the zeros are grouped: 4x1 (4 outputs of one input), 8x1, 16x1, 4x4, 1x4, unstructured; auto takes the shape that loses least in
    /// equal time, measured on this machine [default: 4x1 with --sparsity, auto with --speedup and --target-ms]
    #[arg(long, conflicts_with = "lock")]
    block: Option<Shape>,

    /// In place of --sparsity: choose block shape and sparsity of every matrix so that the model is this many times as fast as dense int8
    /// on this machine
    #[arg(long, value_name = "X", value_parser = speedup, conflicts_with_all = ["sparsity", "lock", "target_ms"])]
    speedup: Option<f64>,

    /// In place of --sparsity: choose them so that a sequence takes this many milliseconds on this machine
    #[arg(long, value_name = "MS", value_parser = milliseconds, conflicts_with_all = ["sparsity", "lock"])]
    target_ms: Option<f64>,

    /// Tokens of the sequence whose time counts; its time is that of --threads threads, or of one
    #[arg(long, value_name = "N", default_value_t = SEQ, value_parser = args::at_least_one)]
    seq: usize,

    /// Prune neurons and features of heads in the order that they have. Without it they change places before blocks of 8x1, 16x1 and 4x4,
    /// so that blocks hold what belongs together; what the dense model computes does not depend on their order
    #[arg(long, conflicts_with = "lock")]
    keep_order: bool,

    /// Prune to this fraction first, and raise it to that of --sparsity in four prunings during the first 40 % of the training
    #[arg(long, value_name = "S", allow_hyphen_values = true, value_parser = args::sparsity, conflicts_with = "lock")]
    start_sparsity: Option<f64>,

    /// Attention heads that every layer keeps; the others are removed, and the matrices become smaller
    #[arg(long, value_name = "N", value_parser = args::at_least_one, conflicts_with = "lock")]
    heads: Option<usize>,

    /// Neurons that every feed-forward block keeps: intermediate_size of the smaller model
    #[arg(long, value_name = "N", value_parser = args::at_least_one, conflicts_with = "lock")]
    ffn: Option<usize>,

    /// Activation of the feed-forward blocks from now on; relu is the fastest, and its zeros cost accuracy
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "lock")]
    activation: Option<ActivationArg>,

    /// What is done
    #[arg(long, value_enum, default_value = "distil")]
    method: MethodArg,

    /// Keep the zeros that the model has, and train the rest
    #[arg(long, conflicts_with = "sparsity")]
    lock: bool,

    /// How many layers the result has, taken evenly from those of the model [default: all]
    #[arg(long, value_name = "N", value_parser = args::at_least_one)]
    layers: Option<usize>,

    /// Texts with labels, .csv or lines of JSON: the head is trained on them, too
    #[arg(long, value_name = "FILE")]
    labelled: Option<PathBuf>,

    /// Texts with labels: how well the model does is measured on them
    #[arg(long, value_name = "FILE", conflicts_with = "pairs")]
    labelled_dev: Option<PathBuf>,

    /// Put a new head for the labels of --labelled on the model, and train both on them
    #[arg(long, requires = "labelled")]
    new_head: bool,

    /// The temperature at which logits of two heads are compared
    #[arg(long, value_name = "T", default_value_t = TEMPERATURE, value_parser = temperature)]
    temperature: f64,

    /// Texts to prune and train on; several files [default: the built-in calibration texts, which are too few for training]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    data: Vec<PathBuf>,

    /// Sentence pairs with scores, a csv of sentence1,sentence2,score: how well the model does is measured on them
    #[arg(long, value_name = "CSV")]
    pairs: Option<PathBuf>,

    /// Sentence pairs with scores to train on, in the same form: the model also learns which pairs are more alike than others
    #[arg(long, value_name = "CSV")]
    train_pairs: Option<PathBuf>,

    /// The model to learn from [default: the model itself, before it is pruned]
    #[arg(long, value_name = "DIR")]
    teacher: Option<PathBuf>,

    /// How long to train, as 90s, 15m or 2h; pruning comes first and is not counted [default: 15m; a new head sees every text with a
    /// label four times]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "steps")]
    time: Option<Duration>,

    /// How many steps to train, instead of a time: the same seed and steps give the same model
    #[arg(long, value_name = "N", value_parser = args::at_least_one)]
    steps: Option<usize>,

    /// Texts of a training step
    #[arg(long, value_name = "N", default_value_t = BATCH, value_parser = args::at_least_one)]
    batch: usize,

    /// The highest learning rate; 1e-4 with --new-head
    #[arg(long, value_name = "RATE", default_value_t = LEARNING_RATE, default_value_if("new_head", ArgPredicate::Equals("true".into()), "1e-4"), value_parser = rate)]
    learning_rate: f64,

    /// Train the embeddings of words, positions and types, too
    #[arg(long)]
    train_embeddings: bool,

    /// Whether the last fifth of the training rounds activations and weights as int8 does
    #[arg(long, value_enum, default_value = "auto")]
    rounding: RoundingArg,

    /// Tokens of texts that pruning looks at
    #[arg(long, value_name = "N", default_value_t = CALIBRATION_TOKENS, value_parser = args::at_least_one)]
    calibration_tokens: usize,

    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Where the model goes: a new folder, or a file that ends in .lacuna
    #[arg(long, value_name = "DIR|FILE.lacuna")]
    out: PathBuf,

    /// Of a packed file: store word and position embeddings as bytes with a scale per row, for a quarter of their size
    #[arg(long)]
    small_tables: bool,

    /// Go on where an interrupted run with the same options ended; its state is in OUT.checkpoint
    #[arg(long)]
    pub(super) resume: bool,

    /// Also write every figure as a line of JSON while it runs
    #[arg(long, value_name = "FILE")]
    pub(super) log: Option<PathBuf>,

    /// Also write a page with the curves
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Args {
    /// The options of the library. `command` is how the run is called.
    pub(super) fn options(&self, context: &Context, command: String) -> Options {
        Options {
            name: self.source.name(),
            sparsity: self.sparsity,
            block: self.block,
            speedup: self.speedup,
            target_ms: self.target_ms,
            seq: self.seq,
            keep_order: self.keep_order,
            start_sparsity: self.start_sparsity,
            heads: self.heads,
            ffn: self.ffn,
            activation: self.activation.map(Into::into),
            method: match self.method {
                MethodArg::OneShot => Method::OneShot,
                MethodArg::Distil => Method::Distil,
            },
            lock: self.lock,
            layers: self.layers,
            labelled: self.labelled.clone(),
            labelled_dev: self.labelled_dev.clone(),
            new_head: self.new_head,
            temperature: self.temperature,
            data: self.data.clone(),
            pairs: self.pairs.clone(),
            train_pairs: self.train_pairs.clone(),
            teacher: self.teacher.clone(),
            time: self.time,
            steps: self.steps,
            batch: self.batch,
            learning_rate: Some(self.learning_rate),
            train_embeddings: self.train_embeddings,
            rounding: match self.rounding {
                RoundingArg::Auto => Rounding::Auto,
                RoundingArg::Always => Rounding::Always,
                RoundingArg::Never => Rounding::Never,
            },
            calibration_tokens: self.calibration_tokens,
            seed: self.seed,
            small_tables: self.small_tables,
            resume: self.resume,
            threads: context.given_threads(),
            tier: Some(context.tier),
            command,
            // The folder may have to be downloaded first.
            ..Options::new("", &self.out)
        }
    }
}

/// An activation of feed-forward blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ActivationArg {
    /// `x * (1 + erf(x / sqrt(2))) / 2`
    Gelu,
    /// `gelu_new`: GELU in its form with tanh
    GeluTanh,
    /// `max(x, 0)`
    Relu,
}

impl From<ActivationArg> for Activation {
    fn from(name: ActivationArg) -> Activation {
        match name {
            ActivationArg::Gelu => Activation::Gelu,
            ActivationArg::GeluTanh => Activation::GeluTanh,
            ActivationArg::Relu => Activation::Relu,
        }
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum MethodArg {
    /// Prune and refit only: minutes
    OneShot,
    /// Prune, then train
    Distil,
}

/// Whether a training rounds as the int8 model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RoundingArg {
    /// Where int8 moves embeddings of the texts by more than a cosine distance of 0.001 on average
    Auto,
    /// In every case
    Always,
    /// Not at all
    Never,
}

/// `90s`, `15m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("found {text:?}; expected a time as 90s, 15m or 2h");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        _ => return Err(wrong()),
    };
    let count: f64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(count * seconds).ok().filter(|time| !time.is_zero()).ok_or_else(wrong)
}

/// A temperature.
fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(temperature) if temperature > 0.0 && temperature <= HIGHEST.0 => Ok(temperature),
        _ => Err(format!("found {text:?}; expected a number above 0 and at most {}", HIGHEST.0)),
    }
}

/// How many times as fast.
fn speedup(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(times) if times > 1.0 && times.is_finite() => Ok(times),
        _ => Err(format!("found {text:?}; expected a number above 1")),
    }
}

/// A time.
fn milliseconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ms) if ms > 0.0 && ms.is_finite() => Ok(ms),
        _ => Err(format!("found {text:?}; expected a number of milliseconds above 0")),
    }
}

/// A learning rate.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= HIGHEST.1 => Ok(rate),
        _ => Err(format!("found {text:?}; expected a number above 0 and at most {}", HIGHEST.1)),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches};
    use lacuna_compress::NEW_HEAD_LEARNING_RATE;

    use super::*;

    fn parsed(options: &[&str]) -> Args {
        let command = Args::augment_args(Command::new("compress"));
        let given = ["compress", "--model", "m", "--out", "o"].iter().chain(options);
        Args::from_arg_matches(&command.try_get_matches_from(given).unwrap()).unwrap()
    }

    #[test]
    fn new_heads_learn_slower() {
        assert_eq!(parsed(&["--sparsity", "0.8"]).learning_rate, 5e-4);
        assert_eq!(parsed(&["--new-head", "--labelled", "l.csv"]).learning_rate, NEW_HEAD_LEARNING_RATE);
        assert_eq!(parsed(&["--new-head", "--labelled", "l.csv", "--learning-rate", "1e-3"]).learning_rate, 1e-3);
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("90s").unwrap().as_secs(), 90);
        assert_eq!(duration("1.5m").unwrap().as_secs(), 90);
        assert_eq!(duration("2h").unwrap().as_secs(), 7200);
        for wrong in ["", "m", "5", "0s", "-1s", "5d", "NaNs", "1e30h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn goals_are_positive_numbers() {
        assert!(
            speedup("1").is_err()
                && speedup("inf").is_err()
                && milliseconds("0").is_err()
                && milliseconds("-1").is_err()
        );
        assert_eq!((speedup("2.5"), milliseconds("0.5")), (Ok(2.5), Ok(0.5)));
    }

    #[test]
    fn rates_are_small_and_positive() {
        assert_eq!(rate("3e-4").unwrap(), 3e-4);
        for wrong in ["0", "-1", "1", "NaN", "x"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
