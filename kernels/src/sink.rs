//! Where results go, and what is done to them on the way: one type for all kernels.

use half::bf16;
use serde::{Deserialize, Serialize};

use crate::layout::{PanelLayout, Sign};

/// The function between the linear part and the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// None.
    Identity,
    /// max(x, 0), exact: [`crate::math::relu`].
    Relu,
    /// x Phi(x), see [`crate::math::gelu`] and [`crate::math::gelu_coarse`].
    Gelu,
    /// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), see [`crate::math::gelu_tanh`] and [`crate::math::gelu_tanh_coarse`].
    GeluTanh,
}

impl Activation {
    /// All activations.
    pub const ALL: [Activation; 4] = [Activation::Identity, Activation::Relu, Activation::Gelu, Activation::GeluTanh];

    /// The name used in kernel names; empty for no activation.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::Identity => "",
            Activation::Relu => "relu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelutanh",
        }
    }

    /// The activation called `name`; `None` for an unknown or empty name.
    pub fn from_name(name: &str) -> Option<Activation> {
        Activation::ALL.into_iter().find(|activation| !name.is_empty() && activation.name() == name)
    }
}

/// As what results are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// 8-bit codes in a panel.
    Bytes {
        /// Panel layout.
        layout: PanelLayout,
        /// u8, u7 or s8.
        sign: Sign,
    },
    /// bf16 panel, see [`crate::float::bf16_index`]; rounded by [`crate::float::round_to_bf16`].
    Bf16,
    /// f32 tile.
    F32 {
        /// Whether the results are added to what the tile holds (the residual stream) instead of replacing it.
        residual: bool,
    },
}

impl Store {
    /// Bytes of one element.
    pub(crate) const fn element_bytes(self) -> usize {
        match self {
            Store::Bytes { .. } => 1,
            Store::Bf16 => 2,
            Store::F32 { .. } => 4,
        }
    }

    /// Layout and sign of a panel of codes.
    pub const fn codes(self) -> Option<(PanelLayout, Sign)> {
        match self {
            Store::Bytes { layout, sign } => Some((layout, sign)),
            Store::Bf16 | Store::F32 { .. } => None,
        }
    }

    /// The name used in kernel names: `u8-plain`, `bf16`, `f32-residual`.
    pub fn name(self) -> String {
        match self {
            Store::Bytes { layout, sign } => format!("{}-{}", sign.name(), layout.name()),
            Store::Bf16 => "bf16".to_owned(),
            Store::F32 { residual: false } => "f32".to_owned(),
            Store::F32 { residual: true } => "f32-residual".to_owned(),
        }
    }

    /// The kind of buffer it needs.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Store::Bytes { .. } => "bytes",
            Store::Bf16 => "bf16",
            Store::F32 { .. } => "f32",
        }
    }
}

/// Where results go, and what is done to them on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sink {
    /// Applied to the results first.
    pub activation: Activation,
    /// As what they are stored.
    pub store: Store,
}

impl Sink {
    /// f32 output without activation, added to the residual stream if `residual`.
    pub const fn f32(residual: bool) -> Sink {
        Sink { activation: Activation::Identity, store: Store::F32 { residual } }
    }

    /// bf16 output without activation.
    pub const fn bf16() -> Sink {
        Sink { activation: Activation::Identity, store: Store::Bf16 }
    }

    /// A panel of codes without activation.
    pub const fn bytes(layout: PanelLayout, sign: Sign) -> Sink {
        Sink { activation: Activation::Identity, store: Store::Bytes { layout, sign } }
    }

    /// The same with `activation` before the store.
    pub const fn with(self, activation: Activation) -> Sink {
        Sink { activation, ..self }
    }

    /// All sinks.
    pub fn all() -> Vec<Sink> {
        let codes = [PanelLayout::Plain, PanelLayout::Vnni]
            .into_iter()
            .flat_map(|layout| [Sign::Unsigned, Sign::Unsigned7, Sign::Signed].map(|sign| Sink::bytes(layout, sign)));
        let stores: Vec<Sink> = codes.chain([Sink::f32(false), Sink::f32(true), Sink::bf16()]).collect();
        let with = |activation| stores.iter().map(move |sink| sink.with(activation));
        Activation::ALL.into_iter().flat_map(with).collect()
    }

    /// The name used in kernel names: `f32`, `gelu-f32-residual`, `bf16`, `relu-u8-plain`.
    pub fn name(&self) -> String {
        let store = self.store.name();
        match self.activation {
            Activation::Identity => store,
            activation => format!("{}-{store}", activation.name()),
        }
    }
}

/// The buffer that a kernel writes to; its kind must be the one that the [`Store`] says.
#[derive(Debug)]
pub enum Output<'a> {
    /// A plain or VNNI panel of u8, u7 or s8 (as two's complement bytes).
    Bytes(&'a mut [u8]),
    /// A bf16 panel.
    Bf16(&'a mut [bf16]),
    /// An f32 tile; with a residual store the results are added to it.
    F32(&'a mut [f32]),
}

impl Output<'_> {
    /// Elements.
    pub(crate) fn len(&self) -> usize {
        match self {
            Output::Bytes(out) => out.len(),
            Output::Bf16(out) => out.len(),
            Output::F32(out) => out.len(),
        }
    }

    /// What it is made of, in the words of [`Store::kind`].
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Output::Bytes(_) => "bytes",
            Output::Bf16(_) => "bf16",
            Output::F32(_) => "f32",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_serialised_forms_are_the_documented_ones() {
        let all = Sink::all();
        let mut names: Vec<String> = all.iter().map(Sink::name).collect();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), all.len()), (36, 36));
        let json = |sink: Sink| serde_json::to_string(&sink).unwrap();
        assert_eq!(json(Sink::f32(true)), r#"{"activation":"identity","store":{"f32":{"residual":true}}}"#);
        assert_eq!(json(Sink::bf16().with(Activation::Gelu)), r#"{"activation":"gelu","store":"bf16"}"#);
        assert_eq!(
            json(Sink::bytes(PanelLayout::Plain, Sign::Signed)),
            r#"{"activation":"identity","store":{"bytes":{"layout":"plain","sign":"signed"}}}"#
        );
        for sink in all {
            assert_eq!(serde_json::from_str::<Sink>(&json(sink)).unwrap(), sink);
        }
    }
}
