//! What was decided.

use lacuna_jit::Isa;

use super::desc::ColumnRescaleDesc;
use crate::rows::{Part, check_features, tile_elements};
use crate::{KernelError, PanelLayout, Plan, Sign, Sink, Store};

impl ColumnRescaleDesc {
    /// Decides how to compute it on `isa`.
    ///
    /// # Errors
    /// [`KernelError::Dimension`] if M is 0 or too large, [`KernelError::Mismatch`] for bf16 output.
    pub fn plan(&self, isa: Isa) -> Result<ColumnRescalePlan, KernelError> {
        check_features("column rescaling", self.features)?;
        let &ColumnRescaleDesc { features, sink } = self;
        let form = match sink.store {
            Store::F32 { residual: false } => StoreForm::InPlace,
            Store::F32 { residual: true } => StoreForm::Residual,
            Store::Bytes { layout, sign } => StoreForm::Panel(layout, sign),
            Store::Bf16 => {
                return Err(KernelError::Mismatch {
                    kernel: "column rescaling".into(),
                    found: "bf16 output".into(),
                    expected: "8-bit or f32 output".into(),
                });
            }
        };
        Ok(ColumnRescalePlan { isa, features, sink, form })
    }
}

/// The forms of the kernel: a store that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum StoreForm {
    /// f32 results replace the sums.
    InPlace,
    /// f32 results are added to another tile.
    Residual,
    /// Codes.
    Panel(PanelLayout, Sign),
}

/// A decided rescaling: four rows of up to 64 columns at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnRescalePlan {
    pub(super) isa: Isa,
    pub(super) features: usize,
    pub(super) sink: Sink,
    /// What `sink.store` asks for.
    pub(super) form: StoreForm,
}

impl ColumnRescalePlan {
    /// Features M.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Where the results go.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Whether the results replace the sums.
    pub fn is_in_place(&self) -> bool {
        self.form == StoreForm::InPlace
    }

    /// Offset in bytes of a part of the columns in a row of the output.
    pub(super) fn out_offset(&self, part: Part) -> usize {
        match self.form {
            StoreForm::InPlace => 0,
            StoreForm::Residual => part.first * size_of::<f32>(),
            StoreForm::Panel(layout, _) => part.panel_offset(layout),
        }
    }

    /// Elements of one tile, f32 or panel.
    pub(super) fn tile_elements(&self) -> usize {
        tile_elements(self.features)
    }
}

impl Plan for ColumnRescalePlan {
    fn name(&self) -> String {
        let ColumnRescalePlan { isa, features, sink, .. } = self;
        format!("tokenrescale-f32-{isa}-f{features}-{}", sink.name())
    }

    fn isa(&self) -> Isa {
        self.isa
    }
}
