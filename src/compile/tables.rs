//! The embedding tables, wherever they are.

use std::sync::Arc;

use bytes::Bytes;
use lacuna_kernels::{KernelError, SharedSlice};
use lacuna_model::{EmbeddingWeights, EncoderConfig, Matrix};

use super::byte_table::ByteTable;
use crate::container::{PackedError, PackedFile, Sections};

/// The embedding tables, each `[rows][E]`: borrowed from the f32 model or from a mapped file.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(crate) word: SharedSlice<f32>,
    pub(crate) token_type: SharedSlice<f32>,
    pub(crate) position: SharedSlice<f32>,
    /// The word and the position table as a file holds them in bytes, if it does; then the values above are theirs.
    bytes: Option<[ByteTable; 2]>,
}

/// The name of the word table's section, which a head may use too.
pub(crate) const WORD: &str = "word";
const TOKEN_TYPE: &str = "token_type";
const POSITION: &str = "position";

impl Tables {
    /// Those of a model.
    pub(crate) fn of(weights: &Arc<EmbeddingWeights>) -> Result<Tables, KernelError> {
        let table = |matrix: fn(&EmbeddingWeights) -> &Matrix| {
            let owner = Owner { weights: Arc::clone(weights), matrix };
            SharedSlice::shared(Bytes::from_owner(owner), "embedding", "table")
        };
        Ok(Tables {
            word: table(|weights| &weights.word)?,
            token_type: table(|weights| &weights.token_type)?,
            position: table(|weights| &weights.position)?,
            bytes: None,
        })
    }

    /// The same with the word and the position table rounded to a byte per value, and stored so.
    pub(crate) fn in_bytes(self, features: usize) -> Tables {
        let bytes = [&self.word, &self.position].map(|table| ByteTable::of(table, features));
        Tables::of_bytes(bytes, self.token_type)
    }

    fn of_bytes(bytes: [ByteTable; 2], token_type: SharedSlice<f32>) -> Tables {
        let [word, position] = bytes.each_ref().map(ByteTable::values);
        Tables { word, token_type, position, bytes: Some(bytes) }
    }

    /// Whether files hold the word and the position table in bytes.
    pub(crate) fn are_small(&self) -> bool {
        self.bytes.is_some()
    }

    pub(crate) fn save<'a>(&'a self, sections: &mut Sections<'a>) {
        match &self.bytes {
            None => sections.add(WORD, &self.word),
            Some([word, _]) => word.save(WORD, sections),
        }
        sections.add(TOKEN_TYPE, &self.token_type);
        match &self.bytes {
            None => sections.add(POSITION, &self.position),
            Some([_, position]) => position.save(POSITION, sections),
        }
    }

    pub(crate) fn load(file: &PackedFile, config: &EncoderConfig) -> Result<Tables, PackedError> {
        let features = config.embedding_features();
        let token_type = file.stored(TOKEN_TYPE, config.type_vocab_size.saturating_mul(features))?;
        if ByteTable::is_in(file, WORD) {
            let word = ByteTable::load(file, WORD, config.vocab_size, features)?;
            let position = ByteTable::load(file, POSITION, config.max_position, features)?;
            return Ok(Tables::of_bytes([word, position], token_type));
        }
        Ok(Tables {
            word: file.stored(WORD, config.vocab_size.saturating_mul(features))?,
            token_type,
            position: file.stored(POSITION, config.max_position.saturating_mul(features))?,
            bytes: None,
        })
    }
}

/// A table as bytes, and what keeps it.
struct Owner {
    weights: Arc<EmbeddingWeights>,
    matrix: fn(&EmbeddingWeights) -> &Matrix,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&(self.matrix)(&self.weights).data)
    }
}
