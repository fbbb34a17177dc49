//! Where shared libraries are looked for.
//!
//! In this order, and the first place that has one is taken: the option; the variable of the library, `LACUNA_ONEDNN` or
//! `LACUNA_ONNXRUNTIME`; the active virtual environment; the active conda environment; the user's Python packages; the loader's
//! path; the system's folders. A library that the option or the variable names must exist: no other one is used instead.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use super::error::EngineError;

/// A library that is loaded at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SharedLibrary {
    /// oneDNN.
    OneDnn,
    /// ONNX Runtime.
    OnnxRuntime,
}

/// A library's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The file.
    pub(crate) path: PathBuf,
    /// Why this one.
    pub(crate) source: Source,
}

/// What led to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// An option.
    Option(&'static str),
    /// A variable of the environment.
    Variable(&'static str),
    /// The user's Python packages.
    UserPackages,
    /// The system's folders.
    System,
}

/// What the process was started with and where it runs, as far as the search depends on it.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Variables of the environment that are set.
    pub(crate) variables: BTreeMap<&'static str, OsString>,
    /// Folders of the system's libraries.
    pub(crate) system: Vec<PathBuf>,
    /// How libraries are named here.
    pub(crate) platform: Platform,
}

/// How libraries are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// `libNAME.so`, `libNAME.so.VERSION`
    Linux,
    /// `libNAME.dylib`, `libNAME.VERSION.dylib`
    MacOs,
    /// `NAME.dll`
    Windows,
}

/// The facts of a library in one place.
struct Facts {
    name: &'static str,
    /// Of its file.
    stem: &'static str,
    /// The version that can be used.
    major: u64,
    option: &'static str,
    variable: &'static str,
    /// What pip calls it.
    package: &'static str,
    /// Its folder among Python packages, if its file is there.
    folder: Option<&'static str>,
}

impl SharedLibrary {
    fn facts(self) -> Facts {
        match self {
            SharedLibrary::OneDnn => Facts {
                name: "oneDNN",
                stem: "dnnl",
                major: 3,
                option: "--onednn",
                variable: "LACUNA_ONEDNN",
                package: "onednn-cpu-gomp==2023.2.0",
                folder: None,
            },
            SharedLibrary::OnnxRuntime => Facts {
                name: "ONNX Runtime",
                stem: "onnxruntime",
                major: 1,
                option: "--onnxruntime",
                variable: "LACUNA_ONNXRUNTIME",
                package: "onnxruntime",
                folder: Some("onnxruntime/capi"),
            },
        }
    }
}

/// Finds the file of `library`: the one that `option` names, else as the module's text says. Of several versions in one place the
/// highest is taken.
///
/// # Errors
/// [`EngineError::NotFound`] if it is nowhere, or not where the option or the variable of the library says. The message tells how
/// to get it.
pub(crate) fn locate(
    library: SharedLibrary,
    option: Option<&Path>,
    surroundings: &Surroundings,
) -> Result<Found, EngineError> {
    let facts = library.facts();
    let search = Search { facts: &facts, platform: surroundings.platform };
    let variable = surroundings.get(facts.variable).map(Path::new);
    match (option, variable) {
        (Some(path), _) => search.named(path, Source::Option(facts.option)),
        (None, Some(path)) => search.named(path, Source::Variable(facts.variable)),
        (None, None) => search.anywhere(surroundings),
    }
}

impl Surroundings {
    /// Those of this process. Empty variables count as not set.
    pub(crate) fn of_process() -> Surroundings {
        const VARIABLES: [&str; 11] = [
            "LACUNA_ONEDNN",
            "LACUNA_ONNXRUNTIME",
            "VIRTUAL_ENV",
            "CONDA_PREFIX",
            "PYTHONUSERBASE",
            "HOME",
            "APPDATA",
            "LD_LIBRARY_PATH",
            "DYLD_LIBRARY_PATH",
            "DYLD_FALLBACK_LIBRARY_PATH",
            "PATH",
        ];
        let variables = VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect();
        let (platform, system) = match std::env::consts::OS {
            "windows" => (Platform::Windows, Vec::new()),
            "macos" => (Platform::MacOs, ["/opt/homebrew/lib", "/usr/local/lib"].map(PathBuf::from).to_vec()),
            _ => {
                let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
                let folders = [&multiarch, "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", "/usr/lib"];
                (Platform::Linux, folders.map(PathBuf::from).to_vec())
            }
        };
        Surroundings { variables, system, platform }
    }

