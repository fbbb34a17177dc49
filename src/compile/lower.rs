//! The steps of linear layers that read one tensor, in the arithmetic of that tensor.
//!
//! | tensor | the layers read | they compute | then |
//! | --- | --- | --- | --- |
//! | static | the u8 panel that was written for them | in 8 bit, to their output | |
//! | dynamic | a u8 panel with a scale per token | in 8 bit, to f32 sums | each token's scale, and what its reader needs |
//! | bf16, f32 | a bf16 panel, the f32 tile | in f32, to their output | quantisation, where the reader wants 8 bit |

use lacuna_kernels::dynamic::{ColumnQuantDesc, ColumnRescaleDesc};
use lacuna_kernels::elementwise::ElementwiseDesc;
use lacuna_kernels::{KernelError, PanelLayout, Sign, Sink, Store};
use lacuna_model::Precision;

use super::maker::{Maker, Wanted};
use super::names::{InputName, LinearName};
use super::product::Reads;
use super::stage::Stage;
use super::state::{State, Uncompiled};
use super::step::{Op, Step};
use super::tensor::{Format, Place, Tensor};

/// Linear layers that read the same tensor.
pub(super) struct Group<'a> {
    pub(super) input: InputName,
    pub(super) precision: Precision,
    /// The tensor that they read.
    pub(super) from: Tensor,
    /// K.
    pub(super) features: usize,
    /// Whether the step before can write bf16.
    pub(super) from_bf16: bool,
    pub(super) stage: Stage,
    pub(super) linears: &'a [LinearStep],
}

/// A linear layer of an architecture.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinearStep {
    pub(super) name: LinearName,
    /// M.
    pub(super) features: usize,
    /// Where the results go.
    pub(super) sink: Sink,
    pub(super) to: Tensor,
}

/// The steps of a group.
pub(super) struct Lowered<S: State> {
    pub(super) steps: Vec<Step<S>>,
    /// As what the step before must store the tensor.
    pub(super) wants: Store,
}

impl Group<'_> {
    /// As what the step before must store the tensor, where that does not depend on the kernels of the group.
    pub(super) fn wants(&self) -> Option<Store> {
        match self.precision {
            Precision::Static => None,
            Precision::Bf16 if self.from_bf16 => Some(Store::Bf16),
            _ => Some(Store::F32 { residual: false }),
        }
    }

    /// The steps of the group.
    pub(super) fn lower<M: Maker>(&self, maker: &M) -> Result<Lowered<M::State>, M::Error> {
        let &Group { input, precision, from, features, stage, linears, .. } = self;
        let follow_ups: Vec<FollowUp> = linears.iter().map(|linear| FollowUp::of(precision, linear)).collect();
        let bits = maker.activation_bits();
        let wanted = |(linear, follow_up): (&LinearStep, &FollowUp)| Wanted {
            name: linear.name,
            precision,
            m: linear.features,
            k: features,
            activation_bits: bits,
            sink: follow_up.product_sink(linear.sink),
        };
        let wanted: Vec<Wanted> = linears.iter().zip(&follow_ups).map(wanted).collect();
        let (reads, products) = maker.products(&wanted)?;

        let failed = |source| maker.failed(&input.section(), source);
        let place = |format| Place { tensor: from, format, features };
        let step = |name, op| Step { name, stage, op };
        let mut steps = Vec::new();
        let (wants, operand) = match (precision, reads) {
            (Precision::Static, Reads::Codes(layout)) => {
                (Store::Bytes { layout, sign: Sign::of(bits) }, place(Format::Bytes))
            }
            (Precision::Dynamic, Reads::Codes(layout)) => {
                let plan =
                    ColumnQuantDesc { features, layout, activation_bits: bits }.plan(maker.isa()).map_err(failed)?;
                let part = M::State::part(plan, maker.token_scales(input, &plan)?);
                steps.push(step(input.section(), Op::QuantizeTokens { part, from: place(Format::F32) }));
                (Store::F32 { residual: false }, place(Format::Bytes))
            }
            (Precision::Bf16, Reads::Floats) if self.from_bf16 => (Store::Bf16, place(Format::Bf16)),
            (Precision::Bf16, Reads::Floats) => {
                steps.push(step(input.section(), Op::Round { from: place(Format::F32) }));
                (Store::F32 { residual: false }, place(Format::Bf16))
            }
            (Precision::F32, Reads::Floats) => (Store::F32 { residual: false }, place(Format::F32)),
            (precision, reads) => return Err(failed(incomplete(&format!("{reads:?} in {precision}")))),
        };
        for ((linear, follow_up), product) in linears.iter().zip(follow_ups).zip(products) {
            let (name, to) = (linear.name, place_of(linear.to, linear.sink.store, linear.features));
            let sums = follow_up.sums(to, linear.sink);
            steps.push(step(name.section(), Op::Product { product, linear: name, precision, from: operand, to: sums }));
            let then = format!("{}.then", name.section());
            let failed = |source| maker.failed(&name.section(), source);
            match follow_up {
                FollowUp::Nothing => {}
                FollowUp::Rescale => {
                    let desc = ColumnRescaleDesc { features: linear.features, sink: linear.sink };
                    let plan = desc.plan(maker.isa()).map_err(failed)?;
                    let part = M::State::part(plan, maker.rescale_rows(name, &then, &plan)?);
                    steps.push(step(then, Op::Rescale { part, from: sums, to }));
                }
                FollowUp::Quantize => {
                    let desc = ElementwiseDesc { features: linear.features, sink: linear.sink };
                    let plan = desc.plan(maker.isa()).map_err(failed)?;
                    let part = M::State::part(plan, maker.output_codes(name, &then, linear.features)?);
                    steps.push(step(then, Op::Quantize { part, from: sums, to }));
                }
            }
        }
        Ok(Lowered { steps, wants })
    }
}

