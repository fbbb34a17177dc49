//! What the kernels that walk the rows of f32 tiles share.

use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use lacuna_jit::{Asm, Gpr};

use crate::layout::{LANE_POSITIONS, padded};
use crate::{KernelError, LANES, PanelLayout, TILE, VECTORS};

/// Bytes of one vector.
pub(crate) const VECTOR_BYTES: i32 = 4 * LANES as i32;
/// Bytes of one row of an f32 tile.
pub(crate) const F32_ROW_BYTES: i32 = 4 * TILE as i32;
/// Bytes of one row of a panel.
pub(crate) const PANEL_ROW_BYTES: i32 = TILE as i32;
/// Rows that are handled together: one row of a VNNI panel.
pub(crate) const GROUP: usize = 4;
/// The most features a row kernel takes, so that offsets within a tile fit 32 bits.
const MAX_FEATURES: usize = 1 << 20;

/// Emits `body` for 4, 3, 2 and 1 vectors of 16 tokens, and the choice among them by the number of tokens (1..=64) in
/// `tokens`.
pub(crate) fn emit_by_vectors(a: &mut Asm, tokens: Gpr, mut body: impl FnMut(&mut Asm, usize)) {
    let done = a.new_dynamic_label();
    for vectors in (1..=VECTORS).rev() {
        let fewer = a.new_dynamic_label();
        if vectors > 1 {
            let below = ((vectors - 1) * LANES) as i32;
            dynasm!(a ; .arch x64 ; cmp Rq(tokens), below ; jle =>fewer);
        }
        body(a, vectors);
        dynasm!(a ; .arch x64 ; jmp =>done ; =>fewer);
    }
    dynasm!(a ; .arch x64 ; =>done);
}

/// Emits a loop over `rows` rows in groups of four with `count` as its counter; `body` gets the number of rows of a
/// group and advances its own pointers. A last group of 1 to 3 rows is emitted after the loop.
pub(crate) fn emit_row_groups(a: &mut Asm, rows: usize, count: Gpr, mut body: impl FnMut(&mut Asm, usize)) {
    if rows >= GROUP {
        let group = a.new_dynamic_label();
        dynasm!(a ; .arch x64 ; mov Rd(count), (rows / GROUP) as i32);
        a.align_loop(32);
        dynasm!(a ; .arch x64 ; =>group);
        body(a, GROUP);
        dynasm!(a ; .arch x64 ; dec Rd(count) ; jnz =>group);
    }
    if !rows.is_multiple_of(GROUP) {
        body(a, rows % GROUP);
    }
}

/// Emits a loop over `rows` rows in groups of four from the last to the first, with `count` as its counter: what the pass before
/// read last is still in L1. `body` gets the number of rows of a group and first moves its own pointers back to it. A last group
/// of 1 to 3 rows is emitted before the loop.
pub(crate) fn emit_row_groups_back(a: &mut Asm, rows: usize, count: Gpr, mut body: impl FnMut(&mut Asm, usize)) {
    if !rows.is_multiple_of(GROUP) {
        body(a, rows % GROUP);
    }
    emit_row_groups(a, rows / GROUP * GROUP, count, body);
}

/// Scatters the first `lanes` bytes of `row`, which is feature `feature`, into one tile of a panel.
#[inline(always)]
pub(crate) fn store_panel_row(layout: PanelLayout, panel: &mut [u8], feature: usize, row: &[u8; TILE], lanes: usize) {
    match layout {
        PanelLayout::Plain => {
            let out = &mut panel[feature * TILE..][..TILE];
            for (&lane, &byte) in LANE_POSITIONS.iter().zip(row).take(lanes) {
                out[usize::from(lane)] = byte;
            }
        }
        PanelLayout::Vnni => {
            let out = &mut panel[feature / GROUP * (GROUP * TILE)..][..GROUP * TILE];
            for (out, &byte) in out.chunks_exact_mut(GROUP).zip(row).take(lanes) {
                out[feature % GROUP] = byte;
            }
        }
    }
}

/// Writes zeros into the padding features of one tile of a panel.
#[inline(always)]
pub(crate) fn zero_padding_features(layout: PanelLayout, panel: &mut [u8], features: usize, lanes: usize) {
    for feature in features..padded(features) {
        store_panel_row(layout, panel, feature, &[0; TILE], lanes);
    }
}

/// Lanes that are computed for `tokens` tokens of one tile: whole vectors.
pub(crate) fn lanes(tokens: usize) -> usize {
    tokens.next_multiple_of(LANES)
}

/// Calls `$function`, an `#[inline(always)]` one, in a copy that is compiled for AVX2 and FMA where the CPU has them.
/// Results are the same: only the time of `mul_add` differs.
macro_rules! with_fma {
    ($function:path, $($arg:ident: $type:ty),*) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma")]
            fn fused($($arg: $type),*) {
                $function($($arg),*)
            }
            if lacuna_jit::Features::detect().contains(lacuna_jit::Tier::Avx2.features()) {
                // SAFETY: both features were detected.
                unsafe { fused($($arg),*) }
            } else {
                $function($($arg),*)
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        $function($($arg),*)
    }};
}
pub(crate) use with_fma;

/// Refuses a number of features that a row kernel cannot have.
pub(crate) fn check_features(kernel: &'static str, features: usize) -> Result<(), KernelError> {
    if (1..=MAX_FEATURES).contains(&features) {
        return Ok(());
    }
    Err(KernelError::Dimension { kernel, dimension: "number of features", found: features, expected: "1 to 1048576" })
}

/// Refuses an empty batch.
pub(crate) fn check_tokens(kernel: &'static str, tokens: usize) -> Result<(), KernelError> {
    if tokens > 0 {
        return Ok(());
    }
    Err(KernelError::Dimension { kernel, dimension: "N", found: 0, expected: "at least 1" })
}

/// Tokens of tile `tile` when there are `tokens` in all.
pub(crate) fn tile_tokens(tokens: usize, tile: usize) -> usize {
    (tokens - tile * TILE).min(TILE)
}
