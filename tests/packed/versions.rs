//! Files of other versions: older ones are read or refused by name, newer ones refused.

use lacuna::calibration::ActivationBits;
use lacuna::errors::PackedError;
use lacuna::tasks::SequenceClassifier;
use lacuna::{Compile, Compiler, Model, PackedModel, TextInput};
use serde_json::{Value, json};
use std::sync::Arc;

use super::{Bench, fixture, head_folder, smallest, tiers};

const TEXTS: [&str; 3] = ["The cat sat on the mat.", "the film", ""];

#[test]
fn other_versions_are_refused_by_name() {
    let bench = Bench::new();
    let bytes = smallest();
    for version in [0u32, 4, 7, u32::MAX] {
        let mut other = bytes.clone();
        other[8..12].copy_from_slice(&version.to_le_bytes());
        let error = bench.refused(&other, "another version");
        assert!(matches!(error, PackedError::Version { found, .. } if found == version), "{error}");
        let remedy = if version == 0 { "pack the model again" } else { "newer lacuna" };
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

fn results(model: &PackedModel, compiler: Compiler<'_, PackedModel>) -> Value {
    let encoder = compiler.compile().unwrap();
    // Bits: the int8 part is the same on every machine.
    let embeddings: Vec<Vec<u32>> =
        encoder.embed(&TEXTS).unwrap().iter().map(|vector| vector.iter().map(|x| x.to_bits()).collect()).collect();
    let classifier = SequenceClassifier::new(Arc::new(encoder), model.head().unwrap()).unwrap();
    let labels: Vec<String> =
        classifier.classify(&TEXTS.map(TextInput::new)).unwrap().iter().map(|all| all[0].label.clone()).collect();
    json!({"embeddings": embeddings, "labels": labels})
}

/// The files that every version wrote, with what they gave then.
#[test]
fn older_versions_stay_readable() {
    for version in [1u32, 2, 3] {
        let path = fixture(&format!("packed-v{version}.lacuna"));
        assert_eq!(std::fs::read(&path).unwrap()[8..12], version.to_le_bytes());
        let model = PackedModel::open(path).unwrap();
        let expected = std::fs::read(fixture(&format!("packed-v{version}.json"))).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        for tier in tiers() {
            let found = results(&model, model.compiler().tier(tier));
            assert_eq!(found, expected, "version {version} on {tier}");
        }
    }
}

/// Only files of version 3 have activations in seven bits, so that older readers refuse them; and they always do.
#[test]
fn the_version_says_how_many_bits_activations_have() {
    let bench = Bench::new();
    let seven = std::fs::read(fixture("packed-v3.lacuna")).unwrap();
    for (mut bytes, version, expected) in [
        (seven, 2u32, "found 7; expected 8 in a file of version 2"),
        (smallest(), 3, "found 8; expected 7 in a file of version 3"),
    ] {
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..56]);
        bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
        let error = bench.refused(&bytes, "another version").to_string();
        assert!(error.contains("activation_bits") && error.contains(expected), "{error}");
    }
}

/// Makes the fixture, when a version is new: `cargo test --test packed -- --ignored make`.
#[test]
#[ignore = "writes tests/fixtures"]
fn make() {
    let model = Model::open(head_folder("bert-classify")).unwrap();
    let model = model.prune(lacuna::Block::B4x1, 0.6).unwrap().calibration();
    let model = model.activation_bits(ActivationBits::Seven).run(TEXTS).unwrap();
    let packed = model.compiler().small_tables(true).pack().unwrap();
    packed.write(fixture("packed-v3.lacuna")).unwrap();
    let results = results(&packed, packed.compiler());
    std::fs::write(fixture("packed-v3.json"), serde_json::to_vec(&results).unwrap()).unwrap();
}
