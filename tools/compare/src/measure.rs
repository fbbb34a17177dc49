//! Engines in turn on one subject: checked, proven, timed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lacuna_console::progress::Steps;
use lacuna_console::stats::{median, quantile};
use lacuna_console::timing::Samples;

use super::engine::{EngineId, ModelFiles};
use super::launch::{Launch, NoAnswer, Worker, unexpected};
use super::options::Effort;
use super::protocol::{Reply, Request};
use super::row::{Row, Subject};
use lacuna_console::interrupt;

/// How long an engine runs while its threads are watched.
const PROOF_SECONDS: f64 = 0.2;
/// The least number of rounds, for any budget.
const MIN_ROUNDS: usize = 5;
/// About how long an engine samples in one turn, and how many samples that may be.
const TURN: f64 = 0.02;
const SAMPLES_PER_TURN: std::ops::RangeInclusive<usize> = 1..=10;
/// Ratios of which the middle half is wider than this share of their median are no basis for a verdict.
pub(crate) const UNSTEADY: f64 = 0.1;
/// How many times the rounds and the time that were asked for a subject gets while its ratios are unsteady.
const MORE: usize = 3;
/// Workers of one engine that may be lost in a row before it is given up.
const MOST_LOSSES: usize = 2;

/// An engine in the field, with its worker as long as there is one.
pub(crate) struct Slot {
    pub(crate) id: EngineId,
    launch: Launch,
    worker: Option<Worker>,
    version: String,
    cpus: Option<String>,
    /// The model that the worker has.
    loaded: Option<ModelFiles>,
    losses: usize,
    /// Why the last worker was lost.
    last_loss: String,
}

/// What an engine says when it is ready for a subject.
pub(crate) struct Ready {
    pub(crate) implementation: String,
    /// See [`Row::error`].
    pub(crate) error: f64,
    pub(crate) error_mean: f64,
    pub(crate) agrees: bool,
    /// Why not, or what else there is to know.
    pub(crate) note: Option<String>,
}

impl Slot {
    /// Starts an engine.
    pub(crate) fn start(launch: Launch) -> Result<Slot, NoAnswer> {
        let worker = Worker::start(launch.clone())?;
        let (version, cpus) = (worker.version.clone(), worker.cpus.clone());
        let id = launch.engine;
        Ok(Slot { id, launch, worker: Some(worker), version, cpus, loaded: None, losses: 0, last_loss: String::new() })
    }

    /// Has `act` talk to the worker; a new one is started if the last one was lost and there is hope.
    pub(crate) fn with_worker<T>(
        &mut self,
        act: impl FnOnce(&mut Worker) -> Result<T, NoAnswer>,
    ) -> Result<T, NoAnswer> {
        let started = match self.worker.take() {
            Some(worker) => Ok(worker),
            None if self.losses < MOST_LOSSES => {
                self.loaded = None;
                Worker::start(self.launch.clone())
            }
            None => return Err(NoAnswer::Lost(self.last_loss.clone())),
        };
        let result = started.and_then(|mut worker| {
            let result = act(&mut worker);
            if !matches!(result, Err(NoAnswer::Lost(_))) {
                self.worker = Some(worker);
            }
            result
        });
        match &result {
            Ok(_) => self.losses = 0,
            Err(NoAnswer::Lost(why)) => {
                self.losses += 1;
                self.last_loss.clone_from(why);
            }
            Err(_) => {}
        }
        result
    }

    /// Loads a model, unless the worker has it.
    pub(crate) fn load(&mut self, files: &ModelFiles) -> Result<(), NoAnswer> {
        if !self.is_lost() && self.loaded.as_ref() == Some(files) {
            return Ok(());
        }
        self.loaded = None;
        self.with_worker(|worker| match worker.ask(&Request::Model(files.clone()))? {
            Reply::Loaded => Ok(()),
            other => Err(unexpected(&other)),
        })?;
        self.loaded = Some(files.clone());
        Ok(())
    }

    /// As the engine reports.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Whether there is no worker any more, and so nothing that it had loaded.
    pub(crate) fn is_lost(&self) -> bool {
        self.worker.is_none()
    }

    fn row(&self, subject: &Subject) -> Row {
        Row {
            engine: self.id.name().to_owned(),
            version: self.version.clone(),
            implementation: String::new(),
            dtype: self.id.dtype().to_owned(),
            threads: self.launch.threads,
            threads_used: None,
            cores_busy: None,
            pinned: if self.launch.pin.is_empty() { None } else { self.cpus.clone() },
            subject: subject.clone(),
            median_us: None,
            best_us: None,
            spread: None,
            samples: 0,
            gops_dense_equivalent: None,
            sequences_per_s: None,
            tokens_per_s: None,
            error: None,
            error_mean: None,
            agrees: false,
            ratios: BTreeMap::new(),
            ratio_quartiles: BTreeMap::new(),
            note: None,
        }
    }
}

