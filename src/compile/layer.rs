//! One encoder layer: which form every activation has, which kernels there are, and their parameters.

use lacuna_jit::Isa;
use lacuna_kernels::attention::{AttentionDesc, AttentionKernel, AttentionParams, AttentionPlan};
use lacuna_kernels::epilogue::Activation;
use lacuna_kernels::layernorm::{LayerNormDesc, LayerNormPlan};
use lacuna_kernels::{KernelError, PanelLayout, Sign};

use super::choose::Chooser;
use super::heads::Heads;
use super::input::{Input, InputPlan, PackedInput};
use super::linear::{CompiledLinear, LinearPlan, PackedLinear};
use super::norm::{Norm, PackedNorm};
use super::precision::{Bytes, Producer, Target};
use super::source::{Source, Stored};
use super::{CompiledSet, KernelSet};
use crate::error::{Error, Result};
use crate::precision::{LayerPrecision, Precision};
use crate::quantize::{LayerQuant, QuantizedLayer};
use crate::report::LinearReport;
use crate::weights::{LINEAR_NAMES, LayerWeights};

/// What a layer is made of.
#[derive(Clone, Copy)]
pub(super) struct LayerSource<'a> {
    pub(super) quantized: &'a QuantizedLayer,
    pub(super) float: &'a LayerWeights,
    pub(super) quant: &'a LayerQuant,
    /// Quantisation of the input of the layer that follows, if there is one.
    pub(super) next: Option<&'a LayerQuant>,
    pub(super) precision: LayerPrecision,
    pub(super) head_size: usize,
}

impl<'a> LayerSource<'a> {
    fn heads(&self) -> Heads {
        Heads { count: self.quant.q_scale.len(), size: self.head_size }
    }

    /// q, k, v, o, up, down.
    fn linears(&self) -> [Source<'a>; 6] {
        let (quantized, float, heads) = (self.quantized.linears(), self.float.linears(), self.heads());
        let (rows, columns, as_is) = (Stored::Rows(heads), Stored::Columns(heads), Stored::AsIs);
        let stored = [rows, rows, rows, columns, as_is, as_is];
        std::array::from_fn(|i| Source { quantized: quantized[i], float: float[i], stored: stored[i] })
    }
}

/// The decisions for one layer.
pub(super) struct LayerPlan {
    heads: Heads,
    /// Of q, k, v; of up; of down.
    pub(super) inputs: [InputPlan; 3],
    /// q, k, v, o, up, down.
    linears: [LinearPlan; 6],
    attention: AttentionPlan,
    attention_norm: LayerNormPlan,
    /// Filled in by the layer that follows: its input.
    output_norm: LayerNormDesc,
    isa: Isa,
}

impl LayerPlan {
    pub(super) fn new(source: LayerSource<'_>, activation: Activation, chooser: &Chooser<'_>) -> Result<LayerPlan> {
        let LayerSource { quant, precision, .. } = source;
        let (isa, heads) = (chooser.isa, source.heads());
        let [q, k, v, o, up, down] = source.linears();

        // From the end of the layer to its start: what a layer reads decides what the one before writes.
        let producer = Producer::Linear(precision.ffn_in);
        let down = chooser.group(precision.gelu_out, producer, &[(down, Target::Residual)])?;
        let target = match down.input {
            InputPlan::Panel(layout) => {
                let (scale, zero) = (quant.gelu_out.scale.clone(), quant.gelu_out.zero_point);
                Target::Bytes(Bytes { activation, layout, sign: Sign::Unsigned, scale, zero })
            }
            InputPlan::PerToken(_) | InputPlan::Rounded(_) | InputPlan::F32 => Target::F32(activation),
            InputPlan::Bf16 => Target::Bf16(activation),
        };
        let up = chooser.group(precision.ffn_in, Producer::Other, &[(up, target)])?;
        let o = chooser.group(Precision::Static, Producer::Other, &[(o, Target::Residual)])?;
        let InputPlan::Panel(attended) = o.input else { return Err(incomplete("an input of o that is not static")) };

        let projection = |scale, zero, layout, sign| {
            Target::Bytes(Bytes { activation: Activation::Identity, layout, sign, scale, zero })
        };
        let per_head = |scales: &[f32]| (0..source.quantized.q.m).map(|m| scales[m / heads.size]).collect::<Vec<f32>>();
        let qkv = chooser.group(
            precision.attn_in,
            Producer::Other,
            &[
                (q, projection(per_head(&quant.q_scale), quant.q_zero_point, PanelLayout::Vnni, Sign::Unsigned)),
                (k, projection(per_head(&quant.k_scale), 0, PanelLayout::Vnni, Sign::Signed)),
                (v, projection(quant.v_scale.clone(), 0, PanelLayout::Plain, Sign::Signed)),
            ],
        )?;

        let hidden = source.quantized.o.m;
        let inputs = [qkv.input, up.input, down.input];
        let linears = [qkv.linears, o.linears, up.linears, down.linears].into_iter().flatten().collect::<Vec<_>>();
        Ok(LayerPlan {
            heads,
            inputs,
            linears: linears.try_into().map_err(|_| incomplete("another number of plans"))?,
            attention: AttentionDesc { head_size: heads.padded(), output: attended }.plan(isa)?,
            attention_norm: LayerNormDesc { features: hidden, f32: true, panel: inputs[1].panel() }.plan(isa)?,
            output_norm: LayerNormDesc { features: hidden, f32: true, panel: None },
            isa,
        })
    }

