//! Models of the hub, from a local stand-in: what is downloaded, what is not downloaded twice, and all errors.

mod errors;
mod server;

use std::path::{Path, PathBuf};

use lacuna_model::HubError;
use lacuna_model::hub::{FetchProgress, HubModel, HubOptions, Snapshot, fetch};
use lacuna_model::{Error, Model, PoolingMode};
use tempfile::TempDir;

use self::server::{Fault, Files, NAME, Server};

const FIRST: &str = "1111111111111111111111111111111111111111";
const SECOND: &str = "2222222222222222222222222222222222222222";

/// The files of a folder of tests.
fn files(folder: &str) -> Files {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

/// A cross-encoder with a tokenizer, and files that nobody reads.
fn ranker() -> Files {
    let mut all = files("golden/heads/bert-rank");
    for name in ["README.md", "vocab.txt", "tf_model.h5", "onnx/model.int8.bin", ".gitattributes"] {
        all.insert(name.into(), b"not wanted".to_vec());
    }
    all
}

fn server(files: Files) -> Server {
    Server::new(&[("main", FIRST, files)])
}

struct Cache(TempDir);

impl Cache {
    fn new() -> Cache {
        Cache(tempfile::tempdir().unwrap())
    }

    fn options(&self, server: &Server) -> HubOptions {
        HubOptions::default().with_endpoint(server.endpoint()).with_cache(self.0.path())
    }

    fn fetch(&self, server: &Server) -> Result<Snapshot, Error> {
        fetch(&name(NAME), &self.options(server), &mut ())
    }

    fn model_folder(&self) -> PathBuf {
        self.0.path().join("models--tiny--model")
    }

    /// Every file and link of the model's folder that a reader may take for complete.
    fn complete(&self) -> Vec<String> {
        let mut names = Vec::new();
        for folder in ["blobs", "snapshots"] {
            collect(&self.model_folder().join(folder), &mut names);
        }
        names.retain(|name| !name.ends_with(".lock") && !name.ends_with(".part"));
        names
    }
}

fn collect(folder: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        match entry.path().is_dir() {
            true => collect(&entry.path(), names),
            false => names.push(entry.path().display().to_string()),
        }
    }
}

fn name(text: &str) -> HubModel {
    text.parse().unwrap()
}

#[test]
fn what_is_read_is_fetched_once() {
    let (server, cache) = (server(ranker()), Cache::new());
    let first = cache.fetch(&server).unwrap();
    assert_eq!(first.commit, FIRST);
    assert_eq!(first.fetched, ["config.json", "tokenizer.json", "model.safetensors"]);
    assert!(first.assumed_absent.is_empty());
    let asked = server.take_log();
    assert_eq!(asked.iter().filter(|path| path.starts_with("/api/")).count(), 1, "{asked:?}");
    assert!(
        !asked.iter().any(|path| path.contains("README") || path.contains("h5") || path.contains("onnx")),
        "{asked:?}"
    );
    // What was read is what the hub has.
    let (read, local) = (
        Model::open(&first.folder).unwrap(),
        Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads/bert-rank")).unwrap(),
    );
    assert_eq!(read.weights(), local.weights());
    assert_eq!(read.head().unwrap().labels(), local.head().unwrap().labels());
    // The cache answers without the hub.
    let second = cache.fetch(&server).unwrap();
    assert_eq!((&second.folder, &second.commit), (&first.folder, &first.commit));
    assert!(second.fetched.is_empty() && second.assumed_absent.is_empty());
    assert!(server.take_log().is_empty());
    drop(server);
    let offline = HubOptions::default().with_cache(cache.0.path()).with_offline(true);
    assert_eq!(fetch(&name(NAME), &offline, &mut ()).unwrap(), second);
}

