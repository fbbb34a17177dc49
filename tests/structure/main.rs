//! The structure of the project, checked: crates use only the crates below them, and no files import each other in a circle.
//!
//! A file imports another one if it names something that the other file defines, in a `use` declaration or in a path. A name that is
//! re-exported counts for the file that defines it, not for the one that re-exports it. Test modules are left out. Calls of methods are
//! not seen, since they need no import.

mod crates;
mod graph;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crates::{Crate, Member};
use graph::Graph;
use source::Source;

/// The crates of the workspace, each with the others that it may use. Its tests may also use those that these use, and so on.
const ARROWS: [(&str, &[&str]); 16] = [
    ("lacuna-assets", &[]),
    ("lacuna-files", &[]),
    ("lacuna-jit", &[]),
    ("lacuna-pattern", &[]),
    ("lacuna-kernels", &["lacuna-files", "lacuna-jit", "lacuna-pattern"]),
    ("lacuna-model", &["lacuna-files", "lacuna-pattern"]),
    ("lacuna", &["lacuna-jit", "lacuna-kernels", "lacuna-model"]),
    ("lacuna-train", &["lacuna-jit", "lacuna-kernels", "lacuna-model"]),
    ("lacuna-serve", &["lacuna"]),
    ("lacuna-c", &["lacuna"]),
    ("lacuna-measure", &["lacuna"]),
    ("lacuna-data", &["lacuna", "lacuna-files", "lacuna-measure"]),
    (
        "lacuna-compress",
        &["lacuna", "lacuna-data", "lacuna-files", "lacuna-jit", "lacuna-measure", "lacuna-model", "lacuna-train"],
    ),
    (
        "lacuna-console",
        &[
            "lacuna",
            "lacuna-data",
            "lacuna-files",
            "lacuna-jit",
            "lacuna-kernels",
            "lacuna-measure",
            "lacuna-model",
            "lacuna-train",
        ],
    ),
    ("lacuna-compare", &["lacuna", "lacuna-console", "lacuna-jit", "lacuna-kernels"]),
    (
        "lacuna-tools",
        &[
            "lacuna",
            "lacuna-assets",
            "lacuna-compare",
            "lacuna-compress",
            "lacuna-console",
            "lacuna-data",
            "lacuna-files",
            "lacuna-jit",
            "lacuna-kernels",
            "lacuna-measure",
            "lacuna-serve",
            "lacuna-train",
        ],
    ),
];

/// What to do about a circle.
const MEND: &str = "\
To mend a circle, move what both files need into a file of its own that both import: mod.rs and lib.rs hold documentation, `mod` lines \
and re-exports, so that files below them need nothing from them. An `impl` block can also move to the later of two files, since calls \
of methods need no import.";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The crates that a crate may use.
fn allowed(name: &str) -> &'static [&'static str] {
    ARROWS.iter().find(|(other, _)| *other == name).map_or(&[], |(_, allowed)| allowed)
}

/// The crates that a crate may use, those that these may use, and so on.
fn below(name: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let mut open = allowed(name).to_vec();
    while let Some(now) = open.pop() {
        if found.insert(now) {
            open.extend(allowed(now));
        }
    }
    found
}

#[test]
fn crates_use_only_the_crates_below_them() {
    let members = Member::all(root());
    let found: BTreeSet<&str> = members.iter().map(|member| &*member.name).collect();
    let expected = BTreeSet::from(ARROWS.map(|(name, _)| name));
    assert_eq!(
        found, expected,
        "a crate was added, renamed or removed: list it in ARROWS with the crates that it may use"
    );
    for Member { name, uses, tests_use, .. } in &members {
        let (allowed, below) = (allowed(name), below(name));
        for used in uses {
            assert!(
                allowed.contains(&&**used),
                "{name} uses {used}; it may use {allowed:?}. Move what it needs into one of these, or into a crate below both; if the \
                 new arrow is intended, add it to ARROWS and to the design."
            );
        }
        for used in tests_use {
            assert!(
                below.contains(&**used),
                "tests of {name} use {used}; they may use {below:?}. Move the test to a crate that is above both."
            );
        }
    }
}

#[test]
fn tests_may_use_what_is_further_below_and_nothing_above() {
    assert!(below("lacuna-tools").contains("lacuna-model"));
    assert!(!below("lacuna-kernels").contains("lacuna"));
    for (name, _) in ARROWS {
        assert!(!below(name).contains(name), "ARROWS lead from {name} back to {name}");
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut report = String::new();
    let mut circles = 0;
    for Member { name, folder, .. } in Member::all(root()) {
        let graph = Graph::of(&Crate::read(&root().join(folder)));
        for circle in graph.circles() {
            circles += 1;
            report += &format!("circle {circles}: {} files of {name}, and what each imports\n", circle.len());
            report += &graph.ties(&circle);
        }
    }
    assert!(circles == 0, "{circles} import circles\n{report}{MEND}");
}

/// A crate made of these files.
fn example(files: &[(&str, &str)]) -> Crate {
    let sources = files.iter().map(|(path, text)| ((*path).to_owned(), Source::parse(path, text)));
    Crate::new(sources.collect::<BTreeMap<_, _>>())
}

fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let all = example(files);
    Graph::of(&all).circles()
}

#[test]
fn a_circle_is_found_through_a_reexport_and_through_a_path() {
    let lib = ("lib.rs", "mod a; mod b;");
    let parent = ("a/mod.rs", "mod x; mod y; pub(crate) use x::X; pub use self::y::Y;");
    let x = ("a/x.rs", "use super::Y; pub struct X; fn f() { Y; }");
    let y = ("a/y.rs", "pub struct Y; fn g() { let _ = crate::a::X; }");
    let b = ("b.rs", "use crate::a::{X, Y}; fn h() { X; Y; }");
    assert_eq!(circles(&[lib, parent, x, y, b]), [["a/x.rs", "a/y.rs"]]);
    let y = ("a/y.rs", "pub struct Y; #[cfg(test)] mod tests { use crate::a::X; }");
    assert!(circles(&[lib, parent, x, y, b]).is_empty());
}

#[test]
fn a_parent_that_uses_its_child_and_defines_what_the_child_uses_is_a_circle() {
    let parent = ("a/mod.rs", "mod x; use x::f; pub struct P; fn g(p: P) { f(p) }");
    let child = ("a/x.rs", "use super::P; pub fn f(_: P) {}");
    assert_eq!(circles(&[("lib.rs", "mod a;"), parent, child]), [["a/mod.rs", "a/x.rs"]]);
    let parent = ("a/mod.rs", "mod x; pub use x::f; pub struct P;");
    assert!(circles(&[("lib.rs", "mod a;"), parent, child]).is_empty());
}
