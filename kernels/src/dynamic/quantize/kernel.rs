//! The safe wrapper: checks shapes, then one unsafe call per tile.

use lacuna_jit::Entry;

use super::super::{CODES, LEAST_MAXIMUM, ZERO_CODE};
use super::desc::TokenQuantPlan;
use super::emit::TokenQuantArgs;
use super::portable;
use crate::epilogue::Constants;
use crate::kernel::kernel_methods;
use crate::layout::{elements, tiles};
use crate::output::check_length;
use crate::parallel::SharedMut;
use crate::rows::{check_tokens, tile_tokens, with_fma};
use crate::{Buffer, KernelError, Parallel, Plan, TILE};

/// Relative scales of the features, checked once.
#[derive(Debug, Clone)]
pub struct TokenQuantScales {
    /// 1 / scale, `[K]`.
    inverse: Buffer<f32>,
}

impl TokenQuantScales {
    /// Packs one relative scale per feature of `plan`: what the codes of a feature are multiples of is this times the token's scale.
    ///
    /// # Errors
    /// [`KernelError::Length`] unless there are K, [`KernelError::Parameter`] unless each is positive and finite, and so is its
    /// inverse.
    pub fn pack(plan: &TokenQuantPlan, scales: &[f32]) -> Result<TokenQuantScales, KernelError> {
        check_length(plan, "feature scales", scales.len(), plan.features)?;
        let mut inverse = Buffer::new(scales.len());
        for (row, (inverse, &found)) in inverse.iter_mut().zip(scales).enumerate() {
            *inverse = 1.0 / found;
            if !(found.is_finite() && inverse.is_finite() && *inverse > 0.0) {
                let (kernel, parameter, expected) =
                    (plan.name(), "feature scale", "a positive number that is finite, as its inverse");
                return Err(KernelError::Parameter { kernel, parameter, row, found, expected });
            }
        }
        Ok(TokenQuantScales { inverse })
    }

    /// The same from the inverses that [`TokenQuantScales::inverse`] gives.
    ///
    /// # Errors
    /// Those of [`TokenQuantScales::pack`].
    pub fn from_inverse(plan: &TokenQuantPlan, inverse: &[f32]) -> Result<TokenQuantScales, KernelError> {
        check_length(plan, "feature scales", inverse.len(), plan.features)?;
        if let Some((row, &found)) =
            inverse.iter().enumerate().find(|(_, inverse)| !(inverse.is_finite() && **inverse > 0.0))
        {
            let (kernel, parameter, expected) =
                (plan.name(), "inverse feature scale", "a positive number that is finite");
            return Err(KernelError::Parameter { kernel, parameter, row, found, expected });
        }
        let mut copy = Buffer::new(inverse.len());
        copy.copy_from_slice(inverse);
        Ok(TokenQuantScales { inverse: copy })
    }

    /// 1 / scale of every feature.
    pub fn inverse(&self) -> &[f32] {
        &self.inverse
    }
}

/// A callable quantisation per token. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct TokenQuantKernel {
    plan: TokenQuantPlan,
    entry: Option<Entry<TokenQuantArgs>>,
}

kernel_methods!(TokenQuantKernel, TokenQuantPlan, TokenQuantArgs);

impl TokenQuantKernel {
    /// Quantises `tokens` columns of `x` into `panel`, each by a scale of its own, which `scales` receives.
    ///
    /// **Shapes**: `x` is an f32 tile and `panel` a panel of K x tokens, both with [`elements`] elements; `scales` has one element
    /// per token of whole tiles. Padding tokens are left unspecified.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] for no tokens, [`KernelError::Length`] for buffers of another size.
    pub fn run(
        &self,
        features: &TokenQuantScales,
        x: &[f32],
        panel: &mut [u8],
        scales: &mut [f32],
        tokens: usize,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        let plan = &self.plan;
        check_tokens("token quantisation", tokens)?;
        check_length(plan, "feature scales", features.inverse.len(), plan.features)?;
        check_length(plan, "x", x.len(), elements(plan.features, tokens))?;
        check_length(plan, "panel", panel.len(), elements(plan.features, tokens))?;
        check_length(plan, "token scales", scales.len(), tiles(tokens) * TILE)?;
        let (panel, scales) = (SharedMut::new(panel), SharedMut::new(scales));
        parallel.for_each(tiles(tokens), |tile| {
            let at = tile * plan.tile_elements();
            let x = &x[at..][..plan.tile_elements()];
            let (panel, scales) = (panel.at(at), scales.at(tile * TILE));
            let tokens = tile_tokens(tokens, tile);
            match &self.entry {
                Some(entry) => {
                    let args = args(features, x, panel, scales, tokens);
                    // SAFETY: the plan's `Isa` token proves the CPU features; the length checks made sure that all buffers hold
                    // every tile and `features` every feature; each task has its own tile of the panel and of the scales.
                    unsafe { entry.call(&args) };
                }
                None => {
                    // SAFETY: as above.
                    let panel = unsafe { std::slice::from_raw_parts_mut(panel, plan.tile_elements()) };
                    // SAFETY: as above.
                    let scales = unsafe { std::slice::from_raw_parts_mut(scales, TILE) };
                    let inverse = &features.inverse[..];
                    with_fma!(
                        portable::tile,
                        plan: &TokenQuantPlan,
                        inverse: &[f32],
                        x: &[f32],
                        panel: &mut [u8],
                        scales: &mut [f32],
                        tokens: usize
                    );
                }
            }
        });
        Ok(())
    }
}

/// What the generated code is called with to compute one tile.
fn args(features: &TokenQuantScales, x: &[f32], panel: *mut u8, scales: *mut f32, tokens: usize) -> TokenQuantArgs {
    TokenQuantArgs {
        x: x.as_ptr(),
        panel,
        inverse: features.inverse.as_ptr(),
        scales,
        constants: Constants::address(),
        tokens,
        magnitude: !(1 << 31),
        least: LEAST_MAXIMUM,
        codes: CODES,
        zero: f32::from(ZERO_CODE),
    }
}

#[cfg(test)]
mod tests {
    use super::super::TokenQuantDesc;
    use super::*;
    use crate::PanelLayout;
    use crate::cache::KernelCache;
    use crate::support::{Clobbers, tiers, with_canaries};

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let features = 6;
        for (isa, layout) in
            tiers().into_iter().flat_map(|isa| [PanelLayout::Plain, PanelLayout::Vnni].map(|layout| (isa, layout)))
        {
            let plan = TokenQuantDesc { features, layout }.plan(isa).unwrap();
            let compiled = KernelCache::global().compile_one(&plan).unwrap();
            let Some(function) = compiled.function() else { continue };
            let scales = TokenQuantScales::pack(&plan, &[1.0; 6]).unwrap();
            for tokens in [1, 17, 33, 49, 64] {
                let (x, mut panel) = (Buffer::new(elements(features, 1)), Buffer::new(elements(features, 1)));
                let mut found = Buffer::new(TILE);
                let args = args(&scales, &x, panel.as_mut_ptr(), found.as_mut_ptr(), tokens);
                // SAFETY: as in `run`: the buffers hold a tile of the plan's width, `isa` proves the features.
                let clobbers = unsafe { with_canaries(function, &args) };
                assert_eq!(clobbers, Clobbers::NONE, "{} on {tokens} tokens", plan.name());
            }
        }
    }
}
