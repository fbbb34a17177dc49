//! The registers of the kernel, each with its role.

use lacuna_jit::{Gpr, JitError, Mask, RegFile, Zmm};

use super::plan::{ACCUMULATORS, SpmmPlan};
use crate::epilogue::Store;
use crate::{PanelLayout, VECTORS};

/// REGISTER LAYOUT
///
/// | registers | in the group loop | in the epilogue |
/// | --- | --- | --- |
/// | acc, 16 | `acc[m][v]`: s32, output feature m of the row block, vector v of the pass | the same as f32 or words, then packed |
/// | temp 0-3 | rows of X (VNNI: dwords of four input features) | parameters |
/// | temp 4-7 | rows interleaved by bytes | activation |
/// | temp 8-11 | dwords of four input features for tokens 16v.. | activation |
/// | temp 12-15 | weights of output feature m | activation |
///
/// Over a list, `group` counts from minus the bytes of its indices up to zero: indices and weights of the next group are at
/// `indices + group` and `weights + 2 group` (4x1 blocks, u16 indices), so that one addition steps through both.
pub(super) struct Regs {
    pub(super) file: RegFile,
    pub(super) x: Gpr,
    pub(super) y: Gpr,
    pub(super) indices: Gpr,
    pub(super) weights: Gpr,
    pub(super) row: Gpr,
    pub(super) params: Gpr,
    pub(super) constants: Gpr,
    pub(super) tokens: Gpr,
    pub(super) count: Gpr,
    pub(super) group: Gpr,
    pub(super) index: [Gpr; 2],
    pub(super) later: Gpr,
    pub(super) next: Option<Gpr>,
    pub(super) lanes: Option<Mask>,
    pub(super) acc: Vec<Zmm>,
    pub(super) temp: Vec<Zmm>,
}

impl Regs {
    pub(super) fn new(plan: &SpmmPlan) -> Result<Regs, JitError> {
        let mut file = RegFile::new();
        Ok(Regs {
            group: file.gpr("- bytes of indices left in the list")?,
            index: [file.gpr("row offset of X")?, file.gpr("row offset of X")?],
            indices: file.gpr("indices, end of the list")?,
            weights: file.gpr("weights, end of the list")?,
            later: file.gpr("indices of a later group; output row")?,
            x: file.gpr("tile of X")?,
            y: file.gpr("tile of Y")?,
            row: file.gpr("row block")?,
            params: file.gpr("row parameters")?,
            constants: file.gpr("constants")?,
            tokens: file.gpr("tokens left")?,
            count: file.gpr("row blocks left")?,
            next: if plan.schedule.prefetch { Some(file.gpr("line of the next tile of X")?) } else { None },
            lanes: match plan.epilogue.sink.store {
                Store::Bytes { layout: PanelLayout::Plain, .. } if plan.schedule.vectors < VECTORS => {
                    Some(file.mask("dwords of a plain row that the pass owns")?)
                }
                _ => None,
            },
            acc: file.zmms(ACCUMULATORS, "acc[m][v]")?,
            temp: file.zmms(16, "X rows, interleaved rows, weights; epilogue temporaries")?,
            file,
        })
    }
}
