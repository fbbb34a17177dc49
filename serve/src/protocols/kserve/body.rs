//! Requests and responses: JSON, and the values behind it.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::tensor::{Described, InputTensor, OutputTensor};
use crate::error::{Error, Result};
use crate::http::{bytes, refused};
use crate::server::Server;

/// How many bytes of a body are JSON; the rest are values.
const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// A request, and the bytes behind its JSON.
pub(super) struct InferBody {
    pub(super) request: InferRequest,
    pub(super) binary: Bytes,
}

/// The JSON of a request.
#[derive(Debug, Deserialize)]
pub(super) struct InferRequest {
    pub(super) id: Option<String>,
    #[serde(default)]
    parameters: Map<String, Value>,
    pub(super) inputs: Vec<InputTensor>,
    /// All without it.
    #[serde(default)]
    outputs: Vec<WantedTensor>,
}

/// A tensor that is asked for.
#[derive(Debug, Deserialize)]
struct WantedTensor {
    name: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

impl FromRequest<Arc<Server>> for InferBody {
    type Rejection = Error;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<InferBody> {
        let header = request.headers().get(&HEADER_LENGTH).cloned();
        let all = bytes(request, server).await?;
        let length = match header {
            None => all.len(),
            Some(value) => {
                let length = value.to_str().ok().and_then(|text| text.parse().ok());
                length.filter(|&length| length <= all.len()).ok_or_else(|| {
                    let found = String::from_utf8_lossy(value.as_bytes()).into_owned();
                    Error::invalid(HEADER_LENGTH.as_str(), found, "the number of bytes of JSON in the body")
                })?
            }
        };
        let request = serde_json::from_slice(&all[..length]).map_err(|error| refused(&error))?;
        Ok(InferBody { request, binary: all.slice(length..) })
    }
}

impl InferRequest {
    /// Whether values of an output go behind the JSON; none if the output is not wanted.
    fn is_binary(&self, name: &str) -> Option<bool> {
        let flag = |parameters: &Map<String, Value>, name: &str| parameters.get(name).and_then(Value::as_bool);
        let default = flag(&self.parameters, "binary_data_output").unwrap_or(false);
        if self.outputs.is_empty() {
            return Some(default);
        }
        let wanted = self.outputs.iter().find(|wanted| wanted.name == name)?;
        Some(flag(&wanted.parameters, "binary_data").unwrap_or(default))
    }

    /// Refuses outputs that the model does not have.
    pub(super) fn check_outputs(&self, known: &[&str]) -> Result<()> {
        match self.outputs.iter().find(|wanted| !known.contains(&&wanted.name[..])) {
            None => Ok(()),
            Some(wanted) => {
                Err(Error::invalid("outputs", format!("{:?}", wanted.name), &format!("of {}", known.join(", "))))
            }
        }
    }

    /// The response with these outputs.
    pub(super) fn respond(self, model: &str, tensors: Vec<OutputTensor>) -> Response {
        #[derive(Serialize)]
        struct InferResponse<'a> {
            model_name: &'a str,
            model_version: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a str>,
            outputs: Vec<Described>,
        }
        let mut binary = Vec::new();
        let describe = |tensor: OutputTensor| {
            let is_binary = self.is_binary(tensor.name)?;
            Some(tensor.describe(is_binary, &mut binary))
        };
        let outputs = tensors.into_iter().filter_map(describe).collect();
        let response = InferResponse { model_name: model, model_version: "1", id: self.id.as_deref(), outputs };
        if binary.is_empty() {
            return Json(response).into_response();
        }
        match serde_json::to_vec(&response) {
            Ok(mut body) => {
                let length = HeaderValue::from(body.len());
                body.append(&mut binary);
                let headers =
                    [(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")), (HEADER_LENGTH, length)];
                (headers, body).into_response()
            }
            Err(error) => Error::backend(error.to_string()).into_response(),
        }
    }
}
