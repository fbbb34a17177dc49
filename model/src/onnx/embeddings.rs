//! Embeddings: a sum of rows of tables, normalised, and perhaps projected.

use super::chain::Pass;
use super::fold::dequantize;
use super::graph::Graph;
use super::node::{input, output, whole};
use super::norm::Norm;
use super::product::Product;
use crate::config::EncoderConfig;
use crate::error::Result;
use crate::matrix::Matrix;
use crate::proto::NodeProto;
use crate::weights::EmbeddingWeights;

/// Most summands of the embeddings.
const MAX_SUMMANDS: usize = 8;
/// Most nodes between an input and the index of a table.
const MAX_STEPS: usize = 4096;

/// The embeddings as nodes.
pub(super) struct Embeddings<'g> {
    pub(super) norm: Norm<'g>,
    pub(super) projection: Option<Product<'g>>,
    pub(super) tables: Vec<Table<'g>>,
}

/// A summand.
#[derive(Clone, Copy)]
pub(super) struct Table<'g> {
    /// The rows, or the rows' codes.
    rows: &'g str,
    /// DequantizeLinear of what was looked up.
    dequantize: Option<&'g NodeProto>,
    /// Which rows; none where they are added in order, one to a token.
    pub(super) index: Option<&'g str>,
    /// The row of the first token in that case.
    first: usize,
    value: &'g str,
}

/// Where the index of a table comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Index {
    Word,
    Position,
    TokenType,
}

impl Graph {
    /// The embeddings that are the input of the first layer.
    pub(super) fn embeddings<'g>(&'g self, value: &'g str) -> Result<Embeddings<'g>> {
        let root = self.root(value);
        let (projection, before) = match self.norm(root) {
            Some(_) => (None, root),
            None => {
                let product = self.product(root).ok_or_else(|| {
                    self.stop(
                        root,
                        "a layer normalisation: of a residual sum, or of embeddings; or embeddings that are projected",
                    )
                })?;
                let before = product.input;
                (Some(product), before)
            }
        };
        let norm = self.norm(before).ok_or_else(|| self.stop(before, "the layer normalisation of embeddings"))?;
        let mut tables = Vec::new();
        self.summands(norm.input, &mut tables)?;
        Ok(Embeddings { norm, projection, tables })
    }

