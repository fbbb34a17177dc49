//! Files that real tools wrote, damaged at random: thousands of them, from a seed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::bounds::{Reached, alone, bounded, exercise};
use crate::pickle::{archive, entries, file};

/// Damaged files of each kind; the environment variable LACUNA_FUZZ_CASES asks for more.
const CASES: u64 = 1500;
/// Far more than any intact file here takes.
const LIMIT: usize = 16 << 20;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

fn read(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

pub(crate) fn cases() -> u64 {
    std::env::var("LACUNA_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

/// Numbers that lengths, offsets and counts go wrong at.
fn edge(rng: &mut ChaCha8Rng, length: usize) -> u64 {
    let edges =
        [0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, i64::MAX as u64, u64::MAX];
    match rng.random_range(0..3) {
        0 => (length as u64).wrapping_add(rng.random_range(0..5)).wrapping_sub(2),
        1 => 1 << rng.random_range(0..64u32),
        _ => edges[rng.random_range(0..edges.len())],
    }
}

/// A range of `bytes`, mostly short.
fn range(rng: &mut ChaCha8Rng, length: usize) -> std::ops::Range<usize> {
    let start = rng.random_range(0..=length);
    let most = if rng.random_bool(0.8) { 16 } else { length };
    start..(start + rng.random_range(0..=most)).min(length)
}

/// Flips, overwrites, cuts, repeats, moves or appends, mostly once.
pub(crate) fn damage(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>) {
    for _ in 0..[1, 1, 1, 2, 4][rng.random_range(0..5)] {
        let length = bytes.len();
        let at = rng.random_range(0..=length);
        match rng.random_range(0..9) {
            0 | 1 if at < length => bytes[at] ^= 1 << rng.random_range(0..8),
            2 if at < length => bytes[at] = rng.random(),
            3 | 4 => {
                let width = [1, 2, 4, 8][rng.random_range(0..4)].min(length - at);
                let value = edge(rng, length).to_le_bytes();
                bytes[at..at + width].copy_from_slice(&value[..width]);
            }
            5 if rng.random_bool(0.3) => bytes.truncate(at),
            6 => drop(bytes.drain(range(rng, length))),
            7 => {
                let piece = bytes[range(rng, length)].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => {
                let piece = bytes[range(rng, length)].to_vec();
                let end = (at + piece.len()).min(length);
                drop(bytes.splice(at..end, piece));
            }
        }
    }
}

/// Makes a folder with `make` and tries everything with it, again and again; says which case it was that failed.
fn each(kind: &str, folders: &[&str], mut make: impl FnMut(&mut ChaCha8Rng, &Path)) {
    let dir = TempDir::new().unwrap();
    for folder in folders {
        for entry in fs::read_dir(fixture(folder)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let (mut opened, mut loaded) = (0, 0);
    for case in 0..cases() {
        let what = format!("{kind}, case {case}");
        make(&mut ChaCha8Rng::seed_from_u64(case), dir.path());
        let outcome = catch_unwind(AssertUnwindSafe(|| bounded(LIMIT, &what, || exercise(dir.path()))));
        let reached = outcome.unwrap_or_else(|_| panic!("{what}: panicked"));
        opened += u64::from(reached != Reached::Nothing);
        loaded += u64::from(reached == Reached::Loaded);
    }
    println!("{kind}: of {} damaged files {opened} open, {loaded} load", cases());
    assert!(loaded < cases(), "{kind}: damage is never found");
}

#[test]
fn safetensors_files() {
    let _alone = alone();
    let intact = {
        let bytes = read("bert-safetensors-sharded/model-00001-of-00002.safetensors");
        let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        (bytes, 8 + header)
    };
    each("safetensors", &["bert-safetensors-sharded"], |rng, dir| {
        let (mut bytes, header) = intact.clone();
        let mut data = if rng.random_bool(0.8) { bytes.split_off(header) } else { Vec::new() };
        damage(rng, &mut bytes);
        bytes.append(&mut data);
        fs::write(dir.join("model-00001-of-00002.safetensors"), bytes).unwrap();
    });
}

#[test]
fn indexes() {
    let _alone = alone();
    let intact = read("bert-safetensors-sharded/model.safetensors.index.json");
    each("index", &["bert-safetensors-sharded"], |rng, dir| {
        let mut bytes = intact.clone();
        damage(rng, &mut bytes);
        fs::write(dir.join("model.safetensors.index.json"), bytes).unwrap();
    });
}

#[test]
fn archives() {
    let _alone = alone();
    let intact = read("bert-bin/pytorch_model.bin");
    each("archive", &["bert-bin"], |rng, dir| {
        let mut bytes = intact.clone();
        damage(rng, &mut bytes);
        fs::write(dir.join("pytorch_model.bin"), bytes).unwrap();
    });
}

#[test]
fn legacy_files() {
    let _alone = alone();
    let intact = read("views-legacy.bin");
    each("legacy", &["bert-bin"], |rng, dir| {
        let mut bytes = intact.clone();
        damage(rng, &mut bytes);
        fs::write(dir.join("pytorch_model.bin"), bytes).unwrap();
    });
}

/// In an archive whose checksums are right, so that the damage reaches the interpreter.
#[test]
fn pickles() {
    let _alone = alone();
    let intact = ["bert-bin/pytorch_model.bin", "views.bin"].map(|name| entries(&read(name)));
    each("pickle", &["bert-bin"], |rng, dir| {
        let mut entries = intact[rng.random_range(0..2)].clone();
        let (_, pickle) = entries.iter_mut().find(|(name, _)| name.ends_with("data.pkl")).unwrap();
        damage(rng, pickle);
        fs::write(dir.join("pytorch_model.bin"), archive(&entries)).unwrap();
    });
}

/// Opcodes in no order, with arguments that are there, and now and then a piece of a good pickle.
#[test]
fn programs() {
    let _alone = alone();
    const PIECES: [&[u8]; 34] = [
        b"N",
        b"\x88",
        b"\x89",
        b"(",
        b"(",
        b")",
        b"]",
        b"}",
        b"t",
        b"l",
        b"d",
        b"a",
        b"e",
        b"s",
        b"u",
        b"R",
        b"b",
        b"Q",
        b"0",
        b"1",
        b"2",
        b"\x85",
        b"\x86",
        b"\x87",
        b"K\x07",
        b"q\x01",
        b"h\x01",
        b"q\x02",
        b"h\x02",
        b"X\x01\0\0\0a",
        b"\x8a\x01\x07",
        b"ccollections\nOrderedDict\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch\nFloatStorage\n",
    ];
    const VALUES: [&[u8]; 8] = [b"N", b"(", b")", b"]", b"}", b"K\x07", b"h\x01", b"X\x01\0\0\0a"];
    let tensor = crate::pickle::Tensor::good().pickled();
    each("program", &["bert-bin"], |rng, dir| {
        let mut pickle = vec![0x80, 2];
        for _ in 0..rng.random_range(1..200) {
            match rng.random_range(0..40) {
                0 => pickle.extend(&tensor),
                1..20 => pickle.extend(VALUES[rng.random_range(0..VALUES.len())]),
                _ => pickle.extend(PIECES[rng.random_range(0..PIECES.len())]),
            }
        }
        pickle.push(b'.');
        fs::write(dir.join("pytorch_model.bin"), file(&pickle)).unwrap();
    });
}
