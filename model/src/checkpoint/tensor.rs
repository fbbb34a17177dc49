//! A tensor of a weight file.

use std::path::Path;

use safetensors::Dtype;

use super::convert;
#[cfg(feature = "torch")]
use super::text::printable;
use crate::error::{Error, Result, WeightError};

/// A tensor that is described, but not read yet.
pub(super) struct FileTensor<'a> {
    /// The file that holds it.
    pub(super) path: &'a Path,
    /// Its name in the file.
    pub(super) name: &'a str,
    /// Element type.
    pub(super) dtype: Dtype,
    /// Shape; empty for a scalar.
    pub(super) shape: &'a [usize],
    /// Length in bytes when contiguous.
    pub(super) bytes: usize,
    data: Data<'a>,
}

enum Data<'a> {
    Mapped(&'a [u8]),
    #[cfg(feature = "torch")]
    Torch(&'a pytorch_reader::Tensor),
}

impl<'a> FileTensor<'a> {
    /// A tensor whose bytes are in memory: little-endian, row-major.
    pub(super) fn mapped(path: &'a Path, name: &'a str, dtype: Dtype, shape: &'a [usize], data: &'a [u8]) -> Self {
        Self { path, name, dtype, shape, bytes: data.len(), data: Data::Mapped(data) }
    }

    #[cfg(feature = "torch")]
    /// A tensor that `pytorch-reader` gathers from its storage when asked.
    pub(super) fn torch(path: &'a Path, dtype: Dtype, tensor: &'a pytorch_reader::Tensor) -> Self {
        let (name, shape, bytes) = (&tensor.name, tensor.shape(), tensor.byte_len());
        Self { path, name, dtype, shape, bytes, data: Data::Torch(tensor) }
    }

    /// Reads the tensor as f32 if it is of this shape and its values are finite.
    ///
    /// Nothing is read, nor memory taken, before shape and dtype are found right: a file of a few bytes can declare a tensor of
    /// many gigabytes.
    pub(super) fn read_f32(&self, shape: &[usize]) -> Result<Vec<f32>> {
        let (path, tensor) = (|| self.path.to_owned(), || self.name.to_owned());
        if !matches!(self.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64) {
            let found = format!("{:?}", self.dtype);
            return Err(Error::Weights(WeightError::TensorDtype { path: path(), tensor: tensor(), found }));
        }
        if self.shape != shape {
            let (found, expected) = (self.shape.to_vec(), shape.to_vec());
            return Err(Error::Weights(WeightError::TensorShape { path: path(), tensor: tensor(), found, expected }));
        }
        let (values, non_finite) = match self.data {
            Data::Mapped(bytes) => convert::to_f32(self.dtype, bytes),
            #[cfg(feature = "torch")]
            Data::Torch(stored) => {
                let bytes = stored.read().map_err(|error| {
                    Error::Weights(WeightError::TensorData {
                        path: path(),
                        tensor: tensor(),
                        reason: printable(&error),
                    })
                })?;
                convert::to_f32(self.dtype, &bytes)
            }
        };
        if non_finite > 0 {
            let first_index = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
            return Err(Error::Weights(WeightError::NonFiniteWeights {
                path: path(),
                tensor: tensor(),
                count: non_finite,
                first_index,
            }));
        }
        Ok(values)
    }
}
