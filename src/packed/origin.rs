//! How a model came to be packed.

use lacuna_jit::{Features, Isa, MASK_VARIABLE, Tier};
use lacuna_model::{ActivationBits, CalibrationBasis, LayerPrecision, Precision, Pruning, SaturatedShares};

use crate::loaded::Phase;

/// How a model came to be packed.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Wall times so far.
    pub(crate) phases: Vec<Phase>,
    /// Calibration sentences that were truncated.
    pub(crate) truncated: usize,
    /// What it was calibrated on; none in files that do not say it.
    pub(crate) basis: Option<CalibrationBasis>,
    /// Per layer, what of the calibration texts lies at the ends of ranges; none in files that do not say it.
    pub(crate) saturated: Vec<SaturatedShares>,
    /// What was remarkable about the file that the model was read from.
    pub(crate) notes: Vec<String>,
    /// What was pruned.
    pub(crate) pruning: Option<Pruning>,
    /// The arithmetic of every layer.
    pub(crate) precision: Vec<LayerPrecision>,
    /// Bits of the codes that linear layers read.
    pub(crate) activation_bits: ActivationBits,
}

impl Origin {
    /// What a reader of the load report should know.
    pub(super) fn notes(&self, tier: Tier, isa: Isa) -> Vec<String> {
        let mut notes = Vec::new();
        if isa == Isa::Portable {
            let why = match tier {
                Tier::Portable => "the portable tier is in use".to_owned(),
                tier => format!("no kernels are generated for tier {tier} yet"),
            };
            notes.push(format!("{why}: plain Rust kernels run, with the same results and much slower"));
        }
        if let Ok(masked) = Features::masked()
            && !masked.is_empty()
        {
            notes.push(format!("{MASK_VARIABLE} masks {masked}: kernels are those of a CPU without these features"));
        }
        if self.activation_bits != ActivationBits::default() {
            notes.push(format!("linear layers read codes of {} bits", self.activation_bits));
        }
        notes.extend(precision_note(&self.precision));
        notes.extend_from_slice(&self.notes);
        notes.extend(self.basis.as_ref().map(|basis| format!("calibrated on {basis}")));
        match self.truncated {
            0 => {}
            1 => notes.push("1 calibration sentence was longer than the model's limit and was truncated".to_owned()),
            n => notes.push(format!("{n} calibration sentences were longer than the model's limit and were truncated")),
        }
        notes
    }
}

/// How many layers and tensors are not static, if any is not.
fn precision_note(layers: &[LayerPrecision]) -> Option<String> {
    let mixed = layers.iter().filter(|layer| **layer != LayerPrecision::default()).count();
    let tensors: Vec<Precision> = layers.iter().flat_map(|l| [l.attn_in, l.ffn_in, l.gelu_out]).collect();
    let counts: Vec<String> = Precision::ALL
        .into_iter()
        .map(|precision| (precision, tensors.iter().filter(|found| **found == precision).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(precision, count)| format!("{count} {precision}"))
        .collect();
    let (all, tensors) = (layers.len(), tensors.len());
    (mixed > 0)
        .then(|| format!("{mixed} of {all} layers are not all static; of {tensors} tensors {}", counts.join(", ")))
}
