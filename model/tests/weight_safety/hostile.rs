//! Files made by hand to do one kind of harm each.

use std::path::Path;

use lacuna_model::{Checkpoint, Error, WeightError};
use tempfile::TempDir;

use crate::bounds::{alone, bounded, exercise};
use crate::pickle::{Entries, Tensor, archive, call, dictionary, entries, file, global, int, root, string, tuple};

/// What a file of a few hundred bytes may take.
const LIMIT: usize = 8 << 20;
/// What each byte of a pickle may take: a value on a stack that grows by doubling.
const PER_BYTE: usize = 256;
/// What copies of values may take: the reader gives up at a million of them, or at 64 MiB of text.
const COPIES: usize = 256 << 20;

/// Opens a torch file of these bytes and tries everything with it.
fn open_bytes(what: &str, limit: usize, bytes: &[u8]) -> Result<Checkpoint, Error> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pytorch_model.bin");
    std::fs::write(&path, bytes).unwrap();
    bounded(limit, what, || {
        exercise(dir.path());
        Checkpoint::open(&path)
    })
}

fn open(what: &str, pickle: &[u8]) -> Result<Checkpoint, Error> {
    open_bytes(what, LIMIT + PER_BYTE * pickle.len(), &file(pickle))
}

/// The message of the refusal of a file that is damaged or malicious.
fn refused(what: &str, pickle: &[u8]) -> String {
    match open(what, pickle).err() {
        Some(
            error @ (Error::Weights(WeightError::TorchFile { .. }) | Error::Weights(WeightError::PickledObject { .. })),
        ) => error.to_string(),
        Some(error) => panic!("{what}: refused as {error}"),
        None => panic!("{what}: accepted"),
    }
}

