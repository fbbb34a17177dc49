//! Rows in plain Rust, with the same bits as the generated code.

use super::heads::GROUP;
use crate::layout::{LANE_POSITIONS, padded};
use crate::{ActivationBits, LANES, PanelLayout, Sign, TILE, math};

/// Lanes that are computed for `columns` columns of one tile: whole vectors.
pub(crate) fn lanes(columns: usize) -> usize {
    columns.next_multiple_of(LANES)
}

/// Rounds and saturates to one byte; s8 as two's complement.
#[inline(always)]
pub(crate) fn quantize(sign: Sign, y: f32) -> u8 {
    match sign {
        Sign::Unsigned => math::quantize_u8(y),
        Sign::Unsigned7 => math::quantize_u8(y).min(ActivationBits::Seven.largest()),
        Sign::Signed => math::quantize_s8(y) as u8,
    }
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
