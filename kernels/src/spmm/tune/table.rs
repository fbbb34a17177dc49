//! A file of choices: measured once, read at the next load.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::{Schedule, SpmmPlan, SpmmWeights};
use super::tuner::{Tuner, Tuning};
use crate::{GENERATOR_VERSION, KernelError};

/// Why a saved table cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuningError {
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Its path.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The file is not a table.
    #[error("{path}: not a tuning table: {error}; delete it and tune again")]
    Syntax {
        /// Its path.
        path: PathBuf,
        /// The parser's reason.
        error: serde_json::Error,
    },
    /// The table was made by another version, or on another CPU.
    #[error("{path}: made for {what} {found}, expected {expected}; tune again")]
    Stale {
        /// Its path.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the table says.
        found: String,
        /// What is here.
        expected: String,
    },
}

/// Chosen schedules, by the plan that they were chosen for. The table never holds machine code: plans are made and checked again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TuningTable {
    /// Layout of this file.
    format: u32,
    /// [`GENERATOR_VERSION`]
    generator: u32,
    /// The CPU's own name for itself.
    cpu: String,
    choices: BTreeMap<String, Schedule>,
}

const FORMAT: u32 = 1;

impl Default for TuningTable {
    fn default() -> TuningTable {
        let cpu = lacuna_jit::cpu::brand();
        TuningTable { format: FORMAT, generator: GENERATOR_VERSION, cpu, choices: BTreeMap::new() }
    }
}

impl TuningTable {
    /// Reads a table and checks that it was made by this version for this CPU.
    ///
    /// # Errors
    /// [`TuningError::File`], [`TuningError::Syntax`], [`TuningError::Stale`].
    pub fn read(path: &Path) -> Result<TuningTable, TuningError> {
        let text = lacuna_files::read(path, lacuna_files::SETTINGS_LIMIT)
            .map_err(|error| TuningError::File { path: path.into(), error: error.into() })?;
        let table: TuningTable =
            serde_json::from_slice(&text).map_err(|error| TuningError::Syntax { path: path.into(), error })?;
        let here = TuningTable::default();
        let stale = |what, found: String, expected: String| {
            let path = path.into();
            if found == expected { Ok(()) } else { Err(TuningError::Stale { path, what, found, expected }) }
        };
        stale("format", table.format.to_string(), here.format.to_string())?;
        stale("generator", table.generator.to_string(), here.generator.to_string())?;
        stale("CPU", table.cpu.clone(), here.cpu)?;
        Ok(table)
    }

