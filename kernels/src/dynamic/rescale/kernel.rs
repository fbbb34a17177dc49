//! The safe wrapper: checks shapes, then one unsafe call per tile.

use bytemuck::{Pod, Zeroable};
use lacuna_jit::Entry;

use super::desc::TokenRescalePlan;
use super::emit::TokenRescaleArgs;
use super::portable;
use crate::epilogue::Constants;
use crate::kernel::kernel_methods;
use crate::layout::{elements, tiles};
use crate::output::{SharedOutput, check_length, check_output};
use crate::parallel::SharedMut;
use crate::rows::{check_tokens, tile_tokens, with_fma};
use crate::{Buffer, KernelError, Output, Parallel, Plan, TILE};

/// Parameters of one feature, as the kernels read them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct RescaleParams {
    /// Added to the scaled sum.
    pub bias: f32,
    /// 1 / scale of the panel; used with a panel only.
    pub out_scale: f32,
    /// Zero point of the panel; used with a panel only.
    pub out_zero: f32,
    /// Not read.
    pub unused: f32,
}

/// Parameters of all features, checked once.
#[derive(Debug, Clone)]
pub struct RescaleRows {
    rows: Buffer<RescaleParams>,
}

impl RescaleRows {
    /// Packs the parameters of the M features of `plan`.
    ///
    /// # Errors
    /// [`KernelError::Length`] unless there are M rows, [`KernelError::Parameter`] if any parameter is not finite.
    pub fn pack(plan: &TokenRescalePlan, rows: &[RescaleParams]) -> Result<RescaleRows, KernelError> {
        check_length(plan, "rescaling parameters", rows.len(), plan.features)?;
        for (row, p) in rows.iter().enumerate() {
            for (parameter, found) in
                [("bias", p.bias), ("output scale", p.out_scale), ("output zero point", p.out_zero)]
            {
                if !found.is_finite() {
                    let (kernel, expected) = (plan.name(), "a finite number");
                    return Err(KernelError::Parameter { kernel, parameter, row, found, expected });
                }
            }
        }
        let mut packed = Buffer::new(rows.len());
        packed.copy_from_slice(rows);
        Ok(RescaleRows { rows: packed })
    }

    /// One per feature.
    pub fn rows(&self) -> &[RescaleParams] {
        &self.rows
    }
}

/// A callable rescaling per token. Cheap to clone; keeps its code alive.
#[derive(Debug, Clone)]
pub struct TokenRescaleKernel {
    plan: TokenRescalePlan,
    entry: Option<Entry<TokenRescaleArgs>>,
}

kernel_methods!(TokenRescaleKernel, TokenRescalePlan, TokenRescaleArgs);

