//! What is asked for, and the defaults.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lacuna::config::Activation;
use lacuna::{Block, Tier};

use crate::error::{Error, Result};
use crate::pruning::SHAPES;
use crate::target::Wanted;

/// [`Options::seq`] by default.
pub const SEQ: usize = 128;
/// [`Options::temperature`] by default.
pub const TEMPERATURE: f64 = 2.0;
/// [`Options::batch`] by default.
pub const BATCH: usize = 32;
/// [`Options::learning_rate`] by default.
pub const LEARNING_RATE: f64 = 5e-4;
/// [`Options::learning_rate`] by default with a new head.
pub const NEW_HEAD_LEARNING_RATE: f64 = 1e-4;
/// [`Options::calibration_tokens`] by default.
pub const CALIBRATION_TOKENS: usize = 32_000;

/// The names of all options, as messages have them in backticks.
pub const OPTIONS: [&str; 35] = [
    "model",
    "out",
    "sparsity",
    "block",
    "speedup",
    "target_ms",
    "seq",
    "keep_order",
    "start_sparsity",
    "heads",
    "ffn",
    "activation",
    "method",
    "lock",
    "layers",
    "labelled",
    "labelled_dev",
    "new_head",
    "temperature",
    "data",
    "pairs",
    "train_pairs",
    "teacher",
    "time",
    "steps",
    "batch",
    "learning_rate",
    "train_embeddings",
    "rounding",
    "calibration_tokens",
    "seed",
    "small_tables",
    "resume",
    "threads",
    "tier",
];

/// What a run does. [`Options::new`] has the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The dense model: a folder, or a weight file in it.
    pub model: PathBuf,
    /// What reports call the model: its path or its name on the hub.
    pub name: String,
    /// Where the result goes: a new folder, or a file that ends in `.lacuna`.
    pub out: PathBuf,
    /// The fraction of the blocks of every linear layer of the encoder that becomes zero.
    pub sparsity: Option<f64>,
    /// How the zeros are grouped. By default blocks of 4x1 with a sparsity, and the best shapes with a time.
    pub block: Option<Shape>,
    /// In place of a sparsity: how many times as fast as dense int8 the model is to be on this machine.
    pub speedup: Option<f64>,
    /// In place of a sparsity: how many milliseconds a sequence is to take on this machine.
    pub target_ms: Option<f64>,
    /// Tokens of the sequence whose time counts.
    pub seq: usize,
    /// Whether neurons and features of heads keep the order that they have.
    pub keep_order: bool,
    /// The sparsity to begin with; it rises during the training.
    pub start_sparsity: Option<f64>,
    /// Attention heads that every layer keeps.
    pub heads: Option<usize>,
    /// Neurons that every feed-forward block keeps.
    pub ffn: Option<usize>,
    /// The activation of the feed-forward blocks from now on.
    pub activation: Option<Activation>,
    /// What is done.
    pub method: Method,
    /// Whether the zeros that the model has are kept, and the rest is trained.
    pub lock: bool,
    /// How many layers the result has, taken evenly from those of the model.
    pub layers: Option<usize>,
    /// A file of texts with labels: the head is trained on them, too.
    pub labelled: Option<PathBuf>,
    /// A file of texts with labels: how well the model does is measured on them.
    pub labelled_dev: Option<PathBuf>,
    /// Whether the model gets a new head for the labels of `labelled`.
    pub new_head: bool,
    /// The temperature at which logits of two heads are compared.
    pub temperature: f64,
    /// Files of texts to prune and train on; without any the built-in calibration texts, which are too few for training.
    pub data: Vec<PathBuf>,
    /// Sentence pairs with scores: how well the model does is measured on them.
    pub pairs: Option<PathBuf>,
    /// Sentence pairs with scores to train on.
    pub train_pairs: Option<PathBuf>,
    /// The model to learn from; by default the model itself before it is pruned.
    pub teacher: Option<PathBuf>,
    /// How long to train. By default a quarter of an hour; a new head sees every text with a label four times.
    pub time: Option<Duration>,
    /// How many steps to train, instead of a time: the same seed and steps give the same model.
    pub steps: Option<usize>,
    /// Texts of a training step.
    pub batch: usize,
    /// The highest learning rate. By default [`LEARNING_RATE`], or [`NEW_HEAD_LEARNING_RATE`] with a new head.
    pub learning_rate: Option<f64>,
    /// Whether the embeddings of words, positions and types are trained, too.
    pub train_embeddings: bool,
    /// Whether the last fifth of the training rounds as int8 does.
    pub rounding: Rounding,
    /// Tokens of texts that pruning looks at.
    pub calibration_tokens: usize,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Of a packed file: whether word and position embeddings are stored as bytes.
    pub small_tables: bool,
    /// Whether to go on where an interrupted run with the same options ended.
    pub resume: bool,
    /// Threads of the work; by default as many as the process is granted CPUs. Times are those of these threads, or of one without a number.
    pub threads: Option<usize>,
    /// The instruction set of the result; by default the best of this machine.
    pub tier: Option<Tier>,
    /// How the run is called, for the model card and the summary; empty if nobody should read it.
    pub command: String,
}

