//! Linear layers to and from the sections of a file. What follows a product is not stored: it follows from the arithmetic and from
//! what the reader needs.

use lacuna_jit::Isa;
use lacuna_kernels::dynamic::{RescaleRows, TokenRescaleDesc};
use lacuna_kernels::elementwise::ElementwiseDesc;
use lacuna_kernels::epilogue::{Activation, Epilogue, Store};
use lacuna_kernels::float::{DType, FloatDesc, FloatFacts, FloatWeights, SumOrder};
use lacuna_kernels::gemm::{GemmDesc, GemmWeights};
use lacuna_kernels::spmm::{Schedule, SpmmDesc, SpmmFacts, SpmmWeights};
use lacuna_kernels::{KernelError, PanelLayout, Plan, Sign, Sink};
use serde::{Deserialize, Serialize};

use super::super::linear::{PackedLinear, PackedProduct, ThenPlan};
use super::ISA;
use crate::packed::{PackedError, PackedFile, Sections};
use crate::precision::Precision;

/// How a linear layer is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "lowercase")]
pub(super) enum LinearEntry {
    /// Sparse, in 8 bit.
    Sparse {
        #[serde(flatten)]
        desc: SpmmDesc,
        schedule: Schedule,
        facts: SpmmFacts,
    },
    /// Dense, in 8 bit.
    Dense {
        #[serde(flatten)]
        desc: GemmDesc,
    },
    /// Sparse or dense, in bf16 or f32.
    Float {
        #[serde(flatten)]
        desc: FloatDesc,
        order: SumOrder,
        facts: FloatFacts,
    },
}

/// Where the results of a linear layer go.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// To a panel.
    Bytes(Activation, PanelLayout, Sign),
    /// Onto the residual stream.
    Residual,
    /// To an f32 tile.
    F32(Activation),
    /// To a bf16 panel.
    Bf16(Activation),
}

/// What a linear layer of the model is.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) precision: Precision,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) wanted: Wanted,
}

impl PackedLinear {
    /// The layout of the codes that it reads; nothing for floats.
    pub(super) fn layout(&self) -> Option<PanelLayout> {
        match &self.product {
            PackedProduct::Sparse(plan, _) => Some(plan.input()),
            PackedProduct::Dense(..) => Some(PanelLayout::Vnni),
            PackedProduct::Float(..) => None,
        }
    }

    pub(super) fn save<'a>(&'a self, name: &str, sections: &mut Sections<'a>) -> LinearEntry {
        let mut add = |names: &[&str], all: &[&'a [u8]]| {
            names.iter().zip(all).for_each(|(part, bytes)| sections.add(format!("{name}.{part}"), bytes));
        };
        let entry = match &self.product {
            PackedProduct::Sparse(plan, weights) => {
                add(&SpmmWeights::SECTIONS, &weights.sections());
                LinearEntry::Sparse { desc: plan.desc(), schedule: *plan.schedule(), facts: weights.facts() }
            }
            PackedProduct::Dense(plan, weights) => {
                add(&GemmWeights::SECTIONS, &weights.sections());
                LinearEntry::Dense { desc: plan.desc() }
            }
            PackedProduct::Float(plan, weights) => {
                add(&FloatWeights::SECTIONS, &weights.sections());
                LinearEntry::Float { desc: plan.desc(), order: plan.order(), facts: weights.facts() }
            }
        };
        match &self.then {
            ThenPlan::Nothing => {}
            ThenPlan::Rescale(_, rows) => sections.add(format!("{name}.then"), rows.rows()),
            ThenPlan::Quantize(_, params) => sections.add(format!("{name}.then"), params),
        }
        entry
    }

    pub(super) fn load(entry: &LinearEntry, place: &Place<'_>, file: &PackedFile) -> Result<PackedLinear, PackedError> {
        let failed = |source| file.weights_error(place.name, source);
        let product = product(entry, place, file)?;
        place.check(&product, file)?;
        let (then, &Place { m, precision, wanted, .. }) = (format!("{}.then", place.name), place);
        let then = match (precision, wanted) {
            (Precision::Dynamic, _) => {
                let sink = match wanted {
                    Wanted::Bytes(activation, layout, sign) => Sink::bytes(layout, sign).with(activation),
                    Wanted::Residual => Sink::f32(true),
                    Wanted::F32(activation) | Wanted::Bf16(activation) => Sink::f32(false).with(activation),
                };
                let plan = TokenRescaleDesc { features: m, sink }.plan(ISA).map_err(failed)?;
                let rows = RescaleRows::pack(&plan, &file.elements::<_>(&then, m)?).map_err(failed)?;
                ThenPlan::Rescale(plan, rows)
            }
            (Precision::Bf16 | Precision::F32, Wanted::Bytes(activation, layout, sign)) => {
                let sink = Sink::bytes(layout, sign).with(activation);
                let plan = ElementwiseDesc { features: m, sink }.plan(ISA).map_err(failed)?;
                let params = file.elements::<_>(&then, m)?;
                super::check_finite(file, &then, bytemuck::cast_slice(&params))?;
                ThenPlan::Quantize(plan, params)
            }
            _ => ThenPlan::Nothing,
        };
        Ok(PackedLinear { precision, product, then })
    }

    /// The same with plans for another instruction set.
    pub(super) fn for_isa(&self, isa: Isa) -> Result<PackedLinear, KernelError> {
        let product = match &self.product {
            PackedProduct::Sparse(plan, weights) => {
                let wanted = plan.desc().plan(isa)?;
                let plan = wanted.with_schedule(*plan.schedule()).ok_or_else(|| KernelError::Mismatch {
                    kernel: wanted.name(),
                    found: format!("schedule {}", plan.schedule().name()),
                    expected: "one that the kernel can have".into(),
                })?;
                PackedProduct::Sparse(plan, weights.clone())
            }
            PackedProduct::Dense(plan, weights) => PackedProduct::Dense(plan.desc().plan(isa)?, weights.clone()),
            PackedProduct::Float(plan, weights) => {
                PackedProduct::Float(plan.desc().plan(isa)?.with_order(plan.order()), weights.clone())
            }
        };
        let then = match &self.then {
            ThenPlan::Nothing => ThenPlan::Nothing,
            ThenPlan::Rescale(plan, rows) => {
                let desc = TokenRescaleDesc { features: plan.features(), sink: *plan.sink() };
                ThenPlan::Rescale(desc.plan(isa)?, rows.clone())
            }
            ThenPlan::Quantize(plan, params) => {
                let desc = ElementwiseDesc { features: plan.features(), sink: *plan.sink() };
                ThenPlan::Quantize(desc.plan(isa)?, params.clone())
            }
        };
        Ok(PackedLinear { precision: self.precision, product, then })
    }
}