#[test]
fn what_is_built_by_hand_is_what_torch_writes() {
    let _alone = alone();
    let tensor = Tensor { offset: 1, ..Tensor::view(&[3, 2], &[1, 4]) };
    let pickle = dictionary(&[("a", tensor.pickled()), ("b", Tensor::good().pickled()), ("n", int(3))]);
    let checkpoint = open("a good file", &pickle).unwrap();
    assert_eq!(checkpoint.read_f32("a", &[3, 2]).unwrap(), [1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
    assert_eq!(checkpoint.read_f32("b", &[8]).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    assert_eq!(checkpoint.tensors().len(), 2);
}

#[test]
fn nothing_is_run_and_objects_are_refused_by_name() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let witness = dir.path().join("witness");
    let command = string(&format!("touch {}", witness.display()));
    let evil = call("posix", "system", std::slice::from_ref(&command));
    let built = [call("evil", "Class", &[]), b"}".to_vec(), string("x"), int(1), b"sb".to_vec()].concat();
    let good = ("a", Tensor::good().pickled());
    for (name, object) in [
        ("posix.system", evil.clone()),
        ("subprocess.Popen", [global("subprocess", "Popen"), tuple(&[command]), vec![0x81]].concat()),
        ("evil.Class", built),
        ("builtins.eval", call("builtins", "eval", &[string("1")])),
        ("torch.load", call("torch", "load", &[string("/etc/passwd")])),
        ("evil.bare", global("evil", "bare")),
        ("__main__.Net", call("__main__", "Net", &[Tensor::good().pickled()])),
        ("torch.QInt8Storage", Tensor { storage: "QInt8Storage", ..Tensor::good() }.pickled()),
        (
            "torch._utils._rebuild_sparse_tensor",
            call("torch._utils", "_rebuild_sparse_tensor", std::slice::from_ref(&good.1)),
        ),
    ] {
        for (place, pickle) in [
            ("root", root(&object)),
            ("entry", dictionary(&[good.clone(), ("x", object.clone())])),
            ("list", dictionary(&[good.clone(), ("x", [b"](", &object[..], b"e"].concat())])),
        ] {
            let message = refused(&format!("{name} as {place}"), &pickle);
            assert!(message.contains(name), "{place}: {message}");
        }
    }
    let hooked = Tensor { hooks: evil.clone(), ..Tensor::good() };
    assert!(refused("hooks", &dictionary(&[("a", hooked.pickled())])).contains("posix.system"));
    let dropped = [evil, b"0".to_vec(), b"}(".to_vec(), string("a"), Tensor::good().pickled(), b"u".to_vec()].concat();
    assert!(refused("made and dropped", &root(&dropped)).contains("posix.system"));
    // Ways to name something that torch.save does not use: from the stack, in text, by number.
    let stacked = [string("posix"), string("system"), vec![0x93], tuple(&[string("true")]), b"R".to_vec()].concat();
    for object in [stacked, b"(S'true'\niposix\nsystem\n".to_vec(), b"\x82\x01".to_vec(), b"Pid\n".to_vec()] {
        assert!(refused("other opcodes", &root(&object)).contains("opcode"));
    }
    // Known names where only tensors may be.
    assert!(
        refused("a storage", &dictionary(&[("a", global("torch", "FloatStorage"))])).contains("torch.FloatStorage")
    );
    assert!(!Path::new(&witness).exists());
}

#[test]
fn names_that_would_forge_messages_are_escaped() {
    let _alone = alone();
    let message = refused("control characters", &dictionary(&[("k\r\n", global("a\rerror: \x1b[31m", "b"))]));
    assert!(!message.contains(char::is_control), "{message:?}");
    let long = "m".repeat(1 << 20);
    assert!(refused("a long name", &root(&global(&long, "b"))).len() < 4096);
}

#[test]
fn two_tensors_of_one_name() {
    let _alone = alone();
    let inner = [b"}(".to_vec(), string("b"), Tensor::good().pickled(), b"u".to_vec()].concat();
    let error = open("a.b twice", &dictionary(&[("a", inner), ("a.b", Tensor::good().pickled())])).err().unwrap();
    assert!(
        matches!(&error, Error::Weights(WeightError::DuplicateTensor { tensor, .. }) if tensor == "a.b"),
        "{error}"
    );
}

#[test]
fn deep_nesting() {
    let _alone = alone();
    const DEPTH: usize = 1_000_000;
    let lists = [vec![b']'; DEPTH], vec![b'a'; DEPTH - 1]].concat();
    let tuples = [vec![b')'], vec![0x85; DEPTH]].concat();
    let dictionaries = [b"}X\x01\0\0\0k".repeat(DEPTH), b"}".to_vec(), vec![b's'; DEPTH]].concat();
    for (what, object) in [("lists", lists), ("tuples", tuples), ("dictionaries", dictionaries)] {
        let message = refused(what, &root(&object));
        assert!(message.contains("nesting"), "{what}: {message}");
    }
    refused("marks", &root(&vec![b'('; DEPTH]));
}

#[test]
fn little_that_stands_for_much() {
    let _alone = alone();
    let refused = |what: &str, pickle: &[u8]| {
        let error = open_bytes(what, COPIES, &file(pickle)).err().unwrap();
        assert!(matches!(error, Error::Weights(WeightError::TorchFile { .. })), "{what}: {error}");
        error.to_string()
    };
    // Every list holds the one before it ten times: 10^30 elements by references.
    let mut tenfold = [&b"]"[..], &string("x"), b"a"].concat();
    for i in 0..30u8 {
        tenfold.extend([b'q', i, b'0', b']', b'(']);
        tenfold.extend([b'h', i].repeat(10));
        tenfold.push(b'e');
    }
    assert!(refused("lists of lists", &root(&tenfold)).contains("memo bomb"));
    let text = [string(&"x".repeat(1 << 20)), b"q\x000](".to_vec(), b"h\0".repeat(1 << 20), b"e".to_vec()].concat();
    assert!(refused("one text often", &root(&text)).contains("memo bomb"));
    let copies = [&b"]"[..], &b"2".repeat(1 << 21), b"\x85"].concat();
    refused("copies", &root(&copies));
    refused("many values", &root(&vec![b'N'; 1 << 20]));
    assert!(refused("too many opcodes", &root(&vec![b'('; 5 << 20])).contains("opcodes"));
}

#[test]
fn lengths_that_are_not_there() {
    let _alone = alone();
    for (what, object) in [
        ("text", [&[0x8d][..], &u64::MAX.to_le_bytes()].concat()),
        ("text, 4 GB", [&b"X"[..], &u32::MAX.to_le_bytes()].concat()),
        ("bytes", [&[0x8e][..], &(1u64 << 40).to_le_bytes()].concat()),
        ("byte array", [&[0x96][..], &(1u64 << 62).to_le_bytes()].concat()),
        ("long", [&[0x8b][..], &i32::MAX.to_le_bytes()].concat()),
        ("negative long", [&[0x8b][..], &(-1i32).to_le_bytes()].concat()),
        ("frame", [&[0x95][..], &u64::MAX.to_le_bytes(), b"("].concat()),
        ("line", b"cposix".to_vec()),
        ("memo index", b"Nr\xff\xff\xff\xffj\xfe\xff\xff\xff".to_vec()),
    ] {
        refused(what, &root(&object));
    }
}

#[test]
fn tensors_that_lie() {
    let _alone = alone();
    let big = 1i64 << 62;
    let good = Tensor::good;
    for (what, tensor) in [
        ("elements overflow", Tensor::view(&[big, big], &[0, 0])),
        ("bytes overflow", Tensor::view(&[big], &[0])),
        ("beyond the storage", Tensor::view(&[9], &[1])),
        ("stride beyond the storage", Tensor::view(&[2, 2], &[7, 1])),
        ("stride overflow", Tensor::view(&[3], &[big])),
        ("offset beyond the storage", Tensor { offset: 1, ..good() }),
        ("offset overflow", Tensor { offset: i64::MAX, ..good() }),
        ("negative offset", Tensor { offset: -1, ..good() }),
        ("negative size", Tensor::view(&[-1], &[1])),
        ("negative stride", Tensor::view(&[2], &[-1])),
        ("ranks differ", Tensor::view(&[2, 2], &[1])),
        ("a terabyte of one value", Tensor::view(&[1 << 40], &[0])),
        ("storage of overflowing length", Tensor { length: big, ..good() }),
        ("storage of negative length", Tensor { length: -8, ..good() }),
        ("key of another type", Tensor { key: b"N".to_vec(), ..good() }),
    ] {
        refused(what, &dictionary(&[("a", tensor.pickled())]));
    }
    let mut few = good().arguments();
    few.truncate(3);
    refused("few arguments", &dictionary(&[("a", call("torch._utils", "_rebuild_tensor_v2", &few))]));

    // What only reading can find out.
    for (what, tensor) in [
        ("a storage that is longer than its bytes", Tensor { length: 16, ..Tensor::view(&[16], &[1]) }),
        ("a storage that is not there", Tensor { key: string("1"), ..good() }),
        ("a storage elsewhere", Tensor { key: string("../../../../etc/passwd"), ..good() }),
        ("a storage elsewhere in the archive", Tensor { key: string("../data.pkl"), ..good() }),
        ("a storage that is longer than memory", Tensor { length: 1 << 50, ..Tensor::view(&[16], &[1 << 40]) }),
    ] {
        let checkpoint = open(what, &dictionary(&[("a", tensor.pickled())])).unwrap();
        let shape: Vec<usize> = tensor.shape.iter().map(|&d| d as usize).collect();
        let error = bounded(LIMIT, what, || checkpoint.read_f32("a", &shape)).unwrap_err();
        assert!(matches!(error, Error::Weights(WeightError::TensorData { .. })), "{what}: {error}");
    }
    // One value that stands for 2^31 is no error as such; a model that expects another shape takes no memory for it.
    let checkpoint = open("expanded", &dictionary(&[("a", Tensor::view(&[1 << 31], &[0]).pickled())])).unwrap();
    let error = bounded(LIMIT, "expanded", || checkpoint.read_f32("a", &[8])).unwrap_err();
    assert!(matches!(error, Error::Weights(WeightError::TensorShape { .. })), "{error}");
}

#[test]
fn archives_that_lie() {
    let _alone = alone();
    let good = dictionary(&[("a", Tensor::good().pickled())]);
    let reason = |what: &str, bytes: &[u8]| match open_bytes(what, LIMIT + bytes.len(), bytes).err() {
        Some(Error::Weights(WeightError::TorchFile { reason, .. })) => reason,
        Some(error) => panic!("{what}: {error}"),
        None => panic!("{what}: accepted"),
    };
    let with = |change: &dyn Fn(&mut Entries)| {
        let mut entries = entries(&file(&good));
        change(&mut entries);
        archive(&entries)
    };
    assert!(reason("no pickle", &with(&|entries| entries[0].0 = "archive/other".into())).contains("found 0 entries"));
    assert!(reason("an empty archive", &archive(&[])).contains("found 0 entries"));
    let two = with(&|entries| entries.push(("other/data.pkl".into(), b"}.".to_vec())));
    assert!(reason("two pickles", &two).contains("found 2 entries"));
    let big = reason("big-endian", &with(&|entries| entries[1].1 = b"big".to_vec()));
    assert!(big.to_lowercase().contains("big-endian"), "{big}");
    reason("a long byte order", &with(&|entries| entries[1].1 = vec![b'x'; 1 << 16]));
    let long = with(&|entries| entries[0].1 = [string(&"x".repeat(9 << 20)), b".".to_vec()].concat());
    assert!(reason("a pickle that is too long", &long).contains("at most"));

    // Compressed, a few bytes could stand for many: the method is at 10 in a local header, at 8 before it in the directory.
    let mut compressed = file(&good);
    let directory = compressed.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    compressed[directory + 10] = 8;
    assert!(reason("compressed", &compressed).contains("is compressed"));
    // An entry of four gigabytes in the directory.
    let mut huge = file(&good);
    huge[directory + 20..directory + 28].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff]);
    assert!(reason("huge", &huge).contains("at most"));
}

