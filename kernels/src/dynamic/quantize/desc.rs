//! What the caller wants, and what was decided.

use lacuna_jit::Isa;

use super::kernel::TokenQuantKernel;
use crate::layout::padded;
use crate::rows::check_features;
use crate::{KernelError, PanelLayout, Plan, TILE};

/// A quantisation wanted. Its scales per feature are data ([`super::TokenQuantScales`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenQuantDesc {
    /// Features K.
    pub features: usize,
    /// Layout of the panel.
    pub layout: PanelLayout,
}

impl TokenQuantDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if K is 0 or too large.
    pub fn plan(&self, isa: Isa) -> Result<TokenQuantPlan, KernelError> {
        check_features("token quantisation", self.features)?;
        Ok(TokenQuantPlan { isa, features: self.features, layout: self.layout })
    }

    /// Plans and compiles through the process-wide cache.
    ///
    /// # Errors
    /// Those of [`TokenQuantDesc::plan`] and [`TokenQuantKernel::compile`].
    pub fn compile(&self, isa: Isa) -> Result<TokenQuantKernel, KernelError> {
        TokenQuantKernel::compile(self.plan(isa)?)
    }
}

/// A decided quantisation: one pass for the maxima, one that writes codes, four rows of up to 64 tokens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenQuantPlan {
    pub(super) isa: Isa,
    pub(super) features: usize,
    pub(super) layout: PanelLayout,
}

impl TokenQuantPlan {
    /// Features K.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Layout of the panel.
    pub fn layout(&self) -> PanelLayout {
        self.layout
    }

    /// Elements of one tile, f32 or panel.
    pub(super) fn tile_elements(&self) -> usize {
        padded(self.features) * TILE
    }
}

impl Plan for TokenQuantPlan {
    fn name(&self) -> String {
        let TokenQuantPlan { isa, features, layout } = self;
        format!("tokenquant-f32-{isa}-f{features}-u8-{}", layout.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
