//! What is refused before the work begins.

use lacuna::Model;
use lacuna::tokens::SentenceTokenizer;
use lacuna::weights::LayerWeights;
use lacuna_console::error::{Error, Result};
use lacuna_console::table::bytes;
use lacuna_train::mask::{Mask, masks_of};

use super::args::{Args, Goal, Method};
use super::gradual::ramp;
use super::heads::Heads;

/// Refuses figures that the model cannot have.
pub(super) fn check_measured(args: &Args, heads: Option<&Heads>) -> Result<()> {
    let wrong = |option, found: &str, expected: &str| {
        Err(Error::Argument { option, found: found.into(), expected: expected.into() })
    };
    match heads {
        Some(_) if args.train_pairs.is_some() => {
            wrong("--train-pairs", "a model with a head, which gives no embeddings", "--labelled, for a classification")
        }
        Some(_) if args.pairs.is_some() => {
            wrong("--pairs", "a model with a head, which gives no embeddings", "--labelled-dev, for a classification")
        }
        None if args.labelled_dev.is_some() => {
            wrong("--labelled-dev", "a model without a head for labels", "--pairs, for a model that embeds")
        }
        _ => Ok(()),
    }
}

/// Refuses a gradual pruning that goes nowhere, or has no time.
pub(super) fn check_start(args: &Args) -> Result<()> {
    let Some(start) = args.start_sparsity else { return Ok(()) };
    let end = match args.goal() {
        Goal::Keep => {
            let (found, expected) =
                ("no blocks that become zero".into(), "--sparsity, --speedup or --target-ms beside it".into());
            return Err(Error::Argument { option: "--start-sparsity", found, expected });
        }
        Goal::Sparsity(sparsity, _) | Goal::Auto(sparsity) => sparsity,
        Goal::Time(..) => 1.0, // looked at again when the sparsity is chosen
    };
    let ramp = ramp(start, end)?;
    match args.steps {
        Some(steps) if !ramp.fits(steps as u64) => Err(Error::Argument {
            option: "--steps",
            found: steps.to_string(),
            expected: "at least 2 with --start-sparsity, so that something is trained after the last pruning".into(),
        }),
        _ => Ok(()),
    }
}

/// Refuses a teacher whose tokens or states are others than those of the student.
pub(super) fn check_teacher(args: &Args, student: &Model, teacher: &Model) -> Result<()> {
    let refuse = |found: String, expected: String| Err(Error::Argument { option: "--teacher", found, expected });
    let (own, other) = (student.config().hidden_size, teacher.config().hidden_size);
    if own != other {
        return refuse(format!("hidden size {other}"), format!("{own}, as the model has"));
    }
    let (own, other) = (args.layers.unwrap_or(student.config().layers), teacher.config().layers);
    if own > other {
        return refuse(format!("{other} layers"), format!("at least {own}, as the result has"));
    }
    if student.tokenizer().map(SentenceTokenizer::json) != teacher.tokenizer().map(SentenceTokenizer::json) {
        return refuse("another tokenizer.json".into(), "the tokenizer of the model: both read the same tokens".into());
    }
    Ok(())
}

/// Refuses `--lock` for a model without zeros.
pub(super) fn check_zeros(args: &Args, model: &Model) -> Result<()> {
    let masks = masks_of(&model.weights().layers)?;
    let sparsest = masks.iter().flatten().flatten().map(Mask::sparsity).fold(0.0, f64::max);
    match args.lock && sparsest < 0.05 {
        true => Err(Error::Argument {
            option: "--lock",
            found: format!("at most {:.1} % zeros in a linear layer of {}", sparsest * 1e2, args.source.name()),
            expected: "a model that is already pruned, whose zeros are kept".into(),
        }),
        false => Ok(()),
    }
}

/// Refuses a sequence that the model cannot take.
pub(super) fn check_seq(args: &Args, model: &Model) -> Result<()> {
    let limit = model.config().max_position;
    match args.seq > limit && args.is_timed() {
        true => {
            let (found, expected) = (args.seq.to_string(), format!("1 to {limit}, the positions of the model"));
            Err(Error::Argument { option: "--seq", found, expected })
        }
        false => Ok(()),
    }
}

/// How often a training holds the linear layers of the encoder in f32: the student, the teacher, gradients, two moments, the average, what is
/// measured, and the products. BERT-base takes 8.3 times their size, with activations.
const TRAINED_COPIES: u64 = 8;
/// The same of a pruning.
const PRUNED_COPIES: u64 = 2;
/// How often a training holds the embeddings, if they are trained: gradients, two moments, the average and a copy that is changed.
const EMBEDDING_COPIES: u64 = 5;

/// A warning if the system has less memory than the work takes beside the model, `free` bytes.
pub(super) fn memory_warning(args: &Args, model: &Model, free: Option<u64>) -> Option<String> {
    let size = |values: usize| (values * size_of::<f32>()) as u64;
    let weights = model.weights();
    let linears = weights.layers.iter().flat_map(LayerWeights::linears);
    let linears = size(linears.map(|linear| linear.weight.data.len()).sum());
    let embeddings = size(weights.embeddings.word.data.len());
    let (needed, work) = match args.method {
        Method::OneShot => (PRUNED_COPIES * linears, "pruning"),
        Method::Distil if args.train_embeddings => {
            (TRAINED_COPIES * linears + EMBEDDING_COPIES * embeddings, "training")
        }
        Method::Distil => (TRAINED_COPIES * linears, "training"),
    };
    let free = free.filter(|&free| free < needed)?;
    Some(format!(
        "{work} takes about {} of memory beside the model, and {} are free: the system may end the command",
        bytes(needed as usize),
        bytes(free as usize)
    ))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches};
    use lacuna::Preset;

    use super::*;

    #[test]
    fn too_little_memory_is_said_with_both_numbers() {
        let args = |more: &[&str]| {
            let given = ["compress", "--model", "m", "--out", "o", "--sparsity", "0.8"].iter().chain(more);
            let command = Args::augment_args(Command::new("compress"));
            Args::from_arg_matches(&command.try_get_matches_from(given).unwrap()).unwrap()
        };
        let model = Model::seeded(Preset::BertMini.config(), 1).unwrap();
        let of = |more: &[&str], free| memory_warning(&args(more), &model, free);
        // BERT-mini has 3.1 million weights in its linear layers, and 7.8 million in its embeddings.
        let said = of(&[], Some(50_000_000)).unwrap();
        assert!(said.contains("training takes about 100.7 MB") && said.contains("50.0 MB are free"), "{said}");
        assert!(of(&[], Some(110_000_000)).is_none() && of(&[], None).is_none());
        assert!(of(&["--train-embeddings"], Some(110_000_000)).is_some());
        let said = of(&["--method", "one-shot"], Some(20_000_000)).unwrap();
        assert!(said.contains("pruning takes about 25.2 MB"), "{said}");
        assert!(of(&["--method", "one-shot"], Some(50_000_000)).is_none());
    }
}
