//! The facts of this machine, measured once and kept in a file.
//!
//! There is one file per CPU, microcode and version of this program, in the folder `lacuna` of the user's cache folder. A file that is
//! damaged, or of another machine, is measured again and replaced. Facts of a core that is slower than its family is recorded are not
//! kept, because something ran beside. All of that is said as remarks.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lacuna_jit::Avx512Vnni;
use lacuna_jit::cpu::{self, Caches, Model};
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::probe::measure;
use super::recorded::Family;
use crate::KernelError;

/// Raised when the probe measures something else. Files of an older probe are then not read.
const PROBE_VERSION: u32 = 1;
/// Most bytes of a file.
const LIMIT: u64 = 64 << 10;

/// What facts belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The CPU's own name for itself.
    pub cpu: String,
    /// Its maker, family, model and stepping: `GenuineIntel-6-207-2`; `unknown` where it does not say.
    pub model: String,
    /// The version of its microcode; `unknown` where the system does not say.
    pub microcode: String,
    /// The version of this program.
    pub version: String,
    /// The version of the probe.
    pub probe: u32,
}

impl Identity {
    /// Of this machine.
    pub fn here() -> Identity {
        let unknown = || "unknown".to_owned();
        let model = |m: Model| format!("{}-{}-{}-{}", m.vendor, m.family, m.model, m.stepping);
        Identity {
            cpu: cpu::brand(),
            model: Model::detect().map_or_else(unknown, model),
            microcode: cpu::microcode().unwrap_or_else(unknown),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            probe: PROBE_VERSION,
        }
    }

    /// The name of the file: lower case, with a dash for what is neither a letter nor a digit.
    fn file_name(&self) -> String {
        let Identity { cpu, model, microcode, version, probe } = self;
        let words = format!("facts {cpu} {model} {microcode} v{version} p{probe}").to_lowercase();
        let words = words.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-") + ".json"
    }
}

/// What a file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    of: Identity,
    facts: Facts,
}

/// Where facts come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From a file of an earlier measurement.
    Read(PathBuf),
    /// Measured now, and kept in a file.
    Kept(PathBuf),
    /// Measured now, and not kept: a remark says why.
    NotKept,
}

/// The facts of this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The facts.
    pub facts: Facts,
    /// Where they come from.
    pub origin: Origin,
    /// What a user should know: files that were damaged or could not be written.
    pub remarks: Vec<String>,
}

/// The facts of this machine: from the file in the user's cache folder, or measured and kept there.
///
/// # Errors
/// Those of [`measure`]. A file that cannot be read or written is a remark, not an error.
pub fn facts(proof: Avx512Vnni) -> Result<Kept, KernelError> {
    facts_in(proof, cache_folder().as_deref(), false)
}

/// The same with the file in `folder`, if there is one; `again` measures even if there is a file.
///
/// # Errors
/// Those of [`measure`].
pub fn facts_in(proof: Avx512Vnni, folder: Option<&Path>, again: bool) -> Result<Kept, KernelError> {
    let family = Model::detect().and_then(|m| Family::find(&m.vendor, m.family, m.model));
    let doubt = |facts: &Facts| family.and_then(|family| doubt(facts, family));
    keep(folder, &Identity::here(), again, || measure(proof), doubt)
}

/// Why facts are not those of a quiet core of this family: it executes less than its execution units can.
fn doubt(facts: &Facts, family: Family) -> Option<String> {
    /// Share of the recorded rates that a quiet core reaches.
    const QUIET: f64 = 0.93;
    let recorded = family.facts();
    let rates = [
        ("vpdpbusd", facts.dots, recorded.dots),
        ("unpacks", facts.shuffles, recorded.shuffles),
        ("instructions", facts.instructions, recorded.instructions),
    ];
    let (what, found, expected) = rates.into_iter().find(|(_, found, expected)| *found < QUIET * expected)?;
    let family = family.name();
    Some(format!(
        "measured {found:.2} {what} per cycle, of {expected:.2} that {family} executes: something runs beside it"
    ))
}

/// The folder of this program in the user's cache folder: in `XDG_CACHE_HOME` if that is an absolute path, else in `.cache` of the home
/// folder, on Windows in `LOCALAPPDATA`. Nothing if these variables are not set.
pub fn cache_folder() -> Option<PathBuf> {
    cache_folder_of(|name| std::env::var_os(name))
}