/// The buffer of a tensor that is stored as `store`.
pub(super) fn place_of(tensor: Tensor, store: Store, features: usize) -> Place {
    let format = match store {
        Store::Bytes { .. } => Format::Bytes,
        Store::Bf16 => Format::Bf16,
        Store::F32 { .. } => Format::F32,
    };
    Place { tensor, format, features }
}

/// What must follow the product of a linear layer.
#[derive(Debug, Clone, Copy)]
enum FollowUp {
    Nothing,
    /// Scales of tokens, then the layer's own sink.
    Rescale,
    /// From f32 to codes.
    Quantize,
}

impl FollowUp {
    fn of(precision: Precision, linear: &LinearStep) -> FollowUp {
        match (precision, linear.sink.store) {
            (Precision::Static, _) => FollowUp::Nothing,
            (Precision::Dynamic, _) => FollowUp::Rescale,
            (_, Store::Bytes { .. }) => FollowUp::Quantize,
            _ => FollowUp::Nothing,
        }
    }

    /// What the product does with its sums.
    fn product_sink(self, sink: Sink) -> Sink {
        match self {
            FollowUp::Nothing => sink,
            FollowUp::Rescale | FollowUp::Quantize => Sink::f32(false),
        }
    }

    /// Where the product writes, if the results go to `to`.
    fn sums(self, to: Place, sink: Sink) -> Place {
        match self {
            FollowUp::Nothing => to,
            FollowUp::Rescale if sink.store == (Store::F32 { residual: false }) => to, // rescaled in place
            FollowUp::Rescale | FollowUp::Quantize => Place { tensor: Tensor::Sums, format: Format::F32, ..to },
        }
    }
}

/// Kernels that do not fit the list of steps: a defect of this crate.
pub(super) fn incomplete(found: &str) -> KernelError {
    let expected = "codes for 8-bit layers, floats for others, and a panel for attention".into();
    KernelError::Mismatch { kernel: "encoder layer".into(), found: found.into(), expected }
}

/// The layout of a panel that is stored.
pub(super) fn layout(store: Store) -> Option<PanelLayout> {
    store.codes().map(|(layout, _)| layout)
}
