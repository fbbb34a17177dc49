//! One encoder layer: which layout every activation has, which kernels there are, and their parameters.

use lacuna_jit::Isa;
use lacuna_kernels::attention::{AttentionDesc, AttentionKernel, AttentionParams, AttentionPlan};
use lacuna_kernels::epilogue::{Activation, Epilogue, RowParams, Store};
use lacuna_kernels::layernorm::{LayerNormDesc, LayerNormOutput, LayerNormPlan};
use lacuna_kernels::{PanelLayout, Sign};

use super::choose::{Chooser, Layer};
use super::heads::Heads;
use super::linear::{CompiledLinear, IntegerPlan, PackedLinear};
use super::norm::{Norm, PackedNorm};
use super::{CompiledSet, KernelSet, params};
use crate::error::{Error, Result};
use crate::quantize::{LayerQuant, QuantizedLayer, QuantizedLinear};
use crate::report::LinearReport;
use crate::weights::LayerWeights;

/// The decisions for one layer.
pub(super) struct LayerPlan {
    heads: Heads,
    /// Layout of the input of q, k, v.
    pub(super) input: PanelLayout,
    q: IntegerPlan,
    k: IntegerPlan,
    v: IntegerPlan,
    attention: AttentionPlan,
    o: IntegerPlan,
    attention_norm: LayerNormPlan,
    up: IntegerPlan,
    down: IntegerPlan,
    /// Filled in by the layer that follows: its input layout.
    output_norm: LayerNormDesc,
    params: ByteParams,
    isa: Isa,
}

/// Row parameters of the linear layers with 8-bit output; they decide in which arithmetic its epilogue runs.
struct ByteParams {
    q: Vec<RowParams>,
    k: Vec<RowParams>,
    v: Vec<RowParams>,
    up: Vec<RowParams>,
}

impl ByteParams {
    fn new(layer: &QuantizedLayer, quant: &LayerQuant, heads: Heads) -> ByteParams {
        let head = |m: usize| m / heads.size;
        let spread = |params: Vec<RowParams>| heads.spread(&params, RowParams::default());
        ByteParams {
            q: spread(params::requantize_params(&layer.q, |m| quant.q_scale[head(m)], quant.q_zero_point)),
            k: spread(params::requantize_params(&layer.k, |m| quant.k_scale[head(m)], 0)),
            v: spread(params::requantize_params(&layer.v, |m| quant.v_scale[m], 0)),
            up: params::activation_params(&layer.up, &quant.gelu_out.scale, quant.gelu_out.zero_point),
        }
    }
}

impl LayerPlan {
    pub(super) fn new(
        layer: &QuantizedLayer,
        quant: &[LayerQuant],
        index: usize,
        head_size: usize,
        activation: Activation,
        chooser: &Chooser<'_>,
        isa: Isa,
    ) -> Result<LayerPlan> {
        let (hidden, intermediate) = (layer.o.m, layer.up.m);
        let heads = Heads { count: quant[index].q_scale.len(), size: head_size };
        let features = heads.features();
        let params = ByteParams::new(layer, &quant[index], heads);

        // From the end of the layer to its start: the layout that a layer reads is part of the epilogue of the one before.
        let f32_layer = |linear: &QuantizedLinear, weights: &[i8], k: usize| {
            let (params, epilogue) = (params::f32_params(linear), Epilogue::f32(true));
            let layer = Layer { m: hidden, k, weights, params: &params, epilogue };
            let (layout, plans) = chooser.choose(&[layer])?;
            Ok::<_, Error>((layout, plans[0]))
        };
        let (up_output, down) = f32_layer(&layer.down, &layer.down.weight, intermediate)?;
        let bytes = Store::Bytes { layout: up_output, sign: Sign::Unsigned };
        let activated = Epilogue::new(activation, bytes).fixed_if_possible(&params.up, hidden);
        let (ffn_input, up) = chooser.choose(&[Layer {
            m: intermediate,
            k: hidden,
            weights: &layer.up.weight,
            params: &params.up,
            epilogue: activated,
        }])?;
        let o_weights = heads.spread_columns(&layer.o.weight, layer.o.k);
        let (attention_output, o) = f32_layer(&layer.o, &o_weights, features)?;
        let projections = [
            (&layer.q, &params.q, PanelLayout::Vnni, Sign::Unsigned),
            (&layer.k, &params.k, PanelLayout::Vnni, Sign::Signed),
            (&layer.v, &params.v, PanelLayout::Plain, Sign::Signed),
        ];
        let weights = projections.map(|(linear, ..)| heads.spread_rows(&linear.weight, linear.k));
        let projections: Vec<Layer<'_>> = projections
            .iter()
            .zip(&weights)
            .map(|(&(_, params, layout, sign), weights)| {
                let epilogue = Epilogue::requantize(layout, sign).fixed_if_possible(params, hidden);
                Layer { m: features, k: hidden, weights, params, epilogue }
            })
            .collect();
        let (input, qkv) = chooser.choose(&projections)?;

        let norm = |layout| LayerNormDesc { features: hidden, output: LayerNormOutput::Both(layout) };
        Ok(LayerPlan {
            heads,
            input,
            q: qkv[0],
            k: qkv[1],
            v: qkv[2],
            attention: AttentionDesc { head_size: heads.padded(), output: attention_output }.plan(isa)?,
            o,
            attention_norm: norm(ffn_input).plan(isa)?,
            up: up[0],
            down,
            output_norm: LayerNormDesc { features: hidden, output: LayerNormOutput::F32 },
            params,
            isa,
        })
    }

