//! How many scalar instructions some bytes hold. dynasm writes them without a count, so they are counted from their bytes.
//!
//! It knows the lengths of the instructions that loops of kernels use, and refuses others.
//!
//! Source: Intel SDM volume 2, sections 2.1 and 2.2 and the opcode map of appendix A.

/// Scalar instructions in `bytes`, which begin and end between instructions. Conditional jumps are not counted.
///
/// # Errors
/// The offset of an instruction that is not known, or that `bytes` cut off.
pub(crate) fn count(bytes: &[u8]) -> Result<u32, usize> {
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        let Instruction { length, jumps } = instruction(&bytes[at..]).ok_or(at)?;
        count += u32::from(!jumps);
        at += length;
        if at > bytes.len() {
            return Err(at - length);
        }
    }
    Ok(count)
}

struct Instruction {
    /// Bytes.
    length: usize,
    /// Whether it is a conditional jump.
    jumps: bool,
}

/// What follows an opcode.
struct Rest {
    modrm: bool,
    /// Bytes of an immediate operand or a distance.
    immediate: usize,
}

/// The instruction that `bytes` begin with; nothing for one that is not known.
fn instruction(bytes: &[u8]) -> Option<Instruction> {
    let mut at = 0;
    let words = bytes.first() == Some(&0x66);
    at += usize::from(words);
    let rex = bytes.get(at).is_some_and(|byte| byte & 0xf0 == 0x40);
    at += usize::from(rex);
    let opcode = *bytes.get(at)?;
    at += 1;
    let (rest, jumps) = if opcode == 0x0f {
        let opcode = *bytes.get(at)?;
        at += 1;
        (second_map(opcode)?, (0x80..=0x8f).contains(&opcode))
    } else {
        let reg = bytes.get(at).map_or(0, |modrm| modrm >> 3 & 7);
        (first_map(opcode, reg, words)?, (0x70..=0x7f).contains(&opcode))
    };
    if rest.modrm {
        at += operand_bytes(&bytes[at..])?;
    }
    Some(Instruction { length: at + rest.immediate, jumps })
}

/// The instructions of one opcode byte. `reg` is the digit that some opcodes have in ModRM; `words` is the prefix of 16-bit operands.
fn first_map(opcode: u8, reg: u8, words: bool) -> Option<Rest> {
    let full = if words { 2 } else { 4 };
    let (modrm, immediate) = match opcode {
        // add, or, and, sub, xor, cmp of registers and memory
        0x00..=0x3b if opcode & 7 < 4 => (true, 0),
        0x69 => (true, full),                           // imul with an immediate
        0x6b => (true, 1),                              // the same, short
        0x70..=0x7f | 0xeb => (false, 1),               // short jumps
        0x80 | 0x83 => (true, 1),                       // add .. cmp with a short immediate
        0x81 => (true, full),                           // the same, long
        0x84 | 0x85 | 0x88..=0x8b | 0x8d => (true, 0),  // test, mov, lea
        0x90 => (false, 0),                             // nop
        0xb8..=0xbf if !words => (false, 4),            // mov of an immediate of 32 bits
        0xc0 | 0xc1 => (true, 1),                       // shifts
        0xc7 => (true, full),                           // mov of an immediate
        0xd0 | 0xd1 => (true, 0),                       // shifts by one
        0xe9 => (false, 4),                             // jump
        0xf6 => (true, usize::from(reg < 2)),           // test, not, neg
        0xf7 => (true, if reg < 2 { full } else { 0 }), // the same
        0xff if reg < 2 => (true, 0),                   // inc, dec
        _ => return None,
    };
    Some(Rest { modrm, immediate })
}

/// The instructions of two opcode bytes.
fn second_map(opcode: u8) -> Option<Rest> {
    let (modrm, immediate) = match opcode {
        0x18 | 0x1f => (true, 0),               // prefetch, nop
        0x40..=0x4f => (true, 0),               // conditional moves
        0x80..=0x8f => (false, 4),              // conditional jumps
        0xaf => (true, 0),                      // imul
        0xb6 | 0xb7 | 0xbe | 0xbf => (true, 0), // movzx, movsx
        _ => return None,
    };
    Some(Rest { modrm, immediate })
}

/// Bytes of ModRM, SIB and the displacement.
fn operand_bytes(bytes: &[u8]) -> Option<usize> {
    const SIB_FOLLOWS: u8 = 4;
    const NO_BASE: u8 = 5;
    let modrm = *bytes.first()?;
    let (mode, rm) = (modrm >> 6, modrm & 7);
    if mode == 3 {
        return Some(1);
    }
    let (sib, base) = match rm {
        SIB_FOLLOWS => (1, *bytes.get(1)? & 7),
        _ => (0, rm),
    };
    let displacement = match mode {
        0 if base == NO_BASE => 4,
        0 => 0,
        1 => 1,
        _ => 4,
    };
    Some(1 + sib + displacement)
}

#[cfg(test)]
mod tests {
    use dynasmrt::x64::Assembler;
    use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
    use iced_x86::{Decoder, DecoderOptions, FlowControl};

    use super::*;

    #[test]
    fn counts_are_those_of_a_disassembler() {
        let mut a = Assembler::new().unwrap();
        dynasm!(a
            ; .arch x64
            ; ->again:
            ; movzx ecx, ax
            ; movzx r9d, WORD [r12 + r13 + 4]
            ; mov r10, [rbp + 0]
            ; mov eax, [rsi + rdi * 4 + 0x1234]
            ; shr r10, 32
            ; shr ecx, 1
            ; test BYTE [r13], 1
            ; test r8, r8
            ; add rax, 8
            ; add r11, 0x1000
            ; imul eax, ecx, 100
            ; imul rax, rcx, -1000
            ; neg eax
            ; and eax, 3
            ; lea rdx, [rsp + 8]
            ; prefetcht1 [rdx + 64]
            ; mov ecx, 77
            ; cmovnz eax, ecx
            ; add cx, 0x1234
            ; dec rdi
            ; jnz ->again
            ; jmp ->again
        );
        let code = a.finalize().unwrap();
        let decoder = Decoder::new(64, &code, DecoderOptions::NONE);
        let expected = decoder.into_iter().filter(|i| i.flow_control() != FlowControl::ConditionalBranch).count();
        assert_eq!(count(&code), Ok(expected as u32));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(count(&[]), Ok(0));
        assert_eq!(count(&[0x90, 0x62, 0xf1]), Err(1)); // a vector instruction
        assert_eq!(count(&[0x90, 0x90, 0x81, 0xc0, 1]), Err(2)); // cut off
        assert_eq!(count(&[0x90, 0x0f]), Err(1));
    }
}