impl Options {
    /// The defaults.
    pub fn new(model: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Options {
        let model = model.into();
        Options {
            name: model.display().to_string(),
            model,
            out: out.into(),
            sparsity: None,
            block: None,
            speedup: None,
            target_ms: None,
            seq: SEQ,
            keep_order: false,
            start_sparsity: None,
            heads: None,
            ffn: None,
            activation: None,
            method: Method::Distil,
            lock: false,
            layers: None,
            labelled: None,
            labelled_dev: None,
            new_head: false,
            temperature: TEMPERATURE,
            data: vec![],
            pairs: None,
            train_pairs: None,
            teacher: None,
            time: None,
            steps: None,
            batch: BATCH,
            learning_rate: None,
            train_embeddings: false,
            rounding: Rounding::Auto,
            calibration_tokens: CALIBRATION_TOKENS,
            seed: 0,
            small_tables: false,
            resume: false,
            threads: None,
            tier: None,
            command: String::new(),
        }
    }

    /// What is asked for.
    pub(crate) fn goal(&self) -> Goal {
        let wanted = self.speedup.map(Wanted::Speedup).or(self.target_ms.map(Wanted::Ms));
        match (wanted, self.sparsity, self.block) {
            (Some(wanted), _, Some(Shape::Given(block))) => Goal::Time(wanted, vec![block]),
            (Some(wanted), ..) => Goal::Time(wanted, SHAPES.to_vec()),
            (None, None, _) => Goal::Keep,
            (None, Some(sparsity), Some(Shape::Auto)) => Goal::Auto(sparsity),
            (None, Some(sparsity), Some(Shape::Given(block))) => Goal::Sparsity(sparsity, block),
            (None, Some(sparsity), None) => Goal::Sparsity(sparsity, Block::B4x1),
        }
    }

    /// Whether times are measured.
    pub(crate) fn is_timed(&self) -> bool {
        matches!(self.goal(), Goal::Auto(_) | Goal::Time(..))
    }

    /// The options that decide what is pruned, in words.
    pub(crate) fn goal_text(&self) -> String {
        let Options { heads, ffn, activation, .. } = self;
        let shape = format!("{heads:?} heads, {ffn:?} neurons, {activation:?}");
        format!("{:?}, {} tokens, order kept: {}, {shape}", self.goal(), self.seq, self.keep_order)
    }

    /// Whether the result is a packed file.
    pub(crate) fn is_packed(&self) -> bool {
        has_packed_name(&self.out)
    }

    /// The highest learning rate.
    pub(crate) fn rate(&self) -> f64 {
        self.learning_rate.unwrap_or(if self.new_head { NEW_HEAD_LEARNING_RATE } else { LEARNING_RATE })
    }

    /// Refuses values out of their bounds, and options that contradict each other or would do nothing beside the others.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub fn check(&self) -> Result<()> {
        self.check_bounds()?;
        self.check_conflicts()?;
        let wrong = |option, found: &str, expected: &str| {
            Err(Error::Argument { option, found: found.into(), expected: expected.into() })
        };
        match self.training().iter().find(|(_, given)| *given && self.method == Method::OneShot) {
            Some(&(option, _)) => wrong(option, "`method` one-shot, which trains nothing", "`method` distil"),
            None if self.small_tables && !self.is_packed() => {
                wrong("`small_tables`", "a folder as `out`", "a packed file: a name that ends in .lacuna")
            }
            None => Ok(()),
        }
    }

    /// The options that say something about the training, and whether they are given.
    fn training(&self) -> [(&'static str, bool); 12] {
        [
            ("`lock`", self.lock),
            ("`time`", self.time.is_some()),
            ("`steps`", self.steps.is_some()),
            ("`teacher`", self.teacher.is_some()),
            ("`resume`", self.resume),
            ("`rounding` always", self.rounding == Rounding::Always),
            ("`new_head`", self.new_head),
            ("`labelled`", self.labelled.is_some()),
            ("`train_pairs`", self.train_pairs.is_some()),
            ("`train_embeddings`", self.train_embeddings),
            ("`layers`", self.layers.is_some()),
            ("`start_sparsity`", self.start_sparsity.is_some()),
        ]
    }
}

/// Whether a path is that of a packed file.
pub(crate) fn has_packed_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("lacuna"))
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Goal {
    /// The zeros stay as they are.
    Keep,
    /// A fraction of zeros in blocks of one shape.
    Sparsity(f64, Block),
    /// A fraction of zeros in the shape that is best here.
    Auto(f64),
    /// A time, in some of these shapes.
    Time(Wanted, Vec<Block>),
}