    /// Makes the last layernorm of this layer write what the next layer reads.
    pub(super) fn feed(&mut self, next: &LayerPlan) {
        self.output_norm.output = LayerNormOutput::Both(next.input);
    }

    /// Packs the weights of this layer, number `index`.
    pub(super) fn pack(
        self,
        layer: &QuantizedLayer,
        weights: &LayerWeights,
        quant: &[LayerQuant],
        index: usize,
        epsilon: f32,
    ) -> Result<PackedLayer> {
        let (heads, own, params) = (self.heads, &quant[index], &self.params);
        let projection = |plan: IntegerPlan, linear: &QuantizedLinear, params: &[RowParams]| {
            plan.pack(&heads.spread_rows(&linear.weight, linear.k), params)
        };
        let output_norm = self.output_norm.plan(self.isa)?;
        let next = quant.get(index + 1).map(|next| &next.attn_in);
        Ok(PackedLayer {
            heads,
            attention_params: attention_params(own, heads),
            q: projection(self.q, &layer.q, &params.q)?,
            k: projection(self.k, &layer.k, &params.k)?,
            v: projection(self.v, &layer.v, &params.v)?,
            attention: self.attention,
            o: self.o.pack(&heads.spread_columns(&layer.o.weight, layer.o.k), &params::f32_params(&layer.o))?,
            attention_norm: PackedNorm::pack(self.attention_norm, &weights.attention_norm, Some(&own.ffn_in), epsilon)?,
            up: self.up.pack(&layer.up.weight, &params.up)?,
            down: self.down.pack(&layer.down.weight, &params::f32_params(&layer.down))?,
            output_norm: PackedNorm::pack(output_norm, &weights.output_norm, next, epsilon)?,
        })
    }
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
    pub(super) q: PackedLinear,
    pub(super) k: PackedLinear,
    pub(super) v: PackedLinear,
    pub(super) attention: AttentionPlan,
    pub(super) o: PackedLinear,
    pub(super) attention_norm: PackedNorm,
    pub(super) up: PackedLinear,
    pub(super) down: PackedLinear,
    pub(super) output_norm: PackedNorm,
}

impl PackedLayer {
    pub(super) fn request(&self, kernels: &mut KernelSet) {
        [&self.q, &self.k, &self.v, &self.o, &self.up, &self.down].into_iter().for_each(|plan| plan.request(kernels));
        kernels.request(&self.attention);
        self.attention_norm.request(kernels);
        self.output_norm.request(kernels);
    }

    pub(super) fn attach(self, kernels: &CompiledSet) -> Result<CompiledLayer> {
        Ok(CompiledLayer {
            heads: self.heads,
            attention_params: self.attention_params,
            q: self.q.attach(kernels)?,
            k: self.k.attach(kernels)?,
            v: self.v.attach(kernels)?,
            attention: AttentionKernel::new(self.attention, kernels.get(&self.attention))?,
            o: self.o.attach(kernels)?,
            attention_norm: self.attention_norm.attach(kernels)?,
            up: self.up.attach(kernels)?,
            down: self.down.attach(kernels)?,
            output_norm: self.output_norm.attach(kernels)?,
        })
    }
}

/// One layer, ready to run.
#[derive(Debug)]
pub(crate) struct CompiledLayer {
    pub(crate) heads: Heads,
    pub(crate) q: CompiledLinear,
    pub(crate) k: CompiledLinear,
    pub(crate) v: CompiledLinear,
    pub(crate) attention: AttentionKernel,
    pub(crate) attention_params: AttentionParams,
    pub(crate) o: CompiledLinear,
    pub(crate) attention_norm: Norm,
    pub(crate) up: CompiledLinear,
    pub(crate) down: CompiledLinear,
    pub(crate) output_norm: Norm,
}

impl CompiledLayer {
    pub(super) fn reports(&self, layer: usize) -> Vec<LinearReport> {
        let linears = [&self.q, &self.k, &self.v, &self.o, &self.up, &self.down];
        crate::LINEAR_NAMES.into_iter().zip(linears).map(|(name, linear)| linear.report(layer, name)).collect()
    }
}
