//! The shipped model on real sentences, beside dense models of its shape.

use std::time::Instant;

use lacuna::config::EncoderConfig;
use lacuna::report::LoadReport;
use lacuna::tokens::seeded_ids;
use lacuna::{CalibratedModel, Compile, Encoder, Form, Model, PackedModel};
use lacuna_assets::NAME;
use lacuna_console::context::{Context, pool};
use lacuna_console::error::Result;
use lacuna_console::progress::Spinner;
use lacuna_console::table::{bytes, plural};
use lacuna_jit::{Isa, Tier};
use serde::Serialize;

use super::check::{self, Check};
use super::sentences::{self, SENTENCES};
use super::times::{self, Time, Times};

/// Words of the dense models, whose table is looked up and costs no time that depends on it.
const VOCAB_SIZE: usize = 2000;
/// Sequences that the dense model is calibrated on. Times do not depend on its scales.
const SEQUENCES: usize = 4;
const SEED: u64 = 1;

/// What was found.
#[derive(Serialize)]
pub(super) struct Demo {
    model: &'static str,
    /// Bytes of the packed file.
    bytes: usize,
    /// From the bytes of the file to an encoder that can run.
    open_ms: f64,
    tokens: usize,
    threads: usize,
    tier: &'static str,
    sentences: [&'static str; SENTENCES.len()],
    /// The cosine of every two.
    similarities: Vec<Vec<f64>>,
    pub(super) checks: Vec<Check>,
    times: Vec<Time>,
    /// Rounds in which everything was timed.
    rounds: usize,
    report: LoadReport,
}

pub(super) fn demo(model: &PackedModel, tokens: usize, context: &Context) -> Result<Demo> {
    let threads = context.measuring_threads();
    let (open_ms, sparse) = pool(threads)?.install(|| -> Result<_> {
        let start = Instant::now();
        let model = crate::shipped::open()?;
        let encoder = model.compiler().tier(context.tier).compile()?;
        Ok((start.elapsed().as_secs_f64() * 1e3, encoder))
    })?;
    let (similarities, checks, dense, int8) = pool(context.threads())?.install(|| -> Result<_> {
        let (similarities, checks) = embed(model, &sparse, context)?;
        let (dense, int8) = dense(model.config(), tokens, context)?;
        Ok((similarities, checks, dense, int8))
    })?;
    let times = pool(threads)?.install(|| time(tokens, &sparse, dense.model(), &int8))?;
    let Times { list: times, rounds } = times;
    Ok(Demo {
        model: NAME,
        bytes: model.file_bytes(),
        open_ms,
        tokens,
        threads,
        tier: context.tier.name(),
        sentences: SENTENCES,
        similarities,
        checks,
        times,
        rounds,
        report: sparse.report().clone(),
    })
}

/// Similarities of the sentences, and what is checked.
fn embed(model: &PackedModel, sparse: &Encoder, context: &Context) -> Result<(Vec<Vec<f64>>, Vec<Check>)> {
    let _spinner = Spinner::new("embedding and checking");
    let similarities = sentences::similarities(&sparse.embed(&SENTENCES)?.vectors);
    let mut checks = vec![sentences::check(&similarities)];
    if context.isa() != Isa::Portable {
        let ids = seeded_ids(model.config().vocab_size, 3, 19, SEED);
        let portable = model.compiler().tier(Tier::Portable).compile()?;
        let states = |encoder: &Encoder| encoder.hidden_states(&ids);
        checks.push(Check::identical("generated = portable", &states(sparse)?, &states(&portable)?));
    }
    Ok((similarities, checks))
}

/// A dense model of the same shape with random weights: in f32, and compiled to int8.
fn dense(config: &EncoderConfig, tokens: usize, context: &Context) -> Result<(CalibratedModel, Encoder)> {
    let _spinner = Spinner::new("making dense models of the same shape");
    let config = EncoderConfig { vocab_size: VOCAB_SIZE, ..config.clone() };
    let ids = seeded_ids(VOCAB_SIZE, SEQUENCES, tokens, SEED);
    let calibrated = Model::seeded(config, SEED)?.calibration().run_ids(&ids)?;
    let encoder = calibrated.compiler().tier(context.tier).form(Form::Dense).compile()?;
    Ok((calibrated, encoder))
}

/// Times one sequence, from token ids to the embedding.
fn time(tokens: usize, sparse: &Encoder, dense: &Model, int8: &Encoder) -> Result<Times> {
    let one = seeded_ids(VOCAB_SIZE, 1, tokens, SEED.wrapping_add(1));
    Times::measure(
        ["dense f32", "dense int8", "sparse int8"],
        [
            &mut || Ok(dense.reference().embed(&one, dense.pooling()).map(drop)?),
            &mut || Ok(int8.embed_ids(&one).map(drop)?),
            &mut || Ok(sparse.embed_ids(&one).map(drop)?),
        ],
    )
}

impl Demo {
    pub(super) fn text(&self, verbose: bool) -> String {
        let Demo { model, report, .. } = self;
        let mut text = format!(
            "{model}, int8: {} that are part of this program, opened in {:.1} ms\n",
            bytes(self.bytes),
            self.open_ms
        );
        text += &format!(
            "{}, tier {}: {} of code for {}\n\ncosine similarities of {}\n\n{}\nchecks\n{}\n",
            report.cpu,
            self.tier,
            bytes(report.code_bytes),
            plural(report.linears.len(), "linear layer"),
            plural(self.sentences.len(), "sentence"),
            sentences::table(&self.similarities),
            check::lines(&self.checks),
        );
        if verbose {
            text += &format!("{report}\n");
        }
        text += &times::text(&self.times, self.rounds, self.tokens, self.threads);
        text += "\nThe dense models have the same shape and random weights: the dense weights are not part of this program, and dense \
                 times do not\ndepend on them. `lacuna evaluate --model DIR` measures accuracy and time of a dense model that you have.\n";
        text
    }
}
