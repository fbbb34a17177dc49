//! ONNX: models as graphs that other runtimes load, and as graphs that others wrote.
//!
//! [`Model::open`](crate::Model::open) and [`Model::open`](crate::Model::open) read graphs, f32 and int8; docs/weights.md
//! says which, and what of a quantised one is kept. The rest of this page is about writing.
//!
//! [`Model::to_onnx`] gives f32, [`Model::to_onnx_dynamic`] and [`CalibratedModel::to_onnx_qdq`] give int8. A graph takes `input_ids`,
//! `attention_mask` (1 for tokens, 0 for padding, which is on the right) and, where the model has more than one token type,
//! `token_type_ids`, s64 `[batch, sequence]` with both sizes free. It gives `last_hidden_state` `[batch, sequence, hidden]` and `sentence_embedding` `[batch, hidden]`, pooled and normalised as
//! the model says. It uses ONNX's own operators alone, version 17, in files of IR version 8: ONNX Runtime 1.17 and later was tried.
//! Weights that are zero stay zero.
//!
//! Constants are named as in checkpoints of BERT. Matrices are `[K][M]`, transposed, as MatMul wants them.
//!
//! [`Model::to_onnx`]: crate::Model::to_onnx
//! [`Model::to_onnx_dynamic`]: crate::Model::to_onnx_dynamic
//! [`CalibratedModel::to_onnx_qdq`]: crate::CalibratedModel::to_onnx_qdq
//!
//! # Why graphs look as they do
//!
//! ONNX Runtime should run them as fast as it can run such a model, because Lacuna is compared with them. CPU time of
//! all-MiniLM-L6-v2 on 1 x 128 tokens in ms, ONNX Runtime 1.32, one thread of a Zen 4 server core, the best of 30 interleaved calls:
//!
//! | graph | f32 | dynamic | static |
//! | --- | --- | --- | --- |
//! | as written: activations are `[tokens, features]` in the layers | 30.6 | 11.8 | 11.9 |
//! | the same, sizes fixed when it is loaded | 30.6 | 12.0 | 11.9 |
//! | activations `[batch, sequence, features]`, as exporters of training libraries have them | 30.2 | 11.9 | 12.2 |
//! | the same, sizes fixed | 33.1 | 14.7 | 53.0 |
//! | one matrix for q, k and v | 30.2 | 11.6 | |
//! | operator set 12, LayerNormalization written out, so that Attention is fused | 30.1 | | |
//! | attention in int8 too | | | 12.1 |
//! | through ONNX Runtime's own optimiser for BERT and `quantize_dynamic` | | 14.2 | |
//!
//! What is fused: GELU everywhere; MatMul and Add to Gemm in f32; DynamicQuantizeMatMul and MatMulIntegerToFloat, biases included, in
//! dynamic int8; QGemm, biases included, in static int8; the scale of attention into FusedMatMul. SkipLayerNormalization is fused where
//! sizes are fixed and activations have three dimensions. Its kernel takes longer than Add and LayerNormalization, which is why
//! activations have two here. With three and fixed sizes, static int8 is not recognised and runs in f32. EmbedLayerNormalization and
//! Attention are not fused in this operator set; what the first would replace is 1 % of the time, the second gains nothing. Versions 1.17 and 1.20 fuse
//! the same nodes.
//!
//! rten 0.27 runs f32 in 32.0 and dynamic int8 in 13.9 ms with `prepack_weights`, in 36 and 23 ms without. It has no kernels for static
//! int8, which it runs in f32.
//!
//! # Accuracy
//!
//! ONNX has one scale per activation, Lacuna one per feature. Cosine to f32 of 600 sentences of STS-B dev, mean and least: dynamic
//! 0.9938 and 0.9876, static (calibrated on 200 sentences) 0.9946 and 0.9898. With dynamic int8, a sentence's embedding depends on the
//! batch that it is in, padding included.
//!
//! # Limits
//! A file holds at most 2 GiB, protobuf's limit: [`Error::OnnxTooLarge`](crate::Error::OnnxTooLarge). On CPUs without VNNI, ONNX Runtime adds pairs of u8 x s8
//! products in 16 bits, which may saturate; the integer sums are exact on those with it.

mod exporter;
mod file;
mod graph;
mod layers;
mod linear;
mod modules;
mod pool;
mod whole;

pub use self::file::{OnnxModel, OnnxSummary};
