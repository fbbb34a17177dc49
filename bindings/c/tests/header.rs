//! The committed header is what the sources say.

use std::path::Path;

/// Set to write the header instead of comparing it.
const WRITE: &str = "LACUNA_WRITE_HEADER";

/// The files with the interface, in the order of the header.
const SOURCES: [&str; 12] = [
    "status.rs",
    "args.rs",
    "cancel.rs",
    "log.rs",
    "encoder.rs",
    "call.rs",
    "embed.rs",
    "rank.rs",
    "classify.rs",
    "tag.rs",
    "answer.rs",
    "fill.rs",
];

fn made(folder: &Path) -> String {
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let sources = SOURCES.map(|name| folder.join("src").join(name));
    let builder = sources.iter().fold(cbindgen::Builder::new(), |builder, path| builder.with_src(path));
    let mut header = Vec::new();
    builder.with_config(config).generate().unwrap().write(&mut header);
    // The sections of Rust's documentation, in words for a reader of C.
    String::from_utf8(header).unwrap().replace("// # Safety\n// ", "// The caller promises: ")
}

#[test]
fn the_header_is_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("include/lacuna.h");
    let made = made(folder);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &made).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        found,
        made,
        "{} is not what the sources say; {WRITE}=1 cargo test --test header writes it",
        path.display()
    );
}

#[test]
fn every_function_says_which_threads_may_call_it() {
    let header = made(Path::new(env!("CARGO_MANIFEST_DIR")));
    let mut comment = String::new();
    let mut functions = 0;
    for line in header.lines() {
        match line.strip_prefix("//") {
            Some(text) => comment += text,
            None => {
                if line.contains(" lacuna_") || line.contains("*lacuna_") {
                    assert!(comment.contains("Threads: "), "{line}: found a comment without \"Threads: \"");
                    functions += 1;
                }
                comment.clear();
            }
        }
    }
    assert!(functions > 20, "found {functions} functions");
}

/// Whatever the library exports is in the header: a function that no file of the list has would be missing.
#[test]
fn all_sources_with_an_interface_are_in_the_header() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = made(folder);
    for file in std::fs::read_dir(folder.join("src")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for exported in text.split("#[unsafe(no_mangle)]").skip(1) {
            let name = exported.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).unwrap();
            assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
        }
    }
}