#[test]
fn formats_that_are_too_old() {
    let _alone = alone();
    let mut tar = vec![0u8; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    let error = open_bytes("tar", LIMIT, &tar).err().unwrap();
    assert!(
        matches!(error, Error::Weights(WeightError::TorchFile { .. })) && error.to_string().contains("a tar archive"),
        "{error}"
    );
    // Neither is what begins and ends like an archive.
    let mut both = [vec![0u8; 1024], file(&dictionary(&[("a", Tensor::good().pickled())]))].concat();
    both[257..262].copy_from_slice(b"ustar");
    both[..4].copy_from_slice(b"PK\0\0");
    let error = open_bytes("tar and archive", LIMIT, &both).err().unwrap();
    assert!(error.to_string().contains("a tar archive"), "{error}");
    // A pickle without an archive has no bytes for its tensors.
    open_bytes("no archive", LIMIT, &dictionary(&[("a", Tensor::good().pickled())])).err().unwrap();
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_waited_for() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let pipe = dir.path().join("model.safetensors");
    match std::process::Command::new("mkfifo").arg(&pipe).status() {
        Ok(status) if status.success() => {
            let error = Checkpoint::in_folder(dir.path()).err().unwrap();
            assert!(
                matches!(error, Error::Weights(WeightError::NotWeights { .. })) && error.to_string().contains("pipe"),
                "{error}"
            );
        }
        other => println!("skipped: no mkfifo here: {other:?}"),
    }
}