/// A row under way.
struct Entry {
    row: Row,
    /// Samples by round; rounds of all engines that are timed correspond.
    rounds: Vec<Vec<f64>>,
    timed: bool,
}

/// Measures one subject. After an interruption the rows hold what there was until then.
pub(crate) fn measure(
    slots: &mut [Slot],
    subject: &Subject,
    effort: Effort,
    steps: &Steps,
    mut prepare: impl FnMut(&mut Slot) -> Result<Ready, NoAnswer>,
) -> Vec<Row> {
    let mut entries = Vec::with_capacity(slots.len());
    for slot in slots.iter_mut() {
        if interrupt::wanted() {
            break;
        }
        steps.begin(format!("{}: {}", subject.text(), slot.id.name()));
        entries.push(check_and_prove(slot, subject, &mut prepare));
    }
    let start = Instant::now();
    let budget = Duration::try_from_secs_f64(effort.budget).unwrap_or(Duration::MAX);
    for round in 0..effort.rounds.saturating_mul(MORE) {
        let is_enough = round >= effort.rounds || round >= MIN_ROUNDS && start.elapsed() > budget;
        let is_most = round >= MIN_ROUNDS && start.elapsed() > budget.saturating_mul(MORE as u32);
        let goes_on = !is_enough || round >= MIN_ROUNDS && !is_most && is_unsteady(&entries);
        if !goes_on || interrupt::wanted() {
            break;
        }
        match is_enough {
            false => steps.begin(subject.text()),
            true => steps.begin(format!("{}: more rounds, as ratios vary", subject.text())),
        }
        for (slot, entry) in slots.iter_mut().zip(&mut entries) {
            turn(slot, entry);
        }
        if !is_enough {
            steps.end();
        }
    }
    finish(entries)
}

fn check_and_prove(
    slot: &mut Slot,
    subject: &Subject,
    prepare: &mut impl FnMut(&mut Slot) -> Result<Ready, NoAnswer>,
) -> Entry {
    let mut entry = Entry { row: slot.row(subject), rounds: Vec::new(), timed: false };
    let row = &mut entry.row;
    let ready = match prepare(slot) {
        Ok(ready) => ready,
        Err(why) => {
            row.note = note(&why);
            return entry;
        }
    };
    row.implementation = ready.implementation;
    row.error = Some(ready.error);
    row.error_mean = Some(ready.error_mean);
    row.agrees = ready.agrees;
    row.note = ready.note;
    if !ready.agrees {
        return entry; // a wrong result is not timed
    }
    let proof = slot.with_worker(|worker| match worker.ask(&Request::Prove { seconds: PROOF_SECONDS })? {
        Reply::Proof(proof) => Ok(proof),
        other => Err(unexpected(&other)),
    });
    match proof {
        Ok(proof) => {
            (row.threads_used, row.cores_busy) = (proof.threads, proof.cores_busy);
            entry.timed = !proof.exceeds(row.threads);
            if let Some(used) = proof.threads.filter(|&used| used != row.threads || !entry.timed) {
                let cores = proof.cores_busy.map_or_else(String::new, |cores| format!(", {cores:.1} cores at a time"));
                let verdict = if entry.timed { "" } else { "; not timed" };
                row.note = Some(format!("asked for {}, computes on {used}{cores}{verdict}", count(row.threads)));
            }
        }
        Err(why) => row.note = note(&why),
    }
    entry
}

fn count(threads: usize) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}

/// Some samples of one engine.
fn turn(slot: &mut Slot, entry: &mut Entry) {
    if !entry.timed {
        return;
    }
    let samples = match entry.rounds.last() {
        Some(last) => (TURN / median(&mut last.clone())) as usize,
        None => 1,
    };
    let count = samples.clamp(*SAMPLES_PER_TURN.start(), *SAMPLES_PER_TURN.end());
    let samples = slot.with_worker(|worker| match worker.ask(&Request::Sample { count })? {
        Reply::Samples(samples) => Ok(samples),
        other => Err(unexpected(&other)),
    });
    match samples {
        Ok(samples) => entry.rounds.push(samples),
        Err(NoAnswer::Interrupted) => {}
        Err(why) => {
            // Half-measured figures would not be paired with those of the others.
            (entry.timed, entry.row.note) = (false, note(&why));
            entry.rounds.clear();
        }
    }
}

fn note(why: &NoAnswer) -> Option<String> {
    Some(match why {
        NoAnswer::Interrupted => "interrupted".to_owned(),
        NoAnswer::Failed(reason) | NoAnswer::Lost(reason) => reason.clone(),
    })
}

/// The median of every round of every engine.
fn round_medians(entries: &[Entry]) -> Vec<Vec<f64>> {
    entries.iter().map(|entry| entry.rounds.iter().map(|round| median(&mut round.clone())).collect()).collect()
}

