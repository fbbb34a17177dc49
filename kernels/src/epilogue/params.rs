//! Row parameters as the kernels read them: one record per row block of four output features.

use bytes::Bytes;

use super::desc::{Arithmetic, Epilogue};
use super::fixed::{self, FixedBlock, FixedGeluBlock, FixedReluBlock, FixedRow, StoredBlock};
use super::row::RowParams;
use crate::{Activation, KernelError, SharedSlice, Store};

/// Output features per record.
const ROWS: usize = 4;

/// The section of packed weights that they are.
pub(crate) const PARAMS: &str = "params";

/// Parameters of all row blocks of a layer, in the form that its epilogue reads.
#[derive(Debug, Clone)]
pub(crate) enum BlockParams {
    /// [`Arithmetic::F32`].
    Float(SharedSlice<[RowParams; ROWS]>),
    /// [`Arithmetic::I16`] without activation.
    Fixed(SharedSlice<FixedBlock>),
    /// [`Arithmetic::I16`] with ReLU.
    FixedRelu(SharedSlice<FixedReluBlock>),
    /// [`Arithmetic::I16`] with GELU.
    FixedGelu(SharedSlice<FixedGeluBlock>),
}

/// Parameters of one row block.
#[derive(Clone, Copy)]
pub(crate) enum BlockParam<'a> {
    Float(&'a [RowParams; ROWS]),
    Fixed(&'a FixedBlock),
    FixedRelu(&'a FixedReluBlock),
    FixedGelu(&'a FixedGeluBlock),
}

impl BlockParams {
    /// Packs the parameters of the output features of a K = `k` product for row blocks of these features. Features beyond the
    /// last are zeros.
    ///
    /// # Errors
    /// Those of [`Epilogue::check`].
    pub(crate) fn pack(
        epilogue: &Epilogue,
        params: &[RowParams],
        blocks: impl Iterator<Item = [usize; ROWS]>,
        k: usize,
        kernel: &str,
    ) -> Result<BlockParams, KernelError> {
        epilogue.check_form(kernel)?;
        RowParams::check(params, k, kernel)?;
        let (Arithmetic::I16, Store::Bytes { sign, .. }) = (epilogue.arithmetic, epilogue.sink.store) else {
            return Ok(BlockParams::Float(blocks.map(|b| four(params, b)).collect()));
        };
        let rows = fixed::rows(params, k, epilogue.sink.activation, sign, kernel)?;
        Ok(match epilogue.sink.activation {
            Activation::Identity => BlockParams::Fixed(blocks.map(|b| (&four(&rows, b)).into()).collect()),
            Activation::Relu => BlockParams::FixedRelu(blocks.map(|b| (&four(&rows, b)).into()).collect()),
            Activation::Gelu | Activation::GeluTanh => {
                BlockParams::FixedGelu(blocks.map(|b| (&four(&rows, b)).into()).collect())
            }
        })
    }

    /// Borrows the parameters of row blocks of these features, of a product of `m` features and K = `k`, from `bytes`.
    ///
    /// # Errors
    /// [`KernelError::Section`] for bytes of another length, or that [`BlockParams::pack`] would not write.
    pub(crate) fn shared(
        epilogue: &Epilogue,
        bytes: Bytes,
        features: impl ExactSizeIterator<Item = [usize; ROWS]>,
        (m, k): (usize, usize),
        kernel: &str,
    ) -> Result<BlockParams, KernelError> {
        epilogue.check_form(kernel)?;
        let error =
            |found, expected| KernelError::Section { kernel: kernel.to_owned(), section: PARAMS, found, expected };
        let blocks = features.len();
        let expected = blocks * BlockParams::stride(epilogue) as usize;
        if bytes.len() != expected {
            let expected = format!("{expected} for {blocks} row blocks");
            return Err(error(format!("{} bytes", bytes.len()), expected));
        }
        let activation = epilogue.sink.activation;
        let params = match (epilogue.arithmetic, activation) {
            (Arithmetic::F32, _) => BlockParams::Float(SharedSlice::shared(bytes, kernel, PARAMS)?),
            (Arithmetic::I16, Activation::Identity) => BlockParams::Fixed(SharedSlice::shared(bytes, kernel, PARAMS)?),
            (Arithmetic::I16, Activation::Relu) => BlockParams::FixedRelu(SharedSlice::shared(bytes, kernel, PARAMS)?),
            (Arithmetic::I16, Activation::Gelu | Activation::GeluTanh) => {
                BlockParams::FixedGelu(SharedSlice::shared(bytes, kernel, PARAMS)?)
            }
        };
        if let BlockParams::Float(blocks) = &params {
            RowParams::check(blocks.as_flattened(), k, kernel)?;
        }
        let is_inside = |features: [usize; ROWS]| features.map(|feature| feature < m);
        for (block, features) in features.enumerate() {
            let wrong = match &params {
                BlockParams::Float(blocks) => wrong_float(&blocks[block], is_inside(features)),
                BlockParams::Fixed(blocks) => wrong_fixed(&blocks[block], is_inside(features), k, activation),
                BlockParams::FixedRelu(blocks) => wrong_fixed(&blocks[block], is_inside(features), k, activation),
                BlockParams::FixedGelu(blocks) => wrong_fixed(&blocks[block], is_inside(features), k, activation),
            };
            if let Some(found) = wrong {
                let expected = "what parameters become, repeated words alike, and zeros for features beyond M";
                return Err(error(format!("{found} in row block {block}"), expected.into()));
            }
        }
        Ok(params)
    }

    /// All of them as bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            BlockParams::Float(blocks) => bytemuck::cast_slice(blocks),
            BlockParams::Fixed(blocks) => bytemuck::cast_slice(blocks),
            BlockParams::FixedRelu(blocks) => bytemuck::cast_slice(blocks),
            BlockParams::FixedGelu(blocks) => bytemuck::cast_slice(blocks),
        }
    }

    /// Bytes from one row block's parameters to the next.
    pub(crate) fn stride(epilogue: &Epilogue) -> i32 {
        let bytes = match (epilogue.arithmetic, epilogue.sink.activation) {
            (Arithmetic::F32, _) => size_of::<[RowParams; ROWS]>(),
            (Arithmetic::I16, Activation::Identity) => size_of::<FixedBlock>(),
            (Arithmetic::I16, Activation::Relu) => size_of::<FixedReluBlock>(),
            (Arithmetic::I16, Activation::Gelu | Activation::GeluTanh) => size_of::<FixedGeluBlock>(),
        };
        bytes as i32
    }

    /// The parameters of the `first` row block and those behind it.
    pub(crate) fn pointer(&self, first: usize) -> *const u8 {
        match self {
            BlockParams::Float(blocks) => blocks[first..].as_ptr().cast(),
            BlockParams::Fixed(blocks) => blocks[first..].as_ptr().cast(),
            BlockParams::FixedRelu(blocks) => blocks[first..].as_ptr().cast(),
            BlockParams::FixedGelu(blocks) => blocks[first..].as_ptr().cast(),
        }
    }

    /// The parameters of row block `i`.
    pub(crate) fn block(&self, i: usize) -> BlockParam<'_> {
        match self {
            BlockParams::Float(blocks) => BlockParam::Float(&blocks[i]),
            BlockParams::Fixed(blocks) => BlockParam::Fixed(&blocks[i]),
            BlockParams::FixedRelu(blocks) => BlockParam::FixedRelu(&blocks[i]),
            BlockParams::FixedGelu(blocks) => BlockParam::FixedGelu(&blocks[i]),
        }
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.as_bytes().len()
    }
}

