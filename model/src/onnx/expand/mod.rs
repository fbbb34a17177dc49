//! Fused operators, replaced by ONNX's own.
//!
//! Optimisers replace parts of an encoder by operators of their own, such as ONNX Runtime's `Attention` or `SkipLayerNormalization`. Here each
//! of them becomes the nodes that it stands for. Tracing then sees one form of every part, and checks it as it checks any graph.
//! An operator that is not in the table below is refused by its name.

mod attention;
mod constants;
mod norm;
mod parts;
mod product;

use self::constants::Constants;
pub(super) use self::constants::{COLUMNS, INTERNAL, MASKED};
use self::parts::Parts;
use super::bounds;
use super::file::GraphFile;
use super::functions::{Growth, unused_prefix};
use super::node::{is_own, named};
use crate::error::OnnxError;
use crate::proto::{GraphProto, NodeProto};

/// Replaces every fused operator.
pub(super) fn expand(file: &GraphFile, graph: &mut GraphProto, growth: &mut Growth) -> Result<(), OnnxError> {
    if graph.node.iter().all(|node| is_own(&node.domain) && node.op_type != "Attention") {
        return Ok(());
    }
    let prefix = unused_prefix(graph, "part");
    let constants = Constants::of(graph);
    let (mut nodes, mut initializers, mut count) = (Vec::with_capacity(graph.node.len()), Vec::new(), 0);
    for node in &graph.node {
        let mut parts = Parts::new(file, node, &constants, &prefix, &mut count);
        match replaced(node, &mut parts)? {
            false => nodes.push(node.clone()),
            true => {
                let (made, tensors) = parts.finish();
                made.iter().try_for_each(|node| growth.take(file, node))?;
                nodes.extend(made);
                initializers.extend(tensors);
            }
        }
    }
    bounds::check_nodes(file, &nodes)?;
    graph.node = nodes;
    graph.initializer.extend(initializers);
    Ok(())
}

/// Replaces a node; false for one of ONNX's own operators that stays.
fn replaced(node: &NodeProto, parts: &mut Parts<'_>) -> Result<bool, OnnxError> {
    match (&*node.domain, &*node.op_type) {
        ("" | "ai.onnx", "Attention") => attention::of_onnx(parts)?,
        ("" | "ai.onnx", _) => return Ok(false),
        // ONNX Runtime has these two under its own name as well, for the same arithmetic.
        ("com.microsoft", "QuantizeLinear" | "DequantizeLinear") => return Ok(false),
        ("com.microsoft", "Attention") => attention::packed(parts)?,
        ("com.microsoft", "QAttention") => attention::quantised(parts)?,
        ("com.microsoft", "MultiHeadAttention") => attention::multi_head(parts)?,
        ("com.microsoft", "EmbedLayerNormalization") => norm::embed(parts)?,
        ("com.microsoft", "QEmbedLayerNormalization") => norm::embed_quantised(parts)?,
        ("com.microsoft", "SkipLayerNormalization") => norm::skip(parts)?,
        ("com.microsoft", "Gelu") => product::activation(parts, "Gelu", false)?,
        ("com.microsoft", "BiasGelu") => product::activation(parts, "Gelu", false)?,
        ("com.microsoft", "FastGelu") => product::activation(parts, "Gelu", true)?,
        ("com.microsoft", "QuickGelu") => product::quick_gelu(parts)?,
        ("com.microsoft", "BiasSoftmax") => product::bias_softmax(parts)?,
        ("com.microsoft", "FusedMatMul" | "TransposeMatMul") => product::mat_mul(parts)?,
        ("com.microsoft", "FusedGemm") => product::gemm(parts)?,
        ("com.microsoft", "DynamicQuantizeMatMul") => product::dynamic(parts)?,
        ("com.microsoft", "MatMulIntegerToFloat") => product::integer(parts)?,
        ("com.microsoft", "QGemm") => product::quantised_gemm(parts)?,
        ("com.microsoft", "QLinearAdd") => product::elementwise(parts, "Add")?,
        ("com.microsoft", "QLinearMul") => product::elementwise(parts, "Mul")?,
        ("com.microsoft", "QLinearSigmoid") => product::unary(parts, "Sigmoid")?,
        ("com.microsoft", "QLinearSoftmax") => product::unary(parts, "Softmax")?,
        _ => {
            let (path, domain) = (parts.file.path.clone(), node.domain.clone());
            return Err(OnnxError::Fused { path, node: named(node), domain });
        }
    }
    Ok(true)
}
