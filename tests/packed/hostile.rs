//! Files with right checksums and wrong content: typed errors, and no undefined behaviour.

use lacuna::config::{Architecture, EncoderConfig};
use lacuna::errors::ModelError;
use lacuna::{Block, Compile, Error, Form, Model, PackedModel};
use lacuna_jit::Tier;
use rand::prelude::*;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{Bench, batch, calibrated, smallest, tiers, tiny};

/// A file taken apart.
#[derive(Clone)]
pub(super) struct Forged {
    pub(super) version: u32,
    pub(super) manifest: Value,
    /// From the first section on.
    pub(super) data: Vec<u8>,
}

impl Forged {
    pub(super) fn of(bytes: &[u8]) -> Forged {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        let (end, manifest) = (number(16), 64..64 + number(24));
        let data = manifest.end.next_multiple_of(64)..end;
        let version = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
        Forged { version, manifest: serde_json::from_slice(&bytes[manifest]).unwrap(), data: bytes[data].to_vec() }
    }

    /// The file, with right checksums.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let manifest = self.manifest.to_string().into_bytes();
        let mut bytes = [vec![0; 64], manifest.clone()].concat();
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        bytes.extend(&self.data);
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        seal(bytes, self.version, manifest.len() as u64)
    }

    /// Where a section lies in the data.
    pub(super) fn place(&self, name: &str) -> std::ops::Range<usize> {
        let sections = self.manifest["sections"].as_array().unwrap();
        let section = sections.iter().find(|section| section["name"] == name).unwrap_or_else(|| panic!("{name}"));
        let offset = section["offset"].as_u64().unwrap() as usize;
        offset..offset + section["length"].as_u64().unwrap() as usize
    }

    /// Puts other bytes in the place of a section, and moves those behind it.
    pub(super) fn replace(&mut self, name: &str, bytes: &[u8]) {
        let place = self.place(name);
        let (old, new) = [place.len(), bytes.len()].map(|length| length.next_multiple_of(64)).into();
        let mut padded = bytes.to_vec();
        padded.resize(new, 0);
        self.data.splice(place.start..place.start + old, padded);
        for section in self.manifest["sections"].as_array_mut().unwrap() {
            let offset = section["offset"].as_u64().unwrap() as usize;
            if offset > place.start {
                section["offset"] = json!(offset + new - old);
            }
            if section["name"] == name {
                section["length"] = json!(bytes.len());
            }
        }
    }

    /// What the manifest says of a section.
    pub(super) fn entry(&mut self, name: &str) -> &mut serde_json::Map<String, Value> {
        let sections = self.manifest["sections"].as_array_mut().unwrap();
        let found = sections.iter_mut().find(|section| section["name"] == name);
        found.unwrap_or_else(|| panic!("{name}")).as_object_mut().unwrap()
    }

    pub(super) fn section(&mut self, name: &str) -> &mut [u8] {
        let place = self.place(name);
        &mut self.data[place]
    }
}

/// Writes header and table around a body.
fn seal(mut bytes: Vec<u8>, version: u32, manifest: u64) -> Vec<u8> {
    let end = bytes.len() as u64;
    let table: Vec<u8> = bytes[64..].chunks(1 << 20).flat_map(|chunk| xxh3_64(chunk).to_le_bytes()).collect();
    bytes[..8].copy_from_slice(b"\x8bLACUNA\n");
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    bytes[12..16].copy_from_slice(&(1u32 << 20).to_le_bytes());
    bytes[16..24].copy_from_slice(&end.to_le_bytes());
    bytes[24..32].copy_from_slice(&manifest.to_le_bytes());
    bytes[32..40].copy_from_slice(&xxh3_64(&table).to_le_bytes());
    reseal_header(&mut bytes);
    bytes.extend(table);
    bytes
}

