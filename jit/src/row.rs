//! What the encoder knows of an instruction.

use crate::encoding::Encoding;
use crate::features::Features;
use crate::ports::PortClass;

/// Which operands an instruction takes, in Intel order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `zmm{k}, zmm, zmm/m`
    Rvm,
    /// `zmm{k}, zmm, zmm/m, imm8`
    RvmI,
    /// `zmm{k}, zmm, zmm/m/bcst`
    RvmB,
    /// `zmm{k}, zmm, zmm/m/bcst, imm8`
    RvmBI,
    /// `zmm{k}, zmm/m`
    Rm,
    /// `zmm{k}, m`: no register form exists
    RMem,
    /// `zmm{k}, zmm/m/bcst`
    RmB,
    /// `zmm{k}, zmm/m/bcst, imm8`
    RmBI,
    /// `m{k}, zmm`
    Mr,
    /// `m{k}, zmm, imm8`
    MrI,
    /// `zmm{k}, zmm/m/bcst, imm8`, the destination in the vvvv field, a digit in ModRM.reg
    VmBI,
    /// `zmm{k}, zmm/m, imm8`, the destination in the vvvv field, a digit in ModRM.reg
    VmI,
    /// `k, zmm, zmm/m/bcst, imm8`
    KvmBI,
    /// `zmm{k}, r32`
    RGpr,
    /// `k, r32/r64`
    KGpr,
    /// `ymm, ymm/m, imm8`
    RmI,
    /// `ymm, ymm, ymm/m, ymm`: the last register in an immediate
    RvmR,
}

/// One instruction: its method, its operands and its encoding.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Method name: the mnemonic and a suffix where the mnemonic alone is ambiguous.
    pub name: &'static str,
    /// Operands.
    pub form: Form,
    /// The manual's notation and how displacements are compressed.
    pub encoding: Encoding,
    /// The execution units that it occupies.
    pub port: PortClass,
    /// The CPU features it needs.
    pub needs: Features,
}
