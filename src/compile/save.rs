//! Packed steps to the sections of a file. Whatever follows from something else is not stored: plans are made again, and every
//! tensor is stored as its readers want it.

use lacuna_model::LayerPrecision;
use serde::{Deserialize, Serialize};

use super::model::PackedSteps;
use super::product::ProductEntry;
use super::state::Packed;
use super::step::{Op, Step};
use crate::container::Sections;

/// How an encoder layer is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LayerEntry {
    pub(super) precision: LayerPrecision,
    /// q, k, v, o, up, down.
    pub(super) linears: Vec<ProductEntry>,
    /// Zero point of the output of attention.
    pub(super) attention_zero: u8,
}

/// How all that has kernels is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StepsEntry {
    pub(super) projection: Option<ProductEntry>,
    pub(super) layers: Vec<LayerEntry>,
}

impl StepsEntry {
    /// The arithmetic of every layer.
    pub(crate) fn precision(&self) -> Vec<LayerPrecision> {
        self.layers.iter().map(|layer| layer.precision).collect()
    }
}

impl PackedSteps {
    pub(crate) fn save<'a>(&'a self, precision: &[LayerPrecision], sections: &mut Sections<'a>) -> StepsEntry {
        let projection = save(&self.before, before_rank, sections).pop();
        let layers = self.layers.iter().zip(precision).map(|(steps, precision)| LayerEntry {
            precision: *precision,
            linears: save(steps, layer_rank, sections),
            attention_zero: steps.iter().find_map(Step::attention_zero).unwrap_or_default(),
        });
        StepsEntry { projection, layers: layers.collect() }
    }
}

/// Saves steps in the order of their ranks; gives the entries of their products.
fn save<'a>(
    steps: &'a [Step<Packed>],
    rank: fn(&Op<Packed>) -> usize,
    sections: &mut Sections<'a>,
) -> Vec<ProductEntry> {
    let mut sorted: Vec<&Step<Packed>> = steps.iter().collect();
    sorted.sort_by_key(|step| rank(&step.op)); // stable: steps of a rank stay in the order in which they run
    sorted.into_iter().filter_map(|step| step.save(sections)).collect()
}

/// The place of a step before the first layer in the order of the file.
fn before_rank(op: &Op<Packed>) -> usize {
    match op {
        Op::Embed { .. } => 0,
        Op::Quantize { .. } => 1,
        Op::Product { .. }
        | Op::QuantizeTokens { .. }
        | Op::Round { .. }
        | Op::Rescale { .. }
        | Op::Norm { .. }
        | Op::Attend { .. } => 2,
    }
}

/// The place of a layer's step in the order of the file: linear layers, inputs, attention, normalisations.
fn layer_rank(op: &Op<Packed>) -> usize {
    match op {
        Op::QuantizeTokens { .. } => 1,
        Op::Attend { .. } => 2,
        Op::Norm { .. } => 3,
        Op::Product { .. } | Op::Embed { .. } | Op::Round { .. } | Op::Rescale { .. } | Op::Quantize { .. } => 0,
    }
}

impl Step<Packed> {
    /// Adds its sections; gives the entry of a product.
    fn save<'a>(&'a self, sections: &mut Sections<'a>) -> Option<ProductEntry> {
        let name = &self.name;
        match &self.op {
            Op::Product { product, .. } => return Some(product.save(name, sections)),
            Op::Embed { part, .. } => sections.add(name, part.weights.rows()),
            Op::Norm { part, .. } => sections.add(name, part.weights.rows()),
            Op::QuantizeTokens { part, .. } => sections.add(name, part.weights.inverse()),
            Op::Rescale { part, .. } => sections.add(name, part.weights.rows()),
            Op::Quantize { part, .. } => sections.add(name, &part.weights),
            Op::Round { .. } => {}
            Op::Attend { part, .. } => {
                sections.add(format!("{name}.score_scale"), &part.weights.score_scale);
                sections.add(format!("{name}.q_zero"), &part.weights.q_zero);
                sections.add(format!("{name}.out_scale"), &part.weights.out_scale);
            }
        }
        None
    }

    fn attention_zero(&self) -> Option<u8> {
        match &self.op {
            Op::Attend { part, .. } => Some(part.weights.out_zero),
            _ => None,
        }
    }
}