impl TokenRescaleKernel {
    /// Rescales `tokens` columns of `t` by `scales`, and writes the results to `out`: nothing if the plan works in place.
    ///
    /// **Shapes**: `t` and `out` hold M x tokens with [`elements`] elements; `scales` has one element per token of whole tiles.
    /// Padding tokens are left unspecified. s8 is stored as two's complement bytes.
    ///
    /// # Errors
    /// [`KernelError::Mismatch`] for an output of another kind than the plan stores, [`KernelError::Dimension`] for no tokens,
    /// [`KernelError::Length`] for buffers of another size.
    pub fn run(
        &self,
        rows: &RescaleRows,
        scales: &[f32],
        t: &mut [f32],
        out: Option<Output<'_>>,
        tokens: usize,
        parallel: Parallel<'_>,
    ) -> Result<(), KernelError> {
        let plan = &self.plan;
        check_tokens("token rescaling", tokens)?;
        let expected = elements(plan.features, tokens);
        check_length(plan, "rescaling parameters", rows.rows.len(), plan.features)?;
        check_length(plan, "token scales", scales.len(), tiles(tokens) * TILE)?;
        check_length(plan, "t", t.len(), expected)?;
        match &out {
            Some(out) if !plan.is_in_place() => check_output(plan, plan.sink.store, out, expected)?,
            None if plan.is_in_place() => {}
            out => {
                let say = |out: bool| if out { "an output" } else { "none: this plan works in place" };
                let (found, expected) =
                    (if out.is_some() { "an output" } else { "no output" }, say(!plan.is_in_place()));
                return Err(KernelError::Mismatch {
                    kernel: plan.name(),
                    found: found.into(),
                    expected: expected.into(),
                });
            }
        }
        let out = out.map(SharedOutput::from);
        let t = SharedMut::new(t);
        parallel.for_each(tiles(tokens), |tile| {
            let at = tile * plan.tile_elements();
            let scales = &scales[tile * TILE..][..TILE];
            let tokens = tile_tokens(tokens, tile);
            match &self.entry {
                Some(entry) => {
                    let out = out.map_or(std::ptr::null_mut(), |out| out.at(at));
                    let args = args(rows, scales, t.at(at), out, tokens);
                    // SAFETY: the plan's `Isa` token proves the CPU features; the length checks made sure that all buffers hold
                    // every tile and `rows` every feature; each task has its own tile of each. The code writes what the plan's
                    // store says, of which kind the output was checked to be.
                    unsafe { entry.call(&args) };
                }
                None => {
                    // SAFETY: as above.
                    let t = unsafe { std::slice::from_raw_parts_mut(t.at(at), plan.tile_elements()) };
                    // SAFETY: as above.
                    let out = out.map(|out| unsafe { out.slice(at, plan.tile_elements()) });
                    let params = &rows.rows[..];
                    with_fma!(
                        portable::tile,
                        plan: &TokenRescalePlan,
                        params: &[RescaleParams],
                        scales: &[f32],
                        t: &mut [f32],
                        out: Option<Output<'_>>,
                        tokens: usize
                    );
                }
            }
        });
        Ok(())
    }
}

/// What the generated code is called with to compute one tile.
fn args(rows: &RescaleRows, scales: &[f32], t: *mut f32, out: *mut u8, tokens: usize) -> TokenRescaleArgs {
    TokenRescaleArgs {
        t,
        out,
        params: rows.rows.as_ptr(),
        scales: scales.as_ptr(),
        constants: Constants::address(),
        tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::super::TokenRescaleDesc;
    use super::*;
    use crate::cache::KernelCache;
    use crate::support::{Clobbers, tiers, with_canaries};
    use crate::{Activation, PanelLayout, Sign, Sink};

    #[test]
    fn generated_code_preserves_what_a_callee_must() {
        let features = 6;
        let panel = |layout| Sink::bytes(layout, Sign::Signed).with(Activation::Gelu);
        let sinks = [
            Sink::f32(false).with(Activation::Gelu),
            Sink::f32(true),
            panel(PanelLayout::Plain),
            panel(PanelLayout::Vnni),
        ];
        for (isa, sink) in tiers().into_iter().flat_map(|isa| sinks.map(|sink| (isa, sink))) {
            let plan = TokenRescaleDesc { features, sink }.plan(isa).unwrap();
            let compiled = KernelCache::global().compile_one(&plan).unwrap();
            let Some(function) = compiled.function() else { continue };
            let rows = RescaleRows::pack(&plan, &[RescaleParams::default(); 6]).unwrap();
            for tokens in [1, 17, 33, 49, 64] {
                let (mut t, mut out) = (Buffer::new(elements(features, 1)), Buffer::<f32>::new(elements(features, 1)));
                let args = args(&rows, &[1.0; TILE], t.as_mut_ptr(), out.as_mut_ptr().cast(), tokens);
                // SAFETY: as in `run`: the buffers hold a tile of the plan's width, `isa` proves the features.
                let clobbers = unsafe { with_canaries(function, &args) };
                assert_eq!(clobbers, Clobbers::NONE, "{} on {tokens} tokens", plan.name());
            }
        }
    }
}
