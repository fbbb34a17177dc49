//! Which path is which route.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::body::InferBody;
use super::infer::{Tensors, infer, inputs_of, outputs_of};
use crate::error::{Error, Result};
use crate::server::Server;

/// The routes.
pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/v2", get(server_metadata))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{name}", get(model_metadata))
        .route("/v2/models/{name}/ready", get(model_ready))
        .route("/v2/models/{name}/infer", post(run))
}

async fn server_metadata() -> Json<Value> {
    let extensions = ["binary_tensor_data"];
    Json(json!({ "name": "lacuna", "version": env!("CARGO_PKG_VERSION"), "extensions": extensions }))
}

async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

async fn ready(State(server): State<Arc<Server>>) -> Result<Json<Value>> {
    match server.is_draining() {
        true => Err(Error::Draining),
        false => Ok(Json(json!({ "ready": true }))),
    }
}

async fn model_ready(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Result<Json<Value>> {
    let name = server.model(Some(&name))?.name().to_owned();
    match server.is_draining() {
        true => Err(Error::Draining),
        false => Ok(Json(json!({ "name": name, "ready": true }))),
    }
}

async fn model_metadata(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Result<Json<Value>> {
    let model = server.model(Some(&name))?;
    let described = |tensors: Tensors| -> Vec<Value> {
        let one = |(name, datatype, shape)| json!({ "name": name, "datatype": datatype, "shape": shape });
        tensors.into_iter().map(one).collect()
    };
    Ok(Json(json!({
        "name": model.name(),
        "versions": ["1"],
        "platform": "lacuna",
        "inputs": described(inputs_of(&model)),
        "outputs": described(outputs_of(&model)),
    })))
}

async fn run(State(server): State<Arc<Server>>, Path(name): Path<String>, body: InferBody) -> Result<Response> {
    let model = server.model(Some(&name))?;
    let known: Vec<&str> = outputs_of(&model).iter().map(|(name, _, _)| *name).collect();
    let InferBody { request, binary } = body;
    request.check_outputs(&known)?;
    let outputs = infer(&server, &model, &request.inputs, &binary).await?;
    Ok(request.respond(model.name(), outputs))
}
