//! The protocols, one file or folder each: what a route reads, and what it writes.

mod cohere;
mod kserve;
mod openai;
mod operations;
mod pipelines;
mod pooling;
mod tei;

pub(crate) use self::{
    cohere::routes as cohere, kserve::routes as kserve, openai::routes as openai, operations::admin,
    operations::routes as operations, pipelines::routes as pipelines, pooling::routes as pooling, tei::routes as tei,
};