    fn get(&self, variable: &str) -> Option<&OsString> {
        self.variables.get(variable).filter(|value| !value.is_empty())
    }

    fn folder(&self, variable: &str) -> Option<PathBuf> {
        self.get(variable).map(PathBuf::from)
    }

    /// Where pip installs for this user alone.
    fn user_bases(&self) -> Vec<PathBuf> {
        if let Some(base) = self.folder("PYTHONUSERBASE") {
            return vec![base];
        }
        match self.platform {
            Platform::Windows => {
                self.folder("APPDATA").map_or_else(Vec::new, |data| subfolders(&data.join("Python"), "Python"))
            }
            Platform::MacOs => {
                self.folder("HOME").map_or_else(Vec::new, |home| subfolders(&home.join("Library/Python"), "3."))
            }
            Platform::Linux => self.folder("HOME").map(|home| home.join(".local")).into_iter().collect(),
        }
    }

    /// The places that are searched in turn, each with its folders; those of variables that are not set without.
    fn places(&self) -> Vec<(Source, Vec<PathBuf>)> {
        let prefix = |variable| {
            let folders = self.folder(variable).map_or_else(Vec::new, |prefix| self.platform.libraries(&prefix));
            (Source::Variable(variable), folders)
        };
        let mut places = vec![prefix("VIRTUAL_ENV"), prefix("CONDA_PREFIX")];
        let bases = self.user_bases();
        places.push((Source::UserPackages, bases.iter().flat_map(|base| self.platform.libraries(base)).collect()));
        for variable in self.platform.loader_paths() {
            // The loader takes the first of these folders that has the library, whatever its version.
            let folders = self.get(variable).map_or_else(Vec::new, |list| std::env::split_paths(list).collect());
            let folders = folders.into_iter().filter(|folder: &PathBuf| !folder.as_os_str().is_empty());
            let before = places.len();
            places.extend(folders.map(|folder| (Source::Variable(variable), vec![folder])));
            if places.len() == before {
                places.push((Source::Variable(variable), Vec::new()));
            }
        }
        places.push((Source::System, self.system.clone()));
        places
    }
}

impl Platform {
    /// The folders with libraries of what is installed in `prefix`.
    fn libraries(self, prefix: &Path) -> Vec<PathBuf> {
        match self {
            Platform::Windows => [r"Library\bin", "bin", "Lib"].map(|folder| prefix.join(folder)).to_vec(),
            Platform::Linux | Platform::MacOs => vec![prefix.join("lib")],
        }
    }

    fn loader_paths(self) -> &'static [&'static str] {
        match self {
            Platform::Linux => &["LD_LIBRARY_PATH"],
            Platform::MacOs => &["DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"],
            Platform::Windows => &["PATH"],
        }
    }

    /// The version that a file's name tells of a library; empty without, `None` if it is another file.
    fn version(self, stem: &str, file: &str) -> Option<Vec<u64>> {
        let version = match self {
            Platform::Linux => file.strip_prefix("lib")?.strip_prefix(stem)?.strip_prefix(".so")?,
            Platform::MacOs => file.strip_prefix("lib")?.strip_prefix(stem)?.strip_suffix(".dylib")?,
            Platform::Windows => file.strip_prefix(stem)?.strip_suffix(".dll")?,
        };
        match version.strip_prefix('.') {
            None => version.is_empty().then(Vec::new),
            Some(parts) => parts.split('.').map(|part| part.parse().ok()).collect(),
        }
    }

    /// What files of a library are called, for messages.
    fn pattern(self, stem: &str, major: u64) -> String {
        match self {
            Platform::Linux => format!("lib{stem}.so.{major}* or lib{stem}.so"),
            Platform::MacOs => format!("lib{stem}.{major}*.dylib or lib{stem}.dylib"),
            Platform::Windows => format!("{stem}.dll"),
        }
    }
}

struct Search<'a> {
    facts: &'a Facts,
    platform: Platform,
}

