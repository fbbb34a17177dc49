//! Shares one encoder between threads. Each has a session, and all can be stopped.
//!
//! ```text
//! cargo run --release --example share -- minilm.lacuna
//! ```

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lacuna::{Cancel, Encoder, ErrorKind, Failure};

fn main() -> Result<ExitCode, Failure> {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: share PACKED_MODEL");
        return Ok(ExitCode::from(2));
    };
    let encoder = Arc::new(Encoder::open(path)?);
    let cancel = Cancel::new();
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let session = encoder.session().with_cancel(cancel.clone());
            std::thread::spawn(move || {
                let mut texts = 0;
                loop {
                    match session.embed(&["A cat sits on the mat.", "Rain falls."]) {
                        Ok(embeddings) => texts += embeddings.len(),
                        Err(error) if error.kind() == ErrorKind::Cancelled => return Ok(texts),
                        Err(error) => return Err(error),
                    }
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    cancel.cancel(); // running calls stop before the next layer of the model
    for (i, worker) in workers.into_iter().enumerate() {
        match worker.join() {
            Ok(texts) => println!("worker {i}: {} texts in a second", texts?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    Ok(ExitCode::SUCCESS)
}
