//! Where the parts of a model come from: from a calibrated model, or from a file.

use lacuna_jit::Isa;
use lacuna_kernels::attention::{AttentionParams, AttentionPlan};
use lacuna_kernels::dynamic::{ColumnQuantPlan, ColumnRescalePlan, FeatureScales, RescaleRows};
use lacuna_kernels::elementwise::QuantParams;
use lacuna_kernels::layernorm::{LayerNormPlan, NormRows};
use lacuna_kernels::{ActivationBits, KernelError, Sink};
use lacuna_model::{EncoderConfig, Precision};

use super::names::{InputName, LinearName, NormName};
use super::product::Reads;
use super::state::{State, Uncompiled};

/// The product of a linear layer that is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) name: LinearName,
    pub(super) precision: Precision,
    /// M and K, as stored.
    pub(super) m: usize,
    pub(super) k: usize,
    /// Bits of what it reads, where it reads codes.
    pub(super) activation_bits: ActivationBits,
    /// What the product does with its sums.
    pub(super) sink: Sink,
}

/// A product as the maker `M` makes it.
type ProductOf<M> = <<M as Maker>::State as State>::Product;

/// Makes the parts of a model. What a model consists of is decided by its architecture, for every maker in the same way.
pub(super) trait Maker: Sync {
    type State: Uncompiled;
    type Error: Send;

    fn config(&self) -> &EncoderConfig;

    /// Bits of the codes that linear layers read.
    fn activation_bits(&self) -> ActivationBits;

    /// What plans are made for.
    fn isa(&self) -> Isa;

    /// The error of a part that cannot be planned.
    fn failed(&self, part: &str, source: KernelError) -> Self::Error;

    /// The products of linear layers that read the same tensor, and what they read.
    fn products(&self, wanted: &[Wanted]) -> Result<(Reads, Vec<ProductOf<Self>>), Self::Error>;

    /// Relative scales of features whose tokens get a scale of their own.
    fn token_scales(&self, input: InputName, plan: &ColumnQuantPlan) -> Result<FeatureScales, Self::Error>;

    /// Parameters of the step that follows a product of codes with scales of tokens.
    fn rescale_rows(
        &self,
        linear: LinearName,
        section: &str,
        plan: &ColumnRescalePlan,
    ) -> Result<RescaleRows, Self::Error>;

    /// How the outputs of a linear layer are quantised.
    fn output_codes(&self, linear: LinearName, section: &str, features: usize)
    -> Result<Vec<QuantParams>, Self::Error>;

    /// How an input is quantised that no linear layer writes.
    fn input_codes(&self, input: InputName, section: &str, features: usize) -> Result<Vec<QuantParams>, Self::Error>;

    /// Parameters of a layer normalisation. `input` says how its panel is quantised, if it has one.
    fn norm(&self, norm: NormName, input: Option<InputName>, plan: &LayerNormPlan) -> Result<NormRows, Self::Error>;

    /// Parameters of attention.
    fn attention(&self, layer: usize, plan: &AttentionPlan) -> Result<AttentionParams, Self::Error>;
}
