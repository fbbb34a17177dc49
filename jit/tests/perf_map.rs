//! The perf map of a process that seals code: written when asked for, and only then.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::process::Command;

use dynasmrt::dynasm;
use lacuna_jit::{Asm, CodeArena, PERF_VARIABLE, RegFile};

const NAMES: [&str; 2] = ["first-kernel", "second-kernel"];

/// Seals two functions in a process whose `LACUNA_PERF` is `value`. Returns the lines that the map should hold and its text,
/// if there is one.
fn map_of_child(value: Option<&str>) -> (String, Option<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child_seals_code", "--ignored", "--nocapture"]).env_remove(PERF_VARIABLE);
    if let Some(value) = value {
        child.env(PERF_VARIABLE, value);
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let field = |name| text.lines().filter_map(move |line| line.strip_prefix(name));
    let path = format!("/tmp/perf-{}.map", field("process ").next().unwrap());
    let map = std::fs::read_to_string(&path).ok();
    if map.is_some() {
        std::fs::remove_file(&path).unwrap();
    }
    (field("sealed ").map(|line| format!("{line}\n")).collect(), map)
}

#[test]
#[ignore = "runs in a child process of the other tests"]
fn child_seals_code() {
    println!("\nprocess {}", std::process::id());
    let mut arena = CodeArena::new();
    let ids = NAMES.map(|name| {
        let mut a = Asm::new();
        dynasm!(a ; .arch x64 ; nop ; ret);
        arena.push(a.finish(name.to_owned(), &RegFile::new()).unwrap())
    });
    let sealed = arena.seal().unwrap();
    for id in ids {
        let function = sealed.function(id).unwrap();
        let code = function.code();
        println!("sealed {:x} {:x} {}", function.address() as usize, code.bytes.len(), code.name);
    }
}

#[test]
fn asked_for_it_lists_every_function_where_it_is_mapped() {
    let (expected, map) = map_of_child(Some("map"));
    assert_eq!(expected.lines().count(), NAMES.len());
    assert_eq!(map, Some(expected));
}

#[test]
fn nothing_is_written_unasked() {
    for value in [None, Some(""), Some("jitdump")] {
        assert_eq!(map_of_child(value).1, None, "{PERF_VARIABLE}={value:?}");
    }
}
