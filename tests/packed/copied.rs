//! Packed files that are read into memory.

use lacuna::PackedModel;

use super::fixture;

const TEXTS: [&str; 2] = ["The cat sat on the mat.", "the film"];

#[test]
fn a_file_that_was_read_may_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.lacuna");
    std::fs::copy(fixture("packed-v2.lacuna"), &path).unwrap();
    let embed = |model: &PackedModel| model.compile().unwrap().embed(&TEXTS).unwrap().vectors;
    let (read, mapped) = (PackedModel::read(&path).unwrap(), PackedModel::open(fixture("packed-v2.lacuna")).unwrap());
    assert_eq!((read.file_bytes(), read.sections()), (mapped.file_bytes(), mapped.sections()));
    let length = std::fs::metadata(&path).unwrap().len();
    // Noise in place of the content, then hardly any content.
    std::fs::write(&path, vec![0x5a; usize::try_from(length).unwrap()]).unwrap();
    assert_eq!(embed(&read), embed(&mapped));
    std::fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    assert_eq!(embed(&read), embed(&mapped));
    // The errors are those of a mapped file.
    let messages = [PackedModel::read(&path), PackedModel::open(&path)].map(|result| result.unwrap_err().to_string());
    assert_eq!(messages[0], messages[1]);
    let messages = [PackedModel::read(folder.path()), PackedModel::open(folder.path())];
    let messages = messages.map(|result| result.unwrap_err().to_string());
    assert_eq!(messages[0], messages[1]);
    // A length that no machine has memory for: 2^62 bytes, where the file system takes them.
    let huge = std::fs::File::options().write(true).open(&path).unwrap();
    match huge.set_len(1 << 62) {
        Ok(()) => assert!(PackedModel::read(&path).unwrap_err().to_string().contains("memory")),
        Err(error) => println!("skipped: a file of 2^62 bytes: {error}"),
    }
}
