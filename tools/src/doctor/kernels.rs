//! How fast kernels can be at most, by what their inner loops execute.

use lacuna_console::error::Result;
use lacuna_jit::Isa;
use lacuna_kernels::epilogue::Epilogue;
use lacuna_kernels::gemm::GemmDesc;
use lacuna_kernels::machine::{Bound, Executed, Facts};
use lacuna_kernels::spmm::SpmmDesc;
use lacuna_kernels::{ActivationBits, Block, Generate, KernelError, PanelLayout, Sign, TILE};

use super::report::KernelReport;

/// The kernels of the report.
const KERNELS: [Block; 5] = [Block::B4x1, Block::B8x1, Block::B16x1, Block::B4x4, Block::Dense];
/// Output and input features of a typical layer.
const FEATURES: usize = 768;

/// The bounds of all kernels.
pub(super) fn kernels(isa: Isa, facts: &Facts) -> Result<Vec<KernelReport>> {
    let mut reports = Vec::with_capacity(KERNELS.len());
    for block in KERNELS {
        let loops = loops(isa, block)?;
        let Some(bound) = Bound::of(&loops, facts) else { continue };
        let per_16 = |count: fn(&Executed) -> u32| {
            let all: f64 = loops.iter().map(|of| f64::from(count(of)) * of.iterations).sum();
            all * 16.0 / bound.dots
        };
        reports.push(KernelReport {
            kernel: block.name(),
            shuffles: per_16(|of| of.ports.shuffle),
            operations: per_16(|of| of.ports.alu),
            loads: per_16(|of| of.ports.load),
            stores: per_16(|of| of.ports.store),
            instructions: per_16(|of| of.ports.instructions()),
            bound_by: bound.binds.name(),
            share_of_peak: bound.share_of_peak(facts),
        });
    }
    Ok(reports)
}

/// The inner loops on one tile.
fn loops(isa: Isa, block: Block) -> Result<Vec<Executed>, KernelError> {
    /// Groups, of which only the ratio to others would count.
    const GROUPS: usize = 1;
    let (m, k) = (FEATURES, FEATURES);
    let epilogue = Epilogue::requantize(PanelLayout::Plain, Sign::Unsigned).fixed();
    if block == Block::Dense {
        let plan = GemmDesc { m, k, epilogue, activation_bits: ActivationBits::Eight }.plan(isa)?;
        return plan.executed(&plan.emit()?, TILE);
    }
    let plan = SpmmDesc { m, k, block, epilogue, activation_bits: ActivationBits::Eight }.plan(isa)?;
    plan.executed(&plan.emit()?, GROUPS, TILE)
}