    fn summands<'g>(&'g self, value: &'g str, tables: &mut Vec<Table<'g>>) -> Result<()> {
        let mut open = vec![value];
        while let Some(start) = open.pop() {
            if tables.len() + open.len() > MAX_SUMMANDS {
                return Err(self.stop_with(value, format!("more than {MAX_SUMMANDS} summands"), "two or three").into());
            }
            let (mut at, mut by) = (start, None);
            loop {
                let node = self.maker(at).filter(|_| !self.is_constant(at));
                match node.map(|node| (&*node.op_type, node)) {
                    Some(("Add", node)) if self.is_tainted(at) => {
                        open.extend([input(node, 0), input(node, 1)].into_iter().flatten());
                        break;
                    }
                    Some(("Gather", node)) if whole(node, "axis").unwrap_or(0) == 0 => {
                        if let (Some(rows), index @ Some(_)) =
                            (input(node, 0).filter(|rows| self.is_constant(rows)), input(node, 1))
                        {
                            tables.push(Table { rows, dequantize: by, index, first: 0, value: at });
                            break;
                        }
                    }
                    Some(("DequantizeLinear", node)) => by = Some(node),
                    Some(("QuantizeLinear", _)) => by = None,
                    // The first rows of a table, one to a token.
                    Some(("Slice", node)) => {
                        if let Some(rows) = input(node, 0).filter(|rows| self.is_constant(rows)) {
                            let start = input(node, 1).and_then(|start| self.wholes(start));
                            let Some(first) = start.and_then(|start| usize::try_from(*start.first()?).ok()) else {
                                return Err(self
                                    .stop_with(at, "a start that is not known", "rows from a constant one on")
                                    .into());
                            };
                            tables.push(Table { rows, dequantize: by, index: None, first, value: at });
                            break;
                        }
                    }
                    None if self.is_constant(at) => {
                        tables.push(Table { rows: at, dequantize: by, index: None, first: 0, value: at });
                        break;
                    }
                    _ => {}
                }
                at = match self.pass(at) {
                    Some((before, Pass::Same | Pass::Reshape(_) | Pass::Quantise(_))) => before,
                    _ => return Err(self.stop(at, "rows of a constant table, by Gather or Slice").into()),
                };
            }
        }
        Ok(())
    }

    /// The tables, compared with the configuration.
    pub(super) fn load_embeddings(
        &self,
        found: &Embeddings<'_>,
        config: &EncoderConfig,
        one_type: Option<usize>,
        notes: &mut Vec<String>,
    ) -> Result<EmbeddingWeights> {
        let features = config.embedding_features();
        // Rows before that of the first token belong to none.
        let mut skipped = config.position_offset;
        let (mut word, mut position, mut token_type) = (None, None, None);
        for table in &found.tables {
            let matrix = self.table(table, features)?;
            let (slot, what) = match self.index(table, matrix.rows, config)? {
                Index::Word => (&mut word, "word embeddings"),
                Index::Position => {
                    if table.index.is_none() {
                        skipped = table.first;
                    }
                    (&mut position, "position embeddings")
                }
                Index::TokenType => (&mut token_type, "token type embeddings"),
            };
            if slot.replace(matrix).is_some() {
                return Err(self.stop_with(table.value, format!("{what} a second time"), "each table once").into());
            }
        }
        let end = found.norm.input;
        let need = |matrix: Option<Matrix>, what: &str, rows: usize, setting: &str| -> Result<Matrix> {
            let matrix = matrix.ok_or_else(|| self.stop_with(end, format!("no {what}"), "one such table"))?;
            match matrix.rows == rows {
                true => Ok(matrix),
                false => {
                    Err(self.differs(format!("rows of the {what}"), matrix.rows, format!("{setting} {rows}")).into())
                }
            }
        };
        let positions = config.max_position + skipped;
        let mut position = need(position, "position embeddings", positions, "max_position_embeddings")?;
        position.data.drain(..skipped * features);
        position.rows = config.max_position;
        // A type that all tokens have.
        if let Some((table, of)) = token_type.as_mut().zip(one_type).filter(|(table, _)| table.rows > 1) {
            let Some(row) = table.data.get(of * features..(of + 1) * features).map(<[f32]>::to_vec) else {
                return Err(self
                    .stop_with(found.norm.input, format!("tokens of type {of}"), "a row of the table")
                    .into());
            };
            (table.rows, table.data) = (1, row);
        }
        // A row that is added to every token, whatever its type.
        if let Some(one) = token_type.as_mut().filter(|table| table.rows == 1 && config.type_vocab_size > 1) {
            one.data = one.data.repeat(config.type_vocab_size);
            one.rows = config.type_vocab_size;
            notes.push(format!(
                "the graph adds one row to all tokens, where config.json counts {} token types: token types make no difference",
                config.type_vocab_size
            ));
        }
        Ok(EmbeddingWeights {
            word: need(word, "word embeddings", config.vocab_size, "vocab_size")?,
            position,
            token_type: match (config.type_vocab_size, token_type) {
                // What exporters leave out where there is nothing to choose.
                (1, None) => Matrix::zeros(1, features),
                (_, token_type) => {
                    need(token_type, "token type embeddings", config.type_vocab_size, "type_vocab_size")?
                }
            },
            norm: self.load_norm(&found.norm, "the layer normalisation of the embeddings", features)?,
            projection: None,
        })
    }

    fn table(&self, table: &Table<'_>, features: usize) -> Result<Matrix> {
        let mut constant = self.fold(table.rows)?;
        if let Some(node) = table.dequantize {
            let operand = |i| input(node, i).map(|name| self.fold(name)).transpose();
            let scale = operand(1)?.ok_or_else(|| self.stop(output(node), "a scale"))?;
            let zero = operand(2)?.map(|zero| zero.tensor);
            constant = dequantize(&constant.tensor, &scale.tensor, zero.as_deref(), -1)
                .map_err(|found| self.stop_with(output(node), found, "one scale, or one per feature"))?;
        }
        let dims = &constant.tensor.dims;
        let elements = constant.tensor.data.len();
        if dims.last() != Some(&features) {
            let what = format!("features of an embedding table, {}", self.describe(table.value));
            return Err(self.differs(what, format!("the shape {dims:?}"), features).into());
        }
        let values = self.finite(&constant.tensor, table.value, "an embedding table")?;
        Ok(Matrix { rows: elements / features.max(1), cols: features, data: values.to_vec() })
    }

    /// Which table it is.
    pub(super) fn kind(&self, table: &Table<'_>, config: &EncoderConfig) -> Result<Index> {
        let rows = match self.constant_dims(table.rows, 0) {
            Some(dims) => {
                dims.iter().rev().skip(1).fold(1usize, |n, &d| n.saturating_mul(usize::try_from(d).unwrap_or(0)))
            }
            None => self.table(table, config.embedding_features())?.rows,
        };
        self.index(table, rows, config)
    }

    /// Which table it is. The nodes that make its index decide, and where these are ambiguous its number of rows.
    fn index(&self, table: &Table<'_>, rows: usize, config: &EncoderConfig) -> Result<Index> {
        let skipped = if table.index.is_some() { config.position_offset } else { table.first };
        let positions = config.max_position + skipped;
        let by_rows = |or: Index| match rows {
            rows if rows == positions && rows != config.type_vocab_size => Index::Position,
            rows if rows == config.type_vocab_size && rows != positions => Index::TokenType,
            _ => or,
        };
        let Some(index) = table.index else {
            let is_one = rows == 1 && positions != 1 && table.first == 0;
            return Ok(if is_one { Index::TokenType } else { by_rows(Index::Position) });
        };
        let mut direct = index;
        while let Some(node) = self.maker(direct) {
            match (&*node.op_type, input(node, 0)) {
                ("Cast" | "Identity" | "Reshape" | "Squeeze" | "Unsqueeze", Some(before)) => direct = before,
                _ => break,
            }
        }
        if self.is_input(direct) {
            let name = direct.to_ascii_lowercase();
            return Ok(match () {
                () if name.contains("type") || name.contains("segment") => Index::TokenType,
                () if name.contains("position") => Index::Position,
                () if name.contains("input_ids") || rows == config.vocab_size => Index::Word,
                () => by_rows(Index::Word),
            });
        }
        let padding = self.counted_from(index);
        if let Some(padding) = padding {
            // Positions are counted from the padding index, for tokens that are no padding.
            if padding + 1 != config.position_offset as i64 {
                let what = format!("the position of the first token, {}", self.describe(table.value));
                return Err(self.differs(what, padding + 1, config.position_offset).into());
            }
            return Ok(Index::Position);
        }
        let found = by_rows(Index::Position);
        if found == Index::Position && config.position_offset > 0 {
            let found = "positions that are not counted from the padding index";
            return Err(self.stop_with(index, found, "CumSum over the tokens that are no padding").into());
        }
        Ok(found)
    }

    /// For positions that are counted: what is added to the count of tokens.
    fn counted_from(&self, index: &str) -> Option<i64> {
        let (mut open, mut steps, mut counted, mut added) = (vec![index], 0, false, 0);
        while let Some(value) = open.pop() {
            steps += 1;
            let Some(node) = self.maker(value).filter(|_| steps <= MAX_STEPS) else { continue };
            match &*node.op_type {
                "CumSum" => counted = true, // what it counts is not looked at
                // How many tokens came before: 0.
                "Add" if self.maker(value).is_some() && !counted => {
                    let constant = node.input.iter().find_map(|x| self.wholes(x)?.first().copied());
                    added += constant.unwrap_or(0);
                    open.extend(node.input.iter().map(String::as_str));
                }
                "Shape" | "Constant" | "Where" | "Expand" => {}
                _ => open.extend(node.input.iter().map(String::as_str)),
            }
        }
        counted.then_some(added)
    }
}
