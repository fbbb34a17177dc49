use std::fs;

use tempfile::TempDir;

use super::*;

/// A folder of its own with empty files, and surroundings without anything in them.
struct Place {
    folder: TempDir,
    surroundings: Surroundings,
}

impl Place {
    fn with(files: &[&str]) -> Place {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let surroundings = Surroundings { variables: BTreeMap::new(), system: Vec::new(), platform: Platform::Linux };
        Place { folder, surroundings }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn set(mut self, variable: &'static str, path: &str) -> Place {
        self.surroundings.variables.insert(variable, self.path(path).into());
        self
    }

    fn system(mut self, folders: &[&str]) -> Place {
        self.surroundings.system = folders.iter().map(|folder| self.path(folder)).collect();
        self
    }

    fn on(mut self, platform: Platform) -> Place {
        self.surroundings.platform = platform;
        self
    }

    fn find(&self, library: SharedLibrary, option: Option<&str>) -> Result<Found, EngineError> {
        locate(library, option.map(|option| self.path(option)).as_deref(), &self.surroundings)
    }

    /// Where `library` is found, below the folder, and why there.
    fn found(&self, library: SharedLibrary, option: Option<&str>) -> (String, Source) {
        let Found { path, source } = self.find(library, option).unwrap();
        (path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap().to_owned(), source)
    }

    fn refusal(&self, library: SharedLibrary, option: Option<&str>) -> String {
        let error = self.find(library, option).unwrap_err();
        assert!(matches!(error, EngineError::NotFound { .. }), "{error}");
        error.to_string()
    }
}

const ONEDNN: SharedLibrary = SharedLibrary::OneDnn;
const ONNXRUNTIME: SharedLibrary = SharedLibrary::OnnxRuntime;
const CAPI: &str = "lib/python3.11/site-packages/onnxruntime/capi";

#[test]
fn each_place_is_passed_over_only_when_it_has_none() {
    let file = |folder: &str| format!("{folder}/libdnnl.so.3");
    let all = ["named", "variable", "venv/lib", "conda/lib", "home/.local/lib", "loader", "system"];
    let sources = [
        Source::Option("--onednn"),
        Source::Variable("LACUNA_ONEDNN"),
        Source::Variable("VIRTUAL_ENV"),
        Source::Variable("CONDA_PREFIX"),
        Source::UserPackages,
        Source::Variable("LD_LIBRARY_PATH"),
        Source::System,
    ];
    for first in 0..all.len() {
        let files: Vec<String> = all[first..].iter().map(|folder| file(folder)).collect();
        let mut place = Place::with(&files.iter().map(String::as_str).collect::<Vec<_>>())
            .set("VIRTUAL_ENV", "venv")
            .set("CONDA_PREFIX", "conda")
            .set("HOME", "home")
            .set("LD_LIBRARY_PATH", "loader")
            .system(&["system"]);
        if first <= 1 {
            place = place.set("LACUNA_ONEDNN", "variable/libdnnl.so.3");
        }
        let option = (first == 0).then_some("named/libdnnl.so.3");
        assert_eq!(place.found(ONEDNN, option), (file(all[first]), sources[first]));
    }
}

#[test]
fn what_the_user_names_must_be_there() {
    let place = Place::with(&["venv/lib/libdnnl.so.3", "empty/readme"]).set("VIRTUAL_ENV", "venv");
    assert_eq!(place.found(ONEDNN, None).0, "venv/lib/libdnnl.so.3");
    for (named, expected) in [("nowhere", "No such file or directory"), ("empty", "no libdnnl.so.3* or libdnnl.so in")]
    {
        let message = place.refusal(ONEDNN, Some(named));
        assert!(message.contains(expected) && message.contains("of --onednn"), "{message}");
    }
    let place = place.set("LACUNA_ONEDNN", "nowhere/libdnnl.so");
    let message = place.refusal(ONEDNN, None);
    assert!(message.contains("nowhere/libdnnl.so of LACUNA_ONEDNN: No such file"), "{message}");
    assert!(place.find(ONEDNN, Some("venv/lib/libdnnl.so.3")).is_ok());
    let mut place = place;
    place.surroundings.variables.insert("LACUNA_ONEDNN", OsString::new());
    assert_eq!(
        place.found(ONEDNN, None).1,
        Source::Variable("VIRTUAL_ENV"),
        "an empty variable is one that is not set"
    );
}

#[test]
fn a_folder_may_hold_the_file_or_be_an_environment() {
    let runtime = format!("venv/{CAPI}/libonnxruntime.so.1.20.1");
    let place = Place::with(&["plain/libdnnl.so", "venv/lib/libdnnl.so.3", &runtime]);
    assert_eq!(place.found(ONEDNN, Some("plain")).0, "plain/libdnnl.so");
    assert_eq!(place.found(ONEDNN, Some("venv")).0, "venv/lib/libdnnl.so.3");
    assert_eq!(place.found(ONNXRUNTIME, Some("venv")), (runtime, Source::Option("--onnxruntime")));
    assert_eq!(place.found(ONEDNN, Some("venv/lib/libdnnl.so.3")).0, "venv/lib/libdnnl.so.3");
}

#[test]
fn the_highest_version_wins_as_numbers() {
    let files =
        ["a/libdnnl.so", "a/libdnnl.so.3.9", "b/libdnnl.so.3.10.1", "b/libdnnl.so.3", "b/libdnnl.so.4", "b/libdnnl.a"];
    let place = Place::with(&files).system(&["a", "absent", "b"]);
    assert_eq!(place.found(ONEDNN, None), ("b/libdnnl.so.3.10.1".into(), Source::System));
    let place = Place::with(&files);
    let joined = std::env::join_paths([place.path("a"), place.path("b")]).unwrap();
    let mut place = place;
    place.surroundings.variables.insert("LD_LIBRARY_PATH", joined);
    assert_eq!(place.found(ONEDNN, None).0, "a/libdnnl.so.3.9", "the loader's path is a list of places");
    let (old, new) = (CAPI.replace("3.11", "3.8"), CAPI);
    let files = [format!("{old}/libonnxruntime.so.1.9.0"), format!("{new}/libonnxruntime.so.1.22.0")];
    let place =
        Place::with(&[&files[0], &files[1], &format!("{new}/libonnxruntime_providers_shared.so")]).system(&["lib"]);
    assert_eq!(place.found(ONNXRUNTIME, None).0, files[1]);
}

#[test]
fn another_major_version_is_no_find_and_is_told() {
    let place = Place::with(&["a/libdnnl.so.2.7", "b/libdnnl.so.3.1"]).set("LD_LIBRARY_PATH", "a");
    let message = place.refusal(ONEDNN, None);
    assert!(message.contains("; of another version: ") && message.contains("a/libdnnl.so.2.7"), "{message}");
    assert_eq!(place.system(&["b"]).found(ONEDNN, None).0, "b/libdnnl.so.3.1");
}

#[test]
fn nowhere_says_where_and_how_to_get_it() {
    let place = Place::with(&["bin/python"]).set("VIRTUAL_ENV", "").system(&["sys"]);
    let message = place.refusal(ONEDNN, None);
    let lib = place.path("lib").display().to_string();
    for expected in [
        "no libdnnl.so.3* or libdnnl.so in",
        &lib,
        "CONDA_PREFIX (not set)",
        "LD_LIBRARY_PATH (not set)",
        "pip install onednn-cpu-gomp==2023.2.0'",
        "--onednn or LACUNA_ONEDNN",
    ] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
    assert!(!message.contains("VIRTUAL_ENV (not set)") && !message.contains('\n'), "{message}");
    let message = place.refusal(ONNXRUNTIME, None);
    assert!(message.contains("pip install onnxruntime'") && message.contains("LACUNA_ONNXRUNTIME"), "{message}");
}

#[test]
fn links_to_nothing_and_folders_are_no_libraries() {
    let place = Place::with(&["lib/libdnnl.so.3.2/file", "lib/libdnnl.so.3.1"]).set("VIRTUAL_ENV", "");
    #[cfg(unix)]
    std::os::unix::fs::symlink(place.path("lib/gone"), place.path("lib/libdnnl.so.3.9")).unwrap();
    assert_eq!(place.found(ONEDNN, None).0, "lib/libdnnl.so.3.1");
}

#[test]
fn names_of_other_systems() {
    let version = |platform: Platform, file| platform.version("dnnl", file);
    assert_eq!(version(Platform::Linux, "libdnnl.so.3.2"), Some(vec![3, 2]));
    assert_eq!(version(Platform::Linux, "libdnnl.so"), Some(vec![]));
    for file in ["libdnnl_graph.so", "libdnnl.so.3.x", "libdnnl.so.", "libdnnl.so3", "dnnl.so", "libdnnl.a"] {
        assert_eq!(version(Platform::Linux, file), None, "{file}");
    }
    assert_eq!(version(Platform::MacOs, "libdnnl.3.2.dylib"), Some(vec![3, 2]));
    assert_eq!(version(Platform::MacOs, "libdnnl.dylib"), Some(vec![]));
    assert_eq!(version(Platform::Windows, "dnnl.dll"), Some(vec![]));
    let place = Place::with(&["Lib/site-packages/onnxruntime/capi/onnxruntime.dll"]).set("VIRTUAL_ENV", "");
    let (path, _) = place.on(Platform::Windows).found(ONNXRUNTIME, None);
    assert!(path.ends_with("onnxruntime.dll"));
    let user = "home/Library/Python/3.9/lib/python/site-packages/onnxruntime/capi/libonnxruntime.1.20.1.dylib";
    let place = Place::with(&[user]).set("HOME", "home").on(Platform::MacOs);
    assert_eq!(place.found(ONNXRUNTIME, None), (user.into(), Source::UserPackages));
}
