//! Row parameters as the kernels read them: one record per block row of four output features.

use super::fixed::{self, FixedBlock, FixedGeluBlock, FixedReluBlock};
use super::{Activation, Arithmetic, Epilogue, RowParams, Store};
use crate::KernelError;

/// Output features per record.
const ROWS: usize = 4;

/// Parameters of all block rows of a layer, in the form that its epilogue reads.
#[derive(Debug, Clone)]
pub(crate) enum BlockParams {
    /// [`Arithmetic::F32`].
    Float(Vec<[RowParams; ROWS]>),
    /// [`Arithmetic::I16`] without activation.
    Fixed(Vec<FixedBlock>),
    /// [`Arithmetic::I16`] with ReLU.
    FixedRelu(Vec<FixedReluBlock>),
    /// [`Arithmetic::I16`] with GELU.
    FixedGelu(Vec<FixedGeluBlock>),
}

/// Parameters of one block row.
#[derive(Clone, Copy)]
pub(crate) enum BlockParam<'a> {
    Float(&'a [RowParams; ROWS]),
    Fixed(&'a FixedBlock),
    FixedRelu(&'a FixedReluBlock),
    FixedGelu(&'a FixedGeluBlock),
}

impl BlockParams {
    /// Packs the parameters of the output features of a K = `k` product for block rows of these features. Features beyond the
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
        let (Arithmetic::I16, Store::Bytes { sign, .. }) = (epilogue.arithmetic, epilogue.store) else {
            return Ok(BlockParams::Float(blocks.map(|b| four(params, b)).collect()));
        };
        let rows = fixed::rows(params, k, epilogue.activation, sign, kernel)?;
        Ok(match epilogue.activation {
            Activation::Identity => BlockParams::Fixed(blocks.map(|b| (&four(&rows, b)).into()).collect()),
            Activation::Relu => BlockParams::FixedRelu(blocks.map(|b| (&four(&rows, b)).into()).collect()),
            Activation::Gelu | Activation::GeluTanh => {
                BlockParams::FixedGelu(blocks.map(|b| (&four(&rows, b)).into()).collect())
            }
        })
    }

    /// Bytes from one block row's parameters to the next.
    pub(crate) fn stride(epilogue: &Epilogue) -> i32 {
        let bytes = match (epilogue.arithmetic, epilogue.activation) {
            (Arithmetic::F32, _) => size_of::<[RowParams; ROWS]>(),
            (Arithmetic::I16, Activation::Identity) => size_of::<FixedBlock>(),
            (Arithmetic::I16, Activation::Relu) => size_of::<FixedReluBlock>(),
            (Arithmetic::I16, Activation::Gelu | Activation::GeluTanh) => size_of::<FixedGeluBlock>(),
        };
        bytes as i32
    }

    /// The parameters of the `first` block row and those behind it.
    pub(crate) fn pointer(&self, first: usize) -> *const u8 {
        match self {
            BlockParams::Float(blocks) => blocks[first..].as_ptr().cast(),
            BlockParams::Fixed(blocks) => blocks[first..].as_ptr().cast(),
            BlockParams::FixedRelu(blocks) => blocks[first..].as_ptr().cast(),
            BlockParams::FixedGelu(blocks) => blocks[first..].as_ptr().cast(),
        }
    }

    /// The parameters of block row `i`.
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
        match self {
            BlockParams::Float(blocks) => size_of_val(&blocks[..]),
            BlockParams::Fixed(blocks) => size_of_val(&blocks[..]),
            BlockParams::FixedRelu(blocks) => size_of_val(&blocks[..]),
            BlockParams::FixedGelu(blocks) => size_of_val(&blocks[..]),
        }
    }
}

/// The parameters of four features, zeros beyond the last.
fn four<T: Copy + Default>(params: &[T], features: [usize; ROWS]) -> [T; ROWS] {
    features.map(|feature| params.get(feature).copied().unwrap_or_default())
}