fn reseal_header(bytes: &mut [u8]) {
    let checksum = xxh3_64(&bytes[..56]);
    bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn a_file_taken_apart_and_put_together_opens() {
    let bench = Bench::new();
    let bytes = smallest();
    assert_eq!(Forged::of(&bytes).to_bytes().len(), bytes.len());
    bench.open(&Forged::of(&bytes).to_bytes()).unwrap();
}

#[test]
fn headers_that_lie() {
    let bench = Bench::new();
    let bytes = smallest();
    let numbers = [0, 1, 63, 64, 65, 128, 1 << 20, 1 << 40, u64::MAX - 63, u64::MAX];
    for at in [16, 24, 32, 40, 48] {
        for number in numbers {
            let mut changed = bytes.clone();
            if changed[at..at + 8] == number.to_le_bytes() {
                continue;
            }
            changed[at..at + 8].copy_from_slice(&number.to_le_bytes());
            reseal_header(&mut changed);
            bench.refused(&changed, &format!("{number} at {at}"));
        }
    }
    let mut changed = bytes.clone();
    changed[12] = 1;
    reseal_header(&mut changed);
    assert!(bench.refused(&changed, "chunk").to_string().contains("bytes per checksum"));
}

/// Layers are loaded in parallel, but what is reported does not depend on who is first.
#[test]
fn the_first_of_several_errors_is_reported() {
    let bench = Bench::new();
    calibrated(Model::seeded(tiny(Architecture::Bert), 3).unwrap()).pack().unwrap().write(bench.path()).unwrap();
    let mut forged = Forged::of(&std::fs::read(bench.path()).unwrap());
    let layers = &mut forged.manifest["model"]["layers"]["layers"];
    for (layer, linear) in [(1, 0), (0, 5), (0, 4), (0, 1)] {
        layers[layer]["linears"][linear]["m"] = json!(1000);
    }
    for _ in 0..20 {
        let error = bench.refused(&forged.to_bytes(), "wrong layers").to_string();
        assert!(error.contains("layers.0.k: "), "{error}");
    }
}

/// Every number, name, list and object of the manifest replaced by others: an error, or a model that runs.
#[test]
fn manifests_that_lie() {
    let bench = Bench::new();
    let forged = Forged::of(&smallest());
    let mut paths = Vec::new();
    pointers(&forged.manifest, String::new(), &mut paths);
    let replacements = [
        json!(null),
        json!(-1),
        json!(0),
        json!(1),
        json!(3),
        json!(63),
        json!(64),
        json!(1_000_000),
        json!(u32::MAX),
        json!(u64::MAX),
        json!(1e300),
        json!("x"),
        json!("vnni"),
        json!([]),
        json!({}),
        json!(true),
    ];
    let (mut refused, mut opened) = (0, 0);
    for path in &paths {
        for replacement in &replacements {
            let mut changed = forged.clone();
            *changed.manifest.pointer_mut(path).unwrap() = replacement.clone();
            match bench.open(&changed.to_bytes()) {
                Ok(model) => {
                    opened += 1;
                    run(&model);
                }
                Err(Error::Packed(_) | Error::Model(ModelError::InvalidSetting { .. })) => refused += 1,
                Err(error) => panic!("{path} = {replacement}: {error}"),
            }
        }
        if let (Some((parent, key)), true) = (path.rsplit_once('/'), path.len() > 1) {
            let mut changed = forged.clone();
            if let Some(Value::Object(object)) = changed.manifest.pointer_mut(parent) {
                object.remove(key);
                if bench.open(&changed.to_bytes()).is_ok() {
                    // What may be absent: it is read as nothing.
                    assert!(
                        [
                            "head",
                            "max_length",
                            "notes",
                            "pruning",
                            "projection",
                            "embedding_size",
                            "prompts",
                            "calibration",
                            "saturated",
                            "similarity",
                            "remarks",
                            // Decisions of schedules that older files do not know.
                            "abreast",
                            "shared",
                        ]
                        .contains(&key),
                        "{path}"
                    );
                }
            }
        }
    }
    println!("{} places: {refused} refused, {opened} opened", paths.len());
    assert!(refused > 1000, "{refused}");
}

fn pointers(value: &Value, path: String, all: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| pointers(value, format!("{path}/{key}"), all)),
        Value::Array(array) => {
            array.iter().enumerate().for_each(|(i, value)| pointers(value, format!("{path}/{i}"), all));
        }
        _ => {}
    }
    if !path.is_empty() {
        all.push(path);
    }
}

/// Whatever opened must run, or refuse to.
fn run(model: &PackedModel) {
    for tier in tiers() {
        let Ok(encoder) = model.compiler().tier(tier).compile() else { continue };
        let ids = vec![vec![1, 2, 3, 0], vec![4]];
        let _ = encoder.hidden_states(&ids);
    }
}