    /// Adds the choices of this table to those of a file, which is made if there is none. Processes that do this at the same time keep
    /// each other's choices; of two choices for one plan the last one stays.
    ///
    /// # Errors
    /// Those of [`TuningTable::read`] and [`TuningTable::write`]; the file is unchanged then.
    pub fn add_to(&self, path: &Path) -> Result<(), TuningError> {
        // One after the other, where the system can lock a folder. Elsewhere a choice may be lost, which is made again.
        let _lock = File::open(folder_of(path)).and_then(|folder| folder.lock().map(|()| folder));
        let mut all = match TuningTable::read(path) {
            Err(TuningError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => TuningTable::default(),
            found => found?,
        };
        let before = all.choices.clone();
        all.choices.extend(self.choices.iter().map(|(plan, schedule)| (plan.clone(), *schedule)));
        if all.choices == before && path.exists() { Ok(()) } else { all.write(path) }
    }

    /// Writes the table in place of what the file holds. The file appears only when it is complete; a link is replaced, not followed.
    ///
    /// # Errors
    /// [`TuningError::File`].
    pub fn write(&self, path: &Path) -> Result<(), TuningError> {
        let file = |error| TuningError::File { path: path.into(), error };
        let text =
            serde_json::to_string_pretty(self).map_err(|error| TuningError::Syntax { path: path.into(), error })?;
        let write = || {
            let mut out = temporary(path)?;
            out.write_all(text.as_bytes())?;
            out.as_file().sync_all()?;
            out.persist(path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(file)
    }

    /// Choices in the table.
    pub fn len(&self) -> usize {
        self.choices.len()
    }

    /// Whether nothing was chosen yet.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// The plan with the table's schedule, or with one that `tuner` chooses and the table keeps from now on. A schedule that the
    /// plan cannot have is replaced.
    ///
    /// # Errors
    /// Those of [`Tuner::choose`].
    pub fn choose(
        &mut self,
        tuner: &Tuner,
        plan: &SpmmPlan,
        weights: &SpmmWeights,
        tuning: Tuning,
    ) -> Result<SpmmPlan, KernelError> {
        let key = key(plan, weights);
        if let Some(known) = self.choices.get(&key).and_then(|&schedule| plan.with_schedule(schedule)) {
            return Ok(known);
        }
        let chosen = tuner.choose(plan, weights, tuning)?;
        self.choices.insert(key, *chosen.schedule());
        Ok(chosen)
    }
}

/// A file in the folder of `path` with a name of its own, so that two writers do not meet. It is removed unless it is persisted, and has
/// the permissions of any new file.
fn temporary(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".lacuna-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666)); // less the umask
    }
    builder.tempfile_in(folder_of(path))
}

/// The folder that a path is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// What a choice depends on: shape, block, bits of the activations, epilogue, tier, and the density in steps of 5 %.
fn key(plan: &SpmmPlan, weights: &SpmmWeights) -> String {
    let density = (weights.density() * 20.0).round() * 5.0;
    let (m, k, block, isa, x) = (plan.m, plan.k, plan.block, plan.isa, plan.activation_bits.name());
    format!("spmm-{x}s8-{isa}-m{m}k{k}-{block}-{}-{density:.0}%", plan.epilogue.name())
}

#[cfg(test)]
mod tests {
    use crate::ActivationBits;
    use lacuna_jit::Isa;

    use super::*;
    use crate::Block;
    use crate::epilogue::{Epilogue, RowParams};
    use crate::spmm::SpmmDesc;

    fn problem() -> (SpmmPlan, SpmmWeights) {
        let plan = SpmmDesc {
            m: 8,
            k: 8,
            block: Block::B4x1,
            epilogue: Epilogue::f32(false),
            activation_bits: ActivationBits::Eight,
        }
        .plan(Isa::Portable)
        .unwrap();
        let weights = SpmmWeights::pack(&plan, &[1; 64], &[RowParams::default(); 8]).unwrap();
        (plan, weights)
    }

    #[test]
    fn a_table_is_read_as_it_was_written_and_then_decides() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tuning.json");
        let (plan, weights) = problem();
        let mut table = TuningTable::default();
        let chosen = table.choose(&Tuner::default(), &plan, &weights, Tuning::Fast).unwrap();
        assert_eq!(table.len(), 1);
        table.write(&path).unwrap();
        assert_eq!(TuningTable::read(&path).unwrap(), table);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing half-written is left");

        // Another schedule in the file is followed; one that is impossible is not.
        let other = plan.candidates().into_iter().find(|p| *p != chosen).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let vectors = |n: usize| serde_json::json!({"vectors": n, "unroll": 1, "narrow": 0, "prefetch": false});
        for (schedule, expected) in
            [(serde_json::to_value(other.schedule()).unwrap(), other), (vectors(3), chosen), (vectors(0), chosen)]
        {
            let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
            json["choices"].as_object_mut().unwrap().values_mut().for_each(|value| *value = schedule.clone());
            std::fs::write(&path, json.to_string()).unwrap();
            let mut table = TuningTable::read(&path).unwrap();
            assert_eq!(table.choose(&Tuner::default(), &plan, &weights, Tuning::Fast).unwrap(), expected);
        }
    }

    /// Kernels of seven bits are others on some tiers.
    #[test]
    fn bits_of_activations_have_choices_of_their_own() {
        let (eight, weights) = problem();
        let seven = SpmmDesc { activation_bits: ActivationBits::Seven, ..eight.desc() }.plan(Isa::Portable).unwrap();
        let seven_weights = SpmmWeights::pack(&seven, &[1; 64], &[RowParams::default(); 8]).unwrap();
        let mut table = TuningTable::default();
        table.choose(&Tuner::default(), &eight, &weights, Tuning::Fast).unwrap();
        table.choose(&Tuner::default(), &seven, &seven_weights, Tuning::Fast).unwrap();
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn writers_at_the_same_time_do_not_mix_their_tables() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tuning.json");
        let schedule = *problem().0.schedule();
        // Of different lengths, so that a mixture is no table.
        let [short, long] = [1, 100].map(|count| {
            let choices = (0..count).map(|i| (format!("{count}-{i}"), schedule)).collect();
            TuningTable { choices, ..TuningTable::default() }
        });
        short.write(&path).unwrap();
        std::thread::scope(|scope| {
            for table in [&short, &long] {
                scope.spawn(|| (0..50).for_each(|_| table.write(&path).unwrap()));
            }
            for _ in 0..200 {
                let found = TuningTable::read(&path).unwrap();
                assert!(found == short || found == long, "{} choices", found.len());
            }
        });
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn choices_that_are_added_at_the_same_time_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tuning.json");
        let schedule = *problem().0.schedule();
        let table = |choices: Vec<String>| TuningTable {
            choices: choices.into_iter().map(|plan| (plan, schedule)).collect(),
            ..TuningTable::default()
        };
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (path, table) = (&path, &table);
                scope.spawn(move || {
                    for i in 0..20 {
                        table(vec!["common".into(), format!("{thread}-{i}")]).add_to(path).unwrap();
                        TuningTable::read(path).unwrap();
                    }
                });
            }
        });
        assert_eq!(TuningTable::read(&path).unwrap().len(), 8 * 20 + 1);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");

        // What cannot be read is not replaced.
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(table(Vec::new()).add_to(&path), Err(TuningError::Syntax { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_replaced_and_pipes_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        let table = TuningTable::default();
        std::fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        table.write(&link).unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine");
        assert_eq!(TuningTable::read(&link).unwrap(), table);
        let error = TuningTable::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("found a directory; expected a regular file"), "{error}");
    }

    #[test]
    fn what_is_no_table_of_this_machine_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tuning.json");
        assert!(matches!(TuningTable::read(&path), Err(TuningError::File { .. })));
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(TuningTable::read(&path), Err(TuningError::Syntax { .. })));
        type Spoil = fn(&mut TuningTable);
        let cases: [(&str, Spoil); 3] = [
            ("format", |table| table.format += 1),
            ("generator", |table| table.generator += 1),
            ("CPU", |table| table.cpu.push('!')),
        ];
        for (what, spoil) in cases {
            let mut table = TuningTable::default();
            spoil(&mut table);
            table.write(&path).unwrap();
            match TuningTable::read(&path) {
                Err(TuningError::Stale { what: found, .. }) => assert_eq!(found, what),
                other => panic!("{what}: {other:?}"),
            }
        }
        let nowhere = directory.path().join("missing").join("tuning.json");
        assert!(matches!(TuningTable::default().write(&nowhere), Err(TuningError::File { .. })));
    }
}
