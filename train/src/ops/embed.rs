//! The embeddings of tokens. Their tables are not trained.

use lacuna_kernels::{ChunksMut, Parallel, TILE};
use lacuna_model::EmbeddingWeights;

use crate::batch::Batch;
use crate::tiles::Tiles;
use crate::{Error, Result};

/// `x[token] = word[id] + position[place] + token_type[type]`.
///
/// # Shapes
/// The result has E features, those of the tables, and a column per token.
///
/// # Errors
/// [`Error::Setting`] for an id, a type or a position that the tables do not have.
pub fn embed(tables: &EmbeddingWeights, batch: &Batch) -> Result<Tiles> {
    let features = tables.word.cols;
    let most = |values: &[u32]| values.iter().max().map_or(0, |&max| max as usize);
    for (setting, found, table) in [
        ("token id of a batch", most(batch.ids()), &tables.word),
        ("token type of a batch", most(batch.types()), &tables.token_type),
        ("position of a batch", batch.longest().saturating_sub(1), &tables.position),
    ] {
        if found >= table.rows || table.cols != features {
            return Err(Error::Setting { setting, found: found.to_string(), expected: "a row of the embedding table" });
        }
    }
    let mut x = Tiles::zeros(features, batch.tokens());
    let positions: Vec<usize> = batch.positions().collect();
    let size = x.tile_elements();
    Parallel::Rayon.for_each_chunk(ChunksMut::new(x.data_mut(), size), |tile, x| {
        for (column, token) in (tile * TILE..batch.tokens()).take(TILE).enumerate() {
            let word = tables.word.row(batch.ids()[token] as usize);
            let position = tables.position.row(positions[token]);
            let token_type = tables.token_type.row(batch.types()[token] as usize);
            for (feature, ((word, position), token_type)) in word.iter().zip(position).zip(token_type).enumerate() {
                x[feature * TILE + column] = word + position + token_type;
            }
        }
    });
    Ok(x)
}
