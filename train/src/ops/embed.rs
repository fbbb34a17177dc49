//! The embeddings of tokens.

use lacuna_kernels::{ChunksMut, Parallel, TILE};
use lacuna_model::EmbeddingWeights;

use crate::batch::Batch;
use crate::error::check_size;
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

/// Adds the gradient of every token's embedding, `dx`, to its rows of the three tables.
///
/// # Numerics
/// The tokens of a row are added in order, so that the sums do not depend on the number of threads.
///
/// # Errors
/// [`Error::Size`] for gradients of other shapes; [`Error::Setting`] for an id, a type or a position that the tables do not have.
pub fn embed_backward(batch: &Batch, dx: &Tiles, gradients: &mut EmbeddingWeights) -> Result<()> {
    let EmbeddingWeights { word, position, token_type, .. } = gradients;
    check_size("columns of the gradient", dx.columns(), batch.tokens())?;
    for table in [&*word, position, token_type] {
        check_size("features of an embedding table", table.cols, dx.features())?;
    }
    let tokens = batch.ids().iter().zip(batch.types()).zip(batch.positions()).enumerate();
    for (token, ((&id, &token_type_id), place)) in tokens {
        for (table, row) in [(&mut *word, id as usize), (position, place), (token_type, token_type_id as usize)] {
            if row >= table.rows {
                let (setting, found) = ("row of an embedding table", row.to_string());
                return Err(Error::Setting { setting, found, expected: "a row that the table has" });
            }
            let values = table.row_mut(row).iter_mut().enumerate();
            values.for_each(|(feature, sum)| *sum += dx.at(feature, token));
        }
    }
    Ok(())
}
