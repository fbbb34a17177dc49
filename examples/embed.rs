//! Embeds texts with a model directory, and prints how similar each is to the first.
//!
//! ```text
//! cargo run --release --example embed -- all-MiniLM-L6-v2 "A cat sits." "A kitten rests." "Rain falls."
//! ```

use std::process::ExitCode;

use lacuna::tasks::cosine;
use lacuna::{Compile, Failure, Model};

fn main() -> Result<ExitCode, Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, texts @ ..] = &args[..] else { return Ok(usage()) };
    if texts.is_empty() {
        return Ok(usage());
    }
    let model = Model::open(folder)?;
    // On built-in texts. Better are about 200 texts of the kind that will be embedded: `.run(&texts)`.
    let encoder = model.calibration().run_default()?.compile()?;
    let embeddings = encoder.embed(texts)?;
    for cut in &embeddings.truncated {
        eprintln!("text {} was cut from {} to {} tokens", cut.sentence, cut.tokens, cut.limit);
    }
    for (text, vector) in texts.iter().zip(embeddings.iter()) {
        println!("{:.3} {text}", cosine(&embeddings[0], vector));
    }
    Ok(ExitCode::SUCCESS)
}

fn usage() -> ExitCode {
    eprintln!("usage: embed MODEL_DIRECTORY TEXT...");
    ExitCode::from(2)
}
