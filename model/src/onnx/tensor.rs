//! Constants as typed arrays.

use prost::bytes::Bytes;

use super::file::GraphFile;
use crate::error::OnnxError;
use crate::error::Result;
use crate::proto::{DataLocation, DataType, TensorProto};

/// Most dimensions of a constant.
const MAX_RANK: usize = 8;

/// An array whose shape and length agree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    pub(super) dims: Vec<usize>,
    pub(super) data: Data,
}

/// Elements, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    /// f32, and what f16, bf16 and f64 become.
    Float(Vec<f32>),
    /// s8.
    Signed(Vec<i8>),
    /// u8.
    Unsigned(Vec<u8>),
    /// s16, u16, s32, u32, s64 and bool.
    Whole(Vec<i64>),
}

impl Data {
    pub(super) fn len(&self) -> usize {
        match self {
            Data::Float(values) => values.len(),
            Data::Signed(values) => values.len(),
            Data::Unsigned(values) => values.len(),
            Data::Whole(values) => values.len(),
        }
    }

    /// Every element as a whole number; none for floats.
    pub(super) fn wholes(&self) -> Option<Vec<i64>> {
        match self {
            Data::Float(_) => None,
            Data::Signed(values) => Some(values.iter().map(|&x| x.into()).collect()),
            Data::Unsigned(values) => Some(values.iter().map(|&x| x.into()).collect()),
            Data::Whole(values) => Some(values.clone()),
        }
    }
}

impl Tensor {
    /// An array of one dimension, or of none.
    pub(super) fn of(dims: Vec<usize>, data: Data) -> Tensor {
        Tensor { dims, data }
    }

    /// A constant of a file. Nothing is allocated before its length is found to be what its shape and type need.
    pub(super) fn read(file: &GraphFile, proto: &TensorProto) -> Result<Tensor> {
        let wrong = |found: String, expected: String| OnnxError::Tensor {
            path: file.path.clone(),
            tensor: proto.name.clone(),
            found,
            expected,
        };
        let dims: Option<Vec<usize>> = proto.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let elements = dims.iter().flatten().try_fold(1usize, |n, &d| n.checked_mul(d));
        let (Some(dims), Some(elements)) = (dims, elements) else {
            return Err(
                wrong(format!("the shape {:?}", shortened(&proto.dims)), "sizes that fit in memory".into()).into()
            );
        };
        if dims.len() > MAX_RANK {
            return Err(wrong(format!("{} dimensions", dims.len()), format!("at most {MAX_RANK}")).into());
        }
        let Ok(kind) = DataType::try_from(proto.data_type) else {
            return Err(wrong(format!("the element type {}", proto.data_type), "a type of ONNX 1.12".into()).into());
        };
        let Some(size) = element_size(kind) else {
            return Err(wrong(format!("elements of type {kind:?}"), "numbers or bool".into()).into());
        };
        let shape = || format!("{elements} for the shape {dims:?}");
        let external = proto.data_location == Some(DataLocation::External.into());
        let raw: Option<Bytes> = if external { Some(file.external(proto)?) } else { proto.raw_data.clone() };
        let data = match raw {
            Some(raw) => {
                if elements.checked_mul(size) != Some(raw.len()) {
                    let found = format!("{} bytes of {kind:?}", raw.len());
                    return Err(wrong(found, format!("{size} x {}", shape())).into());
                }
                from_bytes(kind, &raw)
            }
            None => {
                let stored = fields(kind, proto);
                if stored.len() != elements {
                    return Err(wrong(format!("{} elements of {kind:?}", stored.len()), shape()).into());
                }
                stored
            }
        };
        Ok(Tensor { dims, data })
    }

    /// The one element of an array that has one, as a number.
    pub(super) fn scalar(&self) -> Option<f32> {
        if self.data.len() != 1 {
            return None;
        }
        match &self.data {
            Data::Float(values) => values.first().copied(),
            other => other.wholes()?.first().map(|&x| x as f32),
        }
    }

