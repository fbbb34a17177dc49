//! Prunes, calibrates and packs a model into a file, which opens in milliseconds.
//!
//! ```text
//! cargo run --release --example pack -- all-MiniLM-L6-v2 texts.txt minilm.lacuna
//! ```

use std::process::ExitCode;

use lacuna::{Compile, Failure, Model};

fn main() -> Result<ExitCode, Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, texts, output] = &args[..] else {
        eprintln!("usage: pack MODEL_DIRECTORY TEXTS_FOR_CALIBRATION OUTPUT");
        return Ok(ExitCode::from(2));
    };
    let texts = std::fs::read_to_string(texts)?;
    let lines: Vec<&str> = texts.lines().collect();
    // The zeros that the model has are used. `prune` would make more, at a loss of accuracy that training must repair.
    let packed = Model::open(folder)?.calibration().run(lines)?.pack()?;
    println!("{output}: {} bytes", packed.write(output)?);
    Ok(ExitCode::SUCCESS)
}
