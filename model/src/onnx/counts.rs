//! What was taken from a quantised graph unchanged, counted for the load report.

use super::product::{Loaded, Rounding};

/// Counts of what was taken from the file unchanged, and what was not.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    linears: usize,
    pub(super) coded: usize,
    inexact: usize,
    inputs: usize,
    pub(super) fixed: usize,
    dynamic: usize,
    other: usize,
    /// Layers whose attention rounds q, k or v.
    attention: usize,
    /// Of those, layers with the rounding of q, k, v taken.
    taken: [usize; 3],
}

impl Counts {
    pub(super) fn linear(&mut self, loaded: &Loaded) {
        self.linears += 1;
        self.coded += usize::from(loaded.codes.is_some());
        self.inexact += usize::from(loaded.inexact);
    }

    pub(super) fn input(&mut self, rounding: Rounding) {
        self.inputs += 1;
        match rounding {
            Rounding::None => {}
            Rounding::Dynamic => self.dynamic += 1,
            Rounding::Fixed(_) => self.fixed += 1,
            Rounding::Other => self.other += 1,
        }
    }

    pub(super) fn attention(&mut self, rounded: bool, taken: [bool; 3]) {
        self.attention += usize::from(rounded);
        self.taken.iter_mut().zip(taken).for_each(|(count, taken)| *count += usize::from(taken));
    }

    pub(super) fn add(&mut self, other: &Counts) {
        self.linears += other.linears;
        self.coded += other.coded;
        self.inexact += other.inexact;
        self.inputs += other.inputs;
        self.fixed += other.fixed;
        self.dynamic += other.dynamic;
        self.other += other.other;
        self.attention += other.attention;
        self.taken.iter_mut().zip(other.taken).for_each(|(count, taken)| *count += taken);
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let Counts { linears, coded, inexact, inputs, fixed, dynamic, other, attention, taken } = *self;
        if coded > 0 {
            notes.push(format!("the s8 codes of {coded} of {linears} linear layers are those of the file, so their inputs have one scale each, and smoothing is not used for them"));
        }
        if inexact > 0 {
            notes.push(format!(
                "{inexact} of {linears} linear layers have codes in the file that do not fit s8 with a scale per output (another zero \
                 point, or a scale per input): they were read as f32 and are quantised again"
            ));
        }
        if fixed > 0 {
            notes.push(format!(
                "scales and zero points of {fixed} of {inputs} inputs of linear layers are those of the file"
            ));
        }
        if dynamic > 0 {
            notes.push(format!("{dynamic} of {inputs} inputs of linear layers have no scale in the file, because the graph finds it at run time: calibrated instead"));
        }
        if other > 0 {
            notes.push(format!("{other} of {inputs} inputs of linear layers have different scales in the file for the layers that read them: calibrated instead"));
        }
        if attention > 0 {
            let [q, k, v] = taken;
            let layers = if attention == 1 { "layer" } else { "layers" };
            let rest = match taken.iter().all(|taken| *taken == attention) {
                true => "",
                false => "; calibrated elsewhere (keys and values must be symmetric)",
            };
            notes.push(format!(
                "attention is quantised in {attention} {layers} of the file: scales taken for q in {q}, k in {k}, v in {v}{rest}"
            ));
        }
        notes
    }
}
