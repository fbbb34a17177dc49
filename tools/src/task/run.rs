//! A run: from the input to the output, batch by batch.

use std::sync::Arc;
use std::time::Instant;

use lacuna::Encoder;
use lacuna::heads::Head;
use lacuna::tasks::{EmbedPrompt, Judged as _, Task, TaskModel};
use lacuna_console::context::{Context, pool};
use lacuna_console::error::{Error, Result};
use lacuna_console::output::Target;
use lacuna_console::partial::{Partial, partial_path};
use lacuna_console::progress::Progress;
use lacuna_console::remarks;
use lacuna_console::stream::Stream;
use serde::Serialize;

use super::args::TaskArgs;
use super::counted::Counted;
use super::format::json_lines_only;
use super::journal::{Counts, Identity, Journal, entries};
use super::policy::{OnError, Warnings};
use super::reading::Reading;
use super::ready::{self, Ready, check};
use super::running::{Kept, Run};
use super::sink::{JsonLines, Sink};
use super::summary::{Ran, Summary};
use super::trace::Trace;
use super::truncations::Truncations;
use super::{identity, remarks as model_remarks};
use crate::calibration::CalibrationSummary;
use crate::packed::Opened;

/// Makes the sink of rows for an encoder.
pub(crate) type MakeSink<'a, S> = Box<dyn FnOnce(&Encoder) -> Result<S> + Send + 'a>;

/// What a command does beyond what all of them do.
pub(crate) struct Work<'a, T: Task, S> {
    /// The task.
    pub(crate) task: &'a T,
    /// What happens to bad lines.
    pub(crate) on_error: OnError,
    /// How records are made.
    pub(crate) reading: Reading<'a, T::Record>,
    /// Changes the model that was opened.
    pub(crate) change: Box<dyn FnOnce(Opened) -> Result<Opened> + Send + 'a>,
    /// Where rows go, for an encoder.
    pub(crate) sink: MakeSink<'a, S>,
    /// What was inferred of the output.
    pub(crate) note: Option<String>,
    /// Options of the command that change results.
    pub(crate) settings: String,
    /// Whether an interrupted run can go on.
    pub(crate) can_resume: bool,
    /// What is put before every text that is embedded.
    pub(crate) prompt: EmbedPrompt,
    /// Whether scores are logits.
    pub(crate) raw: bool,
}

/// Refuses options that do not fit a model.
pub(crate) type Check<'a> = Box<dyn FnOnce(&Opened) -> Result<()> + Send + 'a>;

/// What some commands with a head do beyond the others.
pub(crate) struct Extra<'a> {
    /// Refuses options that do not fit the model.
    pub(crate) check: Check<'a>,
    /// Whether scores are logits.
    pub(crate) raw: bool,
}

impl Default for Extra<'_> {
    fn default() -> Self {
        Extra { check: Box::new(|_| Ok(())), raw: false }
    }
}

/// What is said of a run with a head.
#[derive(Serialize)]
struct About {
    /// Of the output.
    lines: u64,
    head: String,
}

impl TaskArgs {
    /// A task with a head, from the input to one line for each result. `result` is the field that is null where there is none.
    pub(crate) fn run<T: Task + std::fmt::Debug>(
        &self,
        context: &Context,
        task: &T,
        result: &'static str,
        reading: Reading<'_, T::Record>,
        extra: Extra<'_>,
    ) -> Result<()> {
        let Extra { check, raw } = extra;
        json_lines_only(self.output_path())?;
        let on_error = self.on_error(!reading.is_one());
        let work = Work {
            on_error,
            task,
            reading,
            change: Box::new(|model| check(&model).map(|()| model)),
            sink: Box::new(move |_| Ok(JsonLines { result })),
            note: None,
            settings: format!("{task:?}"),
            can_resume: true,
            prompt: EmbedPrompt::Default,
            raw,
        };
        self.execute(context, work, |lines, _, head| About {
            lines,
            head: head.map_or_else(String::new, |head| head.class().to_owned()),
        })
    }

    /// Runs a task on the input. `about` is what the command says of the run, besides what all of them say.
    pub(crate) fn execute<T: Task, S: Sink<T::Row> + Send, A: Serialize>(
        &self,
        context: &Context,
        work: Work<'_, T, S>,
        about: impl FnOnce(u64, &Encoder, Option<&Head>) -> A + Send,
    ) -> Result<()> {
        if self.json {
            remarks::collect();
        }
        let target = self.target()?;
        self.check_files(&target)?;
        if self.output.resume {
            check_resume(&target, work.can_resume)?;
        }
        if let Target::File(path) = &target {
            Partial::check(path)?;
        }
        pool(context.threads())?.install(|| self.execute_in_pool(context, work, &target, about))
    }