    /// Makes the last layernorm of this layer write what the next layer reads.
    pub(super) fn feed(&mut self, next: &LayerPlan) {
        self.output_norm.panel = next.inputs[0].panel();
    }

    /// Packs the weights.
    pub(super) fn pack(self, source: LayerSource<'_>, epsilon: f32) -> Result<PackedLayer> {
        let LayerSource { quant, float, next, .. } = source;
        let [attn_in, ffn_in, gelu_out] = self.inputs;
        let [q, k, v, o, up, down] = self.linears;
        let [q_source, k_source, v_source, o_source, up_source, down_source] = source.linears();
        let output_norm = self.output_norm.plan(self.isa)?;
        Ok(PackedLayer {
            heads: self.heads,
            attention_params: attention_params(quant, self.heads),
            inputs: [
                attn_in.pack(&quant.attn_in.scale)?,
                ffn_in.pack(&quant.ffn_in.scale)?,
                gelu_out.pack(&quant.gelu_out.scale)?,
            ],
            linears: [
                q.pack(q_source)?,
                k.pack(k_source)?,
                v.pack(v_source)?,
                o.pack(o_source)?,
                up.pack(up_source)?,
                down.pack(down_source)?,
            ],
            attention: self.attention,
            attention_norm: PackedNorm::pack(self.attention_norm, &float.attention_norm, Some(&quant.ffn_in), epsilon)?,
            output_norm: PackedNorm::pack(output_norm, &float.output_norm, next.map(|next| &next.attn_in), epsilon)?,
        })
    }
}

/// Planning gives a panel for attention's output and a plan for every linear layer; anything else is a defect of this crate.
fn incomplete(found: &str) -> Error {
    let expected = format!("a static input of o and a plan for each of {}", LINEAR_NAMES.join(", "));
    KernelError::Mismatch { kernel: "encoder layer".into(), found: found.into(), expected }.into()
}

fn attention_params(quant: &LayerQuant, heads: Heads) -> AttentionParams {
    let root = (heads.size as f32).sqrt();
    let out_scale: Vec<f32> = quant.v_scale.iter().zip(&quant.attn_out.scale).map(|(v, out)| v / out).collect();
    AttentionParams {
        score_scale: quant.q_scale.iter().zip(&quant.k_scale).map(|(q, k)| q * k / root).collect(),
        q_zero: vec![quant.q_zero_point; heads.count],
        out_scale: heads.spread(&out_scale, 0.0),
        out_zero: quant.attn_out.zero_point,
    }
}

/// One layer as it is stored: all that it needs but code.
pub(super) struct PackedLayer {
    pub(super) heads: Heads,
    pub(super) attention_params: AttentionParams,
    /// Of q, k, v; of up; of down.
    pub(super) inputs: [PackedInput; 3],
    /// q, k, v, o, up, down.
    pub(super) linears: [PackedLinear; 6],
    pub(super) attention: AttentionPlan,
    pub(super) attention_norm: PackedNorm,
    pub(super) output_norm: PackedNorm,
}

impl PackedLayer {
    pub(super) fn request(&self, kernels: &mut KernelSet) {
        self.inputs.iter().for_each(|input| input.request(kernels));
        self.linears.iter().for_each(|linear| linear.request(kernels));
        kernels.request(&self.attention);
        self.attention_norm.request(kernels);
        self.output_norm.request(kernels);
    }

    pub(super) fn attach(self, kernels: &CompiledSet) -> Result<CompiledLayer> {
        let [attn_in, ffn_in, gelu_out] = self.inputs;
        let [q, k, v, o, up, down] = self.linears;
        Ok(CompiledLayer {
            heads: self.heads,
            attention_params: self.attention_params,
            attn_in: attn_in.attach(kernels)?,
            q: q.attach(kernels)?,
            k: k.attach(kernels)?,
            v: v.attach(kernels)?,
            attention: AttentionKernel::new(self.attention, kernels.get(&self.attention))?,
            o: o.attach(kernels)?,
            attention_norm: self.attention_norm.attach(kernels)?,
            ffn_in: ffn_in.attach(kernels)?,
            up: up.attach(kernels)?,
            gelu_out: gelu_out.attach(kernels)?,
            down: down.attach(kernels)?,
            output_norm: self.output_norm.attach(kernels)?,
        })
    }
}

/// One layer, ready to run.
#[derive(Debug)]
pub(crate) struct CompiledLayer {
    pub(crate) heads: Heads,
    /// Of q, k and v.
    pub(crate) attn_in: Input,
    pub(crate) q: CompiledLinear,
    pub(crate) k: CompiledLinear,
    pub(crate) v: CompiledLinear,
    pub(crate) attention: AttentionKernel,
    pub(crate) attention_params: AttentionParams,
    pub(crate) o: CompiledLinear,
    pub(crate) attention_norm: Norm,
    /// Of up.
    pub(crate) ffn_in: Input,
    pub(crate) up: CompiledLinear,
    /// Of down.
    pub(crate) gelu_out: Input,
    pub(crate) down: CompiledLinear,
    pub(crate) output_norm: Norm,
}

impl CompiledLayer {
    /// q, k, v, o, up, down.
    pub(crate) fn linears(&self) -> [&CompiledLinear; 6] {
        [&self.q, &self.k, &self.v, &self.o, &self.up, &self.down]
    }

    pub(super) fn reports(&self, layer: usize) -> Vec<LinearReport> {
        LINEAR_NAMES.into_iter().zip(self.linears()).map(|(name, linear)| linear.report(layer, name)).collect()
    }
}
