//! What is refused before the work begins.

use lacuna::Model;
use lacuna::tokens::SentenceTokenizer;
use lacuna::weights::LayerWeights;
use lacuna_data::words::bytes;
use lacuna_train::mask::{Mask, masks_of};

use crate::error::{Error, Result};
use crate::gradual::ramp;
use crate::heads::Heads;
use crate::options::{Goal, Method, Options};

/// Refuses figures that the model cannot have.
pub(crate) fn check_measured(options: &Options, heads: Option<&Heads>) -> Result<()> {
    let wrong = |option, found: &str, expected: &str| {
        Err(Error::Argument { option, found: found.into(), expected: expected.into() })
    };
    match heads {
        Some(_) if options.train_pairs.is_some() => {
            wrong("`train_pairs`", "a model with a head, which gives no embeddings", "`labelled`, for a classification")
        }
        Some(_) if options.pairs.is_some() => {
            wrong("`pairs`", "a model with a head, which gives no embeddings", "`labelled_dev`, for a classification")
        }
        None if options.labelled_dev.is_some() => {
            wrong("`labelled_dev`", "a model without a head for labels", "`pairs`, for a model that embeds")
        }
        _ => Ok(()),
    }
}

/// Refuses a gradual pruning that goes nowhere, or has no time.
pub(crate) fn check_start(options: &Options) -> Result<()> {
    let Some(start) = options.start_sparsity else { return Ok(()) };
    let end = match options.goal() {
        Goal::Keep => {
            let (found, expected) =
                ("no blocks that become zero".into(), "`sparsity`, `speedup` or `target_ms` beside it".into());
            return Err(Error::Argument { option: "`start_sparsity`", found, expected });
        }
        Goal::Sparsity(sparsity, _) | Goal::Auto(sparsity) => sparsity,
        Goal::Time(..) => 1.0, // looked at again when the sparsity is chosen
    };
    let ramp = ramp(start, end)?;
    match options.steps {
        Some(steps) if !ramp.fits(steps as u64) => Err(Error::Argument {
            option: "`steps`",
            found: steps.to_string(),
            expected: "at least 2 with `start_sparsity`, so that something is trained after the last pruning".into(),
        }),
        _ => Ok(()),
    }
}

/// Refuses a teacher whose tokens or states are others than those of the student.
pub(crate) fn check_teacher(options: &Options, student: &Model, teacher: &Model) -> Result<()> {
    let refuse = |found: String, expected: String| Err(Error::Argument { option: "`teacher`", found, expected });
    let (own, other) = (student.config().hidden_size, teacher.config().hidden_size);
    if own != other {
        return refuse(format!("hidden size {other}"), format!("{own}, as the model has"));
    }
    let (own, other) = (options.layers.unwrap_or(student.config().layers), teacher.config().layers);
    if own > other {
        return refuse(format!("{other} layers"), format!("at least {own}, as the result has"));
    }
    if student.tokenizer().map(SentenceTokenizer::json) != teacher.tokenizer().map(SentenceTokenizer::json) {
        return refuse("another tokenizer.json".into(), "the tokenizer of the model: both read the same tokens".into());
    }
    Ok(())
}

/// Refuses `--lock` for a model without zeros.
pub(crate) fn check_zeros(options: &Options, model: &Model) -> Result<()> {
    let masks = masks_of(&model.weights().layers)?;
    let sparsest = masks.iter().flatten().flatten().map(Mask::sparsity).fold(0.0, f64::max);
    match options.lock && sparsest < 0.05 {
        true => Err(Error::Argument {
            option: "`lock`",
            found: format!("at most {:.1} % zeros in a linear layer of {}", sparsest * 1e2, options.name),
            expected: "a model that is already pruned, whose zeros are kept".into(),
        }),
        false => Ok(()),
    }
}

/// Refuses a sequence that the model cannot take.
pub(crate) fn check_seq(options: &Options, model: &Model) -> Result<()> {
    let limit = model.config().max_position;
    match options.seq > limit && options.is_timed() {
        true => {
            let (found, expected) = (options.seq.to_string(), format!("1 to {limit}, the positions of the model"));
            Err(Error::Argument { option: "`seq`", found, expected })
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
pub(crate) fn memory_warning(options: &Options, model: &Model, free: Option<u64>) -> Option<String> {
    let size = |values: usize| (values * size_of::<f32>()) as u64;
    let weights = model.weights();
    let linears = weights.layers.iter().flat_map(LayerWeights::linears);
    let linears = size(linears.map(|linear| linear.weight.data.len()).sum());
    let embeddings = size(weights.embeddings.word.data.len());
    let (needed, work) = match options.method {
        Method::OneShot => (PRUNED_COPIES * linears, "pruning"),
        Method::Distil if options.train_embeddings => {
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
    use lacuna::Preset;

    use super::*;

    #[test]
    fn too_little_memory_is_said_with_both_numbers() {
        let model = Model::seeded(Preset::BertMini.config(), 1).unwrap();
        let of = |change: fn(&mut Options), free| {
            let mut options = Options::new("m", "o");
            change(&mut options);
            memory_warning(&options, &model, free)
        };
        // BERT-mini has 3.1 million weights in its linear layers, and 7.8 million in its embeddings.
        let said = of(|_| (), Some(50_000_000)).unwrap();
        assert!(said.contains("training takes about 100.7 MB") && said.contains("50.0 MB are free"), "{said}");
        assert!(of(|_| (), Some(110_000_000)).is_none() && of(|_| (), None).is_none());
        assert!(of(|options| options.train_embeddings = true, Some(110_000_000)).is_some());
        let said = of(|options| options.method = Method::OneShot, Some(20_000_000)).unwrap();
        assert!(said.contains("pruning takes about 25.2 MB"), "{said}");
        assert!(of(|options| options.method = Method::OneShot, Some(50_000_000)).is_none());
    }
}
