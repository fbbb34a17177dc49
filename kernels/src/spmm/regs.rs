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
/// | temp 8-11 | dwords of four input features for columns 16v.. | activation |
/// | temp 12-15 | weights of output feature m | activation |
///
/// General registers that several roles share, one after the other within a row block; each role has a name of its own:
///
/// | while X is packed | before the row blocks | between lists | in the group loop | in the epilogue |
/// | --- | --- | --- | --- | --- |
/// | `packed`: the next packed row | `dwords`: bits of the mask `lanes` | | `later`: indices of a later group | `outputs[0]` |
/// | | | `groups`: a number of groups | `group`: - bytes of indices left in the list | `outputs[1]` |
/// | `from`: the next row of the tile | | `skipped`: bytes to step over | `index[0]`: row offset of X | `outputs[2]` |
/// | `packs_left` | | | `index[1]`: row offset of X | `outputs[3]` |
/// | `x`: tile of X | `pass_x`: tile of X or its packed rows | `pass_x` | `pass_x` | `pass_x` |
///
/// Where row blocks share interleaved rows of X, `repeats` takes the place of `columns` during a pass, and `kept` that of `constants` during a list.
///
/// Where row blocks run abreast, `list` takes the place of `later`, `three_lists` that of `columns`, `ahead` that of `constants` during lists, `groups` counts down, and `indices` and
/// `weights` are at the next group of the first list.
///
/// Over a list, `group` counts from minus the bytes of its indices up to zero: indices and weights of the next group are at
/// `indices + group` and `weights + 2 group` (4x1 blocks, u16 indices), so that one addition steps through both.
pub(super) struct Regs {
    pub(super) file: RegFile,
    /// Tile of X.
    pub(super) x: Gpr,
    /// Where the pass reads X: the tile, or its packed rows, in the register of `x`.
    pub(super) pass_x: Gpr,
    pub(super) y: Gpr,
    pub(super) indices: Gpr,
    pub(super) weights: Gpr,
    pub(super) row: Gpr,
    pub(super) params: Gpr,
    pub(super) constants: Gpr,
    pub(super) columns: Gpr,
    /// Bytes of indices of each list of row blocks that run abreast, in the register of `later`.
    pub(super) list: Gpr,
    /// Three times that, in the register of `columns`: such a tail is the last.
    pub(super) three_lists: Gpr,
    pub(super) count: Gpr,
    /// Minus the bytes of indices left in the list.
    pub(super) group: Gpr,
    /// A number of groups, in the register of `group` before it is that.
    pub(super) groups: Gpr,
    /// Row offsets of X.
    pub(super) index: [Gpr; 2],
    /// Bytes of groups to step over, between lists.
    pub(super) skipped: Gpr,
    /// Indices of a later group.
    pub(super) later: Gpr,
    /// Source of a copy of X.
    pub(super) from: Gpr,
    /// Iterations left of a copy of X.
    pub(super) packs_left: Gpr,
    /// Destination of a copy of X.
    pub(super) packed: Gpr,
    /// Bits of the mask `lanes` until this has them.
    pub(super) dwords: Gpr,
    /// Where the outputs of a row block are, once its groups are done.
    pub(super) outputs: [Gpr; 4],
    /// Which row blocks repeat the list before them, in the register of `columns` during a pass.
    pub(super) repeats: Gpr,
    /// Rows of X that are kept interleaved, in the register of `constants` during a list.
    pub(super) kept: Gpr,
    /// From the indices of the next group to what is prefetched, in the register of `constants` during lists.
    pub(super) ahead: Gpr,
    pub(super) next: Option<Gpr>,
    pub(super) lanes: Option<Mask>,
    pub(super) acc: Vec<Zmm>,
    pub(super) temp: Vec<Zmm>,
}

impl Regs {
    pub(super) fn new(plan: &SpmmPlan) -> Result<Regs, JitError> {
        let mut regs = Regs::scalar(plan, RegFile::new())?;
        regs.lanes = match plan.epilogue.sink.store {
            Store::Bytes { layout: PanelLayout::Plain, .. } if plan.schedule.vectors < VECTORS => {
                Some(regs.file.mask("dwords of a plain row that the pass owns")?)
            }
            _ => None,
        };
        regs.acc = regs.file.zmms(ACCUMULATORS, "acc[m][v]")?;
        regs.temp = regs.file.zmms(16, "X rows, interleaved rows, weights; epilogue temporaries")?;
        Ok(regs)
    }

    /// The general registers.
    pub(super) fn scalar(plan: &SpmmPlan, mut file: RegFile) -> Result<Regs, JitError> {
        let group = file.gpr("number of groups; - bytes of indices left in the list; output row")?;
        let index = [
            file.gpr("row to pack; row offset of X; bytes to step over; output row")?,
            file.gpr("packs left; row offset of X; output row")?,
        ];
        let (indices, weights) = (file.gpr("indices, end of the list")?, file.gpr("weights, end of the list")?);
        let later = file.gpr("packed row; bits of a mask; indices of a later group; bytes of a list; output row")?;
        let x = file.gpr("tile of X; its packed rows")?;
        let columns = file.gpr("columns left; bytes of three lists; which lists repeat")?;
        let constants = file.gpr("constants; kept rows; distance of prefetches")?;
        Ok(Regs {
            x,
            pass_x: x,
            group,
            groups: group,
            index,
            skipped: index[0],
            from: index[0],
            packs_left: index[1],
            later,
            packed: later,
            dwords: later,
            outputs: [later, group, index[0], index[1]],
            indices,
            weights,
            y: file.gpr("tile of Y")?,
            row: file.gpr("row block")?,
            params: file.gpr("row parameters")?,
            constants,
            kept: constants,
            ahead: constants,
            repeats: columns,
            columns,
            list: later,
            three_lists: columns,
            count: file.gpr("row blocks left")?,
            next: if plan.schedule.prefetch { Some(file.gpr("line of the next tile of X")?) } else { None },
            lanes: None,
            acc: Vec::new(),
            temp: Vec::new(),
            file,
        })
    }
}