    /// The elements as f32; none for integers.
    pub(super) fn floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Float(values) => Some(values),
            _ => None,
        }
    }
}

/// Whether an element type of ONNX, by its number, is one of floats.
pub(super) fn is_float(kind: i64) -> bool {
    let floats = [DataType::Float, DataType::Float16, DataType::Bfloat16, DataType::Double];
    floats.into_iter().any(|float| i64::from(i32::from(float)) == kind)
}

/// The dimensions that an error shows.
fn shortened(dims: &[i64]) -> &[i64] {
    &dims[..dims.len().min(MAX_RANK)]
}

fn element_size(kind: DataType) -> Option<usize> {
    match kind {
        DataType::Uint8 | DataType::Int8 | DataType::Bool => Some(1),
        DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16 => Some(2),
        DataType::Float | DataType::Int32 | DataType::Uint32 => Some(4),
        DataType::Double | DataType::Int64 | DataType::Uint64 => Some(8),
        DataType::Undefined | DataType::String | DataType::Complex64 | DataType::Complex128 => None,
    }
}

fn from_bytes(kind: DataType, bytes: &[u8]) -> Data {
    fn each<const N: usize, T>(bytes: &[u8], element: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|bytes| element(*bytes)).collect()
    }
    match kind {
        DataType::Float => Data::Float(each(bytes, f32::from_le_bytes)),
        DataType::Float16 => Data::Float(each(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
        DataType::Bfloat16 => Data::Float(each(bytes, |b| half::bf16::from_le_bytes(b).to_f32())),
        DataType::Double => Data::Float(each(bytes, |b| f64::from_le_bytes(b) as f32)),
        DataType::Int8 => Data::Signed(each(bytes, i8::from_le_bytes)),
        DataType::Uint8 => Data::Unsigned(bytes.to_vec()),
        DataType::Int16 => Data::Whole(each(bytes, |b| i16::from_le_bytes(b).into())),
        DataType::Uint16 => Data::Whole(each(bytes, |b| u16::from_le_bytes(b).into())),
        DataType::Int32 => Data::Whole(each(bytes, |b| i32::from_le_bytes(b).into())),
        DataType::Uint32 => Data::Whole(each(bytes, |b| u32::from_le_bytes(b).into())),
        DataType::Uint64 => Data::Whole(each(bytes, |b| i64::try_from(u64::from_le_bytes(b)).unwrap_or(i64::MAX))),
        DataType::Int64 => Data::Whole(each(bytes, i64::from_le_bytes)),
        _ => Data::Whole(each(bytes, |b: [u8; 1]| i64::from(b[0]))),
    }
}

/// Elements that are stored as numbers, each wider than its type.
fn fields(kind: DataType, proto: &TensorProto) -> Data {
    let bits = |element: fn(u16) -> f32| Data::Float(proto.int32_data.iter().map(|&x| element(x as u16)).collect());
    match kind {
        DataType::Float => Data::Float(proto.float_data.clone()),
        DataType::Double => Data::Float(proto.double_data.iter().map(|&x| x as f32).collect()),
        DataType::Float16 => bits(|x| half::f16::from_bits(x).to_f32()),
        DataType::Bfloat16 => bits(|x| half::bf16::from_bits(x).to_f32()),
        DataType::Int8 => Data::Signed(proto.int32_data.iter().map(|&x| x as i8).collect()),
        DataType::Uint8 => Data::Unsigned(proto.int32_data.iter().map(|&x| x as u8).collect()),
        DataType::Int64 => Data::Whole(proto.int64_data.clone()),
        DataType::Uint32 | DataType::Uint64 => {
            Data::Whole(proto.uint64_data.iter().map(|&x| i64::try_from(x).unwrap_or(i64::MAX)).collect())
        }
        _ => Data::Whole(proto.int32_data.iter().map(|&x| x.into()).collect()),
    }
}
