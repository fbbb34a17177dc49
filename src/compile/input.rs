//! What linear layers read: written by the step before, or made of an f32 tile.

use lacuna_kernels::dynamic::{TokenQuantKernel, TokenQuantPlan, TokenQuantScales};
use lacuna_kernels::float::{bf16, pack_bf16_panel};
use lacuna_kernels::{PanelLayout, Parallel};

use super::{CompiledSet, KernelSet};
use crate::error::Result;

/// The input of some linear layers, decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputPlan {
    /// A u8 panel with calibrated scales, which the step before writes.
    Panel(PanelLayout),
    /// A u8 panel with a scale per token, made of the f32 tile.
    PerToken(TokenQuantPlan),
    /// A bf16 panel that the step before writes.
    Bf16,
    /// A bf16 panel, made of the f32 tile of that many features.
    Rounded(usize),
    /// The f32 tile itself.
    F32,
}

impl InputPlan {
    /// The layout of the u8 panel that the step before writes, if it does.
    pub(super) fn panel(self) -> Option<PanelLayout> {
        match self {
            InputPlan::Panel(layout) => Some(layout),
            InputPlan::PerToken(_) | InputPlan::Bf16 | InputPlan::Rounded(_) | InputPlan::F32 => None,
        }
    }

    /// `scales` are the relative ones of the input's features.
    pub(super) fn pack(self, scales: &[f32]) -> Result<PackedInput> {
        Ok(match self {
            InputPlan::PerToken(plan) => PackedInput::PerToken(plan, TokenQuantScales::pack(&plan, scales)?),
            InputPlan::Panel(_) => PackedInput::Panel,
            InputPlan::Bf16 => PackedInput::Bf16,
            InputPlan::Rounded(features) => PackedInput::Rounded(features),
            InputPlan::F32 => PackedInput::F32,
        })
    }
}

/// The input of some linear layers as it is stored: all that it needs but code.
pub(super) enum PackedInput {
    Panel,
    PerToken(TokenQuantPlan, TokenQuantScales),
    Bf16,
    Rounded(usize),
    F32,
}

impl PackedInput {
    pub(super) fn request(&self, kernels: &mut KernelSet) {
        if let PackedInput::PerToken(plan, _) = self {
            kernels.request(plan);
        }
    }

    pub(super) fn attach(self, kernels: &CompiledSet) -> Result<Input> {
        Ok(match self {
            PackedInput::PerToken(plan, scales) => {
                Input::PerToken(TokenQuantKernel::new(plan, kernels.get(&plan))?, scales)
            }
            PackedInput::Panel => Input::Panel,
            PackedInput::Bf16 => Input::Bf16,
            PackedInput::Rounded(features) => Input::Rounded(features),
            PackedInput::F32 => Input::F32,
        })
    }
}

/// How linear layers get their input; see [`InputPlan`].
#[derive(Debug)]
pub(crate) enum Input {
    Panel,
    PerToken(TokenQuantKernel, TokenQuantScales),
    Bf16,
    Rounded(usize),
    F32,
}

/// Where an input may lie beside the f32 tile: what the step before wrote, or what [`Input::read`] makes.
pub(crate) struct Forms<'a> {
    /// u8 panel.
    pub(crate) panel: &'a mut [u8],
    /// One per token of whole tiles.
    pub(crate) scales: &'a mut [f32],
    /// bf16 panel.
    pub(crate) halves: &'a mut [bf16],
}

/// An input as kernels read it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a> {
    /// u8 panel with calibrated scales.
    Panel(&'a [u8]),
    /// u8 panel with a scale per token.
    PerToken(&'a [u8], &'a [f32]),
    /// bf16 panel.
    Bf16(&'a [bf16]),
    /// f32 tile.
    F32(&'a [f32]),
}

impl Input {
    /// The input of `tokens` tokens, whose f32 tile is `x`; made if the step before did not.
    pub(crate) fn read<'a>(
        &self,
        x: &'a [f32],
        forms: Forms<'a>,
        tokens: usize,
        parallel: Parallel<'_>,
    ) -> Result<Operand<'a>> {
        let Forms { panel, scales, halves } = forms;
        Ok(match self {
            Input::Panel => Operand::Panel(panel),
            Input::PerToken(kernel, features) => {
                kernel.run(features, x, panel, scales, tokens, parallel)?;
                Operand::PerToken(panel, scales)
            }
            Input::Bf16 => Operand::Bf16(halves),
            Input::Rounded(features) => {
                pack_bf16_panel(x, *features, tokens, halves, parallel)?;
                Operand::Bf16(halves)
            }
            Input::F32 => Operand::F32(x),
        })
    }
}
