//! `lacuna compare sweep`: the best throughput under a latency limit.

mod point;
mod search;

use lacuna::tokens::seeded_ids;
use lacuna_console::args;
use lacuna_console::context::Context;
use lacuna_console::error::{Error, Result};
use lacuna_console::output::{print, print_json, stdout};
use lacuna_console::progress::Steps;
use lacuna_console::stats::{median, quantile};

use self::point::{Outcome, Point, table};
use self::search::{Plan, batches, layouts};
use super::engine::EngineId;
use super::exports::Exports;
use super::field::Field;
use super::launch::{NoAnswer, unexpected};
use super::measure::Slot;
use super::model::Contest;
use super::options::Options;
use super::protocol::{Reply, Request};
use super::row::command_line;
use super::source::{ModelArgs, SourceModel};
use lacuna_console::interrupt;

/// Batch, threads per instance and instances with the best throughput under a latency limit, per engine
///
/// Instances are processes that serve batch after batch at the same time. For every number of threads per instance that fits the CPUs, as
/// many instances run as fit beside each other, and batches grow until their latency passes the limit.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lacuna compare sweep --arch minilm --seq 128 --limit-ms 10
  lacuna compare sweep --model all-MiniLM-L6-v2 --seq 32 --limit-ms 5 --engines lacuna,onnxruntime
  lacuna compare sweep --arch minilm --seq 128 --engines lacuna --batch 8 --threads 1 --instances 2

Columns: the best setting of each engine, sequences per second of all instances together, latency of a batch at the percentile and \
at the median, and the command that measures this setting again. --batch, --threads (per instance) and --instances fix what would be searched.

JSON: an array with every setting that was measured: engine, version, implementation, dtype, model, seq, sparsity, limit_ms, \
percentile, batch, threads, instances, latency_ms, latency_median_ms, sequences_per_s, within_limit, best, error, agrees, command, note. CSV \
has the same columns.")]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Tokens per sequence
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = args::at_least_one)]
    seq: usize,

    /// Fraction of blocks pruned, 0 <= S < 1 [default: 0.9 with --arch, else the zeros that are there]
    #[arg(long, value_name = "S", allow_hyphen_values = true, value_parser = args::sparsity)]
    sparsity: Option<f64>,

    /// Longest latency of a batch, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10.0, allow_hyphen_values = true, value_parser = args::positive)]
    limit_ms: f64,

    /// Percentile of the latencies that must be within the limit
    #[arg(long, value_name = "P", default_value_t = 95.0, value_parser = args::percentile)]
    percentile: f64,

    /// Batches to try; a comma-separated list [default: searched]
    #[arg(long, value_name = "B,..", value_delimiter = ',', value_parser = args::at_least_one)]
    batch: Vec<usize>,

    /// Numbers of instances to try; a comma-separated list [default: as many as fit]
    #[arg(long, value_name = "I,..", value_delimiter = ',', value_parser = args::at_least_one)]
    instances: Vec<usize>,

    /// Seconds that each setting runs
    #[arg(long, value_name = "S", default_value_t = 1.0, allow_hyphen_values = true, value_parser = args::positive)]
    seconds: f64,

    #[command(flatten)]
    options: Options,
}

/// Largest batch that is searched.
const MAX_BATCH: usize = 512;
/// How long threads are watched.
const PROOF_SECONDS: f64 = 0.2;

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let field = Field::new(&args.options, context, EngineId::has_models)?;
    let asked = args.model.sparsities(args.sparsity.as_slice()).into_iter().next().flatten();
    let model = args.model.prepare(asked, args.options.seed)?;
    model.check_batches(&args.batch, &[args.seq])?;
    let exports = Exports::new(&model, &args.model.onnx, field.engines())?;
    let layouts = layouts(field.cores(), context.thread_counts(), &args.instances);
    if layouts.is_empty() {
        let (found, expected) =
            (format!("more threads than {} CPUs", field.cores()), "threads x instances that fit".to_owned());
        return Err(Error::Argument { option: "--threads", found, expected });
    }
    let steps = Steps::new(field.engines().count() * layouts.len());
    let sweep = Sweep { args, model: &model, exports: &exports, field: &field };
    let mut points = Vec::new();
    for engine in field.engines() {
        let mut of_engine = Vec::new();
        for &plan in &layouts {
            steps.begin(format!("{}: {} x {} threads", engine.name(), plan.instances, plan.threads));
            if !interrupt::wanted() {
                sweep.layout(engine, plan, &mut of_engine, &steps);
            }
            steps.end();
        }
        point::mark_best(&mut of_engine);
        points.append(&mut of_engine);
    }
    drop(steps);
    match (args.options.json, args.options.csv) {
        (true, _) => print_json(&points)?,
        (_, true) => stdout(|out| point::write_csv(&points, out))?,
        _ => print(table(&points, &field.absent))?,
    }
    if interrupt::wanted() {
        return Err(Error::Interrupted);
    }
    let results = |id: EngineId| points.iter().filter(move |point| point.engine == id.name());
    let is_undone = |set: &&Vec<EngineId>| set.iter().all(|&id| results(id).all(|point| point.error.is_none()));
    match field.asked.iter().find(is_undone).and_then(|set| set.first()) {
        None => Ok(()),
        Some(&id) => {
            let why = results(id).find_map(|point| point.note.as_deref()).unwrap_or("no result");
            Err(Error::Check(format!("asked for, but not measured: {}: {why}", id.name())))
        }
    }
}

