//! Which steps write codes with calibrated ranges, and where.

use lacuna_kernels::{PanelLayout, Sign};
use lacuna_model::SaturatedShares;

use super::product::Computes;
use super::state::Packed;
use super::step::{Op, Step};
use super::tensor::{Format, Place, Tensor};

/// Codes with a calibrated range, as a step writes them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StaticCodes {
    /// Where they are.
    pub(crate) place: Place,
    pub(crate) layout: PanelLayout,
    pub(crate) sign: Sign,
    /// Whether codes at the lower end are values outside the range. The outputs of activation functions rest there.
    pub(crate) clips_below: bool,
    /// The encoder layer that reads them; none for the projection of the embeddings.
    pub(crate) layer: Option<usize>,
    /// The name of the tensor, as calibration has it.
    pub(crate) name: &'static str,
}

impl StaticCodes {
    /// What share of such codes calibration saw at the ends of the range.
    pub(crate) fn calibrated(&self, layers: &[SaturatedShares]) -> f64 {
        let Some(shares) = self.layer.and_then(|layer| layers.get(layer)) else { return 0.0 };
        f64::from(match self.name {
            "attn_in" => shares.attn_in,
            "q" => shares.query,
            "k" => shares.key,
            "v" => shares.value,
            "attn_out" => shares.attn_out,
            "ffn_in" => shares.ffn_in,
            "gelu_out" => shares.gelu_out,
            _ => 0.0,
        })
    }
}

impl Step<Packed> {
    /// The codes with a calibrated range that it writes, if it writes any. `layer` is the layer that it belongs to; none before the first.
    pub(super) fn static_codes(&self, layer: Option<usize>) -> Option<StaticCodes> {
        let (place, layout, sign) = match &self.op {
            Op::Embed { part, to } => (*to, part.plan.1.panel()?, part.plan.1.sign()),
            Op::Product { product, to, .. } => {
                let store = match product.computes() {
                    Computes::Codes(_, epilogue) => epilogue.sink.store,
                    Computes::Floats(_, sink) => sink.store,
                };
                let (layout, sign) = store.codes()?;
                (*to, layout, sign)
            }
            Op::Rescale { part, to, .. } => {
                let (layout, sign) = part.plan.sink().store.codes()?;
                (*to, layout, sign)
            }
            Op::Quantize { part, to, .. } => {
                let (layout, sign) = part.plan.sink().store.codes()?;
                (*to, layout, sign)
            }
            Op::Norm { part, of } => (*of, part.plan.panel()?, part.plan.sign()),
            Op::Attend { part, features } => {
                let place = Place { tensor: Tensor::Attended, format: Format::Bytes, features: *features };
                (place, part.plan.output(), part.plan.sign())
            }
            // Scales per token fit every token.
            Op::QuantizeTokens { .. } | Op::Round { .. } => return None,
        };
        let (layer, name) = self.tensor_name(place.tensor, layer)?;
        let place = Place { format: Format::Bytes, ..place };
        Some(StaticCodes { place, layout, sign, clips_below: place.tensor != Tensor::Inner, layer, name })
    }

    /// The layer that reads a tensor that this step writes, and the name of the tensor.
    fn tensor_name(&self, tensor: Tensor, layer: Option<usize>) -> Option<(Option<usize>, &'static str)> {
        Some(match tensor {
            Tensor::Query => (layer, "q"),
            Tensor::Key => (layer, "k"),
            Tensor::Value => (layer, "v"),
            Tensor::Attended => (layer, "attn_out"),
            Tensor::Inner => (layer, "gelu_out"),
            Tensor::Embedded => (None, "proj_in"),
            Tensor::Hidden if self.name.ends_with("attention_norm") => (layer, "ffn_in"),
            Tensor::Hidden => (Some(layer.map_or(0, |layer| layer + 1)), "attn_in"),
            Tensor::Sums => return None,
        })
    }
}
