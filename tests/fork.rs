//! A process that was forked from one that used the library: an error that says so, and no waiting for threads that are elsewhere.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use lacuna::config::EncoderConfig;
use lacuna::errors::ModelError;
use lacuna::tokens::seeded_ids;
use lacuna::{Compile, Error, Model, Preset};

/// Runs `child` in a forked process; gives what it returned, or nothing if it took a minute.
fn in_child(child: impl FnOnce() -> i32) -> Option<i32> {
    // SAFETY: the child only runs `child` and ends. Its allocator works: libc prepares it for forks.
    let process = unsafe { libc::fork() };
    assert!(process >= 0, "fork: {}", std::io::Error::last_os_error());
    if process == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(99);
        // SAFETY: ends the process without running what is registered for the parent's end.
        unsafe { libc::_exit(code) };
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        let mut status = 0;
        // SAFETY: `process` is a child of this process, and `status` is an integer.
        if unsafe { libc::waitpid(process, &raw mut status, libc::WNOHANG) } == process {
            assert!(libc::WIFEXITED(status), "status {status}");
            return Some(libc::WEXITSTATUS(status));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // SAFETY: `process` is a child that was not waited for yet.
    unsafe { libc::kill(process, libc::SIGKILL) };
    None
}

#[test]
fn a_forked_child_is_told_and_may_use_a_pool_of_its_own() {
    let config = EncoderConfig { layers: 1, vocab_size: 100, ..Preset::BertMini.config() };
    let ids = seeded_ids(100, 40, 60, 1);
    let model = Model::seeded(config, 1).unwrap().calibration().run_ids(&ids[..4]).unwrap();
    let encoder = model.compile().unwrap();
    let expected = encoder.embed_ids(&ids).unwrap(); // on the global pool
    let is_told = |result: Result<(), Error>| {
        matches!(result, Err(Error::Model(ModelError::Forked { process, parent }))
            if process == std::process::id() && parent != process)
    };
    let code = in_child(|| {
        if !is_told(model.compile().map(drop)) {
            return 1;
        }
        if !is_told(encoder.embed_ids(&ids).map(drop)) {
            return 2;
        }
        if !is_told(model.pack().map(drop)) || !is_told(lacuna::PackedModel::open("none").map(drop)) {
            return 3;
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let found = pool.install(|| model.compile()?.embed_ids(&ids));
        if found.is_ok_and(|found| found == expected) { 0 } else { 4 }
    });
    assert_eq!(code, Some(0));
    assert_eq!(encoder.embed_ids(&ids).unwrap(), expected, "the parent goes on");
}