fn cache_folder_of(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| match cfg!(windows) {
        true => folder("LOCALAPPDATA"),
        false => folder("HOME").map(|home| home.join(".cache")),
    });
    Some(cache?.join("lacuna"))
}

fn keep(
    folder: Option<&Path>,
    identity: &Identity,
    again: bool,
    measure: impl FnOnce() -> Result<Facts, KernelError>,
    doubt: impl FnOnce(&Facts) -> Option<String>,
) -> Result<Kept, KernelError> {
    let mut remarks = Vec::new();
    let Some(folder) = folder else {
        let remark = "found no cache folder: neither XDG_CACHE_HOME nor a home folder is set; the machine is measured every time";
        remarks.push(remark.to_owned());
        return Ok(Kept { facts: measure()?, origin: Origin::NotKept, remarks });
    };
    let path = folder.join(identity.file_name());
    if !again {
        match read(&path, identity) {
            Ok(Some(facts)) => return Ok(Kept { facts, origin: Origin::Read(path), remarks }),
            Ok(None) => {}
            Err(why) => remarks.push(format!("{}: {why}; the machine is measured again", path.display())),
        }
    }
    let facts = measure()?;
    if let Some(why) = doubt(&facts) {
        remarks.push(format!("{why}; the facts are not kept, and measured again next time"));
        return Ok(Kept { facts, origin: Origin::NotKept, remarks });
    }
    let origin = match write(folder, &path, &File { of: identity.clone(), facts }) {
        Ok(()) => Origin::Kept(path),
        Err(error) => {
            remarks.push(format!("{}: cannot write: {error}; the machine is measured every time", path.display()));
            Origin::NotKept
        }
    };
    Ok(Kept { facts, origin, remarks })
}

/// The facts in a file; nothing if there is no file.
///
/// # Errors
/// What is wrong with the file.
fn read(path: &Path, identity: &Identity) -> Result<Option<Facts>, String> {
    let text = match lacuna_files::read(path, LIMIT) {
        Ok(text) => text,
        Err(error) => {
            let message = error.to_string();
            let missing = io::Error::from(error).kind() == io::ErrorKind::NotFound;
            return if missing { Ok(None) } else { Err(message) };
        }
    };
    let File { of, facts } = serde_json::from_slice(&text).map_err(|error| format!("damaged: {error}"))?;
    if of != *identity {
        return Err(format!("made for {}, microcode {}, version {}", of.cpu, of.microcode, of.version));
    }
    facts.check().map_err(|error| format!("damaged: {error}"))?;
    let caches = Caches::detect().unwrap_or(Caches::TYPICAL);
    if (facts.l1d, facts.l2) != (caches.l1d, caches.l2) {
        let (found, here) = ((facts.l1d, facts.l2), (caches.l1d, caches.l2));
        return Err(format!("made for caches of {found:?} bytes, this machine has {here:?}"));
    }
    Ok(Some(facts))
}