impl Search<'_> {
    /// What the user named: a file, a folder with it, or the folder of an environment.
    fn named(&self, path: &Path, source: Source) -> Result<Found, EngineError> {
        let refused = |error| self.not_found(format!("{} of {source}: {error}", path.display()));
        if !path.metadata().map_err(refused)?.is_dir() {
            return Ok(Found { path: path.to_owned(), source });
        }
        path.read_dir().map_err(refused)?;
        let mut folders = vec![path.to_owned()];
        folders.extend(self.platform.libraries(path));
        let mut unsupported = Vec::new();
        self.best(&folders, &mut unsupported).map(|path| Found { path, source }).ok_or_else(|| {
            let looked = format!("no {} in {} of {source}", self.pattern(), path.display());
            self.not_found(looked + &others(&unsupported))
        })
    }

    fn anywhere(&self, surroundings: &Surroundings) -> Result<Found, EngineError> {
        let (mut looked, mut unsupported) = (Vec::new(), Vec::new());
        for (source, folders) in surroundings.places() {
            if let Some(path) = self.best(&folders, &mut unsupported) {
                return Ok(Found { path, source });
            }
            match (folders.is_empty(), source) {
                (true, Source::Variable(_)) => looked.push(format!("{source} (not set)")),
                _ => looked.extend(folders.iter().map(|folder| folder.display().to_string())),
            }
        }
        Err(self.not_found(format!("no {} in {}{}", self.pattern(), looked.join(", "), others(&unsupported))))
    }

    /// The file with the highest version; among equals, that of the first folder. Files of another major version are skipped, and
    /// noted in `unsupported`.
    fn best(&self, folders: &[PathBuf], unsupported: &mut Vec<PathBuf>) -> Option<PathBuf> {
        let mut best: Option<(Vec<u64>, PathBuf)> = None;
        for folder in folders.iter().flat_map(|folder| self.with_packages(folder)) {
            for (version, path) in self.files(&folder) {
                if version.first().is_some_and(|&major| major != self.facts.major) {
                    unsupported.push(path);
                } else if best.as_ref().is_none_or(|(highest, _)| version > *highest) {
                    best = Some((version, path));
                }
            }
        }
        best.map(|(_, path)| path)
    }

    /// `folder`, and the library's own folders among the Python packages in it.
    fn with_packages(&self, folder: &Path) -> Vec<PathBuf> {
        let mut folders = vec![folder.to_owned()];
        if let Some(own) = self.facts.folder {
            let mut parents = subfolders(folder, "python");
            parents.push(folder.to_owned()); // Windows has no folder per version
            for parent in parents {
                folders.extend(["site-packages", "dist-packages"].map(|packages| parent.join(packages).join(own)));
            }
        }
        folders
    }

    fn files(&self, folder: &Path) -> Vec<(Vec<u64>, PathBuf)> {
        // A folder that does not exist has no files. A folder that cannot be read has no file that could be loaded.
        let entries = folder.read_dir().into_iter().flatten().flatten();
        let named = entries.filter_map(|entry| {
            Some((self.platform.version(self.facts.stem, entry.file_name().to_str()?)?, entry.path()))
        });
        named.filter(|(_, path)| path.is_file()).collect()
    }

    fn pattern(&self) -> String {
        self.platform.pattern(self.facts.stem, self.facts.major)
    }

    fn not_found(&self, looked: String) -> EngineError {
        let Facts { name, option, variable, package, .. } = self.facts;
        let activate = match self.platform {
            Platform::Windows => r"py -m venv engines && engines\Scripts\activate",
            Platform::Linux | Platform::MacOs => "python3 -m venv engines && . engines/bin/activate",
        };
        let get = format!(
            "get it with '{activate} && pip install {package}', or name the file or its folder with {option} or {variable}"
        );
        EngineError::NotFound { library: name, looked, get }
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Option(name) | Source::Variable(name) => f.write_str(name),
            Source::UserPackages => f.write_str("the user's Python packages"),
            Source::System => f.write_str("the system's folders"),
        }
    }
}

/// Files that would do in another version, for messages.
fn others(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    format!("; of another version: {}", files.join(", "))
}

/// The folders in `folder` whose names start with `start`, in the order of their names.
fn subfolders(folder: &Path, start: &str) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let starts = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(start)));
    let mut folders: Vec<PathBuf> = starts.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests;
