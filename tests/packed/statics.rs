//! Packed files that are part of the program.

use std::path::Path;

use lacuna::errors::PackedError;
use lacuna::{Error, ErrorKind, PackedModel};

use super::fixture;

#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../fixtures/packed-v2.lacuna"));

const TEXTS: [&str; 2] = ["The cat sat on the mat.", "the film"];

#[test]
fn a_file_in_the_program_is_used_in_place() {
    let model = PackedModel::from_static("built in", &FILE.0).unwrap();
    let file = PackedModel::open(fixture("packed-v2.lacuna")).unwrap();
    assert_eq!(model.path(), Some(Path::new("built in")));
    assert_eq!((model.file_bytes(), model.sections()), (FILE.0.len(), file.sections()));
    let embed = |model: &PackedModel| model.compile().unwrap().embed(&TEXTS).unwrap().vectors;
    assert_eq!(embed(&model), embed(&file));
    assert_eq!(model.head().unwrap().class(), file.head().unwrap().class());
}

#[test]
fn another_address_and_other_bytes_are_refused_by_name() {
    let error = PackedModel::from_static("built in", &FILE.0[8..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(matches!(error, Error::Packed(PackedError::Alignment { found: 8, expected: 64, .. })), "{error}");
    for (length, expected) in [(0, "an empty file"), (64, "found 64 bytes"), (FILE.0.len() - 1, "by its own header")] {
        let error = PackedModel::from_static("built in", &FILE.0[..length]).unwrap_err().to_string();
        assert!(error.starts_with("built in: ") && error.contains(expected), "{length}: {error}");
    }
}