/// Writes a file that appears only when it is complete.
fn write(folder: &Path, path: &Path, file: &File) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut out = tempfile::Builder::new().prefix(".lacuna-").tempfile_in(folder)?;
    out.write_all(serde_json::to_string_pretty(file)?.as_bytes())?;
    out.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let [cpu, model, microcode] = ["A CPU (R) 1", "Maker-6-1-2", "0x1"].map(str::to_owned);
        Identity { cpu, model, microcode, version: "1.2.3".into(), probe: 1 }
    }

    /// Facts that could be of this machine.
    fn some() -> Facts {
        let caches = Caches::detect().unwrap_or(Caches::TYPICAL);
        Facts { l1d: caches.l1d, l2: caches.l2, ..Family::IceLake.facts() }
    }

    fn kept(folder: Option<&Path>, identity: &Identity) -> Kept {
        keep(folder, identity, false, || Ok(some()), |_| None).unwrap()
    }

    /// For what must come from the file.
    fn never() -> Result<Facts, KernelError> {
        panic!("measured again");
    }

    #[test]
    fn facts_are_measured_once() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("not/yet/there");
        let first = kept(Some(&folder), &identity());
        let path = folder.join("facts-a-cpu-r-1-maker-6-1-2-0x1-v1-2-3-p1.json");
        assert_eq!((first.origin, first.remarks.len()), (Origin::Kept(path.clone()), 0));
        let second = keep(Some(&folder), &identity(), false, never, |_| None).unwrap();
        assert_eq!(second, Kept { facts: some(), origin: Origin::Read(path.clone()), remarks: vec![] });
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing but the file");
        // On demand it is measured again.
        let faster = Facts { ghz: 5.0, ..some() };
        assert_eq!(keep(Some(&folder), &identity(), true, || Ok(faster), |_| None).unwrap().origin, Origin::Kept(path));
        assert_eq!(keep(Some(&folder), &identity(), false, never, |_| None).unwrap().facts, faster);
        // Other microcode has another file.
        let other = Identity { microcode: "0x2".into(), ..identity() };
        assert!(matches!(kept(Some(&folder), &other).origin, Origin::Kept(_)));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn a_damaged_file_is_measured_again_and_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let path = folder.join(identity().file_name());
        kept(Some(folder), &identity());
        let good = std::fs::read_to_string(&path).unwrap();
        let damaged = [
            (String::new(), "damaged: EOF"),
            (good[..good.len() / 2].to_owned(), "damaged: EOF"),
            ("[1, 2]".to_owned(), "damaged: "),
            (good.replace("\"ghz\": 3.45", "\"ghz\": -3.45"), "damaged: ghz is -3.45, expected 0.1 to 20"),
            (good.replace("\"dots\": 2.0", "\"dots\": 1e300"), "damaged: dots is"),
            (good.replace("\"dots\"", "\"dot\""), "damaged: unknown field"),
            (good.replace("A CPU", "B CPU"), "made for B CPU (R) 1, microcode 0x1, version 1.2.3"),
            (good.replace(&format!("\"l2\": {}", some().l2), "\"l2\": 8192"), "made for caches of"),
            ("x".repeat(LIMIT as usize + 1), "expected at most 65536"),
        ];
        for (text, expected) in damaged {
            assert_ne!(text, good);
            std::fs::write(&path, text).unwrap();
            let again = kept(Some(folder), &identity());
            let remark = again.remarks.concat();
            assert!(remark.contains(expected) && remark.ends_with("the machine is measured again"), "{remark}");
            assert_eq!(again.origin, Origin::Kept(path.clone()));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), good, "replaced");
        }
    }

    #[test]
    fn without_a_place_facts_are_measured_and_that_is_said() {
        let nowhere = kept(None, &identity());
        assert_eq!(nowhere.origin, Origin::NotKept);
        assert!(nowhere.remarks.concat().contains("found no cache folder"), "{:?}", nowhere.remarks);
        // A file where the folder should be.
        let file = tempfile::NamedTempFile::new().unwrap();
        let blocked = kept(Some(&file.path().join("lacuna")), &identity());
        assert_eq!(blocked.origin, Origin::NotKept);
        assert!(blocked.remarks.concat().contains("cannot write: "), "{:?}", blocked.remarks);
        assert_eq!(blocked.facts, some());
    }

    /// A busy sibling thread halves the front end: such facts are used once, and say so.
    #[test]
    fn facts_of_a_busy_core_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let busy = Facts { dots: 1.75, ..some() };
        let doubt = |facts: &Facts| doubt(facts, Family::IceLake);
        let kept = keep(Some(folder.path()), &identity(), false, || Ok(busy), doubt).unwrap();
        assert_eq!((kept.facts, kept.origin), (busy, Origin::NotKept));
        let expected = "measured 1.75 vpdpbusd per cycle, of 2.00 that Ice Lake executes: something runs beside it; the facts are not kept";
        assert!(kept.remarks.concat().starts_with(expected), "{:?}", kept.remarks);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(doubt(&Facts { dots: 1.95, ..some() }), None, "what Ice Lake was measured at");
    }

    #[cfg(unix)]
    #[test]
    fn the_cache_folder_follows_the_variables() {
        let folder = |variables: &[(&str, &str)]| {
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            cache_folder_of(find)
        };
        assert_eq!(folder(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), Some("/c/lacuna".into()));
        for relative in ["", "c"] {
            assert_eq!(folder(&[("XDG_CACHE_HOME", relative), ("HOME", "/h")]), Some("/h/.cache/lacuna".into()));
        }
        assert_eq!(folder(&[]), None);
    }
}
