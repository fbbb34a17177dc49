//! Which crates there are, and where the names of a crate are defined.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::source::Source;

/// A crate of the workspace, and the others of the workspace that its manifest lists.
pub(crate) struct Member {
    pub(crate) name: String,
    /// Below the root of the workspace; empty for the root itself.
    pub(crate) folder: String,
    /// Under `[dependencies]` and `[build-dependencies]`.
    pub(crate) uses: Vec<String>,
    /// Under `[dev-dependencies]`: what tests, examples and benchmarks use too.
    pub(crate) tests_use: Vec<String>,
}

impl Member {
    /// All crates of the workspace in the folder `root`.
    pub(crate) fn all(root: &Path) -> Vec<Member> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root);
        let output = cargo.output().expect("cargo runs");
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
        let packages = list(&metadata, "packages");
        let names: Vec<&str> = packages.iter().map(|package| text(package, "name")).collect();
        packages.iter().map(|package| Member::new(root, package, &names)).collect()
    }

    fn new(root: &Path, package: &Value, names: &[&str]) -> Member {
        let folder = Path::new(text(package, "manifest_path")).parent().expect("a manifest lies in a folder");
        let folder = folder.strip_prefix(root).expect("every crate lies in the workspace");
        let mut member = Member {
            name: text(package, "name").to_owned(),
            folder: folder.to_string_lossy().replace('\\', "/"),
            uses: Vec::new(),
            tests_use: Vec::new(),
        };
        for used in list(package, "dependencies") {
            let name = text(used, "name");
            if names.contains(&name) {
                let all = if used["kind"] == "dev" { &mut member.tests_use } else { &mut member.uses };
                all.push(name.to_owned());
            }
        }
        member
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("cargo metadata has a list {key}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("cargo metadata has a text {key}"))
}

/// The source files of a crate by their path below `src`.
pub(crate) struct Crate {
    pub(crate) sources: BTreeMap<String, Source>,
    /// The file of every module; the crate's root is the empty path.
    modules: BTreeMap<Vec<String>, String>,
}

impl Crate {
    /// Reads every source file below `src` of the crate in `folder`.
    pub(crate) fn read(folder: &Path) -> Crate {
        let src = folder.join("src");
        let mut sources = BTreeMap::new();
        let mut folders = vec![src.clone()];
        while let Some(now) = folders.pop() {
            for path in entries(&now) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(&src).expect("it lies below src").to_string_lossy().replace('\\', "/");
                    let text =
                        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    let source = Source::parse(&name, &text);
                    sources.insert(name, source);
                }
            }
        }
        Crate::new(sources)
    }

    pub(crate) fn new(sources: BTreeMap<String, Source>) -> Crate {
        let modules = sources.keys().map(|path| (module_of(path), path.clone())).collect();
        Crate { sources, modules }
    }

    /// The file that defines what `path` names, seen from the module `from`, and the name.
    pub(crate) fn definer(&self, from: &[String], path: &[String]) -> Option<(&str, String)> {
        self.definer_within(from, path, 0)
    }

    fn definer_within(&self, from: &[String], path: &[String], depth: usize) -> Option<(&str, String)> {
        const DEEPEST: usize = 16; // re-exports can lead back to each other
        if depth > DEEPEST {
            return None;
        }
        let (mut module, rest) = self.start(from, path)?;
        for (i, name) in rest.iter().enumerate() {
            let mut child = module.clone();
            child.push(name.clone());
            if self.modules.contains_key(&child) {
                module = child;
                continue;
            }
            let file = self.modules.get(&module)?;
            let source = &self.sources[file];
            if source.defines(name) {
                return Some((file, name.clone()));
            }
            // Not defined here: it came through a `use` of this name or of everything, which may be a re-export of another one.
            let rest = &rest[i + 1..];
            let named = source.imports(name).map(|import| [import, rest].concat());
            let through_globs = source.globs().map(|glob| [glob, std::slice::from_ref(name), rest].concat());
            let further: Vec<Vec<String>> = named.chain(through_globs).collect();
            return further.iter().find_map(|path| self.definer_within(&module, path, depth + 1));
        }
        let file = self.modules.get(&module)?;
        Some((file, format!("{} itself", module.last().map_or("the root", String::as_str))))
    }

    /// The module where a path begins, and the rest of it.
    fn start<'a>(&self, from: &[String], path: &'a [String]) -> Option<(Vec<String>, &'a [String])> {
        let mut module = from.to_vec();
        match path.first()?.as_str() {
            "crate" => Some((Vec::new(), &path[1..])),
            "self" => Some((module, &path[1..])),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                module.truncate(module.len().checked_sub(ups)?);
                Some((module, &path[ups..]))
            }
            name => {
                module.push(name.to_owned());
                self.modules.contains_key(&module).then_some((module, &path[1..]))
            }
        }
    }
}

/// The files and folders in a folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

/// `a/b.rs` and `a/b/mod.rs` are the module a::b.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs");
    let mut names: Vec<String> = path.split('/').map(str::to_owned).collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        names.pop();
    }
    names
}