fn product(entry: &LinearEntry, place: &Place<'_>, file: &PackedFile) -> Result<PackedProduct, PackedError> {
    let name = place.name;
    let failed = |source| file.weights_error(name, source);
    let section = |part: &str| file.section(&format!("{name}.{part}"));
    match entry {
        LinearEntry::Sparse { desc, schedule, facts } => {
            let [indices, weights, rows, params] = SpmmWeights::SECTIONS.map(section);
            let plan = desc.plan(ISA).map_err(failed)?.with_schedule(*schedule).ok_or_else(|| {
                let expected = format!("one that {} blocks can have", desc.block);
                file.content_error(&format!("{name}: schedule"), schedule.name(), expected)
            })?;
            let weights = SpmmWeights::from_sections(&plan, *facts, [indices?, weights?, rows?, params?]);
            Ok(PackedProduct::Sparse(plan, weights.map_err(failed)?))
        }
        LinearEntry::Dense { desc } => {
            let [weights, params] = GemmWeights::SECTIONS.map(section);
            let plan = desc.plan(ISA).map_err(failed)?;
            Ok(PackedProduct::Dense(plan, GemmWeights::from_sections(&plan, [weights?, params?]).map_err(failed)?))
        }
        LinearEntry::Float { desc, order, facts } => {
            let [stream, rows, bias] = FloatWeights::SECTIONS.map(section);
            let plan = desc.plan(ISA).map_err(failed)?.with_order(*order);
            let weights = FloatWeights::from_sections(&plan, *facts, [stream?, rows?, bias?]);
            Ok(PackedProduct::Float(plan, weights.map_err(failed)?))
        }
    }
}

impl Place<'_> {
    /// Refuses another shape, arithmetic or epilogue than the model has here.
    fn check(&self, product: &PackedProduct, file: &PackedFile) -> Result<(), PackedError> {
        let (found, expected) = match product {
            PackedProduct::Sparse(plan, _) => {
                (say(plan.m(), plan.k(), &plan.epilogue().name()), self.integer(plan.epilogue()))
            }
            PackedProduct::Dense(plan, _) => {
                (say(plan.m(), plan.k(), &plan.epilogue().name()), self.integer(plan.epilogue()))
            }
            PackedProduct::Float(plan, _) => {
                let epilogue = format!("{} {}", plan.dtype(), plan.sink().name());
                (say(plan.m(), plan.k(), &epilogue), self.float())
            }
        };
        let expected = match expected {
            Some(epilogue) => say(self.m, self.k, &epilogue),
            None => format!("weights that compute {}", self.precision),
        };
        match found == expected {
            true => Ok(()),
            false => Err(file.content_error(self.name, found, expected)),
        }
    }

    /// The epilogue of a product of codes, in whichever arithmetic it was found; nothing if floats are expected.
    fn integer(&self, found: &Epilogue) -> Option<String> {
        let epilogue = match (self.precision, self.wanted) {
            (Precision::Static, Wanted::Bytes(activation, layout, sign)) => {
                let epilogue = Epilogue::new(activation, Store::Bytes { layout, sign });
                Epilogue { arithmetic: found.arithmetic, ..epilogue }
            }
            (Precision::Static, Wanted::Residual) => Epilogue::f32(true),
            (Precision::Static, Wanted::F32(activation) | Wanted::Bf16(activation)) => {
                Epilogue::new(activation, Store::F32 { residual: false })
            }
            (Precision::Dynamic, _) => Epilogue::f32(false),
            (Precision::Bf16 | Precision::F32, _) => return None,
        };
        Some(epilogue.name())
    }

    /// Type and epilogue of a product of floats; nothing if codes are expected.
    fn float(&self) -> Option<String> {
        let dtype = match self.precision {
            Precision::Bf16 => DType::Bf16,
            Precision::F32 => DType::F32,
            Precision::Static | Precision::Dynamic => return None,
        };
        let sink = match self.wanted {
            Wanted::Bytes(..) => Sink::f32(false),
            Wanted::Residual => Sink::f32(true),
            Wanted::F32(activation) => Sink::f32(false).with(activation),
            Wanted::Bf16(activation) => Sink::bf16().with(activation),
        };
        Some(format!("{dtype} {}", sink.name()))
    }
}

fn say(m: usize, k: usize, epilogue: &str) -> String {
    format!("{m} x {k} weights for {epilogue}")
}