#[test]
fn sections_that_lie() {
    let bench = Bench::new();
    let forged = Forged::of(&smallest());
    let refused = |what: &str, expected: &str, change: &dyn Fn(&mut Forged)| {
        let mut changed = forged.clone();
        change(&mut changed);
        let error = bench.refused(&changed.to_bytes(), what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
    };
    // Streams, row blocks and parameters.
    refused("index", "found index", &|f| f.section("layers.0.q.indices")[..2].copy_from_slice(&[0xf8, 0xff]));
    refused("no multiple", "multiple", &|f| f.section("layers.0.up.indices")[0] |= 1);
    refused("padding", "padding", &|f| *f.section("layers.0.o.indices").last_mut().unwrap() = 8);
    refused("groups", "groups in row block", &|f| f.section("layers.0.down.rows")[3] = 0x7f);
    refused("output", "output offset", &|f| f.section("layers.0.v.rows")[7] = 1);
    refused("params", "of row 0 is NaN", &|f| f.section("layers.0.o.params")[..4].fill(0xff));
    refused("norm", "gamma of row 0", &|f| f.section("layers.0.output_norm")[..4].fill(0xff));
    refused("scale", "score scale", &|f| f.section("layers.0.attention.score_scale").fill(0xff));
    refused("out scale", "output scale", &|f| f.section("layers.0.attention.out_scale").fill(0x7f));
    // Places.
    let section = |f: &mut Forged, i: usize, key: &str, value: Value| f.manifest["sections"][i][key] = value;
    refused("overlap", "found", &|f| section(f, 1, "offset", json!(0)));
    refused("gap", "found", &|f| section(f, 1, "offset", json!(1 << 20)));
    refused("unaligned", "found", &|f| section(f, 1, "offset", json!(8)));
    refused("beyond", "found", &|f| section(f, 0, "length", json!(1 << 30)));
    refused("short", "found", &|f| section(f, 0, "length", json!(4)));
    refused("huge", "found", &|f| section(f, 0, "length", json!(u64::MAX)));
    refused("wraps", "found", &|f| section(f, 0, "offset", json!(u64::MAX - 63)));
    refused("twice", "twice", &|f| section(f, 1, "name", json!("word")));
    refused("renamed", "found none", &|f| section(f, 0, "name", json!("words")));
    refused("left over", "end of the sections", &|f| f.data.extend([0; 64]));
    // Decisions that contradict the model.
    let q =
        |f: &mut Forged, key: &str, value: Value| f.manifest["model"]["layers"]["layers"][0]["linears"][0][key] = value;
    refused("schedule", "schedule", &|f| {
        q(f, "schedule", json!({"vectors": 3, "unroll": 1, "narrow": 0, "prefetch": false}))
    });
    refused("width", "bytes", &|f| q(f, "m", json!(12)));
    refused("depth", "layers.0.q", &|f| q(f, "k", json!(4)));
    refused("form", "unknown variant", &|f| q(f, "form", json!("quantum")));
    refused("layers", "layers: found 0", &|f| f.manifest["model"]["layers"]["layers"] = json!([]));
    refused("projection", "projection", &|f| {
        f.manifest["model"]["layers"]["projection"] = f.manifest["model"]["layers"]["layers"][0]["linears"][0].clone();
    });
}

/// Random bytes in random sections: buffers end where they end, so an access outside would show under a sanitizer, and often crash.
#[test]
fn sections_of_noise_are_refused_or_run() {
    let bench = Bench::new();
    let mut rng = StdRng::seed_from_u64(1);
    let config = EncoderConfig { hidden_size: 32, heads: 2, intermediate_size: 40, ..tiny(Architecture::Electra) };
    for form in [Form::Sparse, Form::Dense, Form::Auto] {
        let model = Model::seeded(config.clone(), 2).unwrap().prune(Block::B4x1, 0.7).unwrap();
        let model = calibrated(model);
        model.compiler().tier(Tier::Portable).form(form).pack().unwrap().write(bench.path()).unwrap();
        let forged = Forged::of(&std::fs::read(bench.path()).unwrap());
        let names: Vec<String> = forged.manifest["sections"]
            .as_array()
            .unwrap()
            .iter()
            .map(|section| section["name"].as_str().unwrap().to_owned())
            .collect();
        let (mut refused, mut ran) = (0, 0);
        for round in 0..300 {
            let mut changed = forged.clone();
            let section = changed.section(&names[round % names.len()]);
            let at = rng.random_range(0..section.len());
            match round % 3 {
                0 => section[at] = rng.random(),
                1 => section[at..].iter_mut().take(4).for_each(|byte| *byte = rng.random()),
                _ => section.iter_mut().for_each(|byte| *byte = rng.random()),
            }
            match bench.open(&changed.to_bytes()) {
                Ok(packed) => {
                    ran += 1;
                    for tier in tiers() {
                        let encoder = packed.compiler().tier(tier).compile().unwrap();
                        let _ = encoder.hidden_states(&batch(packed.config()));
                    }
                }
                Err(Error::Packed(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        println!("{form:?}: {refused} refused, {ran} ran");
        assert!(refused > 50 && ran > 20);
    }
}
