//! Files with deflated sections: what comes back, and streams that lie.

use flate2::{Compress, Compression, FlushCompress};
use lacuna::{Block, Compile, Error, Form, Model, PackedModel};
use rand::prelude::*;
use serde_json::json;

use super::hostile::Forged;
use super::{Bench, head_folder, tiers};

const TEXTS: [&str; 3] = ["The cat sat on the mat.", "the film", ""];

fn packed(small: bool) -> PackedModel {
    let model = Model::open(head_folder("bert-classify")).unwrap().prune(Block::B4x1, 0.6).unwrap();
    // Sparse on every machine: the choice between sparse and dense is the CPU's.
    model.calibration().run(TEXTS).unwrap().compiler().form(Form::Sparse).small_tables(small).pack().unwrap()
}

/// A file with deflated sections, taken apart, and the names of these sections.
fn forged(bench: &Bench) -> (Forged, Vec<String>) {
    packed(true).write(bench.path()).unwrap();
    let forged = Forged::of(&std::fs::read(bench.path()).unwrap());
    let sections = forged.manifest["sections"].as_array().unwrap();
    let names = sections.iter().filter(|section| section["inflated"].is_u64());
    let names = names.map(|section| section["name"].as_str().unwrap().to_owned()).collect();
    (forged, names)
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut deflated = Vec::with_capacity(bytes.len() + 1000);
    Compress::new(Compression::best(), false).compress_vec(bytes, &mut deflated, FlushCompress::Finish).unwrap();
    deflated
}

#[test]
fn small_files_are_of_version_2_and_others_of_version_1() {
    let bench = Bench::new();
    for (small, version) in [(false, 1u32), (true, 2)] {
        let written = packed(small);
        written.write(bench.path()).unwrap();
        assert_eq!(std::fs::read(bench.path()).unwrap()[8..12], version.to_le_bytes());
        let opened = PackedModel::open(bench.path()).unwrap();
        for section in opened.sections() {
            let Some(inflated) = section.inflated else { continue };
            assert!(small && section.length * 4 <= inflated * 3 && inflated <= section.length * 32, "{section:?}");
        }
        assert_eq!(opened.tokenizer().unwrap().json(), written.tokenizer().unwrap().json());
        for tier in tiers() {
            let [a, b] = [&written, &opened].map(|packed| packed.compiler().tier(tier).compile().unwrap());
            assert_eq!(a.embed(&TEXTS).unwrap().vectors, b.embed(&TEXTS).unwrap().vectors, "{tier}");
        }
        // A file that was opened is copied as it is.
        let folder = tempfile::tempdir().unwrap();
        opened.write(folder.path().join("copy")).unwrap();
        assert!(std::fs::read(folder.path().join("copy")).unwrap() == std::fs::read(bench.path()).unwrap());
    }
}

#[test]
fn text_and_parameters_are_deflated() {
    let (_, names) = forged(&Bench::new());
    for expected in ["tokenizer", "layers.0.up.params"] {
        assert!(names.iter().any(|name| name == expected), "{expected}: {names:?}");
    }
    assert!(!names.iter().any(|name| name.ends_with(".codes")), "{names:?}");
}

#[test]
fn streams_that_lie_are_refused() {
    let bench = Bench::new();
    let (whole, names) = forged(&bench);
    bench.open(&whole.to_bytes()).unwrap();
    // A head is read when it is asked for.
    let mut head = whole.clone();
    head.section("head.dense.weight").fill(0xff);
    let error = bench.open(&head.to_bytes()).unwrap().head().map(drop).unwrap_err().to_string();
    assert!(error.contains("head.dense.weight") && error.contains("a deflated stream of"), "{error}");
    let bomb = deflate(&vec![0; 64 << 20]);
    for name in names.iter().filter(|name| !name.starts_with("head.")) {
        let refused = |what: &str, expected: &str, change: &dyn Fn(&mut Forged)| {
            let mut changed = whole.clone();
            change(&mut changed);
            let error = bench.refused(&changed.to_bytes(), what).to_string();
            assert!(error.contains(expected) && error.contains(&format!("{name:?}")), "{name}: {what}: {error}");
        };
        let (stored, place) = (whole.place(name).len() as u64, whole.place(name));
        let inflated = whole.clone().entry(name)["inflated"].as_u64().unwrap();
        for length in [0, 1, inflated - 1, inflated + 1] {
            refused("another length", "a deflated stream of", &|f| {
                f.entry(name).insert("inflated".into(), json!(length));
            });
        }
        // Nothing is allocated for lengths that no stream of this length has.
        for length in [stored * 32 + 1, 1 << 40, u64::MAX] {
            refused("a bomb", "when inflated", &|f| {
                f.entry(name).insert("inflated".into(), json!(length));
            });
        }
        refused("a bomb that hides", "a deflated stream of", &|f| f.replace(name, &bomb));
        refused("bytes behind the end", "end after", &|f| {
            f.replace(name, &[&f.data[place.clone()], &[0][..]].concat())
        });
        refused("half a stream", "a deflated stream of", &|f| {
            let half = f.data[place.start..place.start + place.len() / 2].to_vec();
            f.replace(name, &half);
        });
        refused("no stream", "a deflated stream of", &|f| f.section(name).fill(0xff));
        refused("an older version", "version 1", &|f| {
            f.version = 1;
            names.iter().filter(|other| *other != name).for_each(|other| {
                f.entry(other).remove("inflated");
            });
        });
    }
}

/// The content of a section is checked whichever way it is stored.
#[test]
fn content_is_checked_behind_the_stream() {
    let bench = Bench::new();
    let (whole, names) = forged(&bench);
    let (mut refused, mut opened) = (0, 0);
    let mut rng = StdRng::seed_from_u64(5);
    for round in 0..300 {
        let name = &names[round % names.len()];
        let mut changed = whole.clone();
        let length = changed.entry(name)["inflated"].as_u64().unwrap() as usize;
        match round % 2 {
            // Damage within the stream, with right checksums.
            0 => {
                let section = changed.section(name);
                let at = rng.random_range(0..section.len());
                section[at] = rng.random();
            }
            // A right stream of noise.
            _ => {
                let noise: Vec<u8> = (0..length).map(|_| rng.random::<u8>() & 7).collect();
                changed.replace(name, &deflate(&noise));
            }
        }
        match bench.open(&changed.to_bytes()) {
            Ok(packed) => {
                opened += 1;
                for tier in tiers() {
                    let _ = packed.compiler().tier(tier).compile().unwrap().embed(&TEXTS);
                }
            }
            Err(Error::Packed(_) | Error::Model(_)) => refused += 1,
            Err(error) => panic!("{name}: {error}"),
        }
    }
    println!("{refused} refused, {opened} opened");
    assert!(refused > 200, "{refused}");
}
