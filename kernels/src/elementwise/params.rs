//! Parameters of a quantisation.

use bytemuck::{Pod, Zeroable};

/// Quantisation of one feature, as the kernels read it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct QuantParams {
    /// 1 / scale of the panel.
    pub scale: f32,
    /// Zero point.
    pub zero: f32,
}
