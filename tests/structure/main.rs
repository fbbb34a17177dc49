//! The structure of the project, checked: crates use only the crates below them, and no files import each other in a circle.
//!
//! A file imports another one if it names something that the other file defines, through a `use` declaration or a path that starts
//! with `crate`, `self` or `super`. Re-exports are doors, not rooms: a name that came through one counts for the file that defines it.
//! Test modules are left out. Calls of methods are not seen, since they need no import.

mod crates;
mod graph;
mod source;

use std::collections::BTreeMap;
use std::path::Path;

use crates::Crate;
use graph::Graph;
use source::Source;

/// The folders that hold crates, each with the crates of this workspace that it may use.
const ARROWS: [(&str, &[&str]); 8] = [
    ("jit", &[]),
    ("kernels/pattern", &[]),
    ("kernels", &["lacuna-jit", "lacuna-pattern"]),
    ("model", &["lacuna-pattern"]),
    (".", &["lacuna-jit", "lacuna-kernels", "lacuna-model"]),
    ("tools/console", &["lacuna", "lacuna-jit", "lacuna-kernels", "lacuna-model"]),
    ("tools/compare", &["lacuna", "lacuna-console", "lacuna-jit", "lacuna-kernels"]),
    ("tools", &["lacuna", "lacuna-compare", "lacuna-console", "lacuna-jit", "lacuna-kernels"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn crates_use_only_the_crates_below_them() {
    let mut found = crates::folders(root());
    let mut expected: Vec<&str> = ARROWS.map(|(folder, _)| folder).to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "a crate was added or moved: add it to ARROWS with the crates that it may use");
    for (folder, allowed) in ARROWS {
        for used in crates::uses(&root().join(folder)) {
            assert!(allowed.contains(&&*used), "{folder} uses {used}; it may use {allowed:?}");
        }
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut report = String::new();
    let mut circles = 0;
    for (folder, _) in ARROWS {
        let Some(all) = Crate::read(root(), folder) else { continue };
        let graph = Graph::of(&all);
        for circle in graph.circles() {
            circles += 1;
            report += &format!("circle {circles}: {} files\n", circle.len());
            report += &graph.ties(&circle);
        }
    }
    assert_eq!(circles, 0, "{circles} import circles; what ties each:\n{report}");
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
fn a_circle_is_found_through_a_door_and_through_a_path() {
    let lib = ("lib.rs", "mod a; mod b;");
    let door = ("a/mod.rs", "mod x; mod y; pub(crate) use x::X; pub use self::y::Y;");
    let x = ("a/x.rs", "use super::Y; pub struct X; fn f() { Y; }");
    let y = ("a/y.rs", "pub struct Y; fn g() { let _ = crate::a::X; }");
    let b = ("b.rs", "use crate::a::{X, Y}; fn h() { X; Y; }");
    assert_eq!(circles(&[lib, door, x, y, b]), [["a/x.rs", "a/y.rs"]]);
    let y = ("a/y.rs", "pub struct Y; #[cfg(test)] mod tests { use crate::a::X; }");
    assert!(circles(&[lib, door, x, y, b]).is_empty());
}

#[test]
fn a_parent_that_uses_its_child_and_defines_what_the_child_uses_is_a_circle() {
    let parent = ("a/mod.rs", "mod x; use x::f; pub struct P; fn g(p: P) { f(p) }");
    let child = ("a/x.rs", "use super::P; pub fn f(_: P) {}");
    assert_eq!(circles(&[("lib.rs", "mod a;"), parent, child]), [["a/mod.rs", "a/x.rs"]]);
    let parent = ("a/mod.rs", "mod x; pub use x::f; pub struct P;");
    assert!(circles(&[("lib.rs", "mod a;"), parent, child]).is_empty());
}