#[test]
fn settings_of_sentence_transformers_come_with_the_model() {
    let mut all = files("golden/bert");
    all.insert(
        "modules.json".into(),
        br#"[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
             {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
             {"idx":2,"name":"2","path":"2_Normalize","type":"sentence_transformers.models.Normalize"}]"#
            .to_vec(),
    );
    all.insert("1_Pooling/config.json".into(), br#"{"pooling_mode_cls_token": true}"#.to_vec());
    let (server, cache) = (server(all), Cache::new());
    let snapshot = cache.fetch(&server).unwrap();
    assert_eq!(snapshot.fetched, ["modules.json", "1_Pooling/config.json", "config.json", "model.safetensors"]);
    let model = Model::open(&snapshot.folder).unwrap();
    assert_eq!((&model.pooling().modes[..], model.pooling().is_normalized()), (&[PoolingMode::Cls][..], true));
}

/// Where there is no tokenizer.json, the vocabulary comes with its settings.
#[test]
fn vocabularies_come_with_the_model() {
    let mut all = files("golden/bert");
    let vocabulary = ["vocab.txt", "tokenizer_config.json", "special_tokens_map.json"];
    all.insert("vocab.txt".into(), b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_vec());
    vocabulary[1..].iter().for_each(|name| drop(all.insert((*name).into(), b"{}".to_vec())));
    let (server, cache) = (server(all), Cache::new());
    let snapshot = cache.fetch(&server).unwrap();
    for name in vocabulary {
        assert!(snapshot.fetched.contains(&name.to_owned()), "{name}: {:?}", snapshot.fetched);
    }
    assert!(Model::open(&snapshot.folder).unwrap().tokenizer().is_some());
    // The model's folder in the cache stands for the snapshot.
    assert!(Model::open(cache.model_folder()).unwrap().tokenizer().is_some());
}

#[test]
fn an_encoder_may_have_a_folder_of_its_own() {
    let mut all: Files =
        files("golden/bert").into_iter().map(|(name, bytes)| (format!("0_Transformer/{name}"), bytes)).collect();
    all.insert(
        "modules.json".into(),
        br#"[{"path":"0_Transformer","type":"sentence_transformers.models.Transformer"},
             {"path":"1_Pooling","type":"sentence_transformers.models.Pooling"}]"#
            .to_vec(),
    );
    all.insert("1_Pooling/config.json".into(), br#"{"pooling_mode_max_tokens": true}"#.to_vec());
    let (server, cache) = (server(all), Cache::new());
    let snapshot = cache.fetch(&server).unwrap();
    assert_eq!(Model::open(&snapshot.folder).unwrap().pooling().modes, [PoolingMode::Max]);
    assert!(snapshot.fetched.contains(&"0_Transformer/model.safetensors".to_owned()));
}

#[test]
fn weights_are_taken_in_the_order_in_which_folders_are_read() {
    // One file before several, safetensors before torch.
    let mut all = ranker();
    all.extend(files("fixtures/bert-bin"));
    all.extend(files("golden/heads/bert-rank"));
    let cache = Cache::new();
    let fetched = cache.fetch(&server(all)).unwrap().fetched;
    assert!(fetched.contains(&"model.safetensors".to_owned()) && !fetched.contains(&"pytorch_model.bin".to_owned()));
    for (folder, last) in [
        ("fixtures/bert-bin", "pytorch_model.bin"),
        ("fixtures/bert-safetensors-sharded", "model-00002-of-00002.safetensors"),
        ("fixtures/bert-bin-sharded", "pytorch_model-00002-of-00002.bin"),
    ] {
        let (server, cache) = (server(files(folder)), Cache::new());
        let snapshot = cache.fetch(&server).unwrap();
        assert_eq!(snapshot.fetched.last().map(String::as_str), Some(last));
        Model::open(&snapshot.folder).unwrap();
        assert!(server.take_log().len() > 1);
        cache.fetch(&server).unwrap();
        assert!(server.take_log().is_empty());
    }
}

#[test]
fn graphs_come_with_the_files_that_they_name() {
    let of = |folder: &str, name: &str| {
        let all = files(&format!("golden/onnx/{folder}")).into_iter().filter(|(file, _)| file != "golden.safetensors");
        let place = |file: String| if file == "model.onnx" { name.to_owned() } else { file };
        all.map(|(file, bytes)| (place(file), bytes)).collect::<Files>()
    };
    let cache = Cache::new();
    let snapshot = cache.fetch(&server(of("bert", "model.onnx"))).unwrap();
    assert_eq!(snapshot.fetched, ["config.json", "model.onnx", "weights.bin"]);
    assert!(Model::open(&snapshot.folder).unwrap().codes().is_none());

    // One that is asked for, beside one that would be found.
    let mut all = of("bert-qdq", "onnx/model_int8.onnx");
    all.insert("model.safetensors".into(), files("golden/bert").remove("model.safetensors").unwrap());
    let (server, cache) = (server(all), Cache::new());
    let fetched = |weights: &str| fetch(&name(NAME), &cache.options(&server).with_weights(weights), &mut ());
    let snapshot = fetched("onnx/model_int8.onnx").unwrap();
    assert_eq!(snapshot.fetched, ["config.json", "onnx/model_int8.onnx"]);
    assert!(Model::open(snapshot.folder.join("onnx/model_int8.onnx")).unwrap().codes().is_some());
    assert_eq!(cache.fetch(&server).unwrap().fetched, ["model.safetensors"]);
    for wrong in ["onnx/other.onnx", "../model.onnx", "/model.onnx"] {
        assert!(matches!(fetched(wrong), Err(Error::Hub(_))), "{wrong}");
    }
}

#[test]
fn revisions_stand_side_by_side() {
    let server = Server::new(&[("main", FIRST, ranker()), ("refs/pr/1", SECOND, files("fixtures/bert-bin"))]);
    let cache = Cache::new();
    let main = cache.fetch(&server).unwrap();
    let other = fetch(&name(&format!("{NAME}@refs/pr/1")), &cache.options(&server), &mut ()).unwrap();
    assert_eq!((main.commit.as_str(), other.commit.as_str()), (FIRST, SECOND));
    assert_ne!(main.folder, other.folder);
    // A commit is its own name, also of what was fetched under another.
    server.take_log();
    let by_commit = fetch(&name(&format!("{NAME}@{SECOND}")), &cache.options(&server), &mut ()).unwrap();
    assert_eq!(by_commit.folder, other.folder);
    assert!(server.take_log().is_empty());
    // A branch that moves is what it was, until the cache has none of it.
    server.change(|content| drop(content.revisions.insert("main".into(), SECOND.into())));
    assert_eq!(cache.fetch(&server).unwrap().commit, FIRST);
    std::fs::remove_file(cache.model_folder().join("refs/main")).unwrap();
    assert_eq!(cache.fetch(&server).unwrap().commit, SECOND);
}

#[test]
fn what_other_tools_fetched_is_used() {
    let (server, cache) = (server(ranker()), Cache::new());
    cache.fetch(&server).unwrap();
    // They do not all note which files there are not.
    std::fs::remove_dir_all(cache.model_folder().join(".no_exist")).unwrap();
    let offline = cache.options(&server).with_offline(true);
    let snapshot = fetch(&name(NAME), &offline, &mut ()).unwrap();
    for file in [
        "modules.json",
        "1_Pooling/config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "sentence_bert_config.json",
    ] {
        assert!(snapshot.assumed_absent.iter().any(|absent| absent == file), "{file}: {:?}", snapshot.assumed_absent);
    }
    assert!(!snapshot.assumed_absent.contains(&"vocab.txt".to_owned()), "there is a tokenizer.json");
    server.take_log();
    let snapshot = cache.fetch(&server).unwrap();
    assert!(snapshot.fetched.is_empty() && snapshot.assumed_absent.is_empty());
    assert_eq!(server.take_log().len(), 1, "the list of files");
    cache.fetch(&server).unwrap();
    assert!(server.take_log().is_empty());
}

#[test]
fn a_token_opens_what_is_private() {
    let (server, cache) = (server(ranker()), Cache::new());
    server.change(|content| content.token = Some("good".into()));
    let Err(Error::Hub(error)) = cache.fetch(&server) else { panic!("fetched without the token") };
    assert!(matches!(&error, HubError::Unauthorised { status: 401, token: "without a token", .. }), "{error}");
    assert!(error.to_string().contains(NAME) && error.to_string().contains("HF_TOKEN"), "{error}");
    assert!(cache.complete().is_empty(), "{:?}", cache.complete());
    let snapshot = fetch(&name(NAME), &cache.options(&server).with_token("good"), &mut ()).unwrap();
    Model::open(&snapshot.folder).unwrap();
}

#[test]
fn downloads_go_on_where_they_broke_off() {
    let (server, cache) = (server(ranker()), Cache::new());
    server.change(|content| content.fault = Fault::Truncate { times: 1, least: 1000 });
    let snapshot = cache.fetch(&server).unwrap();
    let read = std::fs::read(snapshot.folder.join("model.safetensors")).unwrap();
    assert_eq!(read, files("golden/heads/bert-rank")["model.safetensors"]);
    let asked = server.take_log();
    let resumed = |path: &str| path.rsplit(' ').next().is_some_and(|range| range.ends_with('-') && range != "0-");
    assert!(asked.iter().any(|path| resumed(path)), "{asked:?}");
}

#[test]
fn progress_adds_up() {
    #[derive(Default)]
    struct Seen(Vec<(String, u64, u64)>, usize);
    impl FetchProgress for Seen {
        fn begin(&mut self, file: &str, bytes: u64) {
            match self.0.last_mut() {
                Some(last) if last.0 == file => last.2 = 0,
                _ => self.0.push((file.into(), bytes, 0)),
            }
        }
        fn advance(&mut self, bytes: u64) {
            self.0.last_mut().unwrap().2 += bytes;
        }
        fn end(&mut self) {
            self.1 += 1;
        }
    }
    let (server, cache, mut seen) = (server(ranker()), Cache::new(), Seen::default());
    fetch(&name(NAME), &cache.options(&server), &mut seen).unwrap();
    assert_eq!((seen.0.len(), seen.1), (3, 3));
    for (file, bytes, found) in seen.0 {
        let expected = files("golden/heads/bert-rank")[&file].len() as u64;
        assert_eq!((bytes, found), (expected, expected), "{file}");
    }
}
