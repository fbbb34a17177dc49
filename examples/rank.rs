//! Ranks passages by how well they answer a query, with a cross-encoder.
//!
//! ```text
//! cargo run --release --example rank -- ms-marco-MiniLM-L6-v2 "Where does the cat sit?" "It sits on the mat." "It rains."
//! ```

use std::process::ExitCode;
use std::sync::Arc;

use lacuna::tasks::CrossEncoder;
use lacuna::{Compile, Failure, Model};

fn main() -> Result<ExitCode, Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, query, passages @ ..] = &args[..] else {
        eprintln!("usage: rank MODEL_DIRECTORY QUERY PASSAGE...");
        return Ok(ExitCode::from(2));
    };
    let model = Model::open(folder)?;
    let head = model.head()?; // a model without a head gives an error that says what the model is
    // On built-in pairs. Better are about 200 pairs of the kind that will be ranked: `.run(&pairs)`.
    let encoder = model.calibration().run_default()?.compile()?;
    for ranked in CrossEncoder::new(Arc::new(encoder), head)?.rank(query, passages)?.iter() {
        println!("{:.3} {}", ranked.score, passages[ranked.index]);
    }
    Ok(ExitCode::SUCCESS)
}
