//! The whole way without any file: a model with random weights is pruned, calibrated, packed, opened and run.
//!
//! ```text
//! cargo run --release --example made_up
//! ```

use lacuna::tokens::seeded_ids;
use lacuna::{Block, Compile, Encoder, Failure, Model, Preset};

fn main() -> Result<(), Failure> {
    let config = lacuna::config::EncoderConfig { vocab_size: 2000, ..Preset::BertMini.config() };
    let model = Model::seeded(config, 1)?.prune(Block::B4x1, 0.9)?;
    // A model without a tokenizer takes token ids.
    let ids = seeded_ids(2000, 16, 32, 2);
    let calibrated = model.calibration().run_ids(&ids)?;
    let folder = std::env::temp_dir().join(format!("lacuna-example-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("made-up.lacuna");
    let bytes = calibrated.pack()?.write(&path)?;
    let encoder = Encoder::open(&path)?;
    let embeddings = encoder.embed_ids(&ids)?;
    println!("{bytes} bytes; {} vectors of {} features", embeddings.len(), embeddings[0].len());
    println!("{}", encoder.report());
    drop(encoder); // until then the file stays mapped
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
