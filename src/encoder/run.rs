//! One step on a chunk of tiles.

use lacuna_kernels::embedding::{EmbeddingIds, EmbeddingTables};
use lacuna_kernels::float::pack_bf16_panel;
use lacuna_kernels::layout::{elements, tiles};
use lacuna_kernels::{KernelError, Output, Parallel, TILE};

use super::buffers::{Chunk, PackedIds};
use crate::compile::{Format, Op, Operand, Place, Ready, Step, Tables, Tensor};

impl Chunk<'_> {
    /// Runs a step that knows no sequences.
    pub(super) fn run(
        &mut self,
        step: &Step<Ready>,
        tables: &Tables,
        ids: &PackedIds,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        let Chunk { first, tokens, .. } = *self;
        match &step.op {
            Op::Embed { part, to } => {
                let tables =
                    EmbeddingTables { word: &tables.word, kind: &tables.token_type, position: &tables.position };
                let range = first..first + tiles(tokens) * TILE;
                let ids = EmbeddingIds {
                    word: &ids.word[range.clone()],
                    kind: &ids.kind[range.clone()],
                    position: &ids.position[range],
                };
                let panel = part.kernel.layernorm().plan().panel().map(|_| of(&mut self.bytes, to, tokens));
                part.kernel.run(&tables, &ids, &part.weights, of(&mut self.floats, to, tokens), panel, tokens, parallel)
            }
            Op::QuantizeTokens { part, from } => {
                let (x, panel) = (of(&mut self.floats, from, tokens), of(&mut self.bytes, from, tokens));
                part.kernel.run(&part.weights, x, panel, self.scales, tokens, parallel)
            }
            Op::Round { from } => {
                let (x, halves) = (of(&mut self.floats, from, tokens), of(&mut self.halves, from, tokens));
                pack_bf16_panel(x, from.features, tokens, halves, parallel)
            }
            Op::Product { product, from, to, .. } => {
                self.with_output(to, |chunk, out| product.run(chunk.operand(from), tokens, out, parallel))
            }
            Op::Rescale { part, from, to } if from == to => {
                let sums = of(&mut self.floats, from, tokens);
                part.kernel.run(&part.weights, self.scales, sums, None, tokens, parallel)
            }
            Op::Rescale { part, from, to } => self.with_output(to, |chunk, out| {
                let sums = of(&mut chunk.floats, from, tokens);
                part.kernel.run(&part.weights, chunk.scales, sums, Some(out), tokens, parallel)
            }),
            Op::Quantize { part, from, to } => {
                let (x, panel) = (of(&mut self.floats, from, tokens), of(&mut self.bytes, to, tokens));
                part.kernel.run_quantize(&part.weights, x, panel, tokens, parallel)
            }
            Op::Norm { part, of: place } => {
                let panel = part.kernel.plan().panel().map(|_| of(&mut self.bytes, place, tokens));
                part.kernel.run(&part.weights, of(&mut self.floats, place, tokens), panel, tokens, parallel)
            }
            Op::Attend { .. } => Err(KernelError::Mismatch {
                kernel: "attention".into(),
                found: "a chunk of tokens".into(),
                expected: "whole sequences".into(),
            }),
        }
    }

    /// What a product reads.
    fn operand(&self, place: &Place) -> Operand<'_> {
        let (tensor, elements) = (place.tensor as usize, elements(place.features, self.tokens));
        match place.format {
            Format::Bytes => Operand::Bytes(&self.bytes[tensor][..elements]),
            Format::Bf16 => Operand::Bf16(&self.halves[tensor][..elements]),
            Format::F32 => Operand::F32(&self.floats[tensor][..elements]),
        }
    }

    /// Calls `body` with a buffer to write to. During the call the chunk does not have this buffer.
    fn with_output<T>(&mut self, place: &Place, body: impl FnOnce(&mut Self, Output<'_>) -> T) -> T {
        let (tensor, elements) = (place.tensor as usize, elements(place.features, self.tokens));
        match place.format {
            Format::Bytes => {
                let buffer = std::mem::take(&mut self.bytes[tensor]);
                let result = body(self, Output::Bytes(&mut buffer[..elements]));
                self.bytes[tensor] = buffer;
                result
            }
            Format::Bf16 => {
                let buffer = std::mem::take(&mut self.halves[tensor]);
                let result = body(self, Output::Bf16(&mut buffer[..elements]));
                self.halves[tensor] = buffer;
                result
            }
            Format::F32 => {
                let buffer = std::mem::take(&mut self.floats[tensor]);
                let result = body(self, Output::F32(&mut buffer[..elements]));
                self.floats[tensor] = buffer;
                result
            }
        }
    }
}

/// The tensor of a place, of buffers of one format.
fn of<'b, T>(buffers: &'b mut [&mut [T]; Tensor::COUNT], place: &Place, tokens: usize) -> &'b mut [T] {
    &mut buffers[place.tensor as usize][..elements(place.features, tokens)]
}
