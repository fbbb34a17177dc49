//! What goes wrong, by its name, and what the cache holds afterwards.

use lacuna_model::HubError;
use lacuna_model::hub::{HubOptions, fetch};
use lacuna_model::{Error, Model, WeightError};

use super::server::{Fault, NAME, Server};
use super::{Cache, FIRST, files, name, ranker, server};

fn hub_error(error: Error) -> HubError {
    match error {
        Error::Hub(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn models_and_revisions_that_are_not_there() {
    let (server, cache) = (server(ranker()), Cache::new());
    let options = cache.options(&server);
    let error = hub_error(fetch(&name("tiny/other"), &options, &mut ()).unwrap_err());
    assert!(matches!(&error, HubError::NotFound { model, .. } if model == "tiny/other"), "{error}");
    let error = hub_error(fetch(&name(&format!("{NAME}@v9")), &options, &mut ()).unwrap_err());
    assert!(matches!(&error, HubError::Revision { revision, .. } if revision == "v9"), "{error}");
}

#[test]
fn refusals_say_what_opens() {
    let (server, cache) = (server(ranker()), Cache::new());
    for status in [401, 403] {
        server.change(|content| content.fault = Fault::Status(status));
        let error = hub_error(cache.fetch(&server).unwrap_err());
        assert!(
            matches!(error, HubError::Unauthorised { status: found, token: "without a token", .. } if found == status)
        );
        assert!(error.to_string().contains("HF_TOKEN"), "{error}");
    }
    server.change(|content| (content.fault, content.token) = (Fault::None, Some("good".into())));
    let wrong = cache.options(&server).with_token("bad");
    let error = hub_error(fetch(&name(NAME), &wrong, &mut ()).unwrap_err());
    assert!(matches!(error, HubError::Unauthorised { status: 401, token: "with a token", .. }), "{error}");
    assert!(!error.to_string().contains("bad"), "{error}");
}

#[test]
fn a_hub_in_trouble_and_no_hub_at_all() {
    let (server, cache) = (server(ranker()), Cache::new());
    server.change(|content| content.fault = Fault::Status(503));
    let error = hub_error(cache.fetch(&server).unwrap_err());
    assert!(matches!(error, HubError::Server { status: 503, .. }), "{error}");
    server.change(|content| content.fault = Fault::Pages);
    let error = hub_error(cache.fetch(&server).unwrap_err());
    assert!(matches!(error, HubError::Protocol { .. }), "{error}");
    assert!(cache.complete().is_empty());
}

#[test]
fn without_a_connection() {
    let cache = Cache::new();
    let gone = {
        let server = server(ranker());
        cache.options(&server)
    };
    let error = hub_error(fetch(&name(NAME), &gone, &mut ()).unwrap_err());
    assert!(matches!(error, HubError::Network { .. }), "{error}");
    assert!(error.to_string().contains("--offline"), "{error}");
    let error = hub_error(fetch(&name(NAME), &gone.with_offline(true), &mut ()).unwrap_err());
    assert!(matches!(error, HubError::Offline { .. }), "{error}");
    assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
}

#[test]
fn files_that_models_need() {
    for (gone, folder) in [
        ("config.json", "golden/bert"),
        ("model.safetensors", "golden/bert"),
        ("model-00002-of-00002.safetensors", "fixtures/bert-safetensors-sharded"),
    ] {
        let mut all = files(folder);
        assert!(all.remove(gone).is_some());
        let cache = Cache::new();
        let error = hub_error(cache.fetch(&server(all)).unwrap_err());
        assert!(matches!(&error, HubError::MissingFile { file, .. } if file == gone), "{error}");
        // What is not complete is not taken for it later, either.
        let offline = HubOptions::default().with_cache(cache.0.path()).with_offline(true);
        let error = hub_error(fetch(&name(NAME), &offline, &mut ()).unwrap_err());
        assert!(matches!(error, HubError::Offline { .. }), "{error}");
    }
}

#[test]
fn names_do_not_lead_out_of_the_model() {
    let mut all = files("golden/bert");
    all.remove("model.safetensors");
    all.insert(
        "model.safetensors.index.json".into(),
        br#"{"weight_map": {"embeddings.word_embeddings.weight": "../../../stolen.safetensors"}}"#.to_vec(),
    );
    let error = Cache::new().fetch(&server(all)).unwrap_err();
    assert!(
        matches!(&error, Error::Weights(WeightError::ShardName { found, .. }) if found.contains("stolen")),
        "{error}"
    );
    for path in ["..", "/etc", "a/../../b", "C:x", "..\\\\x"] {
        let mut all = files("golden/bert");
        let list = format!(r#"[{{"path":"{path}","type":"sentence_transformers.models.Transformer"}}]"#);
        all.insert("modules.json".into(), list.into_bytes());
        let error = hub_error(Cache::new().fetch(&server(all)).unwrap_err());
        assert!(matches!(error, HubError::FileName { file: "modules.json", .. }), "{path}: {error}");
    }
}

#[test]
fn interrupted_downloads_leave_nothing_that_looks_complete() {
    let (server, cache) = (server(ranker()), Cache::new());
    server.change(|content| content.fault = Fault::Truncate { times: 99, least: 2 });
    let error = hub_error(cache.fetch(&server).unwrap_err());
    let HubError::Incomplete { file, found, expected, .. } = &error else { panic!("{error}") };
    assert_eq!(*expected, ranker()[file].len() as u64);
    assert!(found < expected, "{error}");
    assert!(!cache.model_folder().join("snapshots").join(FIRST).join(file).exists());
    for path in cache.complete() {
        let length = std::fs::metadata(&path).unwrap().len() as usize;
        assert!(ranker().values().any(|file| file.len() == length), "{path} is of {length} bytes");
    }
    // Later, all is well.
    server.change(|content| content.fault = Fault::None);
    let snapshot = cache.fetch(&server).unwrap();
    Model::open(&snapshot.folder).unwrap();
    assert_eq!(std::fs::read(snapshot.folder.join(file)).unwrap(), ranker()[file]);
}

#[test]
fn servers_that_cannot_go_on_in_the_middle() {
    let (server, cache) = (server(ranker()), Cache::new());
    server.change(|content| content.fault = Fault::Truncate { times: 99, least: 2 });
    let file = match hub_error(cache.fetch(&server).unwrap_err()) {
        HubError::Incomplete { file, .. } => file,
        error => panic!("{error}"),
    };
    // Half of the file, and the whole after it.
    server.change(|content| content.fault = Fault::NoRanges);
    let error = hub_error(cache.fetch(&server).unwrap_err());
    assert!(matches!(&error, HubError::Incomplete { found, expected, .. } if found > expected), "{error}");
    assert!(!cache.model_folder().join("snapshots").join(FIRST).join(&file).exists());
    // From the beginning it works.
    let snapshot = cache.fetch(&server).unwrap();
    assert_eq!(std::fs::read(snapshot.folder.join(&file)).unwrap(), ranker()[&file]);
}

#[test]
fn damaged_files_are_not_kept() {
    // SHA-256 of the fixture.
    const DIGEST: &str = "df87d8340abe292f50f0864054e53670c58aa3b37f3378c538c068a2953bfd79";
    let (server, cache) = (server(ranker()), Cache::new());
    let wrong = DIGEST.replace('a', "b");
    server.change(|content| content.digest = Some(wrong.clone()));
    let error = hub_error(cache.fetch(&server).unwrap_err());
    assert!(
        matches!(&error, HubError::Digest { found, expected, .. } if found == DIGEST && *expected == wrong),
        "{error}"
    );
    assert!(!cache.complete().iter().any(|path| path.ends_with("model.safetensors") || path.contains(&wrong)));
    server.change(|content| content.digest = Some(DIGEST.into()));
    Model::open(cache.fetch(&server).unwrap().folder).unwrap();
}

#[test]
fn what_an_earlier_download_left_may_be_wrong() {
    // Longer than the file, and as long: neither can be gone on with.
    for more in [100, 0] {
        let (server, cache) = (server(ranker()), Cache::new());
        server.change(|content| content.fault = Fault::Truncate { times: 99, least: 2 });
        let error = hub_error(cache.fetch(&server).unwrap_err());
        let HubError::Incomplete { file, .. } = error else { panic!("{error}") };
        let blobs = std::fs::read_dir(cache.model_folder().join("blobs")).unwrap().map(|entry| entry.unwrap().path());
        let part = blobs.into_iter().find(|path| path.extension().is_some_and(|e| e == "part")).unwrap();
        std::fs::write(part, vec![7; ranker()[&file].len() + more]).unwrap();
        server.change(|content| content.fault = Fault::None);
        let snapshot = cache.fetch(&server).unwrap();
        assert_eq!(std::fs::read(snapshot.folder.join(&file)).unwrap(), ranker()[&file]);
    }
}

#[test]
fn caches_that_cannot_be_written() {
    let server = server(ranker());
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = HubOptions::default().with_endpoint(server.endpoint()).with_cache(file.path());
    let error = hub_error(fetch(&name(NAME), &options, &mut ()).unwrap_err());
    assert!(matches!(error, HubError::Cache { .. }), "{error}");
    assert!(error.to_string().contains("HF_HOME"), "{error}");
}

#[test]
fn addresses_that_are_none() {
    let cache = Cache::new();
    for endpoint in ["", "no address", "ftp://localhost", "http://"] {
        let options = HubOptions::default().with_endpoint(endpoint).with_cache(cache.0.path());
        let error = hub_error(fetch(&name(NAME), &options, &mut ()).unwrap_err());
        assert!(matches!(error, HubError::Network { .. }), "{endpoint}: {error}");
    }
    drop(Server::new(&[]));
}
