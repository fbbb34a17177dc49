//! Tensors, in JSON and in bytes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// A tensor of a request.
#[derive(Debug, Deserialize)]
pub(super) struct InputTensor {
    pub(super) name: String,
    pub(super) shape: Vec<u64>,
    pub(super) datatype: String,
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
    #[serde(default)]
    pub(super) data: Option<Value>,
}

impl InputTensor {
    /// Its texts. `binary` are the bytes behind the JSON that no tensor before this one took.
    pub(super) fn texts(&self, binary: &mut &[u8]) -> Result<Vec<String>> {
        let wrong = |reason: String| Error::Invalid { reason: format!("input {:?}: {reason}", self.name) };
        if self.datatype != "BYTES" {
            return Err(wrong(format!("found datatype {:?}; expected \"BYTES\"", self.datatype)));
        }
        let texts = match (self.parameters.get("binary_data_size"), &self.data) {
            (Some(size), None) => {
                let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.filter(|&size| size <= binary.len());
                let size = size.ok_or_else(|| {
                    wrong(format!("found a wrong `binary_data_size`; expected at most the {} bytes left", binary.len()))
                })?;
                let (mine, rest) = binary.split_at(size);
                *binary = rest;
                of_bytes(mine).map_err(wrong)?
            }
            (None, Some(data)) => {
                let mut texts = Vec::new();
                of_json(data, &mut texts).map_err(wrong)?;
                texts
            }
            _ => return Err(wrong("expected either `data` or `binary_data_size`".into())),
        };
        let expected = self.shape.iter().try_fold(1_u64, |product, &n| product.checked_mul(n));
        match expected == u64::try_from(texts.len()).ok() {
            true => Ok(texts),
            false => Err(wrong(format!("found {} values; expected those of shape {:?}", texts.len(), self.shape))),
        }
    }
}

/// Strings, perhaps in lists of lists.
fn of_json(data: &Value, texts: &mut Vec<String>) -> Result<(), String> {
    match data {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(all) => all.iter().try_for_each(|data| of_json(data, texts))?,
        other => return Err(format!("found {other}; expected strings")),
    }
    Ok(())
}

/// Each element is its length, four bytes little-endian, and that many bytes of UTF-8.
fn of_bytes(mut bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or("found a length of less than 4 bytes")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (text, rest) = rest.split_at_checked(length).ok_or("found an element that is longer than the data")?;
        texts.push(std::str::from_utf8(text).map_err(|_| "found bytes that are not UTF-8")?.to_owned());
        bytes = rest;
    }
    Ok(texts)
}

/// Values of a response.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    Floats(Vec<f32>),
    Texts(Vec<String>),
}

/// A tensor of a response.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OutputTensor {
    pub(super) name: &'static str,
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

/// What the JSON says of a tensor of a response.
#[derive(Debug, Serialize)]
pub(super) struct Described {
    name: &'static str,
    datatype: &'static str,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

impl OutputTensor {
    /// In JSON; the values are there or in `binary`.
    pub(super) fn describe(self, is_binary: bool, binary: &mut Vec<u8>) -> Described {
        let OutputTensor { name, shape, values } = self;
        let datatype = match &values {
            Values::Floats(_) => "FP32",
            Values::Texts(_) => "BYTES",
        };
        if !is_binary {
            let data = match values {
                Values::Floats(floats) => json!(floats),
                Values::Texts(texts) => json!(texts),
            };
            return Described { name, datatype, shape, parameters: None, data: Some(data) };
        }
        let before = binary.len();
        match values {
            Values::Floats(floats) => floats.iter().for_each(|value| binary.extend(value.to_le_bytes())),
            Values::Texts(texts) => texts.iter().for_each(|text| {
                binary.extend((text.len() as u32).to_le_bytes()); // labels are short
                binary.extend(text.as_bytes());
            }),
        }
        let parameters = Some(json!({ "binary_data_size": binary.len() - before }));
        Described { name, datatype, shape, parameters, data: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_lengths_and_bytes() {
        assert_eq!(of_bytes(b"\x02\0\0\0ab\0\0\0\0"), Ok(vec!["ab".to_owned(), String::new()]));
        assert_eq!(of_bytes(b""), Ok(vec![]));
        for wrong in [&b"\x02\0\0\0a"[..], b"\x02\0\0", b"\xff\xff\xff\xffa", b"\x01\0\0\0\xff"] {
            assert!(of_bytes(wrong).is_err(), "{wrong:?}");
        }
    }
}
