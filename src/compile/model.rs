//! The steps of a whole model, and their way to code.

use lacuna_jit::Isa;
use lacuna_kernels::KernelError;
use lacuna_kernels::cache::CompileStats;
use rayon::prelude::*;

use super::codes::StaticCodes;
use super::names::LinearName;
use super::part::KernelSet;
use super::state::{Packed, Planned, Ready, State};
use super::step::Step;
use crate::loaded::{LinearReports, Phase, Phases};

/// The steps of a model.
pub(crate) struct Steps<S: State> {
    /// Before the first layer.
    pub(super) before: Vec<Step<S>>,
    /// Of every layer.
    pub(super) layers: Vec<Vec<Step<S>>>,
}

/// The steps of a model with all decisions and packed weights, but no code.
pub(crate) type PackedSteps = Steps<Packed>;

/// The steps of a model, ready to run.
pub(crate) struct ReadySteps {
    /// Each with the codes with a calibrated range that it writes.
    pub(crate) steps: Vec<(Step<Ready>, Option<StaticCodes>)>,
    pub(crate) stats: CompileStats,
    pub(crate) linears: LinearReports,
}

impl Steps<Planned<'_>> {
    /// Packs the weights, layers in parallel. If several layers fail, the error is that of the first of them.
    pub(super) fn pack(self) -> Result<PackedSteps, KernelError> {
        let pack = |steps: Vec<Step<_>>| steps.into_iter().map(Step::pack).collect::<Result<Vec<_>, _>>();
        let layers: Vec<Result<_, _>> = self.layers.into_par_iter().map(pack).collect();
        Ok(Steps { before: pack(self.before)?, layers: layers.into_iter().collect::<Result<_, _>>()? })
    }
}

impl PackedSteps {
    /// The same with plans for another instruction set.
    pub(crate) fn for_isa(&self, isa: Isa) -> Result<PackedSteps, KernelError> {
        let plan = |steps: &Vec<Step<Packed>>| steps.iter().map(|step| step.for_isa(isa)).collect::<Result<_, _>>();
        Ok(Steps { before: plan(&self.before)?, layers: self.layers.iter().map(plan).collect::<Result<_, _>>()? })
    }

    /// Generates a kernel for every distinct plan, for the instruction set that the plans are made for, and pairs plans and weights with
    /// their code. Adds the phases that it has.
    pub(crate) fn compile(self, list: &mut Vec<Phase>) -> Result<ReadySteps, KernelError> {
        let mut phases = Phases::new();
        let mut kernels = KernelSet::default();
        let all = || self.layers.iter().flatten().chain(&self.before);
        all().for_each(|step| step.request(&mut kernels));
        let kernels = kernels.compile()?;
        let of_layers = self
            .layers
            .into_iter()
            .enumerate()
            .flat_map(|(i, steps)| steps.into_iter().map(move |step| (Some(i), step)));
        let steps = self.before.into_iter().map(|step| (None, step)).chain(of_layers).map(|(layer, step)| {
            let codes = step.static_codes(layer);
            Ok((step.attach(&kernels)?, codes))
        });
        let steps = steps.collect::<Result<Vec<_>, KernelError>>()?;
        phases.split("emit", kernels.stats.emit, "seal");
        list.extend(phases.list);
        let mut linears = LinearReports::default();
        for (name, report) in steps.iter().filter_map(|(step, _)| step.report()) {
            match name {
                LinearName::Projection => linears.projection = Some(report),
                LinearName::Layer { .. } => linears.layers.push(report),
            }
        }
        Ok(ReadySteps { steps, stats: kernels.stats, linears })
    }
}
