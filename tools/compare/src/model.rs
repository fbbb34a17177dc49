//! `lacuna compare model`: whole encoders, from token ids to embeddings.

use lacuna::tokens::seeded_ids;
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::progress::Steps;
use lacuna_console::stats::Cosines;

use super::deliver::{Target, deliver};
use super::engine::{EngineId, Library};
use super::exports::Exports;
use super::field::Field;
use super::launch::{NoAnswer, unexpected};
use super::measure::{Ready, Slot, measure};
use super::options::Rounds;
use super::protocol::{Reply, Request, from_bits};
use super::row::{Breakdown, Report, Subject};
use super::source::{ModelArgs, SourceModel};
use lacuna_console::interrupt;

use super::machine;

/// A whole encoder compared with the same encoder on other runtimes
///
/// All engines run the same weights: pruned as --sparsity says, quantised by each int8 engine in its own way, f32 for the others. ONNX
/// Runtime and rten get the model as `lacuna export onnx` writes it. Batches are random token ids; embeddings are compared with the f32
/// reference before anything is timed.
#[derive(clap::Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", super::shared::NOTES))]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Sequences per batch; a comma-separated list
    #[arg(long, value_name = "B,..", value_delimiter = ',', default_value = "1", value_parser = args::at_least_one)]
    batch: Vec<usize>,

    /// Tokens per sequence; a comma-separated list
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "128", value_parser = args::at_least_one)]
    seq: Vec<usize>,

    /// Fractions of blocks pruned, 0 <= S < 1; a comma-separated list [default: 0.9 with --arch, else the zeros that are there]
    #[arg(long, value_name = "S,..", value_delimiter = ',', allow_hyphen_values = true, value_parser = args::sparsity)]
    sparsity: Vec<f64>,

    #[command(flatten)]
    rounds: Rounds,
}

const EXAMPLES: &str = "\
Examples:
  lacuna compare model --arch minilm --seq 32,128 --html minilm.html
  lacuna compare model --model all-MiniLM-L6-v2 --batch 1,8 --seq 128 --threads 1,2 --sparsity 0.8,0.9
  lacuna compare model --arch bert-base --engines lacuna,onnxruntime --json > bert-base.json

Architectures: bert-mini, minilm, distilbert, bert-base, bert-large, with random weights and a small vocabulary.";

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let target = Target::new(&args.rounds.options, args.rounds.html.as_deref())?;
    let mut field = Field::new(&args.rounds.options, context, EngineId::has_models)?;
    let mut report = Report::new(machine::facts(context)?, method(args));
    let threads = super::shared::thread_counts(context);
    let sparsities = args.model.sparsities(&args.sparsity);
    let subjects = sparsities.len() * threads.len() * args.batch.len() * args.seq.len();
    let steps = Steps::new(subjects * args.rounds.effort.rounds);
    let mut done = 0;
    'all: for &sparsity in &sparsities {
        let model = args.model.prepare(sparsity, args.rounds.options.seed)?;
        model.check_batches(&args.batch, &args.seq)?;
        let exports = Exports::new(&model, &args.model.onnx, field.engines())?;
        for &threads in &threads {
            let mut slots = match field.start(threads) {
                Err(Error::Interrupted) => break 'all,
                slots => slots?,
            };
            for &batch in &args.batch {
                for &seq in &args.seq {
                    let (name, sparsity) = (model.name.clone(), model.sparsity);
                    let subject = Subject::Model { model: name, batch, seq, sparsity };
                    let ids = seeded_ids(
                        model.model.config().vocab_size,
                        batch,
                        seq,
                        args.rounds.options.seed.wrapping_add(2),
                    );
                    let reference = model.model.reference().embed(&ids, model.model.pooling())?;
                    let contest = Contest { model: &model, exports: &exports, ids: &ids, reference: &reference };
                    let rows = measure(&mut slots, &subject, args.rounds.effort, &steps, |slot| contest.prepare(slot));
                    report.rows.extend(rows);
                    if interrupt::wanted() {
                        break 'all;
                    }
                    // Others profile in a session of their own, which takes a while: only for a page, where it is drawn.
                    let tellers = slots
                        .iter_mut()
                        .filter(|slot| args.rounds.html.is_some() || slot.id.library() == Library::Lacuna);
                    report.breakdowns.extend(tellers.filter_map(|slot| breakdown(slot, &subject, threads, &model)));
                    done += 1;
                    steps.at(done * args.rounds.effort.rounds);
                }
            }
        }
    }
    drop(steps);
    report.asked = field.asked_names();
    report.absent = field.absent;
    deliver(&report, &target)
}

/// One batch, and what its embeddings should be.
pub(crate) struct Contest<'a> {
    pub(crate) model: &'a SourceModel,
    pub(crate) exports: &'a Exports,
    pub(crate) ids: &'a [Vec<u32>],
    pub(crate) reference: &'a [Vec<f32>],
}

impl Contest<'_> {
    /// Loads the model if the worker has not, runs the batch once, and compares.
    pub(crate) fn prepare(&self, slot: &mut Slot) -> Result<Ready, NoAnswer> {
        slot.load(&self.exports.files(slot.id, self.model))?;
        let (implementation, embeddings) =
            slot.with_worker(|worker| match worker.ask(&Request::Batch { ids: self.ids.to_vec() })? {
                Reply::BatchReady { implementation, embeddings } => Ok((implementation, from_bits(&embeddings))),
                other => Err(unexpected(&other)),
            })?;
        let cosines = Cosines::between(&embeddings, self.reference);
        let shaped = embeddings.len() == self.reference.len()
            && embeddings.iter().zip(self.reference).all(|(found, expected)| found.len() == expected.len());
        let bound = self.model.least_cosine(slot.id);
        // A NaN reaches the mean and makes the comparison false.
        let agrees = shaped && cosines.min >= bound && cosines.mean >= bound;
        let note = (!agrees).then(|| match shaped {
            true => format!("least cosine {:.6}; expected at least {bound}", cosines.min),
            false => "embeddings of another shape than the reference's".to_owned(),
        });
        Ok(Ready { implementation, error: 1.0 - cosines.min, error_mean: 1.0 - cosines.mean, agrees, note })
    }
}

fn breakdown(slot: &mut Slot, subject: &Subject, threads: usize, model: &SourceModel) -> Option<Breakdown> {
    if slot.is_lost() {
        return None;
    }
    let reply = slot.with_worker(|worker| worker.ask(&Request::Breakdown));
    let Ok(Reply::Breakdown(Some(parts))) = reply else { return None };
    let layers = model.model.config().layers;
    Some(Breakdown { engine: slot.id.name().to_owned(), subject: subject.clone(), threads, layers, parts })
}

fn method(args: &Args) -> Vec<String> {
    vec![
        "From token ids to embeddings, hot: the same batch again and again. All engines have the same weights, those of int8 engines \
         rounded by each in its own way. Loading, calibrating and exporting are not timed."
            .to_owned(),
        format!(
            "Agreement is checked before anything is timed: the least cosine between embeddings and those of the f32 reference is at \
             least {} for f32 engines and {} for int8. What does not agree is not timed.",
            super::source::F32_COSINE,
            args.model.min_cosine
        ),
        super::shared::interleaving(args.rounds.effort, &args.rounds.options),
    ]
}
