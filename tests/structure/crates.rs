//! Which crates there are, and where the names of a crate are defined.

use std::collections::BTreeMap;
use std::path::Path;

use crate::source::Source;

/// The folders below `root` that hold a crate of the workspace, `.` for the root itself.
pub(crate) fn folders(root: &Path) -> Vec<String> {
    let manifest = read(&root.join("Cargo.toml"));
    let members = manifest.split_once("members = [").expect("the workspace lists its members").1;
    let members = members.split(']').next().unwrap_or_default();
    let listed = members.split(',').map(|member| member.trim().trim_matches('"').to_owned());
    listed.filter(|member| !member.is_empty() && member != ".").chain([".".to_owned()]).collect()
}

/// The crates of this workspace that the manifest in `folder` lists under `[dependencies]`.
pub(crate) fn uses(folder: &Path) -> Vec<String> {
    let manifest = read(&folder.join("Cargo.toml"));
    let section = manifest.split("\n[").find_map(|section| section.strip_prefix("dependencies]")).unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| name.starts_with("lacuna")).map(str::to_owned).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The source files of a crate by their path below `src`.
pub(crate) struct Crate {
    pub(crate) sources: BTreeMap<String, Source>,
    /// The file of every module; the crate's root is the empty path.
    modules: BTreeMap<Vec<String>, String>,
}

impl Crate {
    /// Nothing where there is no crate.
    pub(crate) fn read(root: &Path, folder: &str) -> Option<Crate> {
        let folder = root.join(folder).join("src");
        let mut sources = BTreeMap::new();
        let mut folders = vec![folder.clone()];
        while let Some(now) = folders.pop() {
            for entry in std::fs::read_dir(&now).ok()?.flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(&folder).ok()?.to_string_lossy().replace('\\', "/");
                    sources.insert(name.clone(), Source::parse(&name, &read(&path)));
                }
            }
        }
        Some(Crate::new(sources))
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
        const DEEPEST: usize = 16; // doors that lead to each other
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
            let further = |door: &[String]| {
                let path: Vec<String> = door.iter().chain(&rest[i + 1..]).cloned().collect();
                self.definer_within(&module, &path, depth + 1)
            };
            return source.imports(name).find_map(further).or_else(|| {
                let globs = source.globs().map(|glob| glob.iter().chain([name]).cloned().collect::<Vec<_>>());
                globs.into_iter().find_map(|path| self.definer_within(&module, &path, depth + 1))
            });
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

/// `a/b.rs` and `a/b/mod.rs` are the module a::b.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs");
    let mut names: Vec<String> = path.split('/').map(str::to_owned).collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        names.pop();
    }
    names
}