/// A block shape, or the best of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The shape that loses least in equal time, measured on this machine.
    Auto,
    /// This one.
    Given(Block),
}

impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Shape::Auto),
            _ => text.parse().map(Shape::Given).map_err(|error| format!("{error}, or auto")),
        }
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Prune and refit only.
    OneShot,
    /// Prune, then train.
    Distil,
}

/// Whether a training rounds as the int8 model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Where int8 moves embeddings of the texts by more than a cosine distance of 0.001 on average.
    Auto,
    /// In every case.
    Always,
    /// Not at all.
    Never,
}

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rounding::Auto => "auto",
            Rounding::Always => "always",
            Rounding::Never => "never",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Options)) -> String {
        let mut options = Options::new("model", "out");
        options.sparsity = Some(0.8);
        change(&mut options);
        options.check().err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn shapes_are_blocks_or_auto() {
        assert_eq!("auto".parse(), Ok(Shape::Auto));
        assert_eq!("4x4".parse(), Ok(Shape::Given(Block::B4x4)));
        assert!("5x5".parse::<Shape>().unwrap_err().contains("or auto"));
    }

    #[test]
    fn new_heads_learn_slower() {
        let mut options = Options::new("model", "out");
        assert_eq!(options.rate(), 5e-4);
        options.new_head = true;
        assert_eq!(options.rate(), 1e-4);
        options.learning_rate = Some(1e-3);
        assert_eq!(options.rate(), 1e-3);
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        assert_eq!(refusal(|_| ()), "");
        let text = refusal(|options| (options.method, options.steps) = (Method::OneShot, Some(2)));
        assert_eq!(text, "`steps`: found `method` one-shot, which trains nothing; expected `method` distil");
        let text = refusal(|options| (options.method, options.rounding) = (Method::OneShot, Rounding::Always));
        assert!(text.starts_with("`rounding` always: found `method` one-shot"), "{text}");
        assert!(refusal(|options| options.small_tables = true).starts_with("`small_tables`: found a folder"));
        assert_eq!(refusal(|options| (options.small_tables, options.out) = (true, "o.lacuna".into())), "");
    }

    #[test]
    fn values_have_bounds() {
        for wrong in [-0.1, 1.0, f64::NAN] {
            assert!(refusal(|options| options.sparsity = Some(wrong)).starts_with("`sparsity`: found"), "{wrong}");
        }
        assert!(refusal(|options| options.batch = 0).contains("`batch`: found 0; expected at least 1"));
        assert!(refusal(|options| options.learning_rate = Some(0.2)).contains("`learning_rate`"));
        assert!(refusal(|options| options.temperature = f64::NAN).contains("`temperature`"));
        assert!(refusal(|options| options.time = Some(Duration::ZERO)).contains("`time`"));
        assert!(refusal(|options| options.threads = Some(0)).contains("`threads`"));
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        assert!(refusal(|options| options.sparsity = None).starts_with("`sparsity`: found none"));
        assert_eq!(refusal(|options| (options.sparsity, options.layers) = (None, Some(2))), "");
        assert_eq!(refusal(|options| options.lock = true), "`lock`: found `sparsity` beside it; expected one of them");
        let text = refusal(|options| (options.time, options.steps) = (Some(Duration::from_secs(1)), Some(1)));
        assert!(text.starts_with("`time`: found `steps` beside it"), "{text}");
        let text = refusal(|options| options.new_head = true);
        assert!(text.contains("`new_head`: found no `labelled`"), "{text}");
    }

    #[test]
    fn names_of_options_are_those_of_the_fields() {
        // The fields of the struct as it prints, but for what reports call the model and the run.
        let printed = format!("{:#?}", Options::new("model", "out"));
        let fields = printed.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
        let mut fields: Vec<&str> = fields
            .map(|(name, _)| name)
            .filter(|name| !name.starts_with(' ') && !["name", "command"].contains(name))
            .collect();
        let mut names = OPTIONS.to_vec();
        fields.sort_unstable();
        names.sort_unstable();
        assert_eq!(fields, names);
    }
}
