//! `--from-hub`.

use crate::refuses;

#[test]
fn a_model_comes_from_one_place() {
    let bare = ["embed", "inspect", "evaluate", "classify", "rank", "tag", "answer", "fill"];
    for command in bare {
        // The shipped model embeds, and has no head.
        if !["embed", "inspect", "evaluate"].contains(&command) {
            refuses(&[command], "--from-hub <NAME[@REVISION]>");
        }
        refuses(&[command, "--model", "x", "--from-hub", "a/b"], "cannot be used with");
        refuses(&[command, "--from-hub", "../b"], "expected owner/model or owner/model@revision");
    }
    for command in ["embed", "inspect"] {
        refuses(&[command, "--model", "x", "--offline"], "--offline: found no --from-hub");
    }
    for command in [
        &["export", "onnx", "out.onnx"][..],
        &["compare", "model"],
        &["compare", "sweep"],
        &["bench", "model"],
        &["bench", "lengths"],
    ] {
        refuses(command, "--from-hub <NAME[@REVISION]>");
        refuses(&[command, &["--arch", "minilm", "--from-hub", "a/b"]].concat(), "cannot be used with");
    }
}

#[test]
#[cfg(not(feature = "hub"))]
fn a_build_without_the_hub_says_how_to_build_one_with_it() {
    refuses(&["embed", "--from-hub", "a/b"], "build with --features hub");
    refuses(&["serve", "--from-hub", "name=a/b"], "build with --features hub");
}

#[cfg(feature = "hub")]
#[path = "../../../model/tests/hub/server.rs"]
#[allow(dead_code)] // the library's tests use more of it
mod server;

#[test]
#[cfg(feature = "hub")]
fn a_model_of_the_hub_is_fetched_once() {
    use std::process::Stdio;

    use serde_json::json;

    use self::server::{NAME, Server};
    use crate::{lacuna, refusal, stdout};

    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads/bert-rank");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
    });
    let server = Server::new(&[("main", "1111111111111111111111111111111111111111", files.collect())]);
    let (home, endpoint) = (tempfile::tempdir().unwrap(), server.endpoint());
    let run = |args: &[&str]| {
        let mut command = lacuna(args);
        command.env("HF_HOME", home.path()).env("HF_ENDPOINT", &endpoint).env_remove("HF_TOKEN");
        command.env_remove("HF_HUB_OFFLINE").stdin(Stdio::null()).output().unwrap()
    };
    let input = home.path().join("passages.txt");
    std::fs::write(&input, "on the mat\nin Paris\n").unwrap();
    let rank = ["rank", "--quiet", "--query", "who", "--input", input.to_str().unwrap()];
    let from_hub = [&rank[..], &["--from-hub", NAME]].concat();
    let offline = [&from_hub[..], &["--offline"]].concat();
    assert!(refusal(run(&offline)).contains("not in the cache"));
    let local = stdout(run(&[&rank[..], &["--model", folder.to_str().unwrap()]].concat()));
    let fetched = run(&from_hub);
    assert_eq!(String::from_utf8_lossy(&fetched.stderr), "");
    assert_eq!(stdout(fetched), local);
    assert!(server.take_log().len() > 3);
    assert_eq!(stdout(run(&offline)), local);
    assert_eq!(stdout(run(&from_hub)), local);
    assert!(server.take_log().is_empty());
    let shown: serde_json::Value =
        serde_json::from_str(&stdout(run(&["inspect", "--from-hub", NAME, "--json"]))).unwrap();
    assert_eq!(shown["model"], NAME);
    let serves = crate::serve::Running::start_with(&["--from-hub", &format!("r={NAME}")], |command| {
        command.env("HF_HOME", home.path()).env("HF_ENDPOINT", &endpoint).env_remove("HF_HUB_OFFLINE");
    });
    let ranked =
        serves.post("/v2/rerank", &json!({ "model": "r", "query": "who", "documents": ["on the mat", "in Paris"] }));
    assert_eq!(ranked["results"].as_array().unwrap().len(), 2);
    drop(serves);
    let unknown = refusal(run(&[&rank[..], &["--from-hub", "tiny/model@v9"]].concat()));
    assert!(unknown.contains("no revision \"v9\""), "{unknown}");
}
