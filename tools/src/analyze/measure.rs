//! Eliminations and times.

use std::time::{Duration, Instant};

use lacuna::errors::ModelError;
use lacuna::tokens::seeded_ids;
use lacuna::{Compile, Encoder, Form, Model};
use lacuna_compress::Texts;
use lacuna_compress::times::{TimeOptions, measure};
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::say;
use lacuna_console::progress::Spinner;
use lacuna_console::stats::median;
use lacuna_train::prune::{Losses, OneShotOptions, Progress, lost, one_shot};

use super::args::Args;
use super::report::{Report, Row, Shape};
use crate::compress::in_words;
use crate::model;
use crate::packed::{needs_weights, open};

/// How long each model is timed.
const TIME: Duration = Duration::from_millis(300);

pub(super) fn analyze(args: &Args, context: &Context) -> Result<Report> {
    if let Some(path) = args.source.packed_path()? {
        return Err(needs_weights(&open(path)?, "lacuna analyze", "give the model's folder"));
    }
    let model = model::read(&args.source.folder()?.unwrap_or_default())?; // clap guarantees that there is one
    let tokenizer = model.tokenizer().ok_or(ModelError::NoTokenizer).map_err(lacuna::Error::from)?;
    let texts = Texts::read(&args.data, vec![], tokenizer).map_err(in_words)?;
    let calibration = texts.sample(args.calibration_tokens);
    let (seq, limit) = (args.seq, model.config().max_position);
    if seq > limit {
        let (found, expected) = (seq.to_string(), format!("1 to {limit}, the positions of the model"));
        return Err(Error::Argument { option: "--seq", found, expected });
    }
    let dense_ms = time(&compile(&model, context)?, &model, seq)?;
    let (blocks, sparsities, tier) = (&args.block[..], &args.sparsity[..], context.tier);
    let kernels = {
        let _spinner = Spinner::new("timing kernels");
        let options = TimeOptions { seq, threads: context.threads(), tier, blocks, sparsities };
        measure(model.config(), &options).map_err(in_words)?
    };
    let mut shapes = Vec::new();
    for &block in &args.block {
        let start = Instant::now();
        say(format_args!("blocks of {block}: eliminating"));
        let mut options = OneShotOptions::new(block, 0.0);
        let most = args.sparsity.iter().copied().fold(0.0, f64::max);
        options.elimination.keep = options.elimination.keep.min((1.0 - most) / 3.0);
        let mut progress = |progress: &Progress| {
            if let Progress::Layer(layer) = progress {
                say(format_args!("blocks of {block}: layer {} in {:.1} s", layer.layer, layer.seconds));
            }
        };
        let found = one_shot(model.config(), model.weights(), &calibration, &options, &mut progress)?;
        let rows: Vec<Row> = found
            .losses
            .iter()
            .enumerate()
            .flat_map(|(layer, six)| {
                six.iter().zip(lacuna::weights::LINEAR_NAMES).map(move |(losses, name)| (layer, name, losses))
            })
            .map(|(layer, name, losses)| Row { layer, name, errors: errors(losses, &args.sparsity) })
            .collect();
        let mut ms = Vec::new();
        for &sparsity in &args.sparsity {
            let _spinner = Spinner::new(format!("timing {block} at {:.0} %", sparsity * 1e2));
            // Which blocks are zero does not matter for the time, their number does.
            let pruned = model.clone().prune(block, sparsity)?;
            ms.push(time(&compile(&pruned, context)?, &pruned, seq)?);
        }
        let mean = (0..args.sparsity.len()).map(|at| mean(&rows, at)).collect();
        let speedup = ms.iter().map(|ms| dense_ms / ms).collect();
        let seconds = start.elapsed().as_secs_f64();
        shapes.push(Shape { block: block.to_string(), rows, mean, ms, speedup, seconds });
    }
    Ok(Report {
        model: args.source.name(),
        texts: texts.used.clone(),
        calibration_tokens: calibration.iter().map(|sequence| sequence.ids.len()).sum(),
        sparsities: args.sparsity.clone(),
        seq,
        threads: context.threads(),
        tier: context.tier.name(),
        dense_ms,
        kernels,
        shapes,
    })
}

/// The error of a matrix without its cheapest blocks, per sparsity.
fn errors(losses: &Losses, sparsities: &[f64]) -> Vec<Option<f64>> {
    let relative = |lost: f64| (losses.energy() > 0.0).then(|| lost / losses.energy());
    lost(losses, sparsities).into_iter().map(|lost| lost.and_then(relative)).collect()
}

/// The mean of column `at`, if every matrix has a value there.
fn mean(rows: &[Row], at: usize) -> Option<f64> {
    let values: Option<Vec<f64>> = rows.iter().map(|row| row.errors[at]).collect();
    values.filter(|values| !values.is_empty()).map(|values| values.iter().sum::<f64>() / values.len() as f64)
}

fn compile(model: &Model, context: &Context) -> Result<Encoder> {
    let calibrated = model.clone().calibration().run_default()?;
    Ok(calibrated.compiler().tier(context.tier).form(Form::Auto).compile()?)
}

/// The median time of a sequence in milliseconds, hot.
fn time(encoder: &Encoder, model: &Model, seq: usize) -> Result<f64> {
    let ids = seeded_ids(model.config().vocab_size, 1, seq, 1);
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < 5 || start.elapsed() < TIME {
        let start = Instant::now();
        encoder.embed_ids(&ids)?;
        samples.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(&mut samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_need_every_value() {
        let row = |error| Row { layer: 0, name: "q", errors: vec![error] };
        assert_eq!(mean(&[row(Some(1.0)), row(Some(3.0))], 0), Some(2.0));
        assert_eq!(mean(&[row(Some(1.0)), row(None)], 0), None);
        assert_eq!(mean(&[], 0), None);
    }
}