    fn execute_in_pool<T: Task, S: Sink<T::Row>, A: Serialize>(
        &self,
        context: &Context,
        work: Work<'_, T, S>,
        target: &Target,
        about: impl FnOnce(u64, &Encoder, Option<&Head>) -> A,
    ) -> Result<()> {
        let Work { task, on_error, reading, change, sink, note, settings, can_resume, prompt, raw } = work;
        // The model first: a wrong directory is refused before somebody types texts into a terminal.
        let input = self.open_input(&reading)?;
        let model = change(self.model.open()?)?;
        let (head, mut said) = match task.head_kind() {
            None => (None, model_remarks::of_embeddings(&model, &prompt)),
            Some(kind) => {
                let head = model.head()?;
                head.require(kind)?;
                let said = model_remarks::of_head(&model, &head, task.name() == "rank", raw);
                (Some(Arc::new(head)), said)
            }
        };
        let Ready { encoder, calibrated, calibration, remarks: of_pruning, warnings } =
            self.ready::<T::Record>(model, context)?;
        said.extend(of_pruning);
        said.extend(calibration.iter().filter_map(CalibrationSummary::remark));
        let encoder = Arc::new(encoder);
        let counted = Arc::new(Counted::new(encoder.clone()));
        let model = TaskModel::new(counted.clone());
        let model = match &head {
            Some(head) => model.with_head(head.clone()),
            None => model,
        };
        let calibrated = calibrated.filter(|_| self.verify);
        let reference = calibrated.map(|calibrated| model.on(Arc::new(calibrated.into_model())));
        let per_text = encoder.tokenizer().map_or(usize::MAX, |tokenizer| tokenizer.max_length());

        let mut trace = Trace::new();
        let identity = || -> Result<Identity> {
            let model = identity::of(&*encoder, head.as_deref())?;
            Ok(Identity { command: task.name().to_owned(), model, options: self.settings(&settings, on_error) })
        };
        let mut sink = sink(&encoder)?;
        if input.is_terminal() {
            remarks::say("reading standard input, one text per line; it ends with Ctrl-D");
        }
        let mut input = input;
        input.begin()?;
        let (mut out, journal, counts) = match target {
            Target::File(path) if self.output.resume => {
                let journal = Journal::new(path, identity()?);
                let (out, counts) = journal.resume(&mut input, &mut trace)?;
                if trace.entries() > 0 {
                    let partial = partial_path(path);
                    said.push(format!(
                        "going on after {} of {}, whose results are in {}",
                        entries(trace.entries()),
                        input.name().display(),
                        partial.display()
                    ));
                }
                (out, Some(journal), counts)
            }
            Target::File(path) if Journal::exists(path) => {
                let partial = partial_path(path);
                said.push(format!("{} is of an interrupted run; --resume goes on with it", partial.display()));
                (Stream::open(target)?, None, Counts::default())
            }
            _ => (Stream::open(target)?, None, Counts::default()),
        };
        said.extend(input.take_note().into_iter().chain(note));
        match counts.rows {
            0 if trace.entries() == 0 => sink.begin(&mut out).map_err(|error| out.failed(error))?,
            rows => sink.resume(rows),
        }
        let name = input.name().display().to_string();
        let mut run = Run {
            task,
            reading,
            model,
            reference,
            sink,
            out,
            input,
            journal,
            trace,
            on_error,
            can_resume,
            rows: counts.rows,
            warnings: Warnings::resume(counts.bad),
            truncated: Truncations::new(&name, counts.truncated),
            kept: Kept { rows: Vec::new(), reference: Vec::new() },
            progress: Progress::new(target.is_terminal()),
            remarks: said,
            doubts: warnings,
        };
        let (start, before) = (Instant::now(), run.trace.entries());
        if let Err(error) = run.all(self, per_text) {
            return Err(run.end_early(error, target, identity));
        }
        let seconds = start.elapsed().as_secs_f64();
        run.say_remarks();
        let Run { reference, kept, rows, truncated, warnings, out, mut sink, journal, trace, progress, input, .. } =
            run;
        drop(progress);
        let mut out = out;
        sink.finish(&mut out).map_err(|error| out.failed(error))?;
        out.finish()?;
        journal.iter().try_for_each(Journal::remove)?;
        if trace.entries() == 0 {
            remarks::say(format_args!("{}: found no texts; the result is empty", input.name().display()));
        }
        let saturation = encoder.saturation();
        saturation.worst().map(ready::saturated).iter().for_each(remarks::warn);
        let verify = reference.map(|_| task.agreement(&kept.rows, &kept.reference)).filter(|found| !found.is_empty());
        if self.verify && verify.is_none() {
            remarks::tell("--verify: nothing to compare");
        }
        let summary = Summary {
            about: about(rows, &encoder, head.as_deref()),
            tier: context.tier.name(),
            calibration,
            ran: Ran {
                texts: trace.entries() - before,
                tokens: counted.tokens(),
                seconds,
                bad: warnings.count(),
                truncated,
            },
            verify,
            report: self.report.then(|| encoder.report()),
            saturation,
        };
        summary.say(self.json);
        summary.verify.as_ref().map_or(Ok(()), |verify| check(verify, self.verify_least))
    }
}

fn check_resume(target: &Target, can_resume: bool) -> Result<()> {
    let found = match target {
        Target::File(_) if can_resume => return Ok(()),
        Target::File(_) => "results that are only known when all texts are read",
        Target::Stdout => "standard output",
        Target::Device(_) => "a device",
    };
    let expected = "--output FILE, with JSON lines or .npy; int8 and uint8 with --ranges".into();
    Err(Error::Argument { option: "--resume", found: found.into(), expected })
}
