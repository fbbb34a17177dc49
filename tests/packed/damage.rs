//! Bytes that are not those that were written.

use lacuna::config::Architecture;
use lacuna::errors::PackedError;
use lacuna::{Compile, Error, Model, PackedModel};

use super::{Bench, head_folder, seeded, smallest, tiny};

#[test]
fn every_byte_counts() {
    let bench = Bench::new();
    let bytes = smallest();
    bench.open(&bytes).unwrap();
    println!("{} bytes", bytes.len());
    let mut changed = bytes.clone();
    for i in 0..bytes.len() {
        changed[i] ^= 1 << (i % 8);
        let error = bench.refused(&changed, &format!("byte {i}"));
        let fits = match i {
            0..8 => matches!(error, PackedError::NotPacked { .. }),
            8..12 => matches!(error, PackedError::Version { .. }),
            _ => {
                matches!(error, PackedError::Checksum { start, end, .. } if start <= i as u64 && (i as u64) < end || (56..64).contains(&i))
            }
        };
        assert!(fits, "byte {i}: {error}");
        changed[i] = bytes[i];
    }
}

#[test]
fn a_sample_of_the_bytes_of_larger_files() {
    let bench = Bench::new();
    let with_text = Model::open(head_folder("roberta-fill")).unwrap().calibration().run(["The cat sat."]).unwrap();
    for model in [seeded(tiny(Architecture::Electra)), with_text] {
        model.pack().unwrap().write(bench.path()).unwrap();
        let bytes = std::fs::read(bench.path()).unwrap();
        let mut changed = bytes.clone();
        for i in (0..bytes.len()).step_by(bytes.len() / 300) {
            changed[i] = changed[i].wrapping_add(1);
            bench.refused(&changed, &format!("byte {i} of {}", bytes.len()));
            changed[i] = bytes[i];
        }
    }
}

/// More than a checksum's share of bytes: the later ones are compared too.
#[test]
fn every_chunk_is_compared() {
    let config = lacuna::config::EncoderConfig { vocab_size: 30_000, ..tiny(Architecture::Bert) };
    let bench = Bench::new();
    seeded(config).pack().unwrap().write(bench.path()).unwrap();
    let bytes = std::fs::read(bench.path()).unwrap();
    let chunk = 1 << 20;
    assert!(bytes.len() > 3 * chunk);
    for at in [64, 64 + chunk - 1, 64 + chunk, 64 + 2 * chunk + 5, 64 + 3 * chunk, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let error = bench.refused(&changed, &format!("byte {at}"));
        let PackedError::Checksum { start, end, .. } = error else { panic!("{error}") };
        assert!((start..end).contains(&(at as u64)) && end - start <= chunk as u64);
    }
}

#[test]
fn every_length_but_the_right_one() {
    let bench = Bench::new();
    let bytes = smallest();
    let classes = (0..200).chain((200..bytes.len()).step_by(97)).chain(bytes.len() - 80..bytes.len());
    for length in classes {
        match bench.refused(&bytes[..length], &format!("{length} bytes")) {
            PackedError::NotPacked { .. } => assert!(length < 8),
            PackedError::Length { found, expected, .. } => {
                assert_eq!(found, length as u64);
                assert_eq!(expected, if length < 64 { 64 } else { bytes.len() as u64 });
            }
            error => panic!("{length}: {error}"),
        }
    }
    for more in [1, 8, 64, 1 << 20] {
        let longer = [&bytes[..], &vec![0; more]].concat();
        assert!(matches!(bench.refused(&longer, "longer"), PackedError::Length { .. }));
    }
}

#[test]
fn what_is_no_packed_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    for (bytes, expected) in [
        (&b""[..], "an empty file"),
        (b"{\"a\": 1}", "begins with \"{\\\"a\\\": 1}"),
        (b"\x8bLACUNA\r\n", "LACUNA\\r"), // a line break that something converted
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = PackedModel::open(&path).unwrap_err();
        assert!(matches!(&error, Error::Packed(PackedError::NotPacked { .. })), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!lacuna::PackedModel::is_packed(&path).unwrap());
        assert!(!lacuna::PackedModel::is_meant(&path));
        let named = path.with_extension("lacuna");
        std::fs::copy(&path, &named).unwrap();
        assert!(lacuna::PackedModel::is_meant(&named));
    }
    let error = PackedModel::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("found a directory"), "{error}");
    assert!(!lacuna::PackedModel::is_packed(folder.path()).unwrap());
    let named = folder.path().join("folder.lacuna");
    std::fs::create_dir(&named).unwrap();
    assert!(
        !lacuna::PackedModel::is_meant(&named) && lacuna::PackedModel::is_meant(folder.path().join("absent.LACUNA"))
    );
    let absent = PackedModel::open(folder.path().join("absent")).unwrap_err();
    assert!(matches!(&absent, Error::Packed(PackedError::Io { action: "open", .. })), "{absent}");
    let nowhere = seeded(tiny(Architecture::Bert)).pack().unwrap().write(folder.path().join("no/where")).unwrap_err();
    assert!(matches!(&nowhere, Error::Packed(PackedError::Io { action: "create", .. })), "{nowhere}");
}