/// The parameters of four features, zeros beyond the last.
fn four<T: Copy + Default>(params: &[T], features: [usize; ROWS]) -> [T; ROWS] {
    features.map(|feature| params.get(feature).copied().unwrap_or_default())
}

const BEYOND: &str = "numbers of a feature beyond M";

/// What is wrong with the numbers of four features, of which some are inside the matrix.
fn wrong_float(block: &[RowParams; ROWS], is_inside: [bool; ROWS]) -> Option<&'static str> {
    let mut beyond = block.iter().zip(is_inside).filter(|(_, inside)| !inside);
    beyond.any(|(row, _)| bytemuck::bytes_of(row) != bytemuck::bytes_of(&RowParams::default())).then_some(BEYOND)
}

/// The same of 16-bit arithmetic.
fn wrong_fixed<B: StoredBlock>(
    block: &B,
    is_inside: [bool; ROWS],
    k: usize,
    activation: Activation,
) -> Option<&'static str> {
    let Some(rows) = block.rows() else { return Some("repeated words that differ") };
    rows.iter().zip(is_inside).find_map(|(row, inside)| match inside {
        true if row.is_possible(k, activation) => None,
        true => Some("numbers that no parameters become"),
        false if *row == FixedRow::default() => None,
        false => Some(BEYOND),
    })
}