/// Whether Lacuna's ratio to a dense engine that is timed varies so much from round to round that more rounds are wanted.
fn is_unsteady(entries: &[Entry]) -> bool {
    let medians = round_medians(entries);
    let own = entries.iter().position(|entry| entry.row.engine == EngineId::Lacuna.name());
    let Some(own) = own.map(|own| &medians[own]).filter(|own| !own.is_empty()) else { return false };
    entries.iter().zip(&medians).any(|(entry, other)| {
        let mut ratios: Vec<f64> = other.iter().zip(own).map(|(other, own)| other / own).collect();
        is_dense(&entry.row.engine) && !ratios.is_empty() && relative_spread(&mut ratios) > UNSTEADY
    })
}

/// Interquartile range over median.
fn relative_spread(values: &mut [f64]) -> f64 {
    (quantile(values, 0.75) - quantile(values, 0.25)) / median(values)
}

/// Medians and ratios.
fn finish(entries: Vec<Entry>) -> Vec<Row> {
    let medians = round_medians(&entries);
    let baselines: Vec<(String, usize)> = entries
        .iter()
        .enumerate()
        .filter(|(i, entry)| !medians[*i].is_empty() && is_dense(&entry.row.engine))
        .map(|(i, entry)| (entry.row.engine.clone(), i))
        .collect();
    let mut rows = Vec::with_capacity(entries.len());
    for (i, Entry { mut row, rounds, .. }) in entries.into_iter().enumerate() {
        let samples = Samples::from_seconds(rounds.into_iter().flatten().collect());
        row.samples = samples.len();
        if !samples.is_empty() {
            row.time(&samples);
            for (name, baseline) in baselines.iter().filter(|(_, baseline)| *baseline != i) {
                let ratios = medians[*baseline].iter().zip(&medians[i]).map(|(other, this)| other / this);
                let mut ratios: Vec<f64> = ratios.collect();
                row.ratios.insert(name.clone(), median(&mut ratios));
                row.ratio_quartiles.insert(name.clone(), [0.25, 0.75].map(|part| quantile(&mut ratios, part)));
            }
        }
        rows.push(row);
    }
    rows
}

fn is_dense(engine: &str) -> bool {
    EngineId::all().any(|id| id.name() == engine && id.is_dense())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(engine: EngineId, rounds: &[&[f64]]) -> Entry {
        let launch = Launch {
            engine,
            library: None,
            threads: 1,
            pin: Vec::new(),
            tier: lacuna_jit::Tier::Portable,
            patience: Duration::ZERO,
        };
        let slot = Slot {
            id: engine,
            launch,
            worker: None,
            version: "1".into(),
            cpus: None,
            loaded: None,
            losses: MOST_LOSSES,
            last_loss: "gone".into(),
        };
        let subject = Subject::Product { m: 8, k: 4, n: 2, block: "4x1".into(), sparsity: 0.5, output: "u8".into() };
        let rounds = rounds.iter().map(|round| round.to_vec()).collect();
        Entry { row: slot.row(&subject), rounds, timed: true }
    }

    #[test]
    fn ratios_are_medians_over_rounds_and_only_to_dense_engines_that_were_timed() {
        let rows = finish(vec![
            entry(EngineId::Lacuna, &[&[1.0, 1.0, 3.0], &[2.0], &[1.0]]),
            entry(EngineId::LacunaDense, &[&[4.0], &[4.0, 4.0], &[9.0]]),
            entry(EngineId::OneDnnInt8, &[]),
        ]);
        // By hand: 4 / 1, 4 / 2, 9 / 1.
        assert_eq!(rows[0].ratios, BTreeMap::from([("lacuna-dense".to_owned(), 4.0)]));
        assert_eq!(rows[0].ratio_quartiles["lacuna-dense"], [3.0, 6.5]);
        assert_eq!(rows[0].samples, 5);
        assert_eq!(rows[0].median_us, Some(1e6));
        // 2 * 8 * 4 * 2 operations in a second.
        assert_eq!(rows[0].gops_dense_equivalent, Some(128e-9));
        assert!(rows[1].ratios.is_empty() && rows[2].ratios.is_empty());
        assert_eq!(rows[2].median_us, None);
    }

    #[test]
    fn ratios_that_vary_want_more_rounds() {
        let of = |own: &[f64]| {
            let rounds = |times: &[f64]| -> Vec<Vec<f64>> { times.iter().map(|&time| vec![time]).collect() };
            let with = |engine, times: &[f64]| Entry { rounds: rounds(times), ..entry(engine, &[]) };
            is_unsteady(&[with(EngineId::Lacuna, own), with(EngineId::LacunaDense, &[2.0; 4])])
        };
        assert!(!of(&[1.0, 1.02, 0.99, 1.0]));
        assert!(of(&[1.0, 1.5, 0.8, 1.0]));
        // Without two that are timed there is no verdict.
        assert!(!is_unsteady(&[entry(EngineId::LacunaDense, &[&[1.0], &[9.0]])]));
        assert!(!is_unsteady(&[entry(EngineId::Lacuna, &[]), entry(EngineId::LacunaDense, &[&[1.0], &[9.0]])]));
    }
}