struct Sweep<'a> {
    args: &'a Args,
    model: &'a SourceModel,
    exports: &'a Exports,
    field: &'a Field,
}

impl Sweep<'_> {
    /// All batches of one engine in one layout; with fewer instances if so many are too slow for the limit.
    fn layout(&self, engine: EngineId, plan: Plan, points: &mut Vec<Point>, steps: &Steps) {
        let before = points.len();
        self.batches(engine, plan, points, steps);
        let fits = points[before..].iter().any(|point| point.within_limit);
        if !fits && plan.instances > 1 && self.args.instances.is_empty() && !interrupt::wanted() {
            self.layout(engine, Plan { instances: plan.instances / 2, ..plan }, points, steps);
        }
    }

    fn batches(&self, engine: EngineId, plan: Plan, points: &mut Vec<Point>, steps: &Steps) {
        let mut slots = match self.field.start_instances(engine, plan.threads, plan.instances) {
            Ok(slots) => slots,
            Err(why) => return points.push(self.failed(engine, plan, &why)),
        };
        let start = match self.check(&mut slots, plan) {
            Ok(start) => start,
            Err(why) => return points.push(self.failed(engine, plan, &why)),
        };
        if let Some(wrong) = start.note.clone() {
            return points.push(Point { note: Some(wrong), ..start });
        }
        batches(&self.args.batch, MAX_BATCH, |batch| {
            if interrupt::wanted() {
                return None;
            }
            steps.begin(format!("{}: {} x {} threads, batch {batch}", engine.name(), plan.instances, plan.threads));
            let mut point = Point { batch, command: self.command(engine, plan, batch), ..start.clone() };
            match self.measure(&mut slots, batch) {
                Ok(outcome) => point.set(&outcome, self.args.limit_ms),
                Err(why) => point.note = Some(text(&why)),
            }
            let rate = point.sequences_per_s.filter(|_| point.within_limit);
            points.push(point);
            rate
        });
    }

    /// Checks one instance: that it agrees, and how many threads it computes on. What is wrong is in the note.
    fn check(&self, slots: &mut [Slot], plan: Plan) -> Result<Point, NoAnswer> {
        let Some(slot) = slots.first_mut() else { return Err(NoAnswer::Lost("no instance".to_owned())) };
        let ids = self.ids(1);
        let reference = self.model.model.reference().embed(&ids, self.model.model.pooling());
        let reference = reference.map_err(|error| NoAnswer::Failed(error.to_string()))?;
        let contest = Contest { model: self.model, exports: self.exports, ids: &ids, reference: &reference };
        let ready = contest.prepare(slot)?;
        let mut point = self.point(slot.id, plan);
        point.version = slot.version().to_owned();
        (point.implementation, point.error, point.agrees) = (ready.implementation, Some(ready.error), ready.agrees);
        point.note = ready.note;
        if ready.agrees {
            let proof = slot.with_worker(|worker| worker.ask(&Request::Prove { seconds: PROOF_SECONDS }))?;
            if let Reply::Proof(proof) = proof
                && proof.exceeds(plan.threads)
            {
                let cores = proof.cores_busy.unwrap_or(f64::NAN);
                point.note = Some(format!("asked for {}, keeps {cores:.1} cores busy; not measured", plan.threads));
            }
        }
        Ok(point)
    }

    /// All instances at once.
    fn measure(&self, slots: &mut [Slot], batch: usize) -> Result<Outcome, NoAnswer> {
        let ids = self.ids(batch);
        for slot in slots.iter_mut() {
            slot.load(&self.exports.files(slot.id, self.model))?;
            match slot.with_worker(|worker| worker.ask(&Request::Batch { ids: ids.clone() }))? {
                Reply::BatchReady { .. } => {}
                other => return Err(unexpected(&other)),
            }
        }
        let request = Request::Run { seconds: self.args.seconds };
        for slot in slots.iter_mut() {
            slot.with_worker(|worker| worker.tell(&request))?;
        }
        let (mut latencies, mut rate) = (Vec::new(), 0.0);
        for slot in slots.iter_mut() {
            match slot.with_worker(|worker| worker.reply())? {
                Reply::Latencies { calls, elapsed } => {
                    rate += (calls.len() * batch) as f64 / elapsed;
                    latencies.extend(calls);
                }
                other => return Err(unexpected(&other)),
            }
        }
        Ok(Outcome {
            latency: quantile(&mut latencies, self.args.percentile / 1e2),
            median: median(&mut latencies),
            sequences_per_s: rate,
        })
    }

    fn ids(&self, batch: usize) -> Vec<Vec<u32>> {
        let vocabulary = self.model.model.config().vocab_size;
        seeded_ids(vocabulary, batch, self.args.seq, self.args.options.seed.wrapping_add(2))
    }

    fn failed(&self, engine: EngineId, plan: Plan, why: &NoAnswer) -> Point {
        Point { note: Some(text(why)), ..self.point(engine, plan) }
    }

    /// A setting without figures.
    fn point(&self, engine: EngineId, plan: Plan) -> Point {
        Point {
            engine: engine.name(),
            version: String::new(),
            implementation: String::new(),
            dtype: engine.dtype(),
            model: self.model.name.clone(),
            seq: self.args.seq,
            sparsity: self.model.sparsity,
            limit_ms: self.args.limit_ms,
            percentile: self.args.percentile,
            batch: 1,
            threads: plan.threads,
            instances: plan.instances,
            latency_ms: None,
            latency_median_ms: None,
            sequences_per_s: None,
            within_limit: false,
            best: false,
            error: None,
            agrees: false,
            command: self.command(engine, plan, 1),
            note: None,
        }
    }

    /// The command that measures one setting of one engine.
    fn command(&self, engine: EngineId, plan: Plan, batch: usize) -> String {
        let Args { model, seq, sparsity, limit_ms, percentile, seconds, options, .. } = self.args;
        let mut words: Vec<String> = ["compare", "sweep"].map(str::to_owned).to_vec();
        let mut option = |name: &str, value: Option<String>| {
            words.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
        model.source.options().into_iter().for_each(|(name, value)| option(name, value));
        option("--arch", model.arch.map(|arch| arch.to_string()));
        option("--sparsity", sparsity.map(|sparsity| sparsity.to_string()));
        option("--block", (model.block != lacuna::Block::B4x1).then(|| model.block.to_string()));
        option("--calibrate", path(&model.calibrate));
        option("--onednn", path(&options.libraries.onednn));
        option("--onnxruntime", path(&options.libraries.onnxruntime));
        option("--seed", (options.seed != 1).then(|| options.seed.to_string()));
        option("--pin", (!options.pin.is_empty()).then(|| super::threads::list(&options.pin)));
        for file in model.onnx.iter().filter(|file| file.engine == engine) {
            option("--onnx", Some(format!("{}={}", file.engine.name(), file.path.display())));
        }
        let figures = [
            ("--seq", seq.to_string()),
            ("--limit-ms", limit_ms.to_string()),
            ("--percentile", percentile.to_string()),
            ("--seconds", seconds.to_string()),
            ("--engines", engine.name().to_owned()),
            ("--batch", batch.to_string()),
            ("--threads", plan.threads.to_string()),
            ("--instances", plan.instances.to_string()),
        ];
        figures.into_iter().for_each(|(name, value)| option(name, Some(value)));
        command_line(words.into_iter())
    }
}

fn text(why: &NoAnswer) -> String {
    match why {
        NoAnswer::Interrupted => "interrupted".to_owned(),
        NoAnswer::Failed(reason) | NoAnswer::Lost(reason) => reason.clone(),
    }
}
